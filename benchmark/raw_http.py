"""HTTP/1.1 as the load generators speak it: requests that are ready bytes, and a reader of answers that costs little.

A library's client takes several times as long for an exchange as this, and that time would count as the target's.
"""

import re
import socket
import ssl
from types import TracebackType
from typing import Self

from benchmark.errors import LoadFailed
from contract.settings import split_address

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)")
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked")
_RECEIVED_BYTES = 64 << 10
_TIMEOUT_S = 10.0


class AnswerReader:
    """Reads one answer, piece by piece, whose body has a length or comes in chunks."""

    def __init__(self) -> None:
        self.status = 0
        self._received = bytearray()
        self._body = bytearray()
        self._length: int | None = None

    @property
    def body(self) -> bytes:
        """The body of a complete answer."""
        return bytes(self._body)

    def take(self, piece: bytes) -> bool:
        """Whether the answer is complete with this piece. Raises LoadFailed for what is none."""
        self._received += piece
        if not self.status and not self._take_head():
            return False
        return self._take_chunks() if self._length is None else self._take_rest(self._length)

    def _take_head(self) -> bool:
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return False
        lower = bytes(head).lower()
        length = _LENGTH.search(lower)
        if not lower.startswith(b"http/1.1 ") or not (length or _CHUNKED.search(lower)):
            raise LoadFailed(f"no answer with a length: {bytes(head[:100])!r}")
        self.status = int(lower[9:12])
        self._length = int(length[1]) if length else None
        self._received = rest
        return True

    def _take_rest(self, length: int) -> bool:
        if len(self._received) < length:
            return False
        self._body = self._received
        return True

    def _take_chunks(self) -> bool:
        while True:
            line, end, rest = self._received.partition(b"\r\n")
            size = int(line.partition(b";")[0], 16) if end else 0
            if not end or len(rest) < size + 2:
                return False
            self._body += rest[:size]
            self._received = rest[size + 2 :]
            if size == 0:
                return True


class Channel:
    """A kept connection to HOST:PORT; with a context, TLS to a server of that name."""

    def __init__(self, address: str, context: ssl.SSLContext | None = None, server_name: str | None = None) -> None:
        self.socket = socket.create_connection(split_address(address), timeout=_TIMEOUT_S)
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                self.socket = context.wrap_socket(self.socket, server_hostname=server_name)
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def exchange(self, request: bytes) -> AnswerReader:
        """The answer to a request. Raises OSError, LoadFailed."""
        self.socket.sendall(request)
        answer = AnswerReader()
        while True:
            piece = self.socket.recv(_RECEIVED_BYTES)
            if not piece:
                raise LoadFailed("the connection was closed before the answer")
            if answer.take(piece):
                return answer
