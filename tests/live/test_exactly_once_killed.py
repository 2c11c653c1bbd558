"""Writes with a key through a whole system while parts of it are killed: each that was acknowledged is there once."""

import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from requests import Response

from contract.errors import GatekeeperError
from tests.live.proxy_fixtures import wait_until
from tests.live.system_fixtures import LiveSystem
from tests.live.test_faults import all_up, whole

__all__ = ["whole"]

INSERT = "INSERT INTO rental.note (text) VALUES (?)"


@pytest.fixture
def notes(whole: LiveSystem) -> Iterator[LiveSystem]:
    """The system with a table in which a write that was doubled can be seen."""
    run(whole, "CREATE TABLE rental.note (id INT AUTO_INCREMENT PRIMARY KEY, text VARCHAR(64) NOT NULL)")
    yield whole
    run(whole, "DROP TABLE rental.note")


def run(system: LiveSystem, statement: str) -> list[tuple[Any, ...]]:
    with system.admin("data1") as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION wsrep_sync_wait = 15")
        cursor.execute(statement)
        connection.commit()
        return list(cursor.fetchall())


class Writers:
    """Clients that write notes, each with a key of its own, one after the other until told to stop."""

    def __init__(self, system: LiveSystem, number: int = 6) -> None:
        self._system = system
        self._stop = threading.Event()
        self.acknowledged: list[str] = []
        self.failed: list[str] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(number)]

    def __enter__(self) -> "Writers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=120)

    def acknowledge(self, more: int) -> None:
        """Waits until so many more notes were acknowledged."""
        goal = len(self.acknowledged) + more
        wait_until(lambda: len(self.acknowledged) >= goal, 90)

    def _run(self) -> None:
        with self._system.client() as client:
            while not self._stop.is_set():
                note = secrets.token_hex(8)
                try:
                    client.query(INSERT, [note], timeout_ms=60_000, idempotency_key=note)
                except GatekeeperError as error:
                    self.failed.append(f"{type(error).__name__}: {error}, {error.outcome}")
                else:
                    self.acknowledged.append(note)


def require_each_once(system: LiveSystem, writers: Writers) -> None:
    there = Counter(text for (text,) in run(system, "SELECT text FROM rental.note"))
    assert writers.failed == []
    assert [note for note in writers.acknowledged if there[note] != 1] == []
    assert sum(there.values()) == len(writers.acknowledged) == len(set(writers.acknowledged))


def test_a_killed_node_loses_and_doubles_no_write_with_a_key(notes: LiveSystem) -> None:
    with Writers(notes) as writers:
        writers.acknowledge(50)
        notes.kill_node("manager")
        writers.acknowledge(50)
        notes.start_node("manager")
        wait_until(lambda: all_up(notes), 60)
        writers.acknowledge(50)
    require_each_once(notes, writers)


@pytest.mark.parametrize("service", ["proxy1", "gatekeeper1"])
def test_a_killed_service_loses_and_doubles_no_write_with_a_key(notes: LiveSystem, service: str) -> None:
    with Writers(notes) as writers:
        for _ in range(3):
            writers.acknowledge(50)
            kill_all(notes, service)
        writers.acknowledge(50)
    require_each_once(notes, writers)


def kill_all(system: LiveSystem, service: str) -> None:
    """Kills a service's master and its workers at once."""
    wait_until(lambda: system.pids(service) != 0)
    pid = system.pids(service)
    system.kill_whole(service)
    wait_until(lambda: system.pids(service) not in {0, pid})


def test_a_repeat_is_told_to_the_client_and_a_refused_one_is_a_conflict(notes: LiveSystem) -> None:
    key = secrets.token_hex(8)

    def ask(text: str) -> Response:
        return notes.send(json={"query": INSERT, "params": [text]}, headers={"Idempotency-Key": key})

    first, repeat, other = ask("a"), ask("a"), ask("b")
    assert [answer.status_code for answer in (first, repeat, other)] == [200, 200, 409]
    assert "Idempotency-Replayed" not in first.headers
    assert repeat.headers["Idempotency-Replayed"] == "true"
    assert repeat.json()["last_insert_id"] == first.json()["last_insert_id"]
    assert (other.json()["code"], other.json()["outcome"]) == ("conflict", "not_executed")
    assert run(notes, "SELECT COUNT(*) FROM rental.note") == [(1,)]


def test_the_client_runs_several_statements_all_or_none(notes: LiveSystem) -> None:
    with notes.client() as client:
        made, counted = client.transaction(
            [(INSERT, ["a"]), ("SELECT COUNT(*) FROM rental.note", None)], idempotency_key=secrets.token_hex(8)
        )
        assert (made.affected_rows, counted.rows) == (1, ((1,),))
        with pytest.raises(GatekeeperError) as refused:
            client.transaction([(INSERT, ["b"]), (INSERT, [None])])
    assert refused.value.outcome == "rolled_back"
    assert run(notes, "SELECT text FROM rental.note") == [("a",)]


def test_the_ledger_is_hidden_from_every_client(notes: LiveSystem) -> None:
    for query in ("SELECT * FROM gatekeeper.ledger", "DELETE FROM gatekeeper.ledger WHERE expires > 0"):
        answer = notes.send(json={"query": query})
        assert (answer.status_code, answer.json()["rule"]) == (403, "own_schema")
