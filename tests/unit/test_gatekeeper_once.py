"""The gatekeeper's part in exactly-once writes and in several statements at once."""

import json
from pathlib import Path
from typing import Any

import pytest

from contract.errors import BadRequest, Forbidden, GatekeeperError
from contract.exchange import Lost, NotConnected
from contract.messages import EndpointRequest as Endpoint
from contract.messages import Idempotency, ProxyRequest, Statement, decode
from contract.peers import Reply, failure_of
from gatekeeper import keys
from gatekeeper.analysis import analyse
from gatekeeper.app import create_app
from gatekeeper.settings import Settings
from tests.unit.test_gatekeeper import Recorder, Sender, settings, upstream

__all__ = ["settings", "upstream"]

POLICY = """
[roles.all]
kinds = ["select", "delete", "update", "call", "create_table"]
read = ["shop.*", "gatekeeper.*"]
write = ["shop.*", "gatekeeper.*"]
define = ["shop.*", "gatekeeper.*"]
procedures = ["shop.p"]
default_database = "shop"
"""
DELETE = "DELETE FROM customers WHERE id = 1"
READ = "SELECT a FROM customers"


@pytest.fixture
def sender(settings: Settings, upstream: Recorder) -> Sender:
    Path(settings.policy).write_text(POLICY)
    key = keys.add(Path(settings.keys), "web", "all")
    return Sender(create_app(settings, upstream).test_client(), key)


def test_a_write_with_a_key_is_forwarded_with_the_key_and_whose_it_is(sender: Sender, upstream: Recorder) -> None:
    assert sender.post(DELETE, headers={"Idempotency-Key": "order 17"}).status_code == 200
    assert upstream.sent[0].idempotency == Idempotency("order 17", "web")
    assert upstream.is_keyed


def test_a_read_needs_no_key_and_its_key_is_ignored(sender: Sender, upstream: Recorder) -> None:
    assert sender.post(READ, headers={"Idempotency-Key": "k"}).status_code == 200
    assert upstream.sent[0].idempotency is None
    assert not upstream.is_keyed


@pytest.mark.parametrize("key", ["", "k" * 256, "k" * 10_000, "k\x7f", "kl\xfcssel"], ids=lambda key: f"{len(key)}")
@pytest.mark.parametrize("query", [DELETE, READ], ids=["write", "read"])
def test_a_key_that_is_none_is_refused_and_nothing_executed(
    sender: Sender, upstream: Recorder, key: str, query: str
) -> None:
    response = sender.post(query, headers={"Idempotency-Key": key})
    assert (response.status_code, response.get_json()["rule"]) == (400, "idempotency_key")
    assert upstream.sent == []


@pytest.mark.parametrize("query", ["CALL p()", "CREATE TABLE t (id INT)"])
def test_what_may_commit_by_itself_can_have_no_key(sender: Sender, upstream: Recorder, query: str) -> None:
    assert sender.post(query).status_code == 200
    response = sender.post(query, headers={"Idempotency-Key": "k"})
    assert (response.status_code, response.get_json()["rule"]) == (400, "idempotency_key")
    assert len(upstream.sent) == 1


def test_that_an_answer_is_a_repeat_is_passed_on(sender: Sender, upstream: Recorder) -> None:
    upstream.reply = Reply(200, {"Content-Type": "application/json", "Idempotency-Replayed": "true"}, b"{}")
    assert sender.post(DELETE, headers={"Idempotency-Key": "k"}).headers["Idempotency-Replayed"] == "true"


def post_all(sender: Sender, *queries: str, **members: Any) -> Any:
    statements = [{"query": query} for query in queries]
    return sender.post(None, statements=statements, **members)


def test_several_statements_are_forwarded_as_one_write_where_one_of_them_writes(
    sender: Sender, upstream: Recorder
) -> None:
    assert post_all(sender, READ, DELETE).status_code == 200
    assert post_all(sender, READ, READ).status_code == 200
    assert [sent.effect for sent in upstream.sent] == ["write", "read"]
    assert upstream.sent[0].statements == [Statement(READ), Statement(DELETE)]


@pytest.mark.parametrize(
    ("query", "status", "rule"),
    [
        ("SELECT a FROM secret.t", 403, "read"),
        ("INSERT INTO customers VALUES (1)", 403, "kind"),
        ("CALL p()", 400, "statements"),
        ("CREATE TABLE t (id INT)", 400, "statements"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_one_statement_that_may_not_run_keeps_all_from_running(
    sender: Sender, upstream: Recorder, query: str, status: int, rule: str, *, first: bool
) -> None:
    response = post_all(sender, *((query, DELETE) if first else (DELETE, query)))
    assert (response.status_code, response.get_json()["rule"]) == (status, rule)
    assert upstream.sent == []


def test_a_json_path_among_several_statements_is_bounded_by_its_own_parameters(
    sender: Sender, upstream: Recorder
) -> None:
    extract = {"query": "SELECT JSON_EXTRACT(a, ?) FROM customers", "params": ["$" + "[0]" * 5000]}
    response = sender.post(None, statements=[{"query": READ}, extract])
    assert (response.status_code, response.get_json()["code"]) == (403, "forbidden")
    assert upstream.sent == []


def test_the_audit_log_has_each_statement_with_the_requests_verdict(settings: Settings, sender: Sender) -> None:
    post_all(sender, READ, DELETE)
    post_all(sender, DELETE, "SELECT a FROM secret.t")
    lines = [json.loads(line) for line in Path(settings.audit or "").read_text().splitlines()]
    told = [[line.get(name) for name in ("verdict", "kind", "rule")] for line in lines if "verdict" in line]
    assert told == [
        ["allowed", "select", None],
        ["allowed", "delete", None],
        ["refused", "delete", "read"],
        ["refused", "select", "read"],
    ]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM gatekeeper.ledger",
        "SELECT * FROM `Gatekeeper`.ledger",
        "SELECT a FROM customers WHERE id IN (SELECT id FROM gatekeeper.ledger)",
        "DELETE FROM gatekeeper.ledger WHERE expires > 0",
        "DESCRIBE gatekeeper.ledger",
        "SHOW TABLES FROM gatekeeper",
        "CREATE TABLE gatekeeper.t (id INT)",
        "CALL gatekeeper.p()",
        "EXPLAIN SELECT * FROM gatekeeper.ledger",
    ],
)
def test_the_systems_own_tables_are_open_to_no_statement_whatever_the_policy_says(query: str) -> None:
    with pytest.raises(Forbidden) as refused:
        analyse(query, "shop")
    assert refused.value.rule == "own_schema"


def test_the_systems_own_schema_is_no_default_one() -> None:
    with pytest.raises(Forbidden):
        analyse("SELECT 1", "GateKeeper")


def test_the_own_schema_is_closed_in_report_only_mode_too(settings: Settings, upstream: Recorder) -> None:
    Path(settings.policy).write_text(POLICY + "report_only = true\n")
    sender = Sender(create_app(settings, upstream).test_client(), keys.add(Path(settings.keys), "web", "all"))
    response = sender.post("SELECT * FROM gatekeeper.ledger")
    assert (response.status_code, response.get_json()["rule"]) == (403, "own_schema")


FORMS = {
    "neither": (b"{}", "one of"),
    "both": (b'{"query": "SELECT 1", "statements": [{"query": "SELECT 1"}]}', "one of"),
    "params beside statements": (b'{"statements": [{"query": "SELECT ?"}], "params": [1]}', "its own `params`"),
    "none": (b'{"statements": []}', "length >= 1"),
    "too many": (b'{"statements": [' + b", ".join([b'{"query": "SELECT 1"}'] * 101) + b"]}", "length <= 100"),
    "an empty one": (b'{"statements": [{"query": ""}]}', "$.statements"),
    "one with an unknown member": (b'{"statements": [{"query": "SELECT 1", "database": "shop"}]}', "unknown field"),
}


@pytest.mark.parametrize(("body", "reason"), FORMS.values(), ids=FORMS)
def test_a_request_is_either_one_statement_or_several(body: bytes, reason: str) -> None:
    with pytest.raises(BadRequest) as refused:
        decode(body, Endpoint)
    assert reason in refused.value.detail


@pytest.mark.parametrize("effect", ["read", "call", "schema"])
def test_a_proxy_takes_a_key_with_writes_alone(effect: str) -> None:
    body = json.dumps({"query": "X", "effect": effect, "idempotency": {"key": "k", "owner": "o"}}).encode()
    with pytest.raises(BadRequest, match="writes alone"):
        decode(body, ProxyRequest)


# the error, what it was, and then: the outcome, and whether the same request may be sent again
LOST: dict[str, tuple[Exception, dict[str, bool], str, bool]] = {
    "a read": (Lost("x"), {"is_read": True, "is_keyed": False}, "rolled_back", True),
    "a write": (Lost("x"), {"is_read": False, "is_keyed": False}, "unknown", False),
    "a write with a key": (Lost("x"), {"is_read": False, "is_keyed": True}, "unknown", True),
    "a write with a key, too late": (TimeoutError(), {"is_read": False, "is_keyed": True}, "unknown", True),
    "a write, too late": (TimeoutError(), {"is_read": False, "is_keyed": False}, "unknown", False),
    "not connected": (NotConnected("x"), {"is_read": False, "is_keyed": False}, "not_executed", True),
}


@pytest.mark.parametrize(("error", "kind", "outcome", "again"), LOST.values(), ids=LOST)
def test_what_may_be_sent_to_another_proxy_after_one_was_lost(
    error: Exception, kind: dict[str, bool], outcome: str, again: bool
) -> None:
    failure: GatekeeperError = failure_of("proxy", error, **kind)
    assert (failure.outcome, failure.retryable) == (outcome, again)
