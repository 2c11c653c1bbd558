"""What a peer that was taken over may answer with (contract/exchange.py)."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from contract.exchange import Answering, Exchanges, Lost

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
FAR_TOO_MUCH = 20 << 20


class Peer:
    """Sends these pieces on its one connection, whatever it is asked, until the other side has gone."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(20)
        self.exchanges = Exchanges(f"http://127.0.0.1:{self.listener.getsockname()[1]}", "proxy", None)
        self.threads = ThreadPoolExecutor(1)

    def answer(self, *pieces: bytes) -> Answering:
        self.threads.submit(self._send, pieces)
        return self.exchanges.ask("GET / HTTP/1.1\r\n", b"", connect_within_s=5, deadline=time.monotonic() + 20)

    def _send(self, pieces: tuple[bytes, ...]) -> None:
        connected, _ = self.listener.accept()
        with connected:
            connected.settimeout(20)
            connected.recv(65536)
            for piece in pieces:
                connected.sendall(piece)


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.exchanges.close()
    made.listener.close()
    made.threads.shutdown()


def body_of(answering: Answering) -> bytes:
    try:
        return b"".join(answering.pieces())
    finally:
        answering.close()


@pytest.mark.parametrize(
    "status", ["999 Odd", "099 Odd", "100 Continue", "101 Switching Protocols", "299 Odd", "600 Odd"]
)
def test_an_answer_with_a_status_that_is_none_is_lost(peer: Peer, status: str) -> None:
    with pytest.raises(Lost):
        peer.answer(b"HTTP/1.1 " + status.encode() + b"\r\nContent-Length: 2\r\n\r\n{}")


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"X-Odd: " + b"a" * 1000 + b"\r\n", id="many headers"),
        pytest.param(b"a" * 1000, id="one line without an end"),
    ],
)
def test_an_answer_whose_head_has_no_end_is_lost(peer: Peer, head: bytes) -> None:
    with pytest.raises(Lost):
        peer.answer(b"HTTP/1.1 200 OK\r\n", *[head] * (FAR_TOO_MUCH // len(head)))


@pytest.mark.parametrize(
    "trailer",
    [
        pytest.param(b"X-Odd: " + b"a" * 1000 + b"\r\n", id="many trailers"),
        pytest.param(b"a" * 1000, id="one trailer without an end"),
    ],
)
def test_an_answer_whose_trailers_have_no_end_is_lost(peer: Peer, trailer: bytes) -> None:
    answering = peer.answer(CHUNKED, b"2\r\n{}\r\n0\r\n", *[trailer] * (FAR_TOO_MUCH // len(trailer)))
    with pytest.raises(Lost):
        body_of(answering)


def test_an_answer_whose_chunk_has_a_header_without_an_end_is_lost(peer: Peer) -> None:
    answering = peer.answer(CHUNKED, b"2;odd=", *[b"a" * 1000] * (FAR_TOO_MUCH // 1000))
    with pytest.raises(Lost):
        body_of(answering)


def test_a_body_of_any_length_is_read_to_its_end(peer: Peer) -> None:
    piece = b"a" * 65536
    chunk = b"10000\r\n" + piece + b"\r\n"
    assert body_of(peer.answer(CHUNKED, *[chunk] * 100, b"0\r\n\r\n")) == piece * 100
