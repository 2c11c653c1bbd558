"""Writes with a key that the client sends again."""

from typing import Any

import msgspec
import pytest

from client import Client, connect
from client.repeating import repeated
from contract.errors import BadRequest, Conflict, DatabaseRefused, GatekeeperError, Unavailable, UpstreamFailed
from contract.messages import StatementResult
from tests.unit.test_client import ANSWER, KEY, Gateway, _client, _gateway

__all__ = ["_client", "_gateway"]

INSERT = "INSERT INTO t VALUES (?)"


class Attempts:
    """Raises one error after the other, and then answers."""

    def __init__(self, *errors: GatekeeperError) -> None:
        self._errors = list(errors)
        self.left_ms: list[int] = []

    def __call__(self, left_ms: int) -> str:
        self.left_ms.append(left_ms)
        if self._errors:
            raise self._errors.pop(0)
        return "answered"


def test_a_lost_answer_is_asked_for_again_with_the_time_that_is_left() -> None:
    attempts = Attempts(UpstreamFailed("lost", outcome="unknown"), Unavailable("busy", retry_after_s=None))
    assert repeated(attempts, 10_000) == "answered"
    assert 10_000 >= attempts.left_ms[0] > attempts.left_ms[1] > attempts.left_ms[2]


@pytest.mark.parametrize("error", [DatabaseRefused("no", outcome="rolled_back"), Conflict("no"), BadRequest("no")])
def test_a_definite_answer_ends_it(error: GatekeeperError) -> None:
    attempts = Attempts(error)
    with pytest.raises(type(error)):
        repeated(attempts, 10_000)
    assert len(attempts.left_ms) == 1
    assert error.outcome in {"rolled_back", "not_executed"}


def test_when_the_time_is_up_the_outcome_is_unknown_where_some_attempt_may_have_taken_effect() -> None:
    attempts = Attempts(UpstreamFailed("lost", outcome="unknown"), *[Unavailable("no", retry_after_s=None)] * 100)
    with pytest.raises(Unavailable) as late:
        repeated(attempts, 300)
    assert late.value.outcome == "unknown"
    assert len(attempts.left_ms) > 1


def test_every_attempt_has_the_same_key_and_the_same_statement(gateway: Gateway, client: Client) -> None:
    def reply(handler: Any) -> None:
        if len(gateway.seen) < 3:
            handler.close_connection = True
            handler.connection.close()
        else:
            gateway.answers(ANSWER)
            gateway.reply(handler)

    gateway.reply = reply
    assert client.query(INSERT, [1], idempotency_key="order 1").node == ANSWER.node
    assert [request.headers["Idempotency-Key"] for request in gateway.seen] == ["order 1"] * 3
    assert {(body["query"], *body["params"]) for body in gateway.bodies()} == {(INSERT, 1)}


@pytest.mark.parametrize("key", ["", "k" * 256, " k", "k ", "k\n", "ü"])
def test_a_key_that_would_be_refused_is_not_sent(gateway: Gateway, client: Client, key: str) -> None:
    with pytest.raises(BadRequest):
        client.query(INSERT, [1], idempotency_key=key)
    assert gateway.seen == []


def test_several_statements_have_a_result_each(gateway: Gateway, client: Client) -> None:
    result = StatementResult(ANSWER.columns, ANSWER.rows, 0, None, truncated=False)
    written = StatementResult([], [], 1, 7, truncated=False)
    gateway.answers(msgspec.structs.replace(ANSWER, columns=[], rows=[], results=[written, result]))
    first, second = client.transaction([(INSERT, [1]), ("SELECT 1", None)], database="rental")
    assert (first.affected_rows, first.last_insert_id, len(second), second.node) == (1, 7, 2, ANSWER.node)
    (body,) = gateway.bodies()
    assert body["statements"] == [{"query": INSERT, "params": [1]}, {"query": "SELECT 1"}]


def test_a_gateway_that_knows_no_statements_is_found_out(gateway: Gateway, client: Client) -> None:
    gateway.answers(ANSWER)
    with pytest.raises(UpstreamFailed, match="without their results"):
        client.transaction([(INSERT, [1])])


@pytest.mark.parametrize(
    ("statement", "keyed"), [(INSERT, True), (" update t set a = ?", True), ("SELECT ?", False), ("CALL p(?)", False)]
)
def test_a_connection_that_repeats_writes_gives_each_a_key_of_its_own(
    gateway: Gateway, statement: str, *, keyed: bool
) -> None:
    gateway.answers(msgspec.structs.replace(ANSWER, columns=[], rows=[]))
    with connect(gateway.url, KEY, repeat_writes=True) as connection:
        for _ in range(2):
            connection.cursor().execute(statement, [1])
    keys = {request.headers.get("Idempotency-Key") for request in gateway.seen}
    assert len(keys) == (2 if keyed else 1)
    assert (None in keys) is not keyed
