"""The audit log and the keys of a whole system, whose gatekeeper has several workers."""

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from gatekeeper import keys
from gatekeeper.audit_chain import rotated_files, verify
from gatekeeper.rates import Limits
from tests.live.proxy_fixtures import wait_until
from tests.live.system_fixtures import LiveSystem

QUERY = {"query": "SELECT title FROM film WHERE film_id = ?", "params": [1], "database": "rental"}
REQUESTS = 200


@pytest.fixture(name="key_file")
def _key_file(system: LiveSystem) -> Iterator[Path]:
    """The system's file of keys, which has its own key alone again afterwards."""
    path = system.files.keys
    kept = path.read_bytes()
    yield path
    path.write_bytes(kept)


def audit_files(system: LiveSystem) -> list[Path]:
    path = system.files.directory / "audit.log"
    return [*rotated_files(path), path]


def audited(system: LiveSystem) -> list[dict[str, Any]]:
    """The requests in the audit log, which must be sound."""
    verify(audit_files(system))
    lines = [json.loads(line) for path in audit_files(system) for line in path.read_text().splitlines()]
    return [line for line in lines if "request_id" in line]


def workers(system: LiveSystem) -> list[int]:
    master = system.pids("gatekeeper1")
    return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]


def send(system: LiveSystem, request_id: str) -> int:
    """The status of the answer to a read; 0 when the connection broke."""
    try:
        return system.send(json=QUERY, headers={"X-Request-ID": request_id}).status_code
    except requests.ConnectionError:
        return 0


def test_what_many_clients_were_answered_by_all_workers_is_audited_once_each(system: LiveSystem) -> None:
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda number: send(system, f"many-{number}"), range(REQUESTS)))
    assert set(statuses) == {200}
    counted = Counter(line["request_id"] for line in audited(system) if line["request_id"].startswith("many-"))
    assert counted == {f"many-{number}": 1 for number in range(REQUESTS)}


def test_the_chain_holds_when_a_worker_is_killed_at_work(system: LiveSystem) -> None:
    answered: dict[str, int] = {}

    def ask(number: int) -> None:
        if number == REQUESTS // 2:
            os.kill(workers(system)[0], signal.SIGKILL)
        answered[f"killed-{number}"] = send(system, f"killed-{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(REQUESTS)))
    wait_until(lambda: send(system, "after") == 200)
    known = {line["request_id"] for line in audited(system)}
    assert {request_id for request_id, status in answered.items() if status == 200} <= known
    assert Counter(answered.values())[200] > REQUESTS // 2


def test_a_refusal_is_audited_with_its_rule_and_what_it_was_about(system: LiveSystem) -> None:
    system.send(json={"query": "SELECT * FROM mysql.user"}, headers={"X-Request-ID": "refused-1"})
    line = next(line for line in audited(system) if line["request_id"] == "refused-1")
    assert (line["key"], line["verdict"], line["code"]) == ("demo", "refused", "forbidden")
    assert (line["rule"], line["kind"], line["effect"], line["reads"]) == ("read", "select", "read", ["mysql.user"])
    assert len(line["digest"]) == 16


def test_a_revoked_key_is_refused_with_the_next_request_of_every_worker(system: LiveSystem, key_file: Path) -> None:
    key = keys.add(key_file, "short", "reader", lifetime=timedelta(days=1))

    def statuses() -> set[int]:
        """Those of connections enough to reach every worker."""
        with ThreadPoolExecutor(8) as pool:
            return set(pool.map(lambda _: system.send(json=QUERY, key=key).status_code, range(32)))

    assert statuses() == {200}
    successor = keys.rotate(key_file, "short", overlap=timedelta(hours=1))
    assert statuses() == {200}
    assert system.send(json=QUERY, key=successor).status_code == 200
    keys.revoke(key_file, "short")
    assert statuses() == {401}
    assert system.send(json=QUERY, key=successor).status_code == 401


def test_the_rate_of_a_key_holds_over_all_workers(system: LiveSystem, key_file: Path) -> None:
    key = keys.add(key_file, "slow", "reader", limits=Limits(rate_per_second=0.001, burst=20))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: system.send(json=QUERY, key=key), range(60)))
    assert Counter(answer.status_code for answer in answers) == {200: 20, 429: 40}
    assert all(int(answer.headers["Retry-After"]) > 900 for answer in answers if answer.status_code == 429)
