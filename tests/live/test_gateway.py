"""The gatekeeper from outside: what a client sends, and what it is answered."""

import csv
import io
import json
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from contract.messages import MAX_BODY_BYTES
from tests.live.proxy_fixtures import wait_until
from tests.live.system_fixtures import LiveSystem

JSON = {"Content-Type": "application/json"}
FILM = {"query": "SELECT film_id, title FROM film WHERE film_id = ?", "params": [42], "database": "rental"}


def test_every_implementation_gives_the_same_rows(system: LiveSystem) -> None:
    answers = [system.send(json={**FILM, "implementation": name}).json() for name in ("direct", "random", "ping")]
    assert answers[0]["node"] == "manager"
    assert [answer["rows"] for answer in answers] == [answers[0]["rows"]] * 3
    assert len(answers[0]["rows"]) == 1


def test_get_runs_a_read(system: LiveSystem) -> None:
    response = system.send("GET", params={"query": "SELECT 1 AS one", "implementation": "direct"})
    assert response.json()["rows"] == [[1]]
    assert response.headers["X-Gatekeeper-Node"] == "manager"


def test_the_callers_request_id_comes_back_and_one_that_is_none_is_replaced(system: LiveSystem) -> None:
    assert system.send(json=FILM, headers={"X-Request-ID": "mine-1"}).json()["request_id"] == "mine-1"
    replaced = system.send(json=FILM, headers={"X-Request-ID": "not\tone"})
    assert replaced.headers["X-Request-ID"] == replaced.json()["request_id"] != "not\tone"


def post(body: object, **headers: str) -> dict[str, Any]:
    return {"data": body if isinstance(body, bytes) else json.dumps(body).encode(), "headers": {**JSON, **headers}}


# What is sent, and the status, the code and a part of the detail that it is answered with.
BAD: dict[str, tuple[dict[str, Any], int, str, str]] = {
    "body not JSON": (post(b"SELECT 1"), 400, "bad_request", "not JSON"),
    "empty body": (post(b""), 400, "bad_request", "empty"),
    "body not an object": (post([1]), 400, "bad_request", "Expected `object`"),
    "wrong type": (post({"query": 1}), 400, "bad_request", "$.query"),
    "unknown member": (post({**FILM, "sql": "x"}), 400, "bad_request", "unknown field `sql`"),
    "no query": (post({}), 400, "bad_request", "one of `query` and `statements`"),
    "unknown implementation": (
        post({**FILM, "implementation": "best"}),
        400,
        "unknown_implementation",
        "direct_hit, random_hit, customized_hit",
    ),
    "two statements": (post({"query": "SELECT 1; SELECT 2"}), 403, "forbidden", "one statement"),
    "too large": (post(b'{"query": "' + b"x" * MAX_BODY_BYTES + b'"}'), 413, "too_large", ""),
    "exactly 1 MiB": (post(b"x" * MAX_BODY_BYTES), 413, "too_large", ""),
    "wrong media type": (post(FILM, **{"Content-Type": "text/plain"}), 415, "unsupported_media_type", "json"),
    "wrong Accept": (post(FILM, Accept="image/png"), 406, "not_acceptable", "text/csv"),
    "no key": ({**post(FILM), "key": None}, 401, "unauthenticated", "Bearer"),
    "wrong key": ({**post(FILM), "key": "gk_wrong"}, 401, "unauthenticated", "not known"),
    "refused by the policy": (post({"query": "SELECT * FROM mysql.user"}), 403, "forbidden", "mysql.user"),
    "a hidden column": (post({"query": "SELECT password FROM rental.staff"}), 403, "forbidden", "password"),
    "cannot be parsed": (post({"query": "SELECT FROM WHERE"}), 422, "statement_unparsable", ""),
    "missing table": (post({"query": "SELECT 1 FROM rental.nosuch"}), 422, "database_refused", "nosuch"),
    "too few parameters": (post({**FILM, "params": []}), 400, "invalid_parameters", "1 placeholders"),
    "unbindable parameter": (post({**FILM, "params": [[1]]}), 400, "invalid_parameters", "can't be bound"),
    "an empty idempotency key": (post(FILM, **{"Idempotency-Key": ""}), 400, "bad_request", "Idempotency-Key"),
    "a long idempotency key": (post(FILM, **{"Idempotency-Key": "k" * 256}), 400, "bad_request", "Idempotency-Key"),
    "an idempotency key of 10 KB": (post(FILM, **{"Idempotency-Key": "k" * 10_000}), 431, "too_large", ""),
    "GET of a write": (
        {"method": "GET", "params": {"query": "DELETE FROM rental.film WHERE film_id = 0"}},
        400,
        "bad_request",
        "reads only",
    ),
    "GET with a member twice": ({"method": "GET", "path": "/endpoint?query=1&query=2"}, 400, "bad_request", "once"),
    "no such path": ({"method": "GET", "path": "/nowhere"}, 404, "not_found", ""),
    "not with this method": ({"method": "DELETE"}, 405, "method_not_allowed", ""),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "status", "code", "detail"), BAD.values(), ids=BAD.keys())
def test_bad_input_has_its_answer(
    system: LiveSystem, sent: dict[str, Any], status: int, code: str, detail: str
) -> None:
    response = system.send(**sent)
    problem = response.json()
    assert response.headers["Content-Type"] == "application/problem+json"
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert detail in problem["detail"]
    assert problem["outcome"] == ("rolled_back" if code == "database_refused" else "not_executed")
    assert problem["retryable"] is False
    assert problem["request_id"] == response.headers["X-Request-ID"]


def test_a_missing_table_has_the_databases_own_number(system: LiveSystem) -> None:
    problem = system.send(json={"query": "SELECT 1 FROM rental.nosuch"}).json()
    assert (problem["mysql_errno"], problem["sqlstate"]) == (1146, "42S02")


def test_the_deadline_is_kept(system: LiveSystem) -> None:
    slow = "SELECT COUNT(*) FROM rental.payment a, rental.payment b, rental.payment c"
    response = system.send(json={"query": slow, "timeout_ms": 300})
    assert (response.status_code, response.json()["outcome"]) == (504, "rolled_back")
    assert response.elapsed.total_seconds() < 10


def test_ndjson_has_head_rows_and_tail(system: LiveSystem) -> None:
    query = {"query": "SELECT film_id, title FROM film ORDER BY film_id", "database": "rental"}
    response = system.send(json=query, headers={"Accept": "application/x-ndjson"})
    head, *rows, tail = [json.loads(line) for line in response.text.splitlines()]
    assert [column["name"] for column in head["columns"]] == ["film_id", "title"]
    assert [row[0] for row in rows] == list(range(1, 1001))
    assert (tail["row_count"], tail["truncated"]) == (1000, False)


def test_csv_tells_null_from_an_empty_string(system: LiveSystem) -> None:
    query = {"query": """SELECT NULL AS a, '' AS b, 'x,"y"' AS c"""}
    response = system.send(json=query, headers={"Accept": "text/csv"})
    assert response.text == 'a,b,c\r\n,"","x,""y"""\r\n'
    assert list(csv.reader(io.StringIO(response.text)))[1] == ["", "", 'x,"y"']


def test_json_is_cut_off_at_the_policys_rows_and_says_so(system: LiveSystem) -> None:
    answer = system.send(json={"query": "SELECT payment_id FROM rental.payment"}).json()
    assert (len(answer["rows"]), answer["truncated"]) == (10_000, True)


def test_a_client_that_goes_away_leaves_the_service_as_it_was(system: LiveSystem) -> None:
    address = urlsplit(system.url)
    body = json.dumps({"query": "SELECT * FROM payment", "database": "rental"}).encode()
    for _ in range(20):
        with socket.create_connection((address.hostname, address.port or 80), timeout=30) as sock:
            head = f"POST /endpoint HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {system.key}\r\nAccept: text/csv\r\n"
            sock.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            sock.recv(64)
    for _ in range(50):
        assert system.send(json=FILM).status_code == 200

    def in_flight() -> list[int]:
        return [node["in_flight"] for node in system.send("GET", "/nodes").json()["proxies"][0]["nodes"]]

    wait_until(lambda: in_flight() == [0, 0, 0, 0])  # but for a look of the orchestrator's at its queue


def test_a_head_request_for_a_stream_gives_its_place_back(system: LiveSystem) -> None:
    for _ in range(300):
        query = {"query": "SELECT * FROM rental.film"}
        response = system.send("HEAD", params=query, headers={"Accept": "application/x-ndjson"})
        assert (response.status_code, response.content) == (200, b"")
    assert system.send(json=FILM).status_code == 200


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson", "text/csv"])
def test_a_write_that_returns_more_rows_than_are_shown_is_done_whole(system: LiveSystem, accept: str) -> None:
    with system.admin() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE OR REPLACE TABLE rental.returned (id INT PRIMARY KEY)")
        cursor.execute("INSERT INTO rental.returned SELECT seq FROM rental.seq_1_to_10500")
        connection.commit()
        delete = {"query": "DELETE FROM rental.returned WHERE id > 0 RETURNING id"}
        response = system.send(json=delete, headers={"Accept": accept})
        assert response.status_code == 200, response.text
        assert response.text.count("\n") in {0, 10_001, 10_002}
        cursor.execute("SELECT COUNT(*) FROM rental.returned")
        assert cursor.fetchone() == (0,)
        cursor.execute("DROP TABLE rental.returned")


def test_an_accept_header_of_octets_is_just_not_acceptable(system: LiveSystem) -> None:
    address = urlsplit(system.url)
    with socket.create_connection((address.hostname, address.port or 80), timeout=30) as sock:
        head = f"GET /endpoint?query=SELECT+1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {system.key}\r\n"
        sock.sendall(head.encode() + b"Accept: \xa0x\r\nConnection: close\r\n\r\n")
        assert b"406" in sock.recv(100)
    assert system.send(json=FILM).status_code == 200


def test_requests_in_a_hurry_do_not_make_nodes_suspect(system: LiveSystem) -> None:
    statuses = {system.send(json={**FILM, "timeout_ms": 1, "implementation": "random"}).status_code for _ in range(60)}
    assert statuses <= {200, 503, 504}
    states = [node["state"] for node in system.send("GET", "/nodes").json()["proxies"][0]["nodes"]]
    assert states == ["up"] * 4


def test_a_refused_key_is_logged_without_the_key(system: LiveSystem) -> None:
    system.send(json=FILM, key="gk_nobody", headers={"X-Request-ID": "refused-key"})
    wait_until(lambda: '"request_id":"refused-key","key":null' in system.logs())
    assert "gk_nobody" not in system.logs()


def test_nodes_are_shown_to_those_with_a_key_without_addresses(system: LiveSystem) -> None:
    assert system.send("GET", "/nodes", key=None).status_code == 401
    response = system.send("GET", "/nodes")
    assert {node["name"]: node["state"] for node in response.json()["proxies"][0]["nodes"]} == {
        "manager": "up", "data1": "up", "data2": "up", "data3": "up"
    }  # fmt: skip
    assert "127.0" not in response.text


def test_the_open_resources_need_no_key(system: LiveSystem) -> None:
    assert [system.send("GET", path, key=None).status_code for path in ("/healthz", "/readyz")] == [200, 200]
    assert system.send("GET", "/openapi.json", key=None).json()["openapi"].startswith("3.1")


def test_metrics_are_on_a_port_of_their_own(system: LiveSystem) -> None:
    assert system.send("GET", "/metrics").status_code == 404
    one_of = {
        "gatekeeper": "gatekeeper_requests_total",
        "proxy": "gatekeeper_proxy_node_up",
        "orchestrator": "gatekeeper_queue_slots",
    }
    for service in system.services.services:
        text = requests.get(f"http://{service.metrics_listen}/metrics", timeout=30).text
        assert one_of[service.role] in text


def test_neither_keys_nor_parameters_are_logged(system: LiveSystem) -> None:
    system.send(json={**FILM, "params": ["planted-parameter"]})
    system.send(json=FILM, key="gk_planted-wrong-key")
    wait_until(lambda: system.logs().count('"code":"unauthenticated"') > 0)
    logs = system.logs()
    assert "planted" not in logs
    assert system.key not in logs
    assert '"key":"demo"' in logs
