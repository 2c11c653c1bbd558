"""The ledger and transactions without a server: what is sent, and what is known when it fails."""

import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec
import pymysql
import pytest

from contract.errors import BadRequest, Conflict, DatabaseRefused, DeadlineExceeded, Forbidden, GatekeeperError
from contract.messages import Answer, Column, Idempotency, ProxyRequest, Statement, StatementResult
from proxy import ledger
from proxy.connection import Connection, Rows
from proxy.failures import ConnectionLost, Failure, NotSent, TemporaryFailure
from proxy.ledger import Claim, Known, Undecided, claim_of
from proxy.router import Course, Way
from proxy.transaction import Bounds, Uncommitted, transact, transact_once

KEYED = Idempotency("k", "web")
BASE = ProxyRequest(query="DELETE FROM t WHERE a = ?", params=[1], database="d", idempotency=KEYED)
ANSWER = Answer("r1", "data1", "direct_hit", 1, 1.5, [Column("a", "INT")], [[1]], 1, None, truncated=False)
CLAIM = Claim(b"k" * 32, b"r" * 32, 60)
LOST = pymysql.OperationalError(2013, "Lost connection")
DUPLICATE = pymysql.IntegrityError(1062, "Duplicate entry")
DEADLOCK = pymysql.OperationalError(1213, "Deadlock")


def changed(**members: Any) -> ProxyRequest:
    return msgspec.structs.replace(BASE, **members)


def claim(request: ProxyRequest) -> Claim:
    found = claim_of(request, 60)
    assert found is not None
    return found


def test_a_request_without_a_key_claims_nothing() -> None:
    assert claim_of(changed(idempotency=None), 60) is None


def test_a_caller_that_relies_on_a_key_for_longer_than_it_is_kept_is_refused() -> None:
    assert claim_of(changed(idempotency=Idempotency("key", "ann", keep_s=60)), 60) is not None
    with pytest.raises(BadRequest, match="kept for 59 s here, and the caller relies on 60 s") as refused:
        claim_of(changed(idempotency=Idempotency("key", "ann", keep_s=60)), 59)
    assert (refused.value.rule, refused.value.outcome) == ("idempotency_keep", "not_executed")


@pytest.mark.parametrize(
    "other",
    [
        changed(params=[2]),
        changed(params={"a": 1}),
        changed(query="DELETE FROM t WHERE a= ?"),
        changed(database="e"),
        changed(query=None, params=None, statements=[Statement(BASE.query or "", [1]), Statement("DELETE FROM u")]),
    ],
)
def test_a_claim_tells_one_request_from_another_under_the_same_key(other: ProxyRequest) -> None:
    assert claim(other).key == claim(BASE).key
    assert claim(other).request != claim(BASE).request


@pytest.mark.parametrize("how", [{"timeout_ms": 7}, {"implementation": "direct_hit"}, {"max_rows": 3}])
def test_how_a_request_is_to_be_run_is_no_part_of_it(how: dict[str, Any]) -> None:
    assert claim(changed(**how)) == claim(BASE)


@pytest.mark.parametrize("other", [Idempotency("k", "we"), Idempotency("bk", "we"), Idempotency("K", "web")])
def test_a_claims_key_is_that_of_owner_and_key_together(other: Idempotency) -> None:
    assert claim(changed(idempotency=other)).key != claim(BASE).key
    assert len(claim(changed(idempotency=other)).key) == 32


def test_the_order_of_named_parameters_does_not_matter() -> None:
    one, other = changed(params={"a": 1, "b": 2}), changed(params={"b": 2, "a": 1})
    assert claim(one) == claim(other)


def test_a_large_answer_is_kept_without_its_rows_and_says_so() -> None:
    rows = [["x" * 1000]] * 20
    kept = msgspec.json.decode(ledger.encoded(msgspec.structs.replace(ANSWER, rows=rows)), type=Answer)
    assert (kept.rows, kept.columns, kept.truncated, kept.affected_rows) == ([], [], True, 1)


def test_the_answer_to_the_most_statements_with_many_rows_finds_room() -> None:
    result = StatementResult([Column("a" * 64, "VARCHAR")] * 50, [["x" * 5000]], 2**40, 2**60, truncated=False)
    answer = msgspec.structs.replace(ANSWER, columns=[], rows=[], results=[result] * 100, affected_rows=2**47)
    kept = ledger.encoded(answer)
    assert len(kept) <= ledger.MOST_ANSWER_BYTES
    assert [each.affected_rows for each in msgspec.json.decode(kept, type=Answer).results or []] == [2**40] * 100


class FakeConnection:
    """Answers a statement by its first word: with an error, or rows; others with one changed row."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers
        self.ran: list[str] = []

    def hurry(self, _timeout_s: float) -> None:
        """Nothing to be done here."""

    def query(self, sql: str, *_: Any, **__: Any) -> Rows:
        outcome = self._outcome(sql)
        if isinstance(outcome, Exception):
            raise outcome
        return Rows([], outcome if isinstance(outcome, list) else [], 1, None, truncated=False, returned_rows=0)

    def send_all(self, *statements: str) -> list[Any]:
        outcomes = [self._outcome(statement) for statement in statements]
        if LOST in outcomes:
            raise LOST
        return outcomes

    def _outcome(self, sql: str) -> Any:
        word = sql.split(maxsplit=1)[0]
        self.ran.append(word)
        return self._answers.get(word, 1)


def bounds(**members: Any) -> Bounds:
    default = Bounds(10, 1000, None, time.monotonic() + 60, lambda _size: None)
    return msgspec.structs.replace(default, **members)


def once(connection: FakeConnection, *statements: str, **members: Any) -> list[Rows]:
    keeping: Callable[[Sequence[Rows]], str] = lambda _results: CLAIM.keeping(ANSWER)  # noqa: E731
    return transact_once(cast("Connection", connection), CLAIM, statements, bounds(**members), keeping)


def test_the_row_is_written_first_and_the_answer_and_the_commit_last() -> None:
    connection = FakeConnection()
    once(connection, "DELETE FROM t", "REPLACE INTO t VALUES (1)")
    assert connection.ran == ["SET", "INSERT", "DELETE", "REPLACE", "UPDATE", "COMMIT"]


@pytest.mark.parametrize("duplicate", [DUPLICATE, pymysql.OperationalError(1022, "Can't write; duplicate key")])
def test_a_key_that_is_known_runs_nothing_and_gives_the_first_answer(duplicate: pymysql.Error) -> None:
    connection = FakeConnection(INSERT=duplicate, SELECT=[(CLAIM.request, msgspec.json.encode(ANSWER))])
    with pytest.raises(Known) as known:
        once(connection, "DELETE FROM t")
    assert known.value.answer == ANSWER
    assert connection.ran == ["SET", "INSERT", "ROLLBACK", "SELECT"]


def test_a_write_that_is_known_without_its_answer_is_not_run_again_and_says_so() -> None:
    with pytest.raises(Known) as known:
        once(FakeConnection(INSERT=DUPLICATE, SELECT=[(CLAIM.request, None)]), "DELETE FROM t")
    assert known.value.answer.truncated


def test_a_key_of_another_request_is_a_conflict() -> None:
    with pytest.raises(Conflict):
        once(FakeConnection(INSERT=DUPLICATE, SELECT=[(b"x" * 32, b"{}")]), "DELETE FROM t")


def test_a_key_whose_row_is_gone_again_is_tried_once_more() -> None:
    with pytest.raises(Undecided):
        once(FakeConnection(INSERT=DUPLICATE, SELECT=[]), "DELETE FROM t")


@pytest.mark.parametrize("at", ["SET", "INSERT", "DELETE"])
@pytest.mark.parametrize("error", [LOST, DEADLOCK])
def test_what_fails_before_the_commit_is_known_to_have_no_effect(at: str, error: pymysql.Error) -> None:
    connection = FakeConnection(**{at: error})
    with pytest.raises(Uncommitted) as failed:
        once(connection, "DELETE FROM t")
    assert failed.value.args == error.args
    assert "COMMIT" not in connection.ran


@pytest.mark.parametrize("error", [LOST, DEADLOCK])
def test_an_error_of_the_commit_is_passed_on_as_it_is(error: pymysql.Error) -> None:
    with pytest.raises(pymysql.Error) as with_a_key:
        once(FakeConnection(COMMIT=error), "DELETE FROM t")
    with pytest.raises(pymysql.Error) as without:
        transact(cast("Connection", FakeConnection(COMMIT=error)), ["DELETE FROM t"], bounds())
    assert with_a_key.value is without.value is error


def test_where_the_answer_was_not_kept_the_ledger_is_asked_what_became_of_the_write() -> None:
    with pytest.raises(Undecided):
        once(FakeConnection(UPDATE=DEADLOCK), "DELETE FROM t")


def test_no_statement_is_sent_when_the_time_has_passed() -> None:
    connection = FakeConnection()
    with pytest.raises(DeadlineExceeded) as late:
        once(connection, "DELETE FROM t", deadline=time.monotonic() - 1)
    assert late.value.outcome == "rolled_back"
    assert connection.ran == ["SET", "INSERT"]


def test_changed_rows_are_counted_over_all_statements() -> None:
    connection = FakeConnection()
    with pytest.raises(Forbidden) as refused:
        once(connection, *["DELETE FROM t"] * 3, max_affected_rows=2)
    assert refused.value.outcome == "rolled_back"
    assert connection.ran[-2:] == ["DELETE", "ROLLBACK"]


def course(*, keyed: bool) -> Course:
    return Course(Way("write", "customized_hit", 60_000, keyed=keyed), time.monotonic() + 60)


UNKNOWN = ConnectionLost("lost", harmless=False)
REFUSED = DatabaseRefused("no", outcome="rolled_back", mysql_errno=1062)


def test_a_write_without_a_key_is_not_tried_again_after_an_unknown_outcome() -> None:
    with pytest.raises(GatekeeperError) as final:
        course(keyed=False).failed("data1", UNKNOWN, answered=True)
    assert (final.value.outcome, final.value.retryable) == ("unknown", False)


def test_a_write_with_a_key_is_and_a_second_loss_leaves_it_unknown_and_retryable() -> None:
    attempts = course(keyed=True)
    attempts.failed("data1", UNKNOWN, answered=True)
    assert (attempts.attempt, attempts.tried) == (2, {"data1"})
    with pytest.raises(GatekeeperError) as final:
        attempts.failed("data2", UNKNOWN, answered=True)
    told = attempts.told(final.value)
    assert (told.outcome, told.retryable) == ("unknown", True)


@pytest.mark.parametrize("error", [REFUSED, DeadlineExceeded("late", outcome="rolled_back")])
def test_after_an_unknown_outcome_no_later_failure_tells_what_became_of_it(error: GatekeeperError) -> None:
    attempts = course(keyed=True)
    attempts.failed("data1", UNKNOWN, answered=True)
    told = attempts.told(error)
    assert (told.outcome, told.retryable) == ("unknown", True)


@pytest.mark.parametrize(
    "failure",
    [
        ConnectionLost("lost", harmless=True),
        NotSent("busy"),
        TemporaryFailure(DatabaseRefused("no", outcome="rolled_back")),
    ],
)
def test_what_had_no_effect_leaves_no_doubt(failure: Failure) -> None:
    attempts = course(keyed=True)
    attempts.failed("data1", failure, answered=True)
    refused = DatabaseRefused("no", outcome="rolled_back")
    assert attempts.told(refused).outcome == "rolled_back"
