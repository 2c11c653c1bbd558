"""The gatekeeper without a proxy: what it forwards, what it never forwards, and what it says when nobody is there."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from contract.errors import GatekeeperError, UpstreamFailed
from contract.messages import ProxyRequest
from contract.peers import Reply
from contract.settings import SettingsError
from gatekeeper import keys
from gatekeeper.app import create_app
from gatekeeper.audit_chain import verify
from gatekeeper.rates import Limits
from gatekeeper.settings import Settings
from tests.unit.pretended_upstream import PretendedUpstream

POLICY = """
[roles.reader]
kinds = ["select"]
read = ["shop.*"]
default_database = "shop"
default_implementation = "random_hit"
implementations = ["random_hit", "customized_hit"]
max_rows = 7
max_timeout_ms = 2000
max_result_bytes = 5000

[roles.writer]
kinds = ["select", "delete"]
read = ["shop.*"]
write = ["shop.*"]
default_database = "shop"
"""


class Recorder(PretendedUpstream):
    """An upstream that keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[ProxyRequest] = []
        self.arguments: dict[str, Any] = {}
        self.is_keyed = False
        self.error: GatekeeperError | None = None

    def post(self, body: bytes, **arguments: Any) -> Reply:
        self.sent.append(msgspec.json.decode(body, type=ProxyRequest))
        self.is_keyed = arguments.pop("is_keyed")
        self.arguments = arguments
        if self.error:
            raise self.error
        return self.reply


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    return Settings(
        name="gatekeeper1",
        listen="127.0.0.1:1",
        proxies=("https://127.0.0.1:1",),
        policy=str(policy),
        keys=str(tmp_path / "keys.json"),
        runtime_directory=str(tmp_path),
        audit=str(tmp_path / "audit.log"),
        log_level="ERROR",
    )


@pytest.fixture
def upstream() -> Recorder:
    return Recorder()


class Sender:
    """A client with the key of a role."""

    def __init__(self, client: FlaskClient, key: str) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {key}"}

    def post(self, query: str | None, headers: dict[str, str] | None = None, **members: Any) -> TestResponse:
        body = members if query is None else {"query": query, **members}
        return self._client.post("/endpoint", json=body, headers={**self._headers, **(headers or {})})

    def get(self, path: str) -> TestResponse:
        return self._client.get(path, headers=self._headers)


@pytest.fixture
def senders(settings: Settings, upstream: Recorder) -> dict[str, Sender]:
    issued = {role: keys.add(Path(settings.keys), role, role) for role in ("reader", "writer", "retired")}
    client = create_app(settings, upstream).test_client()
    return {role: Sender(client, key) for role, key in issued.items()}


def test_a_read_is_forwarded_as_it_stands_with_its_label_and_the_roles_limits(
    senders: dict[str, Sender], upstream: Recorder
) -> None:
    query = "SELECT  a FROM\tcustomers WHERE id = ?  -- as it is"
    response = senders["reader"].post(query, params=[1], headers={"X-Request-ID": "r1", "Accept": "text/csv"})
    assert (response.status_code, response.data) == (200, b'{"x":1}')
    assert response.headers["X-Gatekeeper-Node"] == "data1"
    assert upstream.sent == [
        ProxyRequest(
            query=query,
            implementation="random_hit",
            params=[1],
            database="shop",
            timeout_ms=2000,
            effect="read",
            max_rows=7,
            max_bytes=5000,
        )
    ]
    assert upstream.arguments == {"request_id": "r1", "accept": "text/csv", "timeout_ms": 2000, "is_read": True}


def test_a_json_path_that_is_too_long_is_not_forwarded(senders: dict[str, Sender], upstream: Recorder) -> None:
    response = senders["reader"].post("SELECT JSON_EXTRACT(a, ?) FROM customers", params=["$" + "[0]" * 500])
    assert (response.status_code, response.get_json()["rule"]) == (403, "json_path")
    assert upstream.sent == []


def test_a_shorter_timeout_is_kept(senders: dict[str, Sender], upstream: Recorder) -> None:
    senders["reader"].post("SELECT a FROM customers", timeout_ms=50)
    assert upstream.sent[0].timeout_ms == 50


def test_a_write_is_labelled_a_write(senders: dict[str, Sender], upstream: Recorder) -> None:
    senders["writer"].post("DELETE FROM customers WHERE id = 1")
    assert upstream.sent[0].effect == "write"
    assert upstream.arguments["is_read"] is False


REFUSED = {
    "a write of a reader": ("reader", "DELETE FROM customers WHERE id = 1", {}, 403, "kind"),
    "another schema": ("reader", "SELECT a FROM secret.t", {}, 403, None),
    "an implementation that is not open": ("reader", "SELECT a FROM t", {"implementation": "direct"}, 403, None),
    "another default schema": ("reader", "SELECT a FROM t", {"database": "secret"}, 403, "database"),
    "a role that is gone": ("retired", "SELECT a FROM t", {}, 403, "role"),
    "no statement": ("reader", "hello", {}, 422, None),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused_is_never_forwarded(
    senders: dict[str, Sender], upstream: Recorder, case: tuple[str, str, dict[str, Any], int, str | None]
) -> None:
    role, query, members, status, rule = case
    response = senders[role].post(query, **members)
    assert response.status_code == status
    assert rule is None or response.get_json()["rule"] == rule
    assert upstream.sent == []


def test_a_get_of_a_write_is_never_forwarded(senders: dict[str, Sender], upstream: Recorder) -> None:
    response = senders["writer"].get("/endpoint?query=DELETE+FROM+customers+WHERE+id=1")
    assert (response.status_code, response.get_json()["rule"]) == (400, "get_reads_only")
    assert upstream.sent == []


def test_the_proxys_problem_is_passed_on_with_its_retry_after(senders: dict[str, Sender], upstream: Recorder) -> None:
    headers = {"Content-Type": "application/problem+json", "Retry-After": "3", "Server": "gunicorn", "X-Inner": "x"}
    upstream.reply = Reply(503, headers, b"{}")
    response = senders["reader"].post("SELECT a FROM t")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "3")
    assert "X-Inner" not in response.headers


def test_an_upstream_failure_keeps_its_outcome(senders: dict[str, Sender], upstream: Recorder) -> None:
    upstream.error = UpstreamFailed("the proxy was lost", outcome="unknown")
    response = senders["writer"].post("DELETE FROM customers WHERE id = 1")
    assert (response.status_code, response.get_json()["outcome"]) == (502, "unknown")


def test_an_unexpected_fault_is_an_internal_error_without_its_text(
    senders: dict[str, Sender], upstream: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> Reply:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(upstream, "post", broken)
    response = senders["reader"].post("SELECT a FROM t")
    assert (response.status_code, response.get_json()["outcome"]) == (500, "unknown")
    assert "secret detail" not in response.text


def test_with_no_proxy_there_nothing_is_executed_and_the_caller_may_try_again(settings: Settings) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    config = msgspec.structs.replace(settings, proxies=(f"http://127.0.0.1:{port}", f"http://localhost:{port}"))
    key = keys.add(Path(config.keys), "w", "writer")
    response = Sender(create_app(config).test_client(), key).post("DELETE FROM customers WHERE id = 1")
    problem = response.get_json()
    assert (response.status_code, problem["outcome"], problem["retryable"]) == (503, "not_executed", True)
    assert response.headers["Retry-After"] == "1"
    assert str(port) not in response.text


def test_a_changed_policy_counts_without_a_restart_and_a_broken_one_does_not(
    senders: dict[str, Sender], settings: Settings
) -> None:
    policy = Path(settings.policy)

    def replaced(text: str) -> int:
        new = policy.with_suffix(".new")
        new.write_text(text)
        os.utime(new, (1_000_000_000 + len(text), 1_000_000_000 + len(text)))
        new.replace(policy)
        return senders["reader"].post("SELECT a FROM customers").status_code

    assert replaced(POLICY.replace('read = ["shop.*"]', 'read = ["shop.orders"]', 1)) == 403
    assert replaced(POLICY) == 200
    assert replaced("[roles.reader]\nkinds = 1") == 200


def test_an_expired_key_is_answered_401(senders: dict[str, Sender], settings: Settings) -> None:
    path = Path(settings.keys)
    path.write_text(
        path.read_text().replace('"role": "reader",', '"role": "reader", "expires": "2026-01-01T00:00:00Z",')
    )
    response = senders["reader"].post("SELECT a FROM customers")
    assert (response.status_code, response.get_json()["detail"]) == (401, "the API key has expired")
    assert senders["writer"].post("SELECT a FROM customers").status_code == 200


def audited(settings: Settings) -> list[dict[str, Any]]:
    """The requests in the audit log, which must be sound."""
    assert settings.audit
    verify([Path(settings.audit)])
    return [json.loads(line) for line in Path(settings.audit).read_text().splitlines()[1:]]


def test_every_request_with_a_key_is_audited_with_its_verdict(settings: Settings, senders: dict[str, Sender]) -> None:
    senders["reader"].post("SELECT a FROM customers WHERE b = ?", params=["planted"], headers={"X-Request-ID": "r1"})
    senders["reader"].post("DELETE FROM customers WHERE a = 'planted'")
    senders["writer"].get("/endpoint?query=DELETE+FROM+customers+WHERE+id=1")
    senders["writer"].post("SELECT a FROM customers", colour="red")
    lines = audited(settings)
    verdicts = [[line.get(name) for name in ("key", "verdict", "kind", "effect", "code", "rule")] for line in lines]
    assert verdicts == [
        ["reader", "allowed", "select", "read", None, None],
        ["reader", "refused", "delete", "write", "forbidden", "kind"],
        ["writer", "refused", "delete", "write", "bad_request", "get_reads_only"],
        ["writer", "refused", None, None, "bad_request", None],
    ]
    assert (lines[0]["request_id"], lines[0]["role"], len(lines[0]["digest"])) == ("r1", "reader", 16)
    assert [(line.get("reads"), line.get("writes")) for line in lines[:3]] == [
        (["shop.customers"], None),
        (["shop.customers"], ["shop.customers"]),
        (["shop.customers"], ["shop.customers"]),
    ]
    assert "planted" not in str(lines)


def test_a_request_without_a_known_key_can_not_fill_the_audit_log(
    settings: Settings, upstream: Recorder, senders: dict[str, Sender]
) -> None:
    client = create_app(settings, upstream).test_client()
    assert Sender(client, "gk_nobody").post("SELECT a FROM t").status_code == 401
    assert audited(settings) == []


@pytest.mark.parametrize("query", ["SELECT a FROM t", "DROP TABLE t"], ids=["allowed", "refused"])
def test_what_can_not_be_audited_is_not_executed(
    senders: dict[str, Sender], upstream: Recorder, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("gatekeeper.audit.os.write", full)
        response = senders["reader"].post(query)
    problem = response.get_json()
    assert (response.status_code, problem["outcome"], problem["rule"]) == (503, "not_executed", "audit")
    assert "space" not in response.text
    assert upstream.sent == []


def test_without_the_setting_there_is_no_audit_log(settings: Settings, upstream: Recorder, tmp_path: Path) -> None:
    key = keys.add(Path(settings.keys), "r", "reader")
    client = create_app(msgspec.structs.replace(settings, audit=None), upstream).test_client()
    assert Sender(client, key).post("SELECT a FROM t").status_code == 200
    assert not list(tmp_path.glob("audit*"))


def limited(settings: Settings, upstream: Recorder, limits: Limits) -> Sender:
    key = keys.add(Path(settings.keys), "limited", "reader", limits=limits)
    return Sender(create_app(settings, upstream).test_client(), key)


def test_a_key_over_its_rate_is_answered_429_with_the_time_to_come_again(
    settings: Settings, upstream: Recorder
) -> None:
    sender = limited(settings, upstream, Limits(rate_per_second=0.001, burst=2))
    statuses = [sender.post("SELECT a FROM t").status_code for _ in range(2)]
    response = sender.post("SELECT a FROM t")
    problem = response.get_json()
    assert (statuses, response.status_code) == ([200, 200], 429)
    assert 990 < int(response.headers["Retry-After"]) <= 1000
    assert (problem["code"], problem["rule"], problem["retryable"]) == ("rate_limited", "rate", True)
    assert (len(upstream.sent), len(audited(settings))) == (2, 2)


def test_asking_for_the_nodes_counts_too(settings: Settings, upstream: Recorder) -> None:
    sender = limited(settings, upstream, Limits(rate_per_second=0.001, burst=1, max_concurrent=1))
    assert [sender.get("/nodes").status_code for _ in range(2)] == [200, 429]


def test_a_key_has_its_places_at_once_and_gets_them_back_with_each_end(
    settings: Settings, upstream: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = limited(settings, upstream, Limits(max_concurrent=1))
    nested: list[TestResponse] = []
    plain = upstream.post

    def asks_again(body: bytes, **arguments: Any) -> Reply:
        monkeypatch.setattr(upstream, "post", plain)
        nested.append(sender.post("SELECT a FROM t"))
        return plain(body, **arguments)

    monkeypatch.setattr(upstream, "post", asks_again)
    with sender.post("SELECT a FROM t") as response:
        assert response.status_code == 200
    assert (nested[0].status_code, nested[0].get_json()["rule"]) == (503, "max_concurrent")
    assert sender.post("hello").status_code == 422
    upstream.error = UpstreamFailed("the proxy was lost")
    assert sender.post("SELECT a FROM t").status_code == 502
    upstream.error = None
    assert sender.post("SELECT a FROM t").status_code == 200


def test_a_settings_file_with_a_mistake_is_refused_with_its_member(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "gatekeeper.toml"
    path.write_text('name = "g"\nlisten = "127.0.0.1:1"\nworkers = 0\n')
    monkeypatch.setenv("GATEKEEPER_CONFIG", str(path))
    with pytest.raises(SettingsError, match=r"gatekeeper.toml: .*"):
        create_app()
    monkeypatch.delenv("GATEKEEPER_CONFIG")
    with pytest.raises(SettingsError, match="GATEKEEPER_CONFIG"):
        create_app()
