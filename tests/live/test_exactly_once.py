"""A write with an Idempotency-Key takes effect once, however often it is asked for; several statements, all or none."""

import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from contract.messages import OWN_SCHEMA
from proxy.ledger import MOST_ANSWER_BYTES
from tests.live.cluster_fixtures import LiveCluster
from tests.live.proxy_fixtures import LocalProxy, proxy_before, wait_until

INSERT = "INSERT INTO rental.once (name) VALUES (?)"
_TABLE = "CREATE TABLE rental.once (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(64) NOT NULL)"
# What a repeat must give again; the request's id is its own.
SAME = ("node", "implementation", "columns", "rows", "affected_rows", "last_insert_id", "truncated")


@pytest.fixture(scope="module")
def proxy(cluster: LiveCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalProxy]:
    cluster.run_all([_TABLE, "INSERT INTO rental.once (id, name) VALUES (1, 'first')"])
    try:
        with proxy_before(cluster, tmp_path_factory.mktemp("proxy")) as local:
            local.wait_for("up", "manager", "data1", "data2", "data3")
            yield local
    finally:
        cluster.run_all(["DROP TABLE rental.once"])


def new() -> str:
    return secrets.token_hex(8)


def keyed(key: str, owner: str = "web") -> dict[str, Any]:
    return {"effect": "write", "idempotency": {"key": key, "owner": owner}}


def count(cluster: LiveCluster, *names: str) -> int:
    listed = ", ".join(f"'{name}'" for name in names)
    return int(cluster.run("manager", f"SELECT COUNT(*) FROM rental.once WHERE name IN ({listed})")[0][0])


def kept(cluster: LiveCluster) -> int:
    """How many rows the ledger has."""
    return int(cluster.run("manager", f"SELECT COUNT(*) FROM {OWN_SCHEMA}.ledger")[0][0])


def is_replayed(response: TestResponse) -> bool:
    assert response.status_code == 200, response.text
    return response.headers.get("Idempotency-Replayed") == "true"


def test_a_repeat_gets_the_first_answer_and_the_effect_is_there_once(cluster: LiveCluster, proxy: LocalProxy) -> None:
    key, name = new(), new()
    first = proxy.post(INSERT, params=[name], **keyed(key))
    repeat = proxy.post(INSERT, params=[name], **keyed(key))
    assert (is_replayed(first), is_replayed(repeat)) == (False, True)
    assert {member: repeat.get_json()[member] for member in SAME} == {
        member: first.get_json()[member] for member in SAME
    }
    assert first.get_json()["affected_rows"] == 1
    assert repeat.get_json()["request_id"] != first.get_json()["request_id"]
    assert count(cluster, name) == 1


@pytest.mark.parametrize("change", ["query", "params", "database"])
def test_the_same_key_with_another_request_is_a_conflict_and_not_executed(
    cluster: LiveCluster, proxy: LocalProxy, change: str
) -> None:
    key, name, other = new(), new(), new()
    proxy.ask(INSERT, params=[name], **keyed(key))
    asked: dict[str, Any] = {"query": INSERT, "params": [name], "database": "rental", **keyed(key)}
    asked[change] = {"query": INSERT + " ", "params": [other], "database": None}[change]
    problem = proxy.problem(**asked)
    assert (problem["status"], problem["rule"], problem["outcome"]) == (409, "idempotency_key", "not_executed")
    assert count(cluster, name, other) == 1


def test_the_same_key_of_another_owner_is_another_key(cluster: LiveCluster, proxy: LocalProxy) -> None:
    key, name = new(), new()
    assert not is_replayed(proxy.post(INSERT, params=[name], **keyed(key, "web")))
    assert not is_replayed(proxy.post(INSERT, params=[name], **keyed(key, "batch")))
    assert count(cluster, name) == 2


def test_concurrent_repeats_run_once_and_all_get_the_answer(cluster: LiveCluster, proxy: LocalProxy) -> None:
    key, name = new(), new()
    start = threading.Barrier(8)

    def ask(_number: int) -> tuple[bool, int]:
        start.wait(timeout=30)
        response = proxy.post(INSERT, params=[name], **keyed(key))
        return is_replayed(response), response.get_json()["last_insert_id"]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert sorted(replayed for replayed, _ in found) == [False] + [True] * 7
    assert len({made for _, made in found}) == 1
    assert count(cluster, name) == 1


@pytest.mark.usefixtures("proxy")
def test_repeats_through_two_nodes_at_once_run_once(cluster: LiveCluster, tmp_path: Path) -> None:
    """Galera lets both begin, and fails the one that is certified later."""
    with proxy_before(cluster, tmp_path, writes="any") as anywhere, ThreadPoolExecutor(6) as pool:
        anywhere.wait_for("up", "manager", "data1", "data2", "data3")
        for _ in range(10):
            key, name = new(), new()
            asked = [(key, name, how) for how in ("direct", "random", "random") * 2]
            responses = list(
                pool.map(
                    lambda each: anywhere.post(INSERT, params=[each[1]], implementation=each[2], **keyed(each[0])),
                    asked,
                )
            )
            assert sorted(map(is_replayed, responses)) == [False] + [True] * 5
            assert count(cluster, name) == 1


def test_a_repeat_waits_for_the_first_request_while_that_is_running(cluster: LiveCluster, proxy: LocalProxy) -> None:
    key, name = new(), new()
    with ThreadPoolExecutor(2) as pool, cluster.connect("manager") as blocker, blocker.cursor() as cursor:
        cursor.execute("SELECT * FROM rental.once WHERE id = 1 FOR UPDATE")
        update = "UPDATE rental.once SET name = ? WHERE id = 1"
        first = pool.submit(proxy.post, update, params=[name], **keyed(key))
        wait_until(lambda: "UPDATE rental" in running(cluster))
        repeat = pool.submit(proxy.post, update, params=[name], **keyed(key))
        wait_until(lambda: "INSERT INTO `gatekeeper`" in running(cluster))
        assert not repeat.done()
        blocker.commit()
        assert (is_replayed(first.result(30)), is_replayed(repeat.result(30))) == (False, True)


def running(cluster: LiveCluster) -> str:
    return " ".join(str(row[7]) for row in cluster.run("manager", "SHOW FULL PROCESSLIST"))


def test_a_repeat_that_waits_in_vain_is_told_so_at_its_deadline(cluster: LiveCluster, proxy: LocalProxy) -> None:
    key, update = new(), "UPDATE rental.once SET name = name WHERE id = 1"
    with ThreadPoolExecutor(1) as pool, cluster.connect("manager") as blocker, blocker.cursor() as cursor:
        cursor.execute("SELECT * FROM rental.once WHERE id = 1 FOR UPDATE")
        first = pool.submit(proxy.post, update, **keyed(key))
        wait_until(lambda: "UPDATE rental" in running(cluster))
        problem = proxy.problem(update, timeout_ms=500, **keyed(key))
        assert (problem["status"], problem["retryable"]) == (504, True)
        blocker.commit()
        assert not is_replayed(first.result(30))


def test_a_statement_that_the_database_refuses_leaves_nothing_and_its_key_is_free(
    cluster: LiveCluster, proxy: LocalProxy
) -> None:
    key, name, before = new(), new(), kept(cluster)
    refused = proxy.problem("INSERT INTO rental.once (name) VALUES (?), (NULL)", params=[name], **keyed(key))
    assert (refused["status"], refused["outcome"]) == (422, "rolled_back")
    assert (count(cluster, name), kept(cluster)) == (0, before)
    assert not is_replayed(proxy.post(INSERT, params=[name], **keyed(key)))


def test_more_changed_rows_than_allowed_are_rolled_back_with_the_key(cluster: LiveCluster, proxy: LocalProxy) -> None:
    names, before = [new(), new()], kept(cluster)
    insert = "INSERT INTO rental.once (name) VALUES (?), (?)"
    refused = proxy.problem(insert, params=names, max_affected_rows=1, **keyed(new()))
    assert (refused["rule"], refused["outcome"]) == ("max_affected_rows", "rolled_back")
    assert (count(cluster, *names), kept(cluster)) == (0, before)


def test_an_answer_with_rows_comes_again_and_a_large_one_without_them_and_says_so(proxy: LocalProxy) -> None:
    small, large, name = new(), new(), new()
    returning = "INSERT INTO rental.once (name) VALUES (?) RETURNING name, REPEAT('x', ?)"
    for key, size, truncated in ((small, 10, False), (large, MOST_ANSWER_BYTES, True)):
        first = proxy.post(returning, params=[name, size], **keyed(key)).get_json()
        repeat = proxy.post(returning, params=[name, size], **keyed(key)).get_json()
        assert first["rows"] == [[name, "x" * size]]
        assert (repeat["rows"], repeat["truncated"]) == ([] if truncated else first["rows"], truncated)


def test_expired_rows_are_removed_and_the_key_is_new_again(
    cluster: LiveCluster, proxy: LocalProxy, tmp_path: Path
) -> None:
    long_kept, name = new(), new()
    proxy.ask(INSERT, params=[new()], **keyed(long_kept))
    with proxy_before(cluster, tmp_path, idempotency_keep_s=1) as forgetful:
        forgetful.wait_for("up", "manager")
        keys = [new() for _ in range(3)]
        for key in keys:
            forgetful.ask(INSERT, params=[name], **keyed(key))
        due = f"SELECT COUNT(*) FROM {OWN_SCHEMA}.ledger WHERE expires < UNIX_TIMESTAMP()"
        wait_until(lambda: cluster.run("manager", due)[0][0] == 3)
        assert forgetful.app.extensions["sweeper"].sweep() == 3
        assert not is_replayed(forgetful.post(INSERT, params=[name], **keyed(keys[0])))
    assert kept(cluster) >= 2
    assert count(cluster, name) == 4


def test_the_writer_has_rights_on_the_ledgers_rows_and_on_nothing_else_of_the_schema(cluster: LiveCluster) -> None:
    cluster.run_all([f"CREATE TABLE {OWN_SCHEMA}.another (id INT PRIMARY KEY)"])
    try:
        grants = {user: rights(cluster, user) for user in ("gk_reader", "gk_writer", "gk_caller", "gk_builder")}
    finally:
        cluster.run_all([f"DROP TABLE {OWN_SCHEMA}.another"])
    assert grants == {
        "gk_reader": [],
        "gk_writer": [f"GRANT SELECT, INSERT, UPDATE, DELETE ON `{OWN_SCHEMA}`.`ledger` TO `gk_writer`@`127.0.0.1`"],
        "gk_caller": [],
        "gk_builder": [],
    }


def rights(cluster: LiveCluster, user: str) -> list[str]:
    rows = cluster.run("manager", f"SHOW GRANTS FOR '{user}'@'127.0.0.1'")
    return [row[0] for row in rows if OWN_SCHEMA in row[0]]


@pytest.mark.parametrize("key", [None, "k"])
def test_several_statements_are_all_executed_and_answered_one_by_one(
    cluster: LiveCluster, proxy: LocalProxy, key: str | None
) -> None:
    one, other = new(), new()
    statements = [
        {"query": INSERT, "params": [one]},
        {"query": INSERT, "params": [other]},
        {"query": "SELECT name FROM rental.once WHERE name IN (?, ?) ORDER BY id", "params": [one, other]},
    ]
    members: dict[str, Any] = {"statements": statements, **(keyed(key + new()) if key else {"effect": "write"})}
    answer = ask_all(proxy, **members)
    assert (answer["affected_rows"], answer["rows"], answer["columns"]) == (2, [], [])
    assert [result["affected_rows"] for result in answer["results"]] == [1, 1, 0]
    assert answer["results"][2]["rows"] == [[one], [other]]
    assert count(cluster, one, other) == 2
    if key:
        again = ask_all(proxy, **members)
        assert again["results"] == answer["results"]
        assert count(cluster, one, other) == 2


def ask_all(proxy: LocalProxy, **members: Any) -> dict[str, Any]:
    response = proxy.app.test_client().post("/endpoint", json={"database": "rental", **members})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.get_json()
    return answer


@pytest.mark.parametrize("key", [None, "k"])
def test_where_one_of_several_statements_fails_none_has_an_effect(
    cluster: LiveCluster, proxy: LocalProxy, key: str | None
) -> None:
    name = new()
    statements = [{"query": INSERT, "params": [name]}, {"query": "INSERT INTO rental.once (name) VALUES (NULL)"}]
    members = {"statements": statements, **(keyed(key + new()) if key else {"effect": "write"})}
    response = proxy.app.test_client().post("/endpoint", json={"database": "rental", **members})
    assert (response.status_code, response.get_json()["outcome"]) == (422, "rolled_back")
    assert count(cluster, name) == 0


def test_the_limit_on_changed_rows_is_for_all_statements_together(cluster: LiveCluster, proxy: LocalProxy) -> None:
    names = [new(), new()]
    body = {
        "statements": [{"query": INSERT, "params": [name]} for name in names],
        "effect": "write",
        "max_affected_rows": 1,
    }
    response = proxy.app.test_client().post("/endpoint", json=body)
    assert (response.status_code, response.get_json()["rule"]) == (403, "max_affected_rows")
    assert count(cluster, *names) == 0


def test_several_reads_see_one_moment_and_share_the_limit_on_rows(proxy: LocalProxy) -> None:
    read = {"query": "SELECT film_id FROM rental.film ORDER BY film_id LIMIT 3"}
    answer = ask_all(proxy, statements=[read, read], effect="read", max_rows=4)
    assert [len(result["rows"]) for result in answer["results"]] == [3, 1]
    assert [result["truncated"] for result in answer["results"]] == [False, True]


def test_a_write_among_statements_that_are_labelled_reads_is_refused_by_the_server(
    proxy: LocalProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.openings.check", lambda *_: None)
    body = {"statements": [{"query": "SELECT 1"}, {"query": INSERT, "params": [new()]}], "effect": "read"}
    response = proxy.app.test_client().post("/endpoint", json=body)
    assert response.status_code == 422
    assert response.get_json()["mysql_errno"] in {1142, 1792}


def test_a_transaction_that_is_lost_in_the_middle_runs_on_another_node(cluster: LiveCluster, proxy: LocalProxy) -> None:
    """Nothing can stay of what was not committed, so even a write without a key is tried again."""
    name, waiting = new(), "UPDATE rental.once SET name = name WHERE id = 1"
    statements = [{"query": INSERT, "params": [name]}, {"query": waiting}]
    with ThreadPoolExecutor(1) as pool, cluster.connect("manager") as blocker, blocker.cursor() as cursor:
        cursor.execute("SELECT * FROM rental.once WHERE id = 1 FOR UPDATE")
        asked = pool.submit(ask_all, proxy, statements=statements, effect="write")
        wait_until(lambda: waiting in running(cluster))
        for row in cluster.run("manager", "SHOW PROCESSLIST"):
            if row[1] == "gk_writer":
                cluster.run("manager", f"KILL CONNECTION {row[0]}")
        blocker.rollback()
        answer = asked.result(60)
    assert answer["attempts"] == 2
    assert count(cluster, name) == 1
