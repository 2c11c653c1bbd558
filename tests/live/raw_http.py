"""Exchanges in bytes, as an attacker would write them, and what came of them in the gatekeeper's audit log."""

import contextlib
import json
import re
import socket
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from threading import Event

from tests.live.system_fixtures import LiveSystem

# An answer may take this long to begin, on a busy machine; when it has, the next is not far.
_FIRST_S = 4.0
_NEXT_S = 0.4


def exchange(address: str, sent: bytes) -> bytes:
    """All that comes back on one connection: until the server closes it, or is silent and then told that it is over."""
    host, _, port = address.rpartition(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=30) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(sent)
        try:
            connection.settimeout(_FIRST_S)
            while chunk := connection.recv(65536):
                received += chunk
                connection.settimeout(_NEXT_S)
        except TimeoutError:
            connection.settimeout(10)
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                received += chunk
    return received


def statuses(received: bytes) -> list[int]:
    """The final statuses of the answers, in their order."""
    found = [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3})", received)]
    return [status for status in found if status >= 200]


def executed(system: LiveSystem, request_id: str) -> int:
    """How many requests of that id got as far as a verdict; the line is written before the answer."""
    lines = (system.files.directory / "audit.log").read_text(encoding="utf-8").splitlines()
    return sum(json.loads(line)["request_id"] == request_id for line in lines if request_id in line)


class Drip:
    """Connections on which a byte of a request is sent now and then, until the server closes them.

    `at_once` is sent on each at the beginning. `received` is what came before the end, where something came.
    """

    def __init__(self, address: str, requests: Sequence[bytes], at_once: bytes = b"") -> None:
        self._started, self._pause = time.monotonic(), Event()
        self._waiting = {self._connect(address, at_once): request for request in requests}
        self.closed_after_s: list[float] = []
        self.received: list[bytes] = []

    def until_closed(self, every_s: float, most_s: float) -> None:
        """Goes on until the last is closed; fails when one is open for longer than `most_s`."""
        for position in count():
            assert time.monotonic() - self._started < most_s, f"{len(self._waiting)} are still open after {most_s} s"
            for connection, request in list(self._waiting.items()):
                if self._is_over(connection, request[position : position + 1]):
                    self.closed_after_s.append(time.monotonic() - self._started)
                    del self._waiting[connection]
                    connection.close()
            if not self._waiting:
                return
            self._pause.wait(every_s)

    @staticmethod
    def _connect(address: str, at_once: bytes) -> socket.socket:
        host, _, port = address.rpartition(":")
        connection = socket.create_connection((host, int(port)), timeout=30)
        connection.sendall(at_once)
        connection.setblocking(False)
        return connection

    def _is_over(self, connection: socket.socket, piece: bytes) -> bool:
        try:
            connection.send(piece)
            received = connection.recv(65536)
        except BlockingIOError:
            return False
        except ConnectionError:
            return True
        self.received.append(received)
        return True


def lines_of(path: Path) -> list[dict[str, object]]:
    """The objects of a log with one JSON object a line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
