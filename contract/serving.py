"""How gunicorn serves all services: what a peer must show, and what a slow one may take."""

import errno
import ssl
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import gevent
from gunicorn.workers.ggevent import GeventWorker

from contract.settings import SettingsError, Tls, split_address

# How long a peer may take for its handshake, and for each read of a body and each write of a chunk.
HANDSHAKE_TIMEOUT_S = 5.0
PEER_TIMEOUT_S = 10.0


class Worker(GeventWorker):
    """gunicorn's gevent worker, with a time limit for each read from and write to a peer during a request."""

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> Any:
        """Serves one request; a peer that does not go on in time is disconnected."""
        sock.settimeout(PEER_TIMEOUT_S)
        try:
            return super().handle_request(listener_name, req, sock, addr)
        except TimeoutError as error:
            # What gunicorn passes over in silence: the peer is gone, as far as we are concerned.
            raise BrokenPipeError(errno.EPIPE, "the peer is too slow") from error
        finally:
            sock.settimeout(None)


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
    """Gunicorn's `ssl_context` hook: TLS 1.2 and up, and a handshake that ends in time or ends the connection."""
    context = default()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    wrap = context.wrap_socket

    def wrap_in_time(sock: Any, **options: Any) -> ssl.SSLSocket:
        sock.settimeout(HANDSHAKE_TIMEOUT_S)
        try:
            secure = wrap(sock, **options)
        except OSError:  # of which ssl.SSLError and TimeoutError are two
            sock.close()
            raise gevent.GreenletExit from None
        secure.settimeout(None)
        return secure

    setattr(context, "wrap_socket", wrap_in_time)  # noqa: B010 a method of a library's object
    return context
