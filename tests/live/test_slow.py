"""Peers that are slow on purpose, many at once, while others go on being served: with nginx in front, and without."""

import contextlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from contract.serving import BODY_TIMEOUT_S, HEAD_TIMEOUT_S, PEER_TIMEOUT_S
from tests.live.nginx_fixtures import LiveNginx, needs_nginx, plain_edge
from tests.live.proxy_fixtures import wait_until
from tests.live.raw_http import Drip, exchange, executed, statuses
from tests.live.system_fixtures import LiveSystem

__all__ = ["plain_edge"]

MANY = 100
# For a busy machine.
LATE_S = 30.0
HEAD = b"GET /healthz HTTP/1.1\r\n" + b"X-Slow: " + b"a" * 1_000


def post(system: LiveSystem, *, request_id: str = "slow", accept: str = "application/json") -> bytes:
    """The head of a POST with the system's key, but for its length and end."""
    return (
        f"POST /endpoint HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {system.key}\r\nAccept: {accept}\r\n"
        f"Content-Type: application/json\r\nX-Request-ID: {request_id}\r\n"
    ).encode()


@contextlib.contextmanager
def others_are_served(system: LiveSystem, address: str) -> Iterator[None]:
    """Five clients ask all the time, one request each on a connection; every answer must be a good one."""
    body = b'{"query":"SELECT 1"}'
    request = post(system, request_id="other") + b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )
    over = Event()

    def ask() -> list[int]:
        seen = []
        while not over.wait(0.05):
            seen += statuses(exchange(address, request))
        return seen

    with ThreadPoolExecutor(5) as pool:
        asking = [pool.submit(ask) for _ in range(5)]
        try:
            yield
        finally:
            over.set()
        for future in asking:
            seen = future.result(timeout=60)
            assert len(seen) > 5
            assert set(seen) == {200}


def test_gunicorn_ends_slow_heads_and_bodies_and_serves_the_others(system: LiveSystem) -> None:
    address = system.services.gatekeeper.listen
    heads = Drip(address, [HEAD] * MANY)
    with others_are_served(system, address):
        heads.until_closed(0.5, HEAD_TIMEOUT_S + LATE_S)
    # The head at once, the body in drops.
    bodies = Drip(address, [b"x" * 1_000] * MANY, at_once=post(system) + b"Content-Length: 1000\r\n\r\n")
    with others_are_served(system, address):
        bodies.until_closed(0.5, BODY_TIMEOUT_S + LATE_S)
    assert min(heads.closed_after_s) > HEAD_TIMEOUT_S / 2
    assert {tuple(statuses(received)) for received in bodies.received} == {(400,)}
    assert "Traceback" not in system.logs()


def test_a_head_that_stops_after_its_first_bytes_is_ended_too(system: LiveSystem) -> None:
    silent = Drip(system.services.gatekeeper.listen, [b""] * 3, at_once=HEAD)
    silent.until_closed(0.5, HEAD_TIMEOUT_S + LATE_S)
    assert silent.received in ([b""], [b""] * 3)


@needs_nginx
def test_slow_requests_end_at_nginx_and_the_gatekeeper_sees_none_of_them(
    system: LiveSystem, plain_edge: LiveNginx
) -> None:
    address = plain_edge.address
    heads = Drip(address, [HEAD] * MANY)
    bodies = Drip(address, [b""] * MANY, at_once=post(system, request_id="drop") + b"Content-Length: 1000\r\n\r\nabc")
    with others_are_served(system, address):
        heads.until_closed(0.5, plain_edge.edge.head_timeout_s + LATE_S)
        bodies.until_closed(0.5, plain_edge.edge.read_timeout_s + LATE_S)
    assert executed(system, "drop") == 0


@pytest.mark.parametrize("through", ["gunicorn", pytest.param("nginx", marks=needs_nginx)])
def test_readers_that_do_not_read_are_left(system: LiveSystem, request: pytest.FixtureRequest, through: str) -> None:
    address = system.services.gatekeeper.listen
    if through == "nginx":
        address = request.getfixturevalue("plain_edge").address
    body = b'{"query":"SELECT a.rental_id, REPEAT(\'x\', 3000) AS x FROM rental a","timeout_ms":60000}'
    sent = post(system, accept="application/x-ndjson") + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            reader = stack.enter_context(deaf(address))
            reader.sendall(sent)
        wait_until(lambda: in_flight(system) > 0, 20)
        with others_are_served(system, address):
            wait_until(lambda: in_flight(system) == 0, PEER_TIMEOUT_S + 2 * LATE_S)


def deaf(address: str) -> socket.socket:
    """A connection with little room for what it does not read."""
    host, _, port = address.rpartition(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(10)
    connection.connect((host, int(port)))
    return connection


def in_flight(system: LiveSystem) -> int:
    """What the proxy is running on all nodes."""
    proxies = system.send("GET", "/nodes").json()["proxies"]
    return sum(node["in_flight"] for proxy in proxies for node in proxy["nodes"])
