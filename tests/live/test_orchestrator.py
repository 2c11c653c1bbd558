"""Requests for later: each to its end, and each write once, whoever is killed meanwhile."""

import os
import random
import secrets
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from deploy import certificates, toml
from deploy.ports import Ports
from deploy.services import ADDRESS
from gatekeeper import keys
from orchestrator.kept import Kept
from orchestrator.statements import Done
from tests.live.proxy_fixtures import wait_until
from tests.live.system_fixtures import LiveSystem

ENDED_WITHIN_S = 90.0
SLOTS = 8  # orchestrator/settings.py
OF_ONE = 6  # orchestrator/workers.py: the others are for those who have none


class Queue:
    """The queue, in the words that tests use."""

    def __init__(self, system: LiveSystem) -> None:
        self.system = system

    def post(self, query: str, key: str | None = None, **members: Any) -> str:
        """The id of a request that must be accepted."""
        headers = {"Idempotency-Key": key} if key else {}
        body = {"query": query, "database": "rental", **members}
        response = self.system.send(path="/new-requests", json=body, headers=headers)
        assert response.status_code == 202, response.text
        accepted = response.json()
        assert accepted["message"] == "Request received and processing started"
        return str(accepted["id"])

    def get(self, id_: str, **query: str) -> dict[str, Any]:
        """How the request is, asked for again while a service is being started again."""
        answers: list[requests.Response] = []

        def answered() -> bool:
            answers.append(self.system.send("GET", f"/new-requests/{id_}", params=query))
            return answers[-1].status_code == 200 or not answers[-1].json()["retryable"]

        wait_until(answered, 60)
        assert answers[-1].status_code == 200, answers[-1].text
        status: dict[str, Any] = answers[-1].json()
        return status

    def state(self, id_: str) -> str:
        return str(self.get(id_)["state"])

    def ended(self, id_: str, timeout_s: float = ENDED_WITHIN_S) -> dict[str, Any]:
        """How the request ended, which it must."""
        wait_until(lambda: self.state(id_) not in {"queued", "running"}, timeout_s)
        return self.get(id_)

    def cancel(self, id_: str) -> requests.Response:
        return self.system.send("DELETE", f"/new-requests/{id_}")


@pytest.fixture
def queue(system: LiveSystem) -> Queue:
    return Queue(system)


@pytest.fixture
def marks(system: LiveSystem) -> Iterator[Callable[[], list[str]]]:
    """A table in which a write that ran twice is seen; gives what is in it. `held` has a row that can be held."""
    with system.admin() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE OR REPLACE TABLE rental.marks (id BIGINT AUTO_INCREMENT PRIMARY KEY, mark VARCHAR(40))")
        cursor.execute("CREATE OR REPLACE TABLE rental.held (id INT PRIMARY KEY, n INT)")
        cursor.execute("INSERT INTO rental.held VALUES (1, 0)")
        connection.commit()
    yield lambda: [mark for (mark,) in rows(system, "SELECT mark FROM rental.marks")]
    with system.admin() as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE rental.marks, rental.held")


def rows(system: LiveSystem, query: str, node: str = "data3") -> list[tuple[Any, ...]]:
    with system.admin(node) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION wsrep_sync_wait = 15")
        cursor.execute(query)
        return list(cursor.fetchall())


@contextmanager
def row_held(system: LiveSystem) -> Iterator[None]:
    """What writes to the row of `held` waits until this ends."""
    with system.admin() as connection, connection.cursor() as cursor:
        connection.begin()
        cursor.execute("SELECT n FROM rental.held WHERE id = 1 FOR UPDATE")
        yield
        connection.rollback()


HOLD = "UPDATE held SET n = n + 1 WHERE id = 1"
MARK = "INSERT INTO marks (mark) VALUES (?)"


def test_a_read_is_accepted_and_done_with_its_result(queue: Queue) -> None:
    status = queue.ended(queue.post("SELECT film_id, title FROM film WHERE film_id = ?", params=[42]))
    assert (status["state"], status["attempts"]) == ("done", 1)
    assert status["result"]["rows"] == [[42, "DUSTY ORCHARD"]]
    assert [column["name"] for column in status["result"]["columns"]] == ["film_id", "title"]
    assert status["accepted_at"] <= status["started_at"] <= status["ended_at"]


def test_a_long_result_comes_in_pages_whose_cursors_can_not_be_made_up(queue: Queue) -> None:
    id_ = queue.post("SELECT 1")
    long = queue.post("SELECT * FROM payment ORDER BY payment_id LIMIT 9000")
    other = queue.ended(id_)
    status = queue.ended(long)
    found, cursors = status["result"]["rows"], [status["next_cursor"]]
    while cursors[-1]:
        status = queue.get(long, cursor=cursors[-1])
        found += status["result"]["rows"]
        cursors.append(status["next_cursor"])
    assert len(cursors) > 1
    assert [row[0] for row in found] == sorted({row[0] for row in found})
    assert len(found) == 9000
    assert not status["result"]["truncated"]
    tampered = "A" + cursors[0][1:] if cursors[0][0] != "A" else "B" + cursors[0][1:]
    for which, cursor in ((long, tampered), (other["id"], cursors[0]), (long, "W10.AAAA")):
        response = queue.system.send("GET", f"/new-requests/{which}", params={"cursor": cursor})
        assert (response.status_code, response.json()["rule"]) == (400, "cursor")


def test_a_write_is_done_once_and_the_same_key_is_the_same_request(
    queue: Queue, marks: Callable[[], list[str]]
) -> None:
    key = secrets.token_hex(8)
    ids = {queue.post(MARK, key, params=["a"]) for _ in range(5)}
    assert len(ids) == 1
    status = queue.ended(ids.pop())
    assert (status["state"], status["result"]["affected_rows"]) == ("done", 1)
    assert marks() == ["a"]
    body = {"query": MARK, "params": ["b"], "database": "rental"}
    response = queue.system.send(path="/new-requests", json=body, headers={"Idempotency-Key": key})
    assert (response.status_code, response.json()["rule"]) == (409, "idempotency_key")


def test_what_the_database_refuses_has_failed_and_says_why(queue: Queue) -> None:
    status = queue.ended(queue.post("SELECT nothing FROM film"))
    assert (status["state"], status["attempts"]) == ("failed", 1)
    assert status["problem"]["mysql_errno"] == 1054


def test_a_request_waits_while_every_slot_is_busy_and_can_be_cancelled_until_it_is_begun(
    queue: Queue, marks: Callable[[], list[str]]
) -> None:
    with row_held(queue.system):
        busy = [queue.post(HOLD) for _ in range(OF_ONE)]
        wait_until(lambda: all(queue.state(id_) == "running" for id_ in busy))
        low, high, never = queue.post(MARK, params=["low"]), "", queue.post(MARK, params=["never"])
        high = queue.post(MARK, params=["high"], priority=9)
        assert [queue.state(id_) for id_ in (low, high, never)] == ["queued"] * 3
        assert queue.cancel(never).json()["state"] == "cancelled"
        assert queue.cancel(never).status_code == 200, "a client that got no answer asks again"
        assert queue.cancel(busy[0]).json()["rule"] == "state"
    assert {queue.ended(id_)["state"] for id_ in (*busy, low, high)} == {"done"}
    assert sorted(marks()) == ["high", "low"]
    assert queue.get(high)["started_at"] <= queue.get(low)["started_at"]
    assert queue.state(never) == "cancelled"
    assert rows(queue.system, "SELECT n FROM rental.held") == [(OF_ONE,)]
    assert queue.cancel(low).status_code == 409


def test_a_request_is_not_begun_before_its_time(queue: Queue) -> None:
    due = datetime.now(UTC) + timedelta(seconds=3)
    id_ = queue.post("SELECT 1", run_at=due.isoformat())
    assert queue.state(id_) == "queued"
    status = queue.ended(id_)
    assert datetime.fromisoformat(status["started_at"]) >= due - timedelta(milliseconds=1)
    far = (datetime.now(UTC) + timedelta(days=400)).isoformat()
    response = queue.system.send(path="/new-requests", json={"query": "SELECT 1", "run_at": far})
    assert (response.status_code, response.json()["rule"]) == (400, "run_at")


def test_a_request_that_never_succeeds_is_dead_after_its_attempts(queue: Queue, marks: Callable[[], list[str]]) -> None:
    with row_held(queue.system):
        status = queue.ended(queue.post(HOLD, timeout_ms=300, max_attempts=2))
    assert (status["state"], status["attempts"]) == ("dead", 2)
    assert status["problem"]["code"] == "deadline_exceeded"
    assert marks() == []
    assert rows(queue.system, "SELECT n FROM rental.held") == [(0,)]


def test_a_result_that_no_proxy_can_hold_is_asked_for_so_often_and_no_more(queue: Queue) -> None:
    """Some 300 MB as values, though a proxy holds 128 for all: run again and again, it would leave none for others."""
    many = f"SELECT {', '.join(['1'] * 900)} FROM film a JOIN film b ON a.film_id <= b.film_id LIMIT 10000"
    status = queue.ended(queue.post(many, max_attempts=2))
    assert (status["state"], status["attempts"], status["problem"]["rule"]) == ("dead", 2, "answer_memory")


def test_one_owner_does_not_keep_the_others_out_whatever_its_priorities(
    queue: Queue, marks: Callable[[], list[str]]
) -> None:
    name = f"other-{secrets.token_hex(3)}"
    other = keys.add(queue.system.files.keys, name, "demo")
    try:
        with row_held(queue.system):
            first = [queue.post(HOLD, priority=9, timeout_ms=3000, max_attempts=1) for _ in range(6 * SLOTS)]
            body = {"query": MARK, "params": ["other's"], "database": "rental"}
            assert queue.system.send(path="/new-requests", json=body, key=other).status_code == 202
            wait_until(lambda: marks() == ["other's"], ENDED_WITHIN_S)
            assert "running" in {queue.state(id_) for id_ in first}, "it came after all of them"
        assert {queue.ended(id_)["state"] for id_ in first} <= {"done", "dead"}
    finally:
        keys.revoke(queue.system.files.keys, name)


def test_requests_are_their_owners_alone(queue: Queue) -> None:
    id_ = queue.post("SELECT 1")
    name = f"other-{secrets.token_hex(3)}"
    other = keys.add(queue.system.files.keys, name, "demo")
    try:
        for method in ("GET", "DELETE"):
            assert queue.system.send(method, f"/new-requests/{id_}", key=other).status_code == 404
        assert queue.system.send("GET", "/new-requests", key=other).json() == {"requests": [], "next_cursor": None}
    finally:
        keys.revoke(queue.system.files.keys, name)


def test_a_list_has_all_of_the_owners_requests_once_the_latest_first(queue: Queue) -> None:
    made = [queue.post("SELECT 1") for _ in range(7)]
    listed: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while len(listed) < 7:
        answer = queue.system.send("GET", "/new-requests", params={"limit": "3", **cursor}).json()
        listed += answer["requests"]
        cursor = {"cursor": answer["next_cursor"]}
    assert [status["id"] for status in listed][:7] == made[::-1]
    wrong = queue.system.send("GET", "/new-requests", params={"state": "done", **cursor})
    assert (wrong.status_code, wrong.json()["rule"]) == (400, "cursor"), "it is another list"


def test_a_write_that_runs_when_its_orchestrator_is_killed_is_done_once(
    queue: Queue, marks: Callable[[], list[str]]
) -> None:
    with row_held(queue.system):
        id_ = queue.post(HOLD)
        wait_until(lambda: queue.state(id_) == "running")
        wait_until(lambda: bool(rows(queue.system, WAITING, "manager")))
        queue.system.kill_whole("orchestrator1")
    status = queue.ended(id_)
    assert (status["state"], status["attempts"]) == ("done", 2)
    assert rows(queue.system, "SELECT n FROM rental.held") == [(1,)]


WAITING = "SELECT id FROM information_schema.processlist WHERE info LIKE 'UPDATE held%'"


@pytest.fixture
def second(system: LiveSystem, tmp_path: Path) -> Iterator[Path]:
    """A second orchestrator beside the system's own; gives its log. It is told to end as a service manager does."""
    settings = tomllib.loads(system.services.orchestrators[0].settings.read_text())
    own = certificates.issue(system.files.directory / "certificates", "orchestrator", "orchestrator2")
    tls = settings.pop("tls") | {"certificate": str(own.certificate), "key": str(own.key)}
    log = tmp_path / "orchestrator2.log"
    with Ports(ADDRESS) as ports:
        settings |= {"name": "orchestrator2", "listen": f"{ADDRESS}:{ports.take()}"}
        settings |= {"metrics_listen": f"{ADDRESS}:{ports.take()}", "runtime_directory": str(tmp_path)}
        path = tmp_path / "orchestrator2.toml"
        path.write_text(toml.render(settings, {"tls": tls}))
        command = [sys.executable, "-m", "gunicorn", "--no-control-socket", "--config"]
        command += ["python:orchestrator.gunicorn_conf", "orchestrator.app:create_app()"]
        environment = {**os.environ, "ORCHESTRATOR_CONFIG": str(path)}
        with log.open("wb") as file, subprocess.Popen(command, env=environment, stderr=file) as process:
            try:
                yield log
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=60)


def test_two_orchestrators_share_the_work(queue: Queue, marks: Callable[[], list[str]], second: Path) -> None:
    wanted = [f"m{number}" for number in range(150)]
    with row_held(queue.system):  # one has its slots full, so that the other has to help
        held = [queue.post(HOLD) for _ in range(OF_ONE)]
        wait_until(lambda: all(queue.state(id_) == "running" for id_ in held))
        with ThreadPoolExecutor(4) as pool:
            ids = list(pool.map(lambda mark: queue.post(MARK, params=[mark]), wanted))
        assert {queue.ended(id_)["state"] for id_ in ids} == {"done"}
    assert {queue.ended(id_)["state"] for id_ in held} == {"done"}
    assert sorted(marks()) == sorted(wanted)
    wait_until(lambda: b'"event":"run"' in second.read_bytes())


def test_hundreds_of_requests_are_done_each_once_while_everything_is_killed(
    queue: Queue, marks: Callable[[], list[str]], second: Path
) -> None:
    seed = int(os.environ.get("CHAOS_SEED", "7"))
    chance = random.Random(seed)
    wanted = [f"c{number}" for number in range(400)]
    with ThreadPoolExecutor(9) as pool:
        accepting = [pool.submit(accepted_at_last, queue, mark) for mark in wanted]
        for victim in chance.sample(["proxy1", "orchestrator1", "manager", "data2", "proxy1", "orchestrator1"], 6):
            before = len(marks())
            if victim in {"manager", "data2"}:
                queue.system.kill_node(victim)
                queue.system.start_node(victim)
            else:
                queue.system.kill_whole(victim)
            wait_until(lambda before=before: len(marks()) > before or len(marks()) == len(wanted), 60)  # type: ignore[misc]
        ids = [future.result(timeout=180) for future in accepting]
    ends = [queue.ended(id_, 180) for id_ in ids]
    found = marks()
    print(f"CHAOS_SEED={seed}: attempts {max(end['attempts'] for end in ends)} at most")  # noqa: T201
    assert {end["state"] for end in ends} == {"done"}
    assert sorted(found) == sorted(wanted), "each exactly once"


def accepted_at_last(queue: Queue, mark: str) -> str:
    """The id of a write that its client asks for until it is accepted, under one key."""
    key = f"chaos-{mark}-{id(queue)}"
    found: list[str] = []

    def accepted() -> bool:
        body = {"query": MARK, "params": [mark], "database": "rental", "max_attempts": 20}
        try:
            response = queue.system.send(path="/new-requests", json=body, headers={"Idempotency-Key": key})
        except (requests.ConnectionError, requests.Timeout):
            return False
        assert response.status_code == 202 or response.json()["retryable"], response.text
        found.extend([response.json()["id"]] if response.status_code == 202 else [])
        return bool(found)

    wait_until(accepted, 120)
    return found[0]


def test_what_was_asked_for_is_not_kept_when_it_has_ended(system: LiveSystem, queue: Queue) -> None:
    ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    done, failed, cancelled = (
        queue.post("SELECT 1"),
        queue.post("SELECT * FROM film, nosuch"),
        queue.post("SELECT 1", run_at=ahead),
    )
    assert queue.cancel(cancelled).status_code == 200
    assert [queue.ended(id_)["state"] for id_ in (done, failed, cancelled)] == ["done", "failed", "cancelled"]
    with system.admin() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT body FROM gatekeeper.requests WHERE id IN %s", ((done, failed, cancelled),))
        assert cursor.fetchall() == (("",),)


def test_of_too_much_that_is_kept_of_an_owner_the_oldest_goes(system: LiveSystem, queue: Queue) -> None:
    large = f"SELECT title, '{'x' * 100}' FROM film LIMIT 200"
    ids = [queue.post(large) for _ in range(3)]
    small = queue.post("SELECT 1")
    for id_ in (*ids, small):
        assert queue.ended(id_)["state"] == "done"
    with system.admin() as connection, connection.cursor() as cursor:

        def ask(sql: str, params: Sequence[Any]) -> Done:
            affected = cursor.execute(sql.replace("?", "%s"), params)
            connection.commit()
            return Done([list(row) for row in cursor.fetchall()], affected)

        sizes = dict(ask("SELECT id, bytes FROM gatekeeper.kept WHERE owner = ?", ("demo",)).rows)
        assert set(ids) <= sizes.keys()
        assert small not in sizes
        by_age = [id_ for (id_,) in ask("SELECT id FROM gatekeeper.kept ORDER BY ended_ms", ()).rows]
        shrinking = Kept(ask, sum(sizes.values()) - 1, 1_000_000)
        assert (shrinking.shrink(), shrinking.shrink()) == (1, 0)
        gone, left = by_age[0], by_age[1:]
        assert [id_ for (id_,) in ask("SELECT id FROM gatekeeper.kept ORDER BY ended_ms", ()).rows] == left
        assert system.send("GET", f"/new-requests/{gone}").status_code == 404
        assert queue.state(left[-1]) == "done"
        ended = ask(
            "SELECT id FROM gatekeeper.requests WHERE ended_ms IS NOT NULL AND owner = 'demo' ORDER BY accepted_ms", ()
        ).rows
        assert Kept(ask, 1 << 40, len(ended) - 2).shrink() == 2
        assert system.send("GET", f"/new-requests/{ended[0][0]}").status_code == 404
        assert queue.state(small) == "done"
