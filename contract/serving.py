"""gunicorn's settings that all services share: what a peer must show, and what a slow one may take."""

import ssl
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from contract.settings import SettingsError, Tls, split_address


def tls_options(tls: Tls | None, listen: str) -> dict[str, Any]:
    """The options for TLS where every peer must show a certificate of the deployment's authority.

    Raises SettingsError when there is no TLS and the address is not a loopback one.
    """
    if tls is None:
        if not ip_address(split_address(listen)[0]).is_loopback:
            raise SettingsError(f"{listen}: without [tls] only a loopback address may be listened on")
        return {}
    return {
        "certfile": tls.certificate,
        "keyfile": tls.key,
        "ca_certs": tls.authority,
        "cert_reqs": ssl.CERT_REQUIRED,
        "do_handshake_on_connect": True,
    }


def tls_context(_config: object, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Gunicorn's `ssl_context` hook: TLS 1.2 and up."""
    context = default()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
