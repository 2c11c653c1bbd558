"""Who comes in, and how much at a time: limits and end of a role, and wrong keys. No proxy is behind the gatekeeper."""

import json
import os
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from structlog.testing import CapturingLogger
from werkzeug.test import TestResponse

from contract.peers import Reply
from gatekeeper import gate, guesses, keys
from gatekeeper.app import create_app
from gatekeeper.rates import Limits
from gatekeeper.settings import Settings
from tests.unit.pretended_upstream import PretendedUpstream

QUERY = {"query": "SELECT a FROM t"}
POLICY = """
[roles.reader]
kinds = ["select"]
read = ["shop.*"]
default_database = "shop"
"""


class Proxy(PretendedUpstream):
    """An upstream that answers everything, and says how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def post(self, body: bytes, **_arguments: Any) -> Reply:
        assert body
        self.asked += 1
        return self.reply


class Gatekeeper:
    """A gatekeeper with keys of the role `reader`, in the words that tests use."""

    def __init__(self, directory: Path, trusted_proxy: str | None = "127.0.0.1") -> None:
        self.proxy = Proxy()
        self._policy = directory / "policy.toml"
        self._moments = count(1_000_000_000)
        self.put(POLICY)
        self._keys = directory / "keys.json"
        self.audit = directory / "audit.log"
        self.settings = Settings(
            name="gatekeeper1",
            listen="127.0.0.1:1",
            proxies=("http://127.0.0.1:1",),
            policy=str(self._policy),
            keys=str(self._keys),
            runtime_directory=str(directory),
            audit=str(self.audit),
            trusted_proxy=trusted_proxy,
        )
        self._client: FlaskClient = create_app(self.settings, self.proxy).test_client()

    def put(self, policy: str) -> None:
        """Puts a policy in place, as of long ago, so that it counts with the next request."""
        self._policy.write_text(policy)
        moment = next(self._moments)
        os.utime(self._policy, (moment, moment))

    def key(self, name: str, limits: Limits | None = None) -> str:
        return keys.add(self._keys, name, "reader", limits=limits or Limits())

    def ask(self, key: str | None, path: str = "/endpoint", *, client: str | None = None) -> TestResponse:
        """An exchange; `client` is the address that nginx would name."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        headers |= {"X-Forwarded-For": f"10.9.8.7, {client}"} if client else {}
        if path == "/endpoint":
            return self._client.post(path, json=QUERY, headers=headers)
        return self._client.get(path, headers=headers)

    def statuses(self, key: str | None, asked: int, path: str = "/endpoint", **where: str) -> list[int]:
        found = []
        for _ in range(asked):
            with self.ask(key, path, **where) as response:
                found.append(response.status_code)
        return found


@pytest.fixture
def gatekeeper(tmp_path: Path) -> Gatekeeper:
    return Gatekeeper(tmp_path)


def limited(limits: str) -> str:
    return f"{POLICY}[roles.reader.limits]\n{limits}\n"


def test_a_roles_keys_share_its_rate_and_one_more_is_answered_429(gatekeeper: Gatekeeper) -> None:
    gatekeeper.put(limited("rate_per_second = 0.001\nburst = 3"))
    web, app = gatekeeper.key("web"), gatekeeper.key("app")
    assert [*gatekeeper.statuses(web, 2), *gatekeeper.statuses(app, 1)] == [200, 200, 200]
    for path in ("/endpoint", "/nodes"):
        response = gatekeeper.ask(app, path)
        problem = response.get_json()
        assert (response.status_code, problem["code"], problem["rule"]) == (429, "rate_limited", "role_rate")
        assert 990 < int(response.headers["Retry-After"]) <= 1000
    assert gatekeeper.proxy.asked == 3


def test_a_key_with_a_tighter_limit_of_its_own_leaves_the_rest_to_the_others(gatekeeper: Gatekeeper) -> None:
    gatekeeper.put(limited("rate_per_second = 0.001\nburst = 3"))
    web = gatekeeper.key("web", Limits(rate_per_second=0.001, burst=1))
    assert gatekeeper.statuses(web, 5) == [200, 429, 429, 429, 429]
    assert gatekeeper.ask(web).get_json()["rule"] == "rate"
    assert gatekeeper.statuses(gatekeeper.key("app"), 3) == [200, 200, 429]


def test_a_roles_requests_at_once_are_of_all_its_keys(gatekeeper: Gatekeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    gatekeeper.put(limited("max_concurrent = 1"))
    web, app = gatekeeper.key("web"), gatekeeper.key("app")
    nested: list[TestResponse] = []
    plain = gatekeeper.proxy.post

    def asks_again(body: bytes, **arguments: Any) -> Reply:
        nested.append(gatekeeper.ask(app))
        return plain(body, **arguments)

    monkeypatch.setattr(gatekeeper.proxy, "post", asks_again)
    with gatekeeper.ask(web) as response:
        assert response.status_code == 200
    assert (nested[0].status_code, nested[0].get_json()["rule"]) == (503, "role_max_concurrent")
    monkeypatch.setattr(gatekeeper.proxy, "post", plain)
    assert gatekeeper.statuses(app, 2) == [200, 200]


def test_changed_limits_of_a_role_count_with_the_next_request(gatekeeper: Gatekeeper) -> None:
    web = gatekeeper.key("web")
    assert gatekeeper.statuses(web, 3) == [200, 200, 200]
    gatekeeper.put(limited("rate_per_second = 0.001"))
    assert gatekeeper.statuses(web, 2) == [200, 429]
    gatekeeper.put(POLICY)
    assert gatekeeper.statuses(web, 2) == [200, 200]


@pytest.mark.parametrize("mode", ["", "report_only = true\n"], ids=["holding", "reporting only"])
def test_a_role_that_has_expired_is_refused_and_audited(gatekeeper: Gatekeeper, mode: str) -> None:
    web = gatekeeper.key("web")
    assert gatekeeper.statuses(web, 1) == [200]
    gatekeeper.put(f"{POLICY}{mode}expires = 2026-01-31T18:00:00+01:00\n")
    for path in ("/endpoint", "/nodes"):
        response = gatekeeper.ask(web, path)
        assert (response.status_code, response.get_json()["rule"]) == (403, "expired")
    assert gatekeeper.proxy.asked == 1
    last = json.loads(gatekeeper.audit.read_text().splitlines()[-1])
    assert (last["key"], last["verdict"], last["rule"]) == ("web", "refused", "expired")


def test_a_role_is_good_until_it_expires(gatekeeper: Gatekeeper) -> None:
    web = gatekeeper.key("web")
    end = time.time() + 1.5
    gatekeeper.put(
        f'{POLICY}expires = "{time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(end))}.{end % 1 * 1e6:06.0f}Z"\n'
    )
    assert gatekeeper.statuses(web, 1) == [200]
    while gatekeeper.statuses(web, 1) == [200]:
        assert time.time() < end + 10
    assert (time.time() >= end, gatekeeper.statuses(web, 1)) == (True, [403])


@pytest.mark.parametrize("path", ["/endpoint", "/nodes"])
@pytest.mark.parametrize("wrong", ["gk_wrong", None], ids=["a wrong key", "no key"])
def test_wrong_keys_are_slowed_down_and_a_right_one_is_not(
    gatekeeper: Gatekeeper, monkeypatch: pytest.MonkeyPatch, path: str, wrong: str | None
) -> None:
    monkeypatch.setattr(guesses, "RATE_PER_SECOND", 0.001)
    web = gatekeeper.key("web")
    assert gatekeeper.statuses(wrong, guesses.BURST + 10, path) == [401] * guesses.BURST + [429] * 10
    response = gatekeeper.ask(wrong, path)
    problem = response.get_json()
    assert (problem["code"], problem["rule"], problem["outcome"]) == ("rate_limited", "wrong_keys", "not_executed")
    assert 990 < int(response.headers["Retry-After"]) <= 1000
    assert gatekeeper.statuses(web, 5, path) == [200] * 5


@pytest.mark.parametrize("trusted", [True, False])
def test_clients_behind_the_trusted_proxy_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    monkeypatch.setattr(guesses, "BURST", 2)
    monkeypatch.setattr(guesses, "RATE_PER_SECOND", 0.001)
    gatekeeper = Gatekeeper(tmp_path, trusted_proxy="127.0.0.1" if trusted else None)
    assert gatekeeper.statuses("gk_wrong", 3, client="203.0.113.7") == [401, 401, 429]
    assert gatekeeper.statuses("gk_wrong", 2, client="203.0.113.8") == ([401, 401] if trusted else [429, 429])


def test_a_request_that_is_slowed_down_leaves_no_line_of_its_own(
    gatekeeper: Gatekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guesses, "BURST", 2)
    monkeypatch.setattr(guesses, "RATE_PER_SECOND", 0.001)
    monkeypatch.setattr(gate, "log", requests := CapturingLogger())
    monkeypatch.setattr(guesses, "log", warnings := CapturingLogger())
    gatekeeper.statuses("gk_wrong", 5)
    assert [call.kwargs["status"] for call in requests.calls] == [401, 401]
    assert [(call.method_name, call.kwargs) for call in warnings.calls] == [
        ("warning", {"network": "127.0.0.1", "count": 1})
    ]
    assert gatekeeper.audit.read_text().count("\n") == 1
