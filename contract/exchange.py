"""Exchanges with one service over HTTP/1.1: connections that are kept, requests as bytes, answers as they come.

In the place of requests and urllib3, which took half of the gatekeeper's time (docs/benchmarks.md). httptools, Node's
own parser, reads the answers.
"""

import contextlib
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator
from http import HTTPStatus
from urllib.parse import urlsplit

import httptools

from contract.idle import REUSED_WITHIN_S
from contract.roles import Role, dns_name
from contract.waiting import has_bytes

_RECEIVED_BYTES = 64 << 10
# Heads are under 1 KiB. Of a head, and of what stands between two pieces of a body, no more than this is read.
_MOST_BETWEEN_BYTES = 128 << 10

# What an answer's status can be; those under 200 would be followed by another.
_FINAL = frozenset(int(status) for status in HTTPStatus if status >= HTTPStatus.OK)

Context = Callable[[], ssl.SSLContext]


class NotConnected(Exception):
    """There is no connection, or it is not one to the peer: nothing was sent."""


class TooBusy(NotConnected):
    """The peer did not take the connection in time, or gave it up in its handshake; it may take one in a moment."""


class Lost(Exception):
    """The connection ended, or what came is no answer."""


class Exchanges:
    """Exchanges with the service of that role at `url`. `context` gives what TLS connections are made with."""

    def __init__(self, url: str, role: Role, context: Context | None) -> None:
        parts = urlsplit(url)
        self._server_name = dns_name(role)
        self._address = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        self._context = context if parts.scheme == "https" else None
        self._host = parts.netloc
        self._idle: deque[_Connection] = deque()

    def ask(self, start: str, body: bytes, *, connect_within_s: float, deadline: float) -> "Answering":
        """Sends a request, `start` being its line and headers without Host and length; its answer has begun.

        Raises NotConnected, Lost, and TimeoutError at the deadline (of time.monotonic).
        """
        connection = self._kept() or self._connected(connect_within_s)
        head = f"{start}Host: {self._host}\r\nContent-Length: {len(body)}\r\n\r\n"
        try:
            connection.send(head.encode("latin-1") + body, deadline)
            return Answering(connection, deadline, self._keep)
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Closes the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def _kept(self) -> "_Connection | None":
        """A connection that may still be used: contract/idle.py has the rule."""
        while self._idle:
            connection = self._idle.pop()
            if time.monotonic() - connection.heard_at < REUSED_WITHIN_S and not has_bytes(connection.socket):
                return connection
            connection.close()
        return None

    def _keep(self, connection: "_Connection") -> None:
        self._idle.append(connection)
        while self._idle and time.monotonic() - self._idle[0].heard_at >= REUSED_WITHIN_S:
            self._idle.popleft().close()

    def _connected(self, within_s: float) -> "_Connection":
        try:
            context = self._context() if self._context else None
            plain = socket.create_connection(self._address, within_s)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except TimeoutError as error:
            raise TooBusy(type(error).__name__) from error
        except OSError as error:
            raise NotConnected(type(error).__name__) from error
        return _Connection(_secured(plain, context, self._server_name) if context else plain)


def _secured(plain: socket.socket, context: ssl.SSLContext, server_name: str) -> socket.socket:
    """The same connection in TLS, with a server of that name, by the role in its certificate, at any address."""
    try:
        return context.wrap_socket(plain, server_hostname=server_name)
    except ssl.SSLCertVerificationError as error:
        plain.close()
        raise NotConnected(type(error).__name__) from error
    except OSError as error:
        plain.close()
        raise TooBusy(type(error).__name__) from error


class _Connection:
    """A connection, and when something was last heard on it, from whose beginning on it counts as idle."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.heard_at = time.monotonic()

    def send(self, request: bytes, deadline: float) -> None:
        """Raises Lost, TimeoutError."""
        try:
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            self.socket.sendall(request)
        except TimeoutError:
            raise
        except OSError as error:
            raise Lost(type(error).__name__) from error

    def receive(self, deadline: float) -> bytes:
        """Raises Lost, TimeoutError."""
        try:
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            received = self.socket.recv(_RECEIVED_BYTES)
        except TimeoutError:
            raise
        except OSError as error:
            raise Lost(type(error).__name__) from error
        self.heard_at = time.monotonic()
        return received

    def close(self) -> None:
        """Ends it."""
        with contextlib.suppress(OSError):
            self.socket.close()


class Answering:
    """An answer that has begun: its status, its headers with names as the peer writes them, and what follows.

    It must be closed.
    """

    def __init__(self, connection: _Connection, deadline: float, keep: Callable[[_Connection], None]) -> None:
        self._connection = connection
        self._deadline = deadline
        self._keep = keep
        self._message = _Message()
        self._parser = httptools.HttpResponseParser(self._message)
        self._is_open = True
        self._between_bytes = 0
        while not self._message.has_head:
            self._read()
        self.headers = self._message.headers
        self.status: int = self._parser.get_status_code()
        if self.status not in _FINAL:
            raise Lost("what came has no status")

    def pieces(self) -> Iterator[bytes]:
        """The body, as it comes. Raises Lost, TimeoutError."""
        while True:
            received, self._message.body = self._message.body, []
            yield from received
            if self._message.ended:
                return
            self._read()

    def close(self) -> None:
        """Keeps the connection where the answer was read to its end, or ends it; safe to call twice."""
        if not self._is_open:
            return
        self._is_open = False
        if self._message.ended == 1 and not self._message.is_last:
            self._keep(self._connection)
        else:
            self._connection.close()

    def _read(self) -> None:
        received = self._connection.receive(self._deadline)
        if not received:
            raise Lost("the connection was closed")
        try:
            self._parser.feed_data(received)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            raise Lost("what came is no answer") from None
        self._between_bytes = 0 if self._message.body else self._between_bytes + len(received)
        if self._between_bytes > _MOST_BETWEEN_BYTES and not self._message.ended:
            raise Lost("what came has no end")


class _Message:
    """What the parser finds; its methods are those that httptools calls."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body: list[bytes] = []
        self.has_head = False
        self.is_last = False  # on its connection
        self.ended = 0  # times: more than one is more than was asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self.headers[name.decode("latin-1")] = value.decode("latin-1")
        if name.lower() == b"connection":
            self.is_last = value.lower() == b"close"

    def on_headers_complete(self) -> None:
        """The end of the headers."""
        self.has_head = True

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self.body.append(body)

    def on_message_complete(self) -> None:
        """The end of the body."""
        self.ended += 1
