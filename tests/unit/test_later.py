"""`/new-requests` at the gatekeeper: who may put what into the queue, and what an orchestrator is sent."""

import fcntl
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from werkzeug.test import TestResponse

from contract.errors import UpstreamFailed
from contract.later import QueueRequest
from contract.messages import ProxyRequest
from contract.peers import Reply
from gatekeeper import keys, later
from gatekeeper.app import create_app
from gatekeeper.settings import Settings
from tests.unit.test_gatekeeper import Recorder

POLICY = """
[roles.clerk]
kinds = ["select", "update", "call", "create_table"]
read = ["shop.*"]
write = ["shop.*"]
default_database = "shop"
default_implementation = "random_hit"
max_rows = 7
report_only = true
"""
READ = {"query": "SELECT a FROM t WHERE id = ?", "params": [1]}
ID = "0123456789abcdef" * 2


class Orchestrator:
    """An orchestrator that keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []
        self.lost = 0  # so many answers
        self.reply = Reply(202, {"Content-Type": "application/json"}, b'{"id":"x"}')

    def ask(self, method: str, path: str, body: bytes, **_: Any) -> Reply:
        self.asked.append((method, path, body))
        if self.lost:
            self.lost -= 1
            raise UpstreamFailed("lost", outcome="unknown", retryable=True)
        return self.reply

    @property
    def queued(self) -> QueueRequest:
        return msgspec.json.decode(self.asked[-1][2], type=QueueRequest)


class Client:
    """A client of a gatekeeper whose orchestrator is a stand-in, with two keys of one role."""

    def __init__(self, directory: Path, *, with_orchestrator: bool = True, rules: str = POLICY) -> None:
        policy = directory / "policy.toml"
        policy.write_text(rules)
        self.audit = directory / "audit.log"
        settings = Settings(
            name="gatekeeper1",
            listen="127.0.0.1:1",
            proxies=("https://127.0.0.1:1",),
            policy=str(policy),
            keys=str(directory / "keys.json"),
            runtime_directory=str(directory),
            audit=str(self.audit),
            log_level="ERROR",
        )
        self.keys = {name: keys.add(Path(settings.keys), name, "clerk") for name in ("ann", "bob")}
        self.orchestrator, self.proxies = Orchestrator(), Recorder()
        kept = self.orchestrator if with_orchestrator else None
        self._client = create_app(settings, self.proxies, kept).test_client()

    def send(self, method: str, path: str, key: str = "ann", **arguments: Any) -> TestResponse:
        credentials = {"Authorization": f"Bearer {self.keys.get(key, key)}"}
        headers = {**credentials, **arguments.pop("headers", {})}
        return self._client.open(path, method=method, headers=headers, **arguments)

    def post(self, body: dict[str, Any], key: str = "ann", idempotency_key: str | None = None) -> TestResponse:
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key is not None else {}
        return self.send("POST", "/new-requests", key, json=body, headers=headers)


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


def test_a_request_is_judged_as_any_other_and_queued_with_its_owner(client: Client) -> None:
    answer = client.post({**READ, "priority": 3, "max_attempts": 2, "run_at": "2030-01-01T00:00:00Z"})
    assert (answer.status_code, answer.get_json()) == (202, {"id": "x"})
    queued = client.orchestrator.queued
    assert (queued.owner, queued.priority, queued.max_attempts) == ("ann", 3, 2)
    assert queued.run_at_ms == 1_893_456_000_000
    assert queued.request == ProxyRequest(
        query="SELECT a FROM t WHERE id = ?",
        implementation="random_hit",
        params=[1],
        database="shop",
        effect="read",
        max_rows=7,
        max_bytes=queued.request.max_bytes,
        max_affected_rows=queued.request.max_affected_rows,
    )
    assert client.proxies.sent == []


def test_it_is_in_the_audit_log_before_it_is_queued(client: Client) -> None:
    client.post({"query": "UPDATE t SET a = 2 WHERE id = 1"})
    queued = client.orchestrator.queued
    line = json.loads(client.audit.read_text().splitlines()[-1])
    assert (line["key"], line["verdict"], line["effect"], line["writes"]) == ("ann", "allowed", "write", ["shop.t"])
    assert line["queued"] == queued.id


@pytest.mark.parametrize(
    ("body", "status", "rule"),
    [
        pytest.param({"query": "CALL p()"}, 400, "deferred_effect", id="a call"),
        pytest.param({"query": "CREATE TABLE u (id INT PRIMARY KEY)"}, 400, "deferred_effect", id="DDL"),
        pytest.param({"query": "SELECT 1; SELECT 2"}, 403, None, id="two statements"),
        pytest.param({"statements": [READ, {"query": "CALL p()"}]}, 400, "statements", id="a call in a transaction"),
        pytest.param({**READ, "priority": 10}, 400, None, id="a priority that there is not"),
        pytest.param({**READ, "max_attempts": 0}, 400, None, id="no attempts"),
        pytest.param({**READ, "run_at": "2030-01-01T00:00:00"}, 400, None, id="a time without a zone"),
        pytest.param({**READ, "run_at": "tomorrow"}, 400, None, id="no time"),
        pytest.param({**READ, "effect": "queue"}, 400, None, id="an effect"),
        pytest.param({**READ, "owner": "bob"}, 400, None, id="an owner"),
    ],
)
def test_what_can_not_be_run_later_is_refused_and_not_queued(
    client: Client, body: dict[str, Any], status: int, rule: str | None
) -> None:
    problem = client.post(body).get_json()
    assert (problem["status"], problem["outcome"]) == (status, "not_executed")
    assert rule is None or problem["rule"] == rule
    assert client.orchestrator.asked == []


def test_an_unknown_key_is_told_nothing(client: Client) -> None:
    for method, path in (("POST", "/new-requests"), ("GET", "/new-requests"), ("DELETE", f"/new-requests/{ID}")):
        assert client.send(method, path, "gk_wrong", json=READ).status_code == 401
    assert client.orchestrator.asked == []


def ids(client: Client, *asked: tuple[dict[str, Any], str, str | None]) -> list[str]:
    for body, key, idempotency_key in asked:
        client.post(body, key, idempotency_key)
    return [msgspec.json.decode(body, type=QueueRequest).id for _, _, body in client.orchestrator.asked]


def test_an_idempotency_key_makes_the_same_id_for_its_owner_alone(client: Client) -> None:
    first, again, others, unkeyed, another = ids(
        client, (READ, "ann", "k"), (READ, "ann", "k"), (READ, "bob", "k"), (READ, "ann", None), (READ, "ann", None)
    )
    assert first == again
    assert len({first, others, unkeyed, another}) == 4


def test_another_request_under_the_same_key_can_be_told_by_its_fingerprint(client: Client) -> None:
    client.post(READ, idempotency_key="k")
    first = client.orchestrator.queued
    client.post({**READ, "params": [2]}, idempotency_key="k")
    assert client.orchestrator.queued.id == first.id
    assert client.orchestrator.queued.fingerprint != first.fingerprint


@pytest.mark.parametrize("key", ["", "k" * 256, "k" * 10_000, "\xe9"], ids=["none", "256", "10 KB", "e"])
def test_a_bad_idempotency_key_is_refused(client: Client, key: str) -> None:
    problem = client.post(READ, idempotency_key=key).get_json()
    assert (problem["status"], problem["rule"]) == (400, "idempotency_key")
    assert client.orchestrator.asked == []


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("GET", f"/new-requests/{ID}", {}),
        ("GET", f"/new-requests/{ID}?cursor=a.b", {"cursor": ["a.b"]}),
        ("GET", "/new-requests?state=done&limit=2", {"state": ["done"], "limit": ["2"]}),
        ("DELETE", f"/new-requests/{ID}", {}),
    ],
)
def test_an_orchestrator_is_told_who_asks(client: Client, method: str, path: str, sent: dict[str, list[str]]) -> None:
    assert client.send(method, path, "bob").status_code == 202
    asked, where, _ = client.orchestrator.asked[-1]
    query = parse_qs(urlsplit(where).query)
    assert (asked, urlsplit(where).path) == (method, urlsplit(path).path)
    assert {"owner": ["bob"], **sent}.items() <= query.items()


@pytest.mark.parametrize(
    ("method", "path", "line"),
    [
        ("GET", f"/new-requests/{ID}", {"kind": "queue_look", "queued": ID}),
        ("GET", "/new-requests", {"kind": "queue_list"}),
        ("DELETE", f"/new-requests/{ID}", {"kind": "queue_cancel", "queued": ID}),
    ],
)
def test_who_looks_at_results_and_who_cancels_is_in_the_audit_log_before_it_is_done(
    client: Client, method: str, path: str, line: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client.send(method, path, "bob")
    written = json.loads(client.audit.read_text().splitlines()[-1])
    assert {"key": "bob", "role": "clerk", "verdict": "allowed", **line}.items() <= written.items()
    client.orchestrator.asked.clear()
    monkeypatch.setattr("gatekeeper.audit._LOCK_TIMEOUT_S", 0.0)
    with (client.audit.parent / ".audit.log.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        problem = client.send(method, path, "bob").get_json()
    assert (problem["status"], problem["rule"]) == (503, "audit")
    assert client.orchestrator.asked == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/new-requests/1", 404),
        (f"/new-requests/{ID.upper()}", 404),
        (f"/new-requests/{ID}%0a", 404),
        (f"/new-requests/{ID}?owner=bob", 400),
        (f"/new-requests/{ID}?cursor=%0d%0a", 400),
        ("/new-requests?limit=0", 400),
        ("/new-requests?limit=101", 400),
        ("/new-requests?state=lost", 400),
        ("/new-requests?owner=bob", 400),
    ],
)
def test_what_makes_no_sense_reaches_no_orchestrator(client: Client, path: str, status: int) -> None:
    assert client.send("GET", path).status_code == status
    assert client.orchestrator.asked == []


def test_an_orchestrators_problem_is_passed_on(client: Client) -> None:
    headers = {"Content-Type": "application/problem+json", "Retry-After": "5"}
    client.orchestrator.reply = Reply(429, headers, b'{"code":"rate_limited"}')
    answer = client.post(READ)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "5")


def test_an_orchestrator_that_comes_back_in_time_is_waited_for(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(later, "_PAUSE_S", 0.0)
    client.orchestrator.lost = 3
    assert client.post(READ).status_code == 202
    assert len({body for _, _, body in client.orchestrator.asked}) == 1, "under the same id"
    assert len(client.orchestrator.asked) == 4


@pytest.mark.parametrize(("key", "retryable"), [("k", True), (None, False)], ids=["with a key", "without"])
def test_who_may_ask_again_is_told_so(
    client: Client, monkeypatch: pytest.MonkeyPatch, key: str | None, *, retryable: bool
) -> None:
    monkeypatch.setattr(later, "_PATIENCE_S", 0.0)
    client.orchestrator.lost = 99
    problem = client.post(READ, idempotency_key=key).get_json()
    assert (problem["status"], problem["outcome"], problem["retryable"]) == (502, "unknown", retryable)


def test_a_deployment_without_an_orchestrator_says_so(tmp_path: Path) -> None:
    problem = Client(tmp_path, with_orchestrator=False).post(READ).get_json()
    assert problem["status"] == 404
    assert "no orchestrator" in problem["detail"]
