"""A false server at a node's SQL port: it is told no password, and sends no row without an end."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pymysql
import pytest

from proxy.connection import Connection, Login
from proxy.tunnels.base import LocalEnd

SECRET = "a-password-that-nobody-may-be-told"
GREETING = (
    b"\x0a8.0.0\x00"
    + struct.pack("<I", 1)
    + b"12345678\x00"
    + struct.pack("<HBH", 0xFFFF, 45, 2)
    + struct.pack("<HB", 0xFFFF, 21)
    + b"\x00" * 10
    + b"123456789012\x00"
    + b"mysql_native_password\x00"
)
OK = b"\x00\x00\x00\x02\x00\x00\x00"
COLUMN = b"\x03def\x00\x00\x00\x01x\x00\x0c" + struct.pack("<HIBHB", 45, 100, 253, 0, 0) + b"\x00\x00"
END = b"\xfe\x00\x00\x02\x00"
LARGEST = (1 << 24) - 1


class Peer:
    """The server's end of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.heard = b""

    def send(self, sequence: int, payload: bytes) -> None:
        self._connection.sendall(len(payload).to_bytes(3, "little") + bytes([sequence & 0xFF]) + payload)

    def hear(self) -> None:
        self.heard += self._connection.recv(65_536)


@contextmanager
def false_server(play: Callable[[Peer], None]) -> Iterator[tuple[LocalEnd, list[Peer]]]:
    """Plays its part to whoever connects first; ends with the block."""
    peers: list[Peer] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.settimeout(20)
                peers.append(Peer(connection))
                with suppress(OSError):  # the proxy leaves
                    play(peers[0])

        thread = threading.Thread(target=serve)
        thread.start()
        yield LocalEnd(unix_socket=None, port=listening.getsockname()[1]), peers
        thread.join(20)
        assert not thread.is_alive()


def login() -> Login:
    return Login("gk_reader", SECRET, read_only=True)


@pytest.mark.parametrize("plugin", [b"mysql_clear_password", b"dialog", b"sha256_password", b"caching_sha2_password"])
def test_a_server_that_asks_for_the_password_in_clear_is_not_told_it(plugin: bytes) -> None:
    def play(peer: Peer) -> None:
        peer.send(0, GREETING)
        peer.hear()
        peer.send(2, b"\xfe" + plugin + b"\x00\x00")
        peer.hear()

    with false_server(play) as (end, peers), pytest.raises(pymysql.OperationalError, match="authentication plugin"):
        Connection(end, login(), 5.0)
    assert SECRET.encode() not in peers[0].heard


def test_a_row_without_an_end_is_given_up() -> None:
    def play(peer: Peer) -> None:
        peer.send(0, GREETING)
        peer.hear()
        peer.send(2, OK)
        for _ in range(2):  # the character set, the session's pin
            peer.hear()
            peer.send(1, OK)
        peer.hear()
        for sequence, payload in enumerate((b"\x01", COLUMN, END), start=1):
            peer.send(sequence, payload)
        for sequence in range(4, 40):
            peer.send(sequence, b"x" * LARGEST)

    with false_server(play) as (end, _):
        connection = Connection(end, login(), 5.0)
        with pytest.raises(pymysql.OperationalError, match="a row without an end"):
            connection.query("SELECT x", 10, 1 << 20)
        connection.close()
