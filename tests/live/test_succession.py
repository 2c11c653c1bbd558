"""Nothing fails while services are succeeded, nodes are restarted one by one, and certificates are renewed.

50 requests a second, reads and writes without a key, on kept and on fresh connections. Every one is counted, and every
write that was answered is found in the database once.
"""

import http.client
import json
import os
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from threading import Event
from typing import Any

import pytest

from contract.idle import REUSED_WITHIN_S
from contract.roles import dns_name
from contract.settings import split_address
from deploy import local
from tests.live.proxy_fixtures import wait_until
from tests.live.succession_fixtures import LEAST_PER_SECOND, PER_SECOND, Clients, Succeeding, succeeding
from tests.live.system_fixtures import LiveSystem

__all__ = ["succeeding"]


@pytest.fixture
def clients(succeeding: Succeeding, system: LiveSystem) -> Iterator[Clients]:
    """The clients, who have begun; in the end none of their requests may have failed."""
    with system.admin() as connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE OR REPLACE TABLE rental.beats"
            " (id BIGINT AUTO_INCREMENT PRIMARY KEY, sender INT, number INT, UNIQUE (sender, number))"
        )
    with Clients(succeeding.url, system.key) as made:
        made.answered(more=PER_SECOND)
        yield made
        made.answered(more=3 * PER_SECOND)
    with system.admin() as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION wsrep_sync_wait = 15")
        cursor.execute("SELECT sender, number FROM rental.beats")
        written = list(cursor.fetchall())
        cursor.execute("DROP TABLE rental.beats")
    assert made.failed == []
    assert sorted(written) == sorted(made.writes), "each write once"


def test_the_gatekeeper_is_succeeded(succeeding: Succeeding, clients: Clients) -> None:
    before = succeeding.gatekeeper.master
    counted = succeeding.gatekeeper.counted("gatekeeper_requests_total")
    succeeding.gatekeeper.succeed()
    assert succeeding.gatekeeper.master != before
    wait_until(lambda: succeeding.gatekeeper.counted("gatekeeper_requests_total") > counted > 0, 30)
    assert clients.per_second() > LEAST_PER_SECOND


def test_the_proxy_is_succeeded(succeeding: Succeeding, clients: Clients) -> None:
    before = succeeding.proxy.master
    succeeding.proxy.succeed()
    assert succeeding.proxy.master != before
    wait_until(lambda: succeeding.proxy.counted("gatekeeper_proxy_node_up") == len(succeeding.machines), 30)
    assert clients.per_second() > LEAST_PER_SECOND


def test_each_node_is_taken_out_restarted_and_put_back(succeeding: Succeeding, clients: Clients) -> None:
    for machine in succeeding.machines:
        succeeding.restart(machine)
    assert clients.per_second() > LEAST_PER_SECOND
    assert set(clients.reads) == {machine.name for machine in succeeding.machines}


def test_certificates_are_renewed(succeeding: Succeeding, clients: Clients, system: LiveSystem) -> None:
    before = certificate_of(succeeding)
    local.rotate_certificates(system.files)
    assert certificate_of(succeeding) != before
    assert clients.per_second() > LEAST_PER_SECOND


def test_a_gatekeeper_that_is_told_to_reload_replaces_its_workers(succeeding: Succeeding, clients: Clients) -> None:
    before = succeeding.gatekeeper.workers()
    os.kill(succeeding.gatekeeper.master, signal.SIGHUP)
    wait_until(lambda: not before & succeeding.gatekeeper.workers(), 60)
    assert clients.writes


def test_a_statement_goes_on_while_its_node_is_taken_out_and_its_proxy_is_succeeded(
    succeeding: Succeeding, clients: Clients, system: LiveSystem
) -> None:
    """A write at the manager, which waits for a row for as long as the test wants."""
    with ThreadPoolExecutor(2) as pool, held_row(system) as release, closing(connected(succeeding)) as own:
        slow = pool.submit(ask, own, succeeding, "UPDATE rental.held SET a = a + 1 WHERE id = 1")
        wait_until(lambda: succeeding.in_flight("manager") > 0 and waiting_for_row(system))
        succeeding.put("manager")
        wait_until(lambda: "manager" not in succeeding.nodes())
        before = succeeding.proxy.retirements()
        succession = pool.submit(succeeding.proxy.succeed)
        wait_until(lambda: succeeding.proxy.retirements() > before, 60)
        release()
        assert slow.result(timeout=60)["node"] == "manager"
        succession.result(timeout=60)
    succeeding.put()
    wait_until(lambda: len(succeeding.up()) == len(succeeding.machines), 30)
    assert clients.reads


def test_a_connection_that_is_being_made_when_its_worker_ends_is_served(succeeding: Succeeding) -> None:
    """It was accepted, and the handshake comes when the worker has closed the listening socket."""
    (worker,) = succeeding.proxy.workers()
    with socket.create_connection(split_address(succeeding.proxy.listen), timeout=20) as plain:
        os.kill(worker, signal.SIGTERM)
        wait_until(lambda: not succeeding.proxy.listens(worker), 4)
        with tls(succeeding).wrap_socket(plain, server_hostname=dns_name("proxy")) as secure:
            secure.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = secure.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"\r\nConnection: close\r\n" in answer, "by the worker that ends"
    # The master puts another in its place when it has ended.
    wait_until(lambda: succeeding.proxy.workers() not in (set(), {worker}), 30)
    wait_until(lambda: len(succeeding.up()) == len(succeeding.machines), 60)


def test_a_connection_that_the_rule_lets_use_is_not_closed_under_a_request(succeeding: Succeeding) -> None:
    """Clients that do not look whether theirs is still open, and use it again just within the time."""
    over = Event()

    def use() -> int:
        times = 0
        with closing(connected(succeeding)) as connection:
            while not over.wait(REUSED_WITHIN_S - 0.3 if times else 0):
                assert ask(connection, succeeding, "SELECT 1")["rows"] == [[1]]
                times += 1
        return times

    with ThreadPoolExecutor(20) as pool:
        using = [pool.submit(use) for _ in range(20)]
        try:
            succeeding.gatekeeper.succeed()
        finally:
            over.set()
        assert all(future.result(timeout=60) > 1 for future in using)


@contextmanager
def held_row(system: LiveSystem) -> Iterator[Callable[[], None]]:
    """A table whose row a transaction at the manager holds until the function is called."""
    with system.admin() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE OR REPLACE TABLE rental.held (id INT PRIMARY KEY, a INT)")
        cursor.execute("INSERT INTO rental.held VALUES (1, 0)")
        connection.commit()
        cursor.execute("SELECT a FROM rental.held WHERE id = 1 FOR UPDATE")
        try:
            yield connection.rollback
        finally:
            connection.rollback()
            cursor.execute("DROP TABLE rental.held")


def waiting_for_row(system: LiveSystem) -> bool:
    with system.admin() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM information_schema.processlist WHERE info LIKE 'UPDATE rental.held%'")
        return cursor.fetchone() is not None


def connected(succeeding: Succeeding) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(*split_address(succeeding.gatekeeper.listen), timeout=60)


def ask(connection: http.client.HTTPConnection, succeeding: Succeeding, query: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {succeeding.system.key}", "Content-Type": "application/json"}
    connection.request("POST", "/endpoint", json.dumps({"query": query}), headers)
    response = connection.getresponse()
    answer: dict[str, Any] = json.loads(response.read())
    assert response.status == 200, answer
    return answer


def certificate_of(succeeding: Succeeding) -> str:
    """What the proxy shows to a gatekeeper, on a connection that is made now."""
    with (
        socket.create_connection(split_address(succeeding.proxy.listen), timeout=20) as plain,
        tls(succeeding).wrap_socket(plain, server_hostname=dns_name("proxy")) as secure,
    ):
        shown = secure.getpeercert()
        assert shown is not None
        return str(shown["serialNumber"])


def tls(succeeding: Succeeding) -> ssl.SSLContext:
    """The gatekeeper's, towards a proxy."""
    own = succeeding.system.services.credentials(succeeding.system.services.gatekeeper)
    context = ssl.create_default_context(cafile=str(own.authority))
    context.load_cert_chain(str(own.certificate), str(own.key))
    return context
