"""The gatekeeper without a proxy: what it forwards, what it never forwards, and what it says when nobody is there."""

import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from contract.errors import GatekeeperError, UpstreamFailed
from contract.messages import ProxyRequest
from contract.settings import SettingsError
from gatekeeper import keys
from gatekeeper.app import create_app
from gatekeeper.settings import Settings
from gatekeeper.upstream import Reply

POLICY = """
[roles.reader]
kinds = ["select"]
read = ["shop.*"]
default_database = "shop"
default_implementation = "random_hit"
implementations = ["random_hit", "customized_hit"]
max_rows = 7
max_timeout_ms = 2000

[roles.writer]
kinds = ["select", "delete"]
read = ["shop.*"]
write = ["shop.*"]
default_database = "shop"
"""


class Recorder:
    """An upstream that keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[ProxyRequest] = []
        self.arguments: dict[str, Any] = {}
        self.reply = Reply(200, {"Content-Type": "application/json", "X-Gatekeeper-Node": "data1"}, b'{"x":1}')
        self.error: GatekeeperError | None = None

    def post(self, body: bytes, *, request_id: str, accept: str, timeout_ms: int, is_read: bool) -> Reply:
        self.sent.append(msgspec.json.decode(body, type=ProxyRequest))
        self.arguments = {"request_id": request_id, "accept": accept, "timeout_ms": timeout_ms, "is_read": is_read}
        if self.error:
            raise self.error
        return self.reply

    def get_each(self, _path: str) -> list[bytes]:
        return []


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

    def post(self, query: str, headers: dict[str, str] | None = None, **members: Any) -> TestResponse:
        return self._client.post(
            "/endpoint", json={"query": query, **members}, headers={**self._headers, **(headers or {})}
        )

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
        )
    ]
    assert upstream.arguments == {"request_id": "r1", "accept": "text/csv", "timeout_ms": 2000, "is_read": True}


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
