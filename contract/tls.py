"""TLS of all services: who must show what, and how a certificate is renewed without a restart or a lost connection."""

import ssl
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import gevent
import structlog

from contract.settings import SettingsError, Tls, split_address

log = structlog.get_logger()

# What a peer may take for its handshake.
HANDSHAKE_TIMEOUT_S = 5.0


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


def tls_context(config: Any, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Gunicorn's `ssl_context` hook: TLS 1.2 and up, and a handshake that ends in time or ends the connection.

    Each handshake is made with what the certificate's files say then. Raises OSError when they make no context now.
    """
    following = Following((config.certfile, config.keyfile, config.ca_certs), lambda: _hardened(default()))

    def wrap_in_time(sock: Any, **options: Any) -> ssl.SSLSocket:
        try:
            with gevent.Timeout(HANDSHAKE_TIMEOUT_S, TimeoutError("no handshake in time")):
                return following.current().wrap_socket(sock, **options)
        except OSError:  # of which ssl.SSLError and TimeoutError are two
            sock.close()
            raise gevent.GreenletExit from None

    outer = default()
    setattr(outer, "wrap_socket", wrap_in_time)  # noqa: B010 a method of a library's object
    return outer


def _hardened(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    return context


class Following:
    """The context that `make` builds from the files at `paths`, built anew when one of them has changed.

    `make` raises OSError (ssl.SSLError is one) for files that make no context; the first time it is raised. Later the
    last good context stays: the files of a certificate are replaced one after the other.
    """

    def __init__(self, paths: Sequence[str], make: Callable[[], ssl.SSLContext]) -> None:
        self._paths = [Path(path) for path in paths]
        self._make = make
        self._signature = self._look()
        self._context = make()

    def current(self) -> ssl.SSLContext:
        """The context for a handshake that begins now."""
        # Looked at before they are read: a change during the reading is seen the next time.
        signature = self._look()
        if signature != self._signature:
            self._signature = signature
            self._renew()
        return self._context

    def _renew(self) -> None:
        try:
            self._context = self._make()
        except OSError as error:
            log.warning("certificate_refused", reason=str(error))
        else:
            log.info("certificate_read")

    def _look(self) -> list[tuple[int, int, int]]:
        return [_signature(path) for path in self._paths]


def _signature(path: Path) -> tuple[int, int, int]:
    try:
        stat = path.stat()
    except OSError:
        return (0, 0, 0)
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
