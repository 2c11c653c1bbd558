"""Messages, errors and roles: what crosses a border between processes."""

import msgspec
import pytest

from contract.errors import (
    BY_CODE,
    BadRequest,
    DatabaseRefused,
    GatekeeperError,
    Problem,
    Unavailable,
    error_of,
    error_types,
)
from contract.messages import EndpointRequest, ProxyRequest, decode
from contract.openapi import document
from contract.roles import dns_name, roles_of
from contract.settings import SettingsError, split_address

BODIES = {
    "empty": (b"", "is empty"),
    "not JSON": (b"SELECT 1", "not JSON"),
    "cut off": (b'{"query": "SELECT 1"', "not JSON"),
    "not UTF-8": (b'{"query": "\xff"}', "not JSON"),
    "half a surrogate pair": (b'{"query": "\\ud800"}', "not JSON"),
    "not an object": (b'["SELECT 1"]', "Expected `object`, got `array`"),
    "null": (b"null", "Expected `object`, got `null`"),
    "no query": (b"{}", "one of `query` and `statements` is needed"),
    "empty query": (b'{"query": ""}', "length >= 1"),
    "a query of the wrong type": (b'{"query": 1}', "Expected `str | null`, got `int` - at `$.query`"),
    "an unknown member": (b'{"query": "SELECT 1", "sql": 1}', "unknown field `sql`"),
    "params of the wrong type": (b'{"query": "SELECT 1", "params": "x"}', "at `$.params`"),
    "a schema's name that is none": (b'{"query": "SELECT 1", "database": "a`b"}', "at `$.database`"),
    "a timeout of zero": (b'{"query": "SELECT 1", "timeout_ms": 0}', "at `$.timeout_ms`"),
    "a timeout that is too long": (b'{"query": "SELECT 1", "timeout_ms": 600001}', "at `$.timeout_ms`"),
    "a timeout that is no integer": (b'{"query": "SELECT 1", "timeout_ms": 1.5}', "at `$.timeout_ms`"),
    "nested too deeply": (b'{"query": "x", "params": ' + b"[" * 100_000, "nested too deeply"),
}


@pytest.mark.parametrize(("body", "reason"), BODIES.values(), ids=BODIES.keys())
def test_a_body_that_does_not_fit_is_refused_with_the_place_and_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        decode(body, EndpointRequest)
    assert reason in refusal.value.detail


def test_a_missing_label_is_a_write() -> None:
    assert decode(b'{"query": "SELECT 1"}', ProxyRequest).effect == "write"


def test_integers_of_any_size_are_decoded_without_loss() -> None:
    message = decode(b'{"query": "SELECT ?", "params": [123456789012345678901234567890]}', EndpointRequest)
    assert message.params == [123456789012345678901234567890]


@pytest.mark.parametrize("kind", error_types(), ids=lambda kind: kind.code)
def test_every_error_survives_its_way_as_a_problem(kind: type[GatekeeperError]) -> None:
    sent = kind("why", outcome="unknown", retryable=True, mysql_errno=1213, sqlstate="40001", rule="r")
    problem = msgspec.json.decode(msgspec.json.encode(sent.problem("id")), type=Problem)
    received = error_of(problem, retry_after_s=7)
    assert BY_CODE[kind.code].status == received.status
    assert received.problem("id") == problem
    assert received.retry_after_s == 7


def test_only_the_root_and_its_500_share_a_code() -> None:
    codes = [kind.code for kind in error_types()]
    assert [code for code in set(codes) if codes.count(code) > 1] == ["internal_error"]


def test_a_problem_always_says_outcome_and_retryable_and_nothing_that_it_does_not_know() -> None:
    members = msgspec.json.decode(msgspec.json.encode(BadRequest("why").problem("id")))
    assert members["outcome"] == "not_executed"
    assert members["retryable"] is False
    assert "mysql_errno" not in members
    assert msgspec.json.decode(msgspec.json.encode(DatabaseRefused("x", mysql_errno=1146).problem("id")))["mysql_errno"]


def test_unavailable_may_be_retried_after_a_second() -> None:
    assert (Unavailable("busy").retryable, Unavailable("busy").retry_after_s) == (True, 1)


def test_an_error_of_a_newer_gatekeeper_is_still_an_error() -> None:
    problem = msgspec.structs.replace(BadRequest("why").problem("id"), code="invented_later")
    assert type(error_of(problem)) is GatekeeperError


def test_a_certificates_roles_are_its_names_under_our_domain() -> None:
    names = (("DNS", dns_name("proxy")), ("DNS", "gatekeeper.example"), ("IP Address", "127.0.0.1"))
    assert roles_of({"subjectAltName": names}) == {"proxy"}
    assert roles_of(None) == roles_of({}) == set()


@pytest.mark.parametrize("listen", ["8080", "127.0.0.1", "127.0.0.1:http", ""])
def test_an_address_without_a_port_is_refused(listen: str) -> None:
    with pytest.raises(SettingsError):
        split_address(listen)


def test_the_openapi_document_refers_only_to_what_it_has() -> None:
    text = msgspec.json.encode(document()).decode()
    schemas = document()["components"]["schemas"]
    references = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert references <= schemas.keys()
    assert {"EndpointRequest", "Answer", "Problem", "NodesAnswer"} <= references
