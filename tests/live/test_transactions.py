"""A transaction of several requests: all or nothing, bounded, and with one end, whoever is asked for it (issue 6)."""

import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from client import Client
from contract.messages import OWN_SCHEMA
from gatekeeper import keys
from tests.live.proxy_fixtures import wait_until
from tests.live.system_fixtures import LiveSystem

INSERT = "INSERT INTO rental.steps (name) VALUES (?)"
_TABLE = "CREATE TABLE rental.steps (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(64) NOT NULL UNIQUE)"


class Steps:
    """A transaction of the system's key, or of another one."""

    def __init__(self, system: LiveSystem, key: str | None = None, **members: Any) -> None:
        self._system, self._key = system, key or ""
        answer = self.post("/transactions", **members)
        assert answer.status_code == 201, answer.text
        self.begun = answer.json()
        self.path = f"/transactions/{self.begun['id']}"

    def post(self, path: str, **members: Any) -> requests.Response:
        headers = members.pop("headers", {})
        return self._system.send("POST", path, key=self._key, json=members, headers=headers)

    def run(self, query: str, *params: Any, **members: Any) -> requests.Response:
        return self.post(self.path, query=query, **({"params": list(params)} if params else {}), **members)

    def ask(self, query: str, *params: Any) -> dict[str, Any]:
        answer = self.run(query, *params)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def commit(self) -> requests.Response:
        return self._system.send("POST", f"{self.path}/commit", key=self._key)

    def rollback(self) -> requests.Response:
        return self._system.send("POST", f"{self.path}/rollback", key=self._key)


@pytest.fixture(scope="module", autouse=True)
def table(system: LiveSystem) -> Iterator[None]:
    with system.admin() as connection, connection.cursor() as cursor:
        cursor.execute(_TABLE)
    yield
    with system.admin() as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE rental.steps")


def new() -> str:
    return secrets.token_hex(8)


def count(system: LiveSystem, *names: str) -> int:
    with system.admin() as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION wsrep_sync_wait = 1")
        cursor.execute("SELECT COUNT(*) FROM rental.steps WHERE name IN %s", (names,))
        return int(cursor.fetchall()[0][0])


def said(answer: requests.Response, *members: str) -> tuple[Any, ...]:
    return answer.status_code, *(answer.json().get(member) for member in members)


def other_key(system: LiveSystem, role: str = "demo") -> str:
    return keys.add(system.files.keys, new(), role)


def require_open(system: LiveSystem, number: int) -> None:
    """Waits until so many connections of the writer are inside of a transaction."""
    deadline = time.monotonic() + 30
    while len(found := open_transactions(system)) != number:
        assert time.monotonic() < deadline, f"{number} were to be open, not {found}"
        # InnoDB does not renew what the table shows while it is read more often (trx0i_s.cc, CACHE_MIN_IDLE_TIME_NS).
        time.sleep(0.15)


def open_transactions(system: LiveSystem) -> list[tuple[Any, ...]]:
    """The writer's, as the server shows them."""
    with system.admin() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT p.id, p.time, t.trx_state, t.trx_rows_modified FROM information_schema.innodb_trx t"
                       " JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id"
                       " WHERE p.user = 'gk_writer'")  # fmt: skip
        return list(cursor.fetchall())


def test_statements_of_several_requests_are_there_together_or_not_at_all(system: LiveSystem) -> None:
    first, second = new(), new()
    kept = Steps(system)
    kept.ask(INSERT, first)
    kept.ask(INSERT, second)
    assert kept.ask("SELECT COUNT(*) FROM rental.steps WHERE name IN (?, ?)", first, second)["rows"] == [[2]]
    assert count(system, first, second) == 0
    assert said(kept.commit(), "state") == (200, "committed")
    assert count(system, first, second) == 2
    undone = Steps(system)
    undone.ask("DELETE FROM rental.steps WHERE name = ?", first)
    assert said(undone.rollback(), "state") == (200, "rolled_back")
    assert count(system, first, second) == 2


def test_a_commit_that_is_asked_for_again_has_the_same_answer_and_no_second_effect(system: LiveSystem) -> None:
    name = new()
    steps = Steps(system)
    steps.ask(INSERT, name)
    first, again = steps.commit(), steps.commit()
    assert first.json()["state"] == again.json()["state"] == "committed"
    assert (first.headers.get("Idempotency-Replayed"), again.headers.get("Idempotency-Replayed")) == (None, "true")
    assert count(system, name) == 1
    late = said(steps.rollback(), "rule", "outcome")
    assert late == (409, "transaction_ended", "not_executed")
    assert said(steps.run("SELECT 1"), "rule", "outcome") == (409, "transaction_ended", "not_executed")


def test_a_transaction_that_was_rolled_back_can_not_be_committed(system: LiveSystem) -> None:
    name = new()
    steps = Steps(system)
    steps.ask(INSERT, name)
    assert steps.rollback().status_code == steps.rollback().status_code == 200
    assert said(steps.commit(), "rule", "outcome") == (409, "transaction_ended", "rolled_back")
    assert count(system, name) == 0


def test_a_commit_of_one_that_never_was_says_that_nothing_was_committed(system: LiveSystem) -> None:
    steps = Steps(system)
    steps.rollback()
    steps.path = f"/transactions/{steps.begun['id'][:16]}{secrets.token_hex(8)}"
    assert said(steps.commit(), "rule", "outcome") == (409, "transaction_ended", "rolled_back")
    assert said(steps.run("SELECT 1"), "rule", "outcome") == (404, "transaction_ended", "not_executed")


@pytest.mark.parametrize("id_", ["0" * 32, "f" * 32, "../endpoint", "x", "%2e%2e"])
def test_what_is_no_id_of_a_transaction_is_not_found(system: LiveSystem, id_: str) -> None:
    answer = system.send("POST", f"/transactions/{id_}/commit")
    assert said(answer, "code") in {(404, "not_found"), (405, "method_not_allowed")}


def test_a_statement_that_fails_rolls_all_back(system: LiveSystem) -> None:
    name = new()
    steps = Steps(system)
    steps.ask(INSERT, name)
    assert said(steps.run(INSERT, name), "mysql_errno", "outcome", "retryable") == (422, 1062, "rolled_back", False)
    assert said(steps.run(INSERT, new()), "rule") == (409, "transaction_ended")
    assert said(steps.commit(), "rule", "outcome") == (409, "transaction_ended", "rolled_back")
    assert count(system, name) == 0


@pytest.mark.parametrize(
    ("members", "status", "rule"),
    [
        ({"query": "SELECT password FROM rental.staff"}, 403, "column"),
        ({"query": "COMMIT"}, 403, None),
        ({"query": "SELECT ?", "params": []}, 400, None),
        ({"query": "SELECT 1", "implementation": "direct"}, 400, "implementation"),
        ({"statements": [{"query": "SELECT 1"}]}, 400, "statements"),
        ({"query": "SELECT 1", "headers": {"Idempotency-Key": "k"}}, 400, "idempotency_key"),
    ],
)
def test_what_is_refused_before_it_is_sent_leaves_the_transaction_open(
    system: LiveSystem, members: dict[str, Any], status: int, rule: str | None
) -> None:
    name = new()
    steps = Steps(system)
    steps.ask(INSERT, name)
    answer = steps.post(steps.path, **members)
    assert (answer.status_code, answer.json()["outcome"]) == (status, "not_executed")
    assert rule is None or answer.json()["rule"] == rule
    assert steps.commit().status_code == 200
    assert count(system, name) == 1


def test_a_read_only_transaction_sees_one_state_and_changes_nothing(system: LiveSystem) -> None:
    steps = Steps(system, read_only=True, implementation="direct_hit")
    before = steps.ask("SELECT COUNT(*) FROM rental.steps")["rows"]
    assert system.send(json={"query": INSERT, "params": [new()]}).status_code == 200
    assert steps.ask("SELECT COUNT(*) FROM rental.steps")["rows"] == before
    assert said(steps.run(INSERT, new()), "rule") == (400, "read_only_transaction")
    first, again = steps.commit(), steps.commit()
    assert said(first, "state") == said(again, "state") == (200, "committed")
    assert again.headers["Idempotency-Replayed"] == "true"


def test_a_transaction_that_nobody_asks_is_rolled_back_and_its_locks_are_free(system: LiveSystem) -> None:
    name = new()
    steps = Steps(system, idle_timeout_ms=300)
    steps.ask(INSERT, name)
    require_open(system, 0)
    answer = steps.run(INSERT, name)
    assert said(answer, "rule") == (409, "transaction_ended")
    assert "idle for 300 ms" in answer.json()["detail"]
    assert said(steps.commit(), "outcome") == (409, "rolled_back")
    assert system.send(json={"query": INSERT, "params": [name]}).status_code == 200


def test_a_transaction_ends_at_its_time_however_busy_it_is(system: LiveSystem) -> None:
    steps = Steps(system, timeout_ms=600)
    deadline = time.monotonic() + 30
    while (answer := steps.run("SELECT 1")).status_code == 200:
        assert time.monotonic() < deadline
    assert said(answer, "rule") == (409, "transaction_ended")
    assert "open for 600 ms" in answer.json()["detail"]


def test_another_key_can_neither_use_nor_end_it(system: LiveSystem) -> None:
    name = new()
    mine = Steps(system)
    mine.ask(INSERT, name)
    theirs = Steps(system, other_key(system))
    theirs.path = mine.path
    assert said(theirs.run("SELECT 1"), "rule") == (404, "transaction_ended")
    assert said(theirs.commit(), "outcome") == (409, "rolled_back")  # theirs of that name
    assert theirs.rollback().status_code == 200
    assert mine.commit().status_code == 200
    assert count(system, name) == 1


def test_a_key_holds_no_more_than_its_role_lets_it(system: LiveSystem) -> None:
    key = other_key(system)
    held = [Steps(system, key) for _ in range(4)]
    assert said(held[0].post("/transactions"), "rule") == (503, "role_max_transactions")
    held[1].rollback()
    held.append(Steps(system, key))
    for steps in held:
        steps.rollback()
    reader = other_key(system, "reader")
    refused = system.send("POST", "/transactions", key=reader, json={})
    assert said(refused, "rule") == (403, "max_transactions")


def test_two_statements_at_once_are_one_too_many(system: LiveSystem) -> None:
    name = new()
    steps, blocker = Steps(system), Steps(system)
    blocker.ask(INSERT, name)
    waiting = threading.Thread(target=lambda: steps.run(INSERT, name, timeout_ms=20_000))
    waiting.start()
    try:
        require_open(system, 2)
        wait_until(lambda: said(steps.run("SELECT 1"), "rule") == (409, "transaction_busy"))
    finally:
        blocker.rollback()
        waiting.join(timeout=30)
    assert steps.commit().status_code == 200
    assert count(system, name) == 1


def test_the_node_is_lost_under_it_and_a_commit_tells_that_nothing_stays(system: LiveSystem) -> None:
    name = new()
    steps = Steps(system)
    steps.ask(INSERT, name)
    node = steps.begun["node"]
    system.kill_node(node)
    try:
        assert said(steps.commit(), "outcome", "retryable") in {
            (502, "rolled_back", False),
            (503, "rolled_back", False),
            (409, "rolled_back", False),
        }
        assert said(steps.commit(), "rule", "outcome") == (409, "transaction_ended", "rolled_back")
    finally:
        system.start_node(node)
    assert count(system, name) == 0


def test_the_proxy_is_killed_under_it_and_another_start_tells_that_nothing_stays(system: LiveSystem) -> None:
    name = new()
    steps = Steps(system)
    steps.ask(INSERT, name)
    system.kill_whole("proxy1")
    answer: list[requests.Response] = []
    wait_until(lambda: answer.append(steps.commit()) or answer[-1].status_code == 409)  # type: ignore[func-returns-value]
    assert said(answer[-1], "rule", "outcome") == (409, "transaction_ended", "rolled_back")
    assert count(system, name) == 0


def test_a_commit_whose_answer_is_lost_with_the_proxy_is_known_by_the_next(system: LiveSystem) -> None:
    """The row is written as the proxy writes it: what the killed one committed, the next one knows."""
    name = new()
    steps = Steps(system)
    steps.ask(INSERT, name)
    assert steps.commit().status_code == 200
    system.kill_whole("proxy1")
    answer: list[requests.Response] = []
    wait_until(lambda: answer.append(steps.commit()) or answer[-1].status_code == 200)  # type: ignore[func-returns-value]
    assert answer[-1].headers["Idempotency-Replayed"] == "true"
    assert count(system, name) == 1


def test_no_statement_names_the_rows_that_ends_are_kept_in(system: LiveSystem) -> None:
    answer = Steps(system).run(f"SELECT * FROM {OWN_SCHEMA}.ledger")
    assert said(answer, "code") == (403, "forbidden")


def test_the_clients_own_transaction_commits_or_rolls_back(system: LiveSystem) -> None:
    client: Client = system.client()
    kept, undone = new(), new()
    with client.begin() as steps:
        steps.query(INSERT, [kept])
        assert steps.query("SELECT name FROM rental.steps WHERE name = ?", [kept]).rows == ((kept,),)
    with pytest.raises(KeyError), client.begin() as steps:
        assert {0: True}[steps.query(INSERT, [undone]).affected_rows]
    assert (count(system, kept), count(system, undone)) == (1, 0)
