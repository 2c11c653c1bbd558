"""The generator with a constant rate does not hide a queue: held against a server that stands still."""

import json
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from benchmark import constant_rate
from benchmark.arrivals import arrival_of
from benchmark.errors import LoadFailed
from benchmark.exchanges import Exchange
from benchmark.raw_http import AnswerReader, Channel

RATE = 100
STALL_S = 0.6


class Stalling(socketserver.StreamRequestHandler):
    """Answers at once, but for one pause, in which nobody is answered; and closes or errs if it is told so."""

    disable_nagle_algorithm = True
    gate: threading.Lock
    counted: Iterator[int]
    stall_at: int
    close_at: int
    wrong: bool

    def handle(self) -> None:
        while self.rfile.readline():
            while self.rfile.readline() not in {b"\r\n", b""}:
                pass
            with self.gate:
                number = next(self.counted)
                if number == self.stall_at:
                    time.sleep(STALL_S)  # the known stall
            if number == self.close_at:
                return
            body = json.dumps({"row": 2 if self.wrong else 1}).encode()
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


@pytest.fixture
def address() -> Iterator[str]:
    Stalling.gate, Stalling.counted = threading.Lock(), iter(range(1_000_000))
    Stalling.stall_at = Stalling.close_at = -1
    Stalling.wrong = False
    with Server(("127.0.0.1", 0), Stalling) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


EXCHANGE = Exchange(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n", b'{"row": 1}')


def test_all_that_was_due_while_the_server_stood_still_has_waited(address: str) -> None:
    Stalling.stall_at = RATE  # a second after the begin
    arrived = constant_rate.measure(address, [EXCHANGE], RATE, 2)
    waited = sum(count for latency, count in arrived.sample.latencies_us.items() if latency >= 100_000)
    # Those that were due more than 100 ms before the end of the stall: a closed loop of one client would show one.
    assert waited >= (STALL_S - 0.1) * RATE - 1
    assert arrived.sample.percentile_ms(100) >= (STALL_S * 1000) - 1
    assert arrived.sample.errors == 0


def test_as_many_are_sent_as_are_due_and_the_warm_up_is_not_counted(address: str) -> None:
    arrived = constant_rate.measure(address, [EXCHANGE], RATE, 1)
    assert next(Stalling.counted) == RATE
    assert arrived.sample.requests == RATE // 2
    assert arrived.sample.seconds == pytest.approx(0.5)


def test_a_wrong_answer_is_an_error_and_no_latency(address: str) -> None:
    Stalling.wrong = True
    arrived = constant_rate.measure(address, [EXCHANGE], RATE, 0.6)
    assert (arrived.sample.errors, arrived.sample.latencies_us) == (60, {})


def test_a_closed_connection_is_one_error_and_is_made_anew(address: str) -> None:
    Stalling.close_at = 10
    arrived = constant_rate.measure(address, [EXCHANGE], RATE, 1)
    assert arrived.sample.errors == 1
    assert arrived.sample.requests == RATE // 2


def test_what_is_not_answered_in_the_end_is_an_error(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constant_rate, "GRACE_S", 0.0)
    with Stalling.gate:  # nobody is answered
        arrived = constant_rate.measure(address, [EXCHANGE], RATE, 0.5)
    assert arrived.sample.errors == 50


def test_a_server_that_is_not_there_makes_errors_of_all() -> None:
    arrived = constant_rate.measure("127.0.0.1:1", [EXCHANGE], RATE, 0.6)
    found = arrival_of("target", RATE, arrived)
    assert (found.errors, found.requests) == (60, 0)


@pytest.mark.parametrize("size", [1, 7, 1000], ids=["byte by byte", "in pieces", "at once"])
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6;x=y\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n",
    ],
    ids=["with a length", "in chunks"],
)
def test_an_answer_is_complete_with_its_last_byte_and_not_before(answer: bytes, size: int) -> None:
    reader = AnswerReader()
    pieces = [answer[begin : begin + size] for begin in range(0, len(answer), size)]
    assert [reader.take(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert (reader.status, reader.body) == (200, b"hello world")


def test_what_is_no_answer_is_refused() -> None:
    with pytest.raises(LoadFailed, match="no answer with a length"):
        AnswerReader().take(b"SSH-2.0-OpenSSH\r\n\r\n")


def test_a_channel_says_when_the_server_closes_before_the_answer(address: str) -> None:
    Stalling.close_at = 1
    with Channel(address) as channel:
        assert channel.exchange(EXCHANGE.request).status == 200
        with pytest.raises(LoadFailed, match="closed before the answer"):
            channel.exchange(EXCHANGE.request)
