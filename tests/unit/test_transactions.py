"""How the gatekeeper finds a transaction's proxy, and what it asks of others (gatekeeper/transactions.py)."""

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from contract.errors import Unavailable
from contract.peers import Reply
from contract.transactions import ProxyBegin, ProxyEnd, ProxyStatement, begun_at, is_of, new_id
from gatekeeper import keys
from gatekeeper.app import create_app
from gatekeeper.settings import Settings
from tests.unit.pretended_upstream import PretendedUpstream

URLS = ["https://10.0.0.1:8443", "https://10.0.0.2:8443"]
POLICY = """\
[roles.app]
kinds = ["select", "insert", "call"]
read = ["shop.*"]
write = ["shop.*"]
procedures = ["shop.count_all"]
default_database = "shop"
implementations = ["direct_hit", "customized_hit"]
max_transactions = 2
"""


class Proxies(PretendedUpstream):
    """Two proxies, of which some can't be reached; what they were asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, bytes, dict[str, Any]]] = []
        self.down: set[str] = set()

    def ask(self, method: str, path: str, body: bytes, **arguments: Any) -> Reply:
        self.asked.append((path, body, arguments))
        if arguments["at"] in self.down and arguments["nowhere_else"]:
            raise Unavailable("no proxy can be reached", rule="no_proxy")
        return super().ask(method, path, body, **arguments)

    def urls(self) -> list[str]:
        return URLS


@pytest.fixture
def proxies() -> Proxies:
    return Proxies()


class Sender:
    def __init__(self, client: FlaskClient, key: str) -> None:
        self._client, self._headers = client, {"Authorization": f"Bearer {key}"}

    def post(self, path: str, **members: Any) -> TestResponse:
        return self._client.post(path, json=members, headers=self._headers)


@pytest.fixture
def sender(settings: Settings, proxies: Proxies) -> Sender:
    return Sender(create_app(settings, proxies).test_client(), keys.add(Path(settings.keys), "web", "app"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    return Settings(
        name="gatekeeper1",
        listen="127.0.0.1:1",
        proxies=tuple(URLS),
        policy=str(policy),
        keys=str(tmp_path / "keys.json"),
        runtime_directory=str(tmp_path),
        log_level="ERROR",
    )


def test_an_id_says_whose_it_is_and_since_when() -> None:
    id_ = new_id(URLS[0])
    assert (len(id_), is_of(id_, URLS[0]), is_of(id_, URLS[1])) == (32, True, False)
    assert abs(begun_at(id_) - time.time()) < 60
    assert new_id(URLS[0]) != new_id(URLS[0])


def test_it_is_begun_at_the_next_proxy_where_the_first_can_not_be_reached(sender: Sender, proxies: Proxies) -> None:
    proxies.down.add(URLS[0])
    assert sender.post("/transactions", implementation="direct").status_code == 200
    assert [arguments["at"] for _, _, arguments in proxies.asked] == URLS
    begun = [msgspec.json.decode(body, type=ProxyBegin) for _, body, _ in proxies.asked]
    assert [is_of(each.id, url) for each, url in zip(begun, URLS, strict=True)] == [True, True]
    assert {(each.owner, each.most_open, each.implementation, each.mode) for each in begun} == {
        ("web", 2, "direct_hit", "write")
    }


def test_none_is_begun_where_no_proxy_can_be_reached(sender: Sender, proxies: Proxies) -> None:
    proxies.down.update(URLS)
    answer = sender.post("/transactions")
    assert (answer.status_code, answer.get_json()["outcome"]) == (503, "not_executed")


def test_a_statement_goes_to_its_proxy_and_to_no_other(sender: Sender, proxies: Proxies) -> None:
    id_ = new_id(URLS[1])
    assert sender.post(f"/transactions/{id_}", query="SELECT a FROM t").status_code == 200
    (path, body, arguments), *others = proxies.asked
    assert (path, arguments["at"], arguments["nowhere_else"], others) == (f"/transactions/{id_}", URLS[1], True, [])
    assert not arguments["is_read"]  # sent again it could take effect twice within the transaction
    message = msgspec.json.decode(body, type=ProxyStatement)
    assert (message.owner, message.request.effect, message.request.database) == ("web", "read", "shop")


def test_an_end_may_be_asked_of_any_proxy_but_of_its_own_first(sender: Sender, proxies: Proxies) -> None:
    id_ = new_id(URLS[1])
    assert sender.post(f"/transactions/{id_}/commit").status_code == 200
    ((path, body, arguments),) = proxies.asked
    assert path == f"/transactions/{id_}/commit"
    assert (arguments["at"], arguments["nowhere_else"], arguments["is_keyed"]) == (URLS[1], False, True)
    assert msgspec.json.decode(body, type=ProxyEnd).owner == "web"


def test_a_transaction_of_a_proxy_that_is_gone_can_only_be_ended(sender: Sender, proxies: Proxies) -> None:
    id_ = new_id("https://10.0.0.9:8443")
    assert sender.post(f"/transactions/{id_}", query="SELECT a FROM t").status_code == 404
    assert proxies.asked == []
    assert sender.post(f"/transactions/{id_}/rollback").status_code == 200
    assert [arguments["at"] for _, _, arguments in proxies.asked] == [None]


def test_who_may_not_write_gets_the_account_that_can_not_whatever_it_asks_for(
    settings: Settings, proxies: Proxies
) -> None:
    policy = POLICY.replace('"insert", "call"', '"explain"').replace("write =", "# ").replace("procedures =", "# ")
    Path(settings.policy).write_text(policy)
    sender = Sender(create_app(settings, proxies).test_client(), keys.add(Path(settings.keys), "web", "app"))
    assert sender.post("/transactions", read_only=False).status_code == 200
    assert msgspec.json.decode(proxies.asked[0][1], type=ProxyBegin).mode == "read"


@pytest.mark.parametrize("path", ["/transactions", "/transactions/ID/commit", "/transactions/ID/rollback"])
def test_who_may_have_none_begins_and_ends_none(settings: Settings, proxies: Proxies, path: str) -> None:
    Path(settings.policy).write_text(POLICY.replace("max_transactions = 2", ""))
    sender = Sender(create_app(settings, proxies).test_client(), keys.add(Path(settings.keys), "web", "app"))
    answer = sender.post(path.replace("ID", new_id(URLS[0])))
    assert (answer.status_code, answer.get_json()["rule"], proxies.asked) == (403, "max_transactions", [])


def test_its_beginning_and_its_end_are_in_the_audit_log(settings: Settings, proxies: Proxies, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(settings, audit=str(tmp_path / "audit.log"))
    sender = Sender(create_app(settings, proxies).test_client(), keys.add(Path(settings.keys), "web", "app"))
    id_ = new_id(URLS[0])
    for path in ("/transactions", f"/transactions/{id_}/commit", f"/transactions/{id_}/rollback"):
        assert sender.post(path).status_code == 200
    lines = [msgspec.json.decode(line) for line in (tmp_path / "audit.log").read_bytes().splitlines()[1:]]
    assert [(line["key"], line["kind"], line.get("transaction")) for line in lines] == [
        ("web", "transaction_begin", None),
        ("web", "transaction_commit", id_),
        ("web", "transaction_rollback", id_),
    ]


def test_what_is_run_in_it_says_in_the_audit_log_in_which(settings: Settings, proxies: Proxies, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(settings, audit=str(tmp_path / "audit.log"))
    sender = Sender(create_app(settings, proxies).test_client(), keys.add(Path(settings.keys), "web", "app"))
    id_ = new_id(URLS[0])
    asked = (id_, "INSERT INTO t (a) VALUES (1)"), (id_, "SELECT a FROM other.t"), ("x", "SELECT a FROM t")
    for path, query in asked:
        sender.post(f"/transactions/{path}", query=query)
    lines = [msgspec.json.decode(line) for line in (tmp_path / "audit.log").read_bytes().splitlines()[1:]]
    assert [(line["verdict"], line.get("transaction")) for line in lines] == [
        ("allowed", id_),
        ("refused", id_),
        ("refused", None),
    ]


@pytest.mark.parametrize(
    ("path", "members", "refusal"),
    [
        ("/transactions", {"implementation": "random"}, (403, "implementation")),
        ("/transactions", {"implementation": "nearest"}, (400, None)),
        ("/transactions", {"timeout_ms": 0}, (400, None)),
        ("/transactions", {"query": "SELECT 1"}, (400, None)),
        ("/transactions/ID", {"query": "CALL count_all()"}, (400, "statements")),
        ("/transactions/ID", {"query": "SELECT a FROM other.t"}, (403, "read")),
        ("/transactions/ID", {"query": "SELECT a FROM t", "implementation": "direct"}, (400, "implementation")),
        ("/transactions/ID", {"query": "SELECT a FROM t", "consistency_token": "data1"}, (400, "consistency_token")),
        ("/transactions", {"consistency_token": "a b"}, (400, None)),
        ("/transactions/ID", {"statements": [{"query": "SELECT a FROM t"}]}, (400, "statements")),
        ("/transactions/short", {"query": "SELECT a FROM t"}, (404, None)),
        ("/transactions/short/commit", {}, (404, None)),
    ],
)
def test_bad_input_is_refused_and_nothing_sent(
    sender: Sender, proxies: Proxies, path: str, members: dict[str, Any], refusal: tuple[int, str | None]
) -> None:
    answer = sender.post(path.replace("ID", new_id(URLS[0])), **members)
    assert (answer.status_code, answer.get_json().get("rule")) == refusal
    assert proxies.asked == []
