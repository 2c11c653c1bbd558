"""When a waiting connection is closed, and when one is used again: the two ends of contract/idle.py."""

import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import gevent
import gevent.socket
import pytest

from contract import exchange, idle, serving
from contract.settings import Tls
from contract.waiting import Wait
from deploy import certificates
from deploy.nginx import Edge, render
from gatekeeper.settings import Settings
from gatekeeper.upstream import Proxies

Pair = tuple[gevent.socket.socket, gevent.socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    server, client = gevent.socket.socketpair()
    with server, client:
        yield server, client


def waited(server: gevent.socket.socket, waits: set[Wait], idle_s: float, head_s: float = 60.0) -> tuple[bytes, float]:
    """What came within the wait, nothing if it ended first; and how long it was."""
    started, received = time.monotonic(), b""
    with Wait(server, idle_s, head_s, waits):
        while not received.endswith(b"."):
            received += server.recv(100)
    return received, time.monotonic() - started


def test_the_numbers_keep_their_order_with_time_between_them() -> None:
    assert idle.REUSED_WITHIN_S + 1 < idle.DRAINED_AFTER_S
    assert idle.DRAINED_AFTER_S + 1 < idle.KEPT_S == serving.HTTP_OPTIONS["keepalive"]
    assert serving.GRACEFUL_TIMEOUT_S > idle.DRAINED_AFTER_S + 1


def test_an_idle_connection_is_given_up_after_its_time(pair: Pair) -> None:
    waits: set[Wait] = set()
    received, seconds = waited(pair[0], waits, 0.2)
    assert received == b""
    assert 0.15 < seconds < 30
    assert waits == set()


@pytest.mark.parametrize(("limit_s", "at_least_s", "at_most_s"), [(0.6, 0.5, 30.0), (0.1, 0.25, 30.0)])
def test_a_limit_that_is_set_later_counts_from_the_beginning_of_the_wait(
    pair: Pair, limit_s: float, at_least_s: float, at_most_s: float
) -> None:
    """It is set after 0.3 s: the first is over 0.6 s after the beginning, the second at once."""
    waits: set[Wait] = set()
    waiting = gevent.spawn(waited, pair[0], waits, 60.0)
    gevent.sleep(0.3)
    for wait in waits:
        wait.limit(limit_s)
    received, seconds = waiting.get(timeout=40)
    assert received == b""
    assert at_least_s < seconds < at_most_s


def test_a_peer_that_has_begun_to_send_is_waited_for(pair: Pair) -> None:
    waits: set[Wait] = set()
    waiting = gevent.spawn(waited, pair[0], waits, 60.0)
    gevent.sleep(0)
    pair[1].sendall(b"GET")
    gevent.sleep(0.1)
    for wait in waits:
        wait.limit(0.0)
    gevent.sleep(0.1)
    pair[1].sendall(b" /.")
    assert waiting.get(timeout=40)[0] == b"GET /."


def test_what_comes_in_the_last_moment_counts_as_begun(pair: Pair) -> None:
    waits: set[Wait] = set()
    waiting = gevent.spawn(waited, pair[0], waits, 60.0)
    gevent.sleep(0)
    pair[1].sendall(b"GET /.")  # which the loop has not seen when the time is over
    for wait in waits:
        wait._over()
    assert waiting.get(timeout=40)[0] == b"GET /."


def test_a_peer_that_begins_and_stops_is_given_up(pair: Pair) -> None:
    pair[1].sendall(b"GET")
    received, seconds = waited(pair[0], set(), 60.0, head_s=0.2)
    assert received == b"GET"
    assert 0.15 < seconds < 30


@pytest.mark.parametrize(("within_s", "connections"), [(60.0, 1), (0.0, 3)], ids=["in time", "too late"])
def test_the_gatekeeper_uses_a_connection_again_only_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, within_s: float, connections: int
) -> None:
    monkeypatch.setattr(exchange, "REUSED_WITHIN_S", within_s)
    with answering() as server:
        with closing(Proxies(settings_for(tmp_path, f"http://127.0.0.1:{server.server_port}"))) as proxies:
            assert [post(proxies) for _ in range(3)] == [b"{}"] * 3
        assert server.connections == connections


def test_the_gatekeeper_waits_for_the_certificate_that_belongs_to_a_new_key(tmp_path: Path) -> None:
    certificates.create_authority(tmp_path)
    own, new = (certificates.issue(tmp_path, "gatekeeper", name) for name in ("gatekeeper1", "gatekeeper2"))
    tls = Tls(str(own.certificate), str(own.key), str(own.authority))
    new.key.replace(own.key)
    with (
        answering(certificates.issue(tmp_path, "proxy", "proxy1")) as server,
        closing(Proxies(settings_for(tmp_path, f"https://127.0.0.1:{server.server_port}", tls))) as proxies,
        ThreadPoolExecutor(1) as pool,
    ):
        posted = pool.submit(post, proxies)
        with pytest.raises(FutureTimeout):
            posted.result(timeout=0.3)
        new.certificate.replace(own.certificate)
        assert posted.result(timeout=60) == b"{}"


def test_nginx_uses_no_connection_that_has_been_idle_for_too_long() -> None:
    text = render(Edge(server_name="localhost", listen="127.0.0.1:1", gatekeeper="127.0.0.1:2"))
    assert f"keepalive_timeout {idle.REUSED_WITHIN_S:.0f}s;" in text


class Server(ThreadingHTTPServer):
    """Counts the connections that it takes."""

    connections = 0

    def finish_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is none."""


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def answering(credentials: certificates.Credentials | None = None) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Answer) as server:
        if credentials:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(credentials.certificate, credentials.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(timeout=60)


def post(proxies: Proxies) -> bytes:
    reply = proxies.post(b"{}", request_id="r1", accept="application/json", timeout_ms=10_000, is_read=True)
    assert isinstance(reply.body, bytes)
    return reply.body


def settings_for(directory: Path, proxy: str, tls: Tls | None = None) -> Settings:
    """A gatekeeper's settings, of which its client for proxies looks at few."""
    return Settings(
        name="gatekeeper1",
        listen="127.0.0.1:1",
        proxies=(proxy,),
        policy="",
        keys="",
        runtime_directory=str(directory),
        tls=tls,
    )
