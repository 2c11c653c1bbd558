"""From a role that is only watched to the smallest policy for it, with an application's statements on a real system."""

import json
import tomllib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from client.cli import main
from deploy.ports import Ports
from gatekeeper.audit_chain import rotated_files, verify
from gatekeeper.recording import read
from tests.live.gatekeeper_fixtures import ADDRESS, OwnGatekeeper
from tests.live.system_fixtures import LiveSystem

WATCHED = """
[roles.app]
kinds = ["select"]
read = ["rental.language"]
default_database = "rental"
report_only = true
record = true
max_rows = 5
"""

STATEMENTS: tuple[tuple[str, list[Any], dict[str, str]], ...] = (
    ("SELECT name FROM language WHERE language_id = ?", [1], {}),
    ("SELECT f.title, l.name FROM film f JOIN language l USING (language_id) WHERE f.title LIKE ?", ["A%"], {}),
    (
        "SELECT c.name, COUNT(*) FROM category c JOIN film_category f ON f.category_id = c.category_id GROUP BY c.name",
        [],
        {"implementation": "direct_hit"},
    ),
    ("INSERT INTO actor (first_name, last_name) VALUES (?, ?)", ["planted", "name"], {}),
    ("UPDATE actor SET last_name = 'planted' WHERE first_name = ?", ["planted"], {}),
    ("DELETE FROM actor WHERE first_name = ?", ["planted"], {"database": "rental"}),
    ("EXPLAIN SELECT title FROM film WHERE film_id = 1", [], {}),
    ("SHOW COLUMNS FROM category", [], {}),
    ("WITH x AS (SELECT film_id FROM inventory) SELECT COUNT(*) FROM x", [], {}),
    ("SELECT SLEEP(0)", [], {}),
)
OTHERS = {
    "another table": ("SELECT * FROM staff", "read"),
    "another write": ("UPDATE film SET title = 'x' WHERE film_id = 0", "write"),
    "another kind": ("REPLACE INTO actor (first_name, last_name) VALUES ('x', 'y')", "kind"),
    "another function": ("SELECT VERSION()", "function"),
    "no condition": ("DELETE FROM actor", "where_required"),
}


class Watching(OwnGatekeeper):
    """A gatekeeper of two workers with a policy of its own, in front of a system's proxy."""

    def __init__(self, directory: Path, ports: Ports, system: LiveSystem) -> None:
        self.records = directory / "records.jsonl"
        settings = tomllib.loads(system.services.gatekeeper.settings.read_text(encoding="utf-8"))
        settings |= {"records": str(self.records)}
        settings.pop("metrics_listen")
        tables = {"tls": settings.pop("tls")}
        super().__init__(directory, ports, WATCHED, "app", settings=settings, tables=tables)

    def send(self, query: str, params: list[Any], members: dict[str, str]) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.key}"}
        body = {"query": query, "params": params, **members}
        return requests.post(f"http://{self.address}/endpoint", json=body, headers=headers, timeout=60)

    def send_all(self) -> list[int]:
        """The statuses of the application's statements, one after the other."""
        return [self.send(*statement).status_code for statement in STATEMENTS]

    def verdicts(self) -> Counter[str]:
        """Those in the audit log, which must be sound."""
        files = [*rotated_files(self.audit), self.audit]
        verify(files)
        lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        return Counter(line["verdict"] for line in lines if "verdict" in line)


@pytest.fixture(name="watching")
def _watching(tmp_path: Path, system: LiveSystem) -> Iterator[Watching]:
    with Ports(ADDRESS) as ports:
        made = Watching(tmp_path, ports, system)
        with made.running():
            yield made


def learnt(watching: Watching, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["policy", "learn", "--role", "app", "--columns", str(watching.records)]) == 0
    return capsys.readouterr().out


def test_what_an_application_was_seen_to_need_becomes_its_policy_and_nothing_else(
    watching: Watching, capsys: pytest.CaptureFixture[str]
) -> None:
    assert watching.send_all() == [200] * len(STATEMENTS)
    assert watching.verdicts() == {"allowed": 1, "reported": len(STATEMENTS) - 1}
    assert all(watching.send(text, [], {}).status_code == 200 for text in ("SELECT 1", "SELECT name FROM category"))
    watching.put(learnt(watching, capsys))  # and nothing is started again
    assert watching.send_all() == [200] * len(STATEMENTS)
    assert watching.verdicts()["reported"] == len(STATEMENTS)
    for text, rule in OTHERS.values():
        problem = watching.send(text, [], {}).json()
        assert (problem["status"], problem.get("rule")) == (403, rule), text


def test_each_statement_is_recorded_once_whichever_worker_runs_it(watching: Watching) -> None:
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda number: watching.send(*STATEMENTS[number % 3]).status_code, range(90)))
    assert statuses == [200] * 90
    assert len(read(watching.records)) == 3
    assert watching.records.stat().st_mode & 0o777 == 0o600


def test_neither_records_nor_logs_hold_a_value(watching: Watching) -> None:
    watching.send_all()
    for path in (watching.records, watching.audit, watching.log):
        assert "planted" not in path.read_text()


def test_a_role_that_only_reports_keeps_its_limits_and_the_databases_own_wall(watching: Watching) -> None:
    answer = watching.send("SELECT title FROM film", [], {}).json()
    assert (len(answer["rows"]), answer["truncated"]) == (5, True)
    problem = watching.send("SELECT host FROM mysql.user", [], {}).json()
    assert (problem["status"], problem["mysql_errno"]) == (422, 1142)
    assert watching.send("SET GLOBAL read_only = 1", [], {}).json()["rule"] == "kind"
