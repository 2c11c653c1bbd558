"""Sends a webhook: one small POST over HTTPS, of whose answer the status alone is read.

The host is looked up once, and the connection made to an address that was checked, so that the name can't mean another
one in between. Nothing is followed. http.client would read megabytes of a hostile head: here it ends after 4 KiB.
"""

import re
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import Final

from contract.webhooks import Target, target
from orchestrator.outside import Inside, Outside

_MOST_TRIED: Final = 3  # of a host's addresses
_MOST_LINE_BYTES: Final = 4 << 10
_RECEIVED_BYTES: Final = 1 << 10
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([2-5][0-9][0-9])(?: [^\r\n]*)?\r?\n")
_GONE: Final = 410


class NotDelivered(Exception):
    """The webhook was not taken; the text is one word that says why. `is_final`: it is not to be tried again."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


class Sender:
    """Sends webhooks to where `outside` lets it, each within `timeout_s` once its host's addresses are known.

    `authority`: the path of the certificates (PEM) that receivers' are held to, in the place of the system's.
    """

    def __init__(self, outside: Outside, timeout_s: float, authority: str | None = None) -> None:
        self._outside = outside
        self._timeout_s = timeout_s
        self._tls = ssl.create_default_context(cafile=authority)
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2

    def send(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        """Raises NotDelivered unless the receiver answers with 200 to 299."""
        try:
            to = target(url)
            addresses = self._outside.addresses(to.host, to.port)
            status = self._exchange(to, addresses, _request(to, headers, body))
        except Inside:
            raise NotDelivered("address_inside", is_final=True) from None
        except ssl.SSLCertVerificationError:
            raise NotDelivered("certificate") from None
        except TimeoutError:
            raise NotDelivered("timed_out") from None
        except (OSError, ValueError):
            raise NotDelivered("unreachable") from None
        if not 200 <= status < 300:
            raise NotDelivered(f"status_{status}", is_final=status == _GONE)

    def _exchange(self, to: Target, addresses: Sequence[str], request: bytes) -> int:
        """The status that is answered. Raises OSError, NotDelivered."""
        deadline = time.monotonic() + self._timeout_s
        plain = _connected(addresses[:_MOST_TRIED], to.port, deadline)
        with plain, self._tls.wrap_socket(plain, server_hostname=to.host, do_handshake_on_connect=False) as connection:
            connection.settimeout(_left(deadline))
            connection.do_handshake()
            connection.settimeout(_left(deadline))
            connection.sendall(request)
            return _status(connection, deadline)


def _connected(addresses: Sequence[str], port: int, deadline: float) -> socket.socket:
    """A connection to the first of the addresses that takes one. Raises OSError."""
    *others, last = addresses
    for address in others:
        try:
            return socket.create_connection((address, port), _left(deadline) / 2)
        except OSError:
            continue
    return socket.create_connection((last, port), _left(deadline))


def _status(connection: ssl.SSLSocket, deadline: float) -> int:
    found = b""
    while b"\n" not in found and len(found) < _MOST_LINE_BYTES:
        connection.settimeout(_left(deadline))
        received = connection.recv(_RECEIVED_BYTES)
        if not received:
            break
        found += received
    line = _STATUS_LINE.match(found)
    if not line:
        raise NotDelivered("no_answer")
    return int(line.group(1))


def _left(deadline: float) -> float:
    """The seconds until then. Raises TimeoutError when there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _request(to: Target, headers: Mapping[str, str], body: bytes) -> bytes:
    own = {
        "Host": to.host_header,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "User-Agent": "gatekeeper-for-mysql-cluster",
        "Connection": "close",
    }
    lines = [f"POST {to.resource} HTTP/1.1", *(f"{name}: {value}" for name, value in {**own, **headers}.items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body
