"""The orchestrator's pure parts: what follows a failed attempt, signed cursors, pages, the bounds of the queue."""

import itertools
import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import (
    BadRequest,
    Conflict,
    DatabaseRefused,
    DeadlineExceeded,
    Forbidden,
    GatekeeperError,
    InternalError,
    Outcome,
    RateLimited,
    Unavailable,
    UpstreamFailed,
)
from contract.messages import MAX_BODY_BYTES
from orchestrator.claims import Claim, Claims
from orchestrator.cursors import Cursors
from orchestrator.load import Counts, Load
from orchestrator.pages import MOST_ROW_BYTES, PAGE_BYTES, Kept, split
from orchestrator.statements import Statements
from orchestrator.states import MOST_VANISHED, Step, after_failure, is_hopeless

SECRET = b"s" * 32


def step(error: GatekeeperError, attempts: int = 1, most: int = 5, chance: float = 1.0) -> Step:
    return after_failure(error.problem("id"), attempts, most, chance)


REFUSED = DatabaseRefused("a duplicate key", outcome="rolled_back", mysql_errno=1062)
DEADLOCK = DatabaseRefused("a deadlock", outcome="rolled_back", retryable=True, mysql_errno=1213)
LOST = UpstreamFailed("the node was lost", outcome="unknown")


@pytest.mark.parametrize(
    "error", [REFUSED, BadRequest("no"), Forbidden("no"), Conflict("another request")], ids=lambda error: error.code
)
def test_what_would_be_refused_again_has_failed(error: GatekeeperError) -> None:
    assert step(error) == Step("failed")


@pytest.mark.parametrize(
    "error",
    [DEADLOCK, LOST, DeadlineExceeded("late", outcome="rolled_back"), InternalError("a fault", outcome="unknown")],
    ids=["deadlock", "lost", "late", "fault"],
)
def test_what_may_succeed_is_tried_again_and_in_the_end_dead(error: GatekeeperError) -> None:
    steps = [step(error, attempts) for attempts in range(1, 6)]
    assert [each.state for each in steps] == ["queued"] * 4 + ["dead"]
    assert [each.pause_ms for each in steps] == [500, 1000, 2000, 4000, 0]
    assert all(each.counts for each in steps)


@pytest.mark.parametrize("error", [Unavailable("no proxy"), RateLimited("busy")], ids=["503", "429"])
def test_what_nobody_took_was_no_attempt(error: GatekeeperError) -> None:
    assert step(error, attempts=5) == Step("queued", 2000, counts=False)


@pytest.mark.parametrize("outcome", ["unknown", "rolled_back"])
def test_a_503_to_what_was_executed_is_an_attempt(outcome: Outcome) -> None:
    assert step(Unavailable("gone", outcome=outcome), attempts=5) == Step("dead")


@settings(deadline=None)
@given(st.integers(1, 100), st.floats(0, 1))
def test_pauses_are_spread_and_bounded(attempts: int, chance: float) -> None:
    assert 250 <= step(DEADLOCK, attempts, 101, chance).pause_ms <= 60_000


def test_a_request_that_fells_its_orchestrators_ends() -> None:
    assert not is_hopeless(5 + MOST_VANISHED, 5)
    assert is_hopeless(6 + MOST_VANISHED, 5)


@settings(deadline=None)
@given(st.text(max_size=40), st.lists(st.integers(0, 2**60) | st.text(max_size=40), max_size=3))
def test_a_cursor_reads_back_for_its_purpose_alone(purpose: str, position: list[Any]) -> None:
    cursor = Cursors(SECRET).sign(purpose, position)
    assert Cursors(SECRET).read(purpose, cursor) == position
    with pytest.raises(BadRequest, match="cursor"):
        Cursors(SECRET).read(f"{purpose}x", cursor)
    with pytest.raises(BadRequest, match="cursor"):
        Cursors(b"t" * 32).read(purpose, cursor)


def test_a_cursor_with_any_character_changed_is_refused() -> None:
    cursors = Cursors(SECRET)
    cursor = cursors.sign("list", [1_790_000_000_000, "ab"])
    for place, other in itertools.product(range(len(cursor)), "Aa0_-.=é\n"):
        changed = cursor[:place] + other + cursor[place + 1 :]
        if changed != cursor:
            with pytest.raises(BadRequest, match="cursor"):
                cursors.read("list", changed)


@pytest.mark.parametrize("cursor", ["", ".", "a", "a.", ".a", "a.b.c", "W10", "=" * 9])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(BadRequest, match="cursor"):
        Cursors(SECRET).read("list", cursor)


def answer(rows: list[Any], *, truncated: bool = False) -> bytes:
    members = {"node": "data1", "columns": [{"name": "a", "type": "TEXT"}], "affected_rows": 0, "last_insert_id": None}
    return json.dumps({"request_id": "r", "elapsed_ms": 1.5, **members, "rows": rows, "truncated": truncated}).encode()


def pages_of(split_up: tuple[bytes, list[bytes]]) -> list[list[Any]]:
    first, others = split_up
    kept = msgspec.json.decode(first, type=Kept)
    pages = [list(kept.result.rows), *(json.loads(page) for page in others)]
    assert kept.pages == len(pages)
    return pages


@pytest.mark.parametrize(
    "rows",
    [[], [[1]], [["x" * 1000, number] for number in range(2000)], [["y" * (PAGE_BYTES + 1)], [1], ["z"]]],
    ids=["none", "one", "many", "a large row"],
)
def test_a_results_pages_have_all_its_rows_in_order(rows: list[Any]) -> None:
    pages = pages_of(split(answer(rows)))
    assert [row for page in pages for row in page] == rows
    assert all(len(json.dumps(page).encode()) <= PAGE_BYTES + 4096 or len(page) == 1 for page in pages)


def test_a_result_ends_before_a_row_that_no_page_can_take_and_says_so() -> None:
    first, _ = split(answer([[1], ["x" * MOST_ROW_BYTES], [3]]))
    result = msgspec.json.decode(first, type=Kept).result
    assert (list(result.rows), result.truncated) == ([[1]], True)


def test_a_result_that_was_cut_off_says_so() -> None:
    assert msgspec.json.decode(split(answer([[1]], truncated=True))[0], type=Kept).result.truncated


NAMES = [{"name": f"{number}" + '"' * 60, "type": "BIGINT"} for number in range(2800)]


@pytest.mark.parametrize("several", [False, True])
def test_a_result_whose_columns_have_too_much_to_say_is_kept_without_them_and_says_so(several: bool) -> None:
    members = {"node": "data1", "affected_rows": 3, "last_insert_id": None, "truncated": False}
    long = {**members, "columns": NAMES, "rows": [list(range(2800))]}
    first, others = split(
        json.dumps({**members, "columns": [], "rows": [], "results": [long] * 3}).encode()
        if several
        else json.dumps(long).encode()
    )
    result = msgspec.json.decode(first, type=Kept).result
    assert (result.affected_rows, result.truncated, list(result.rows), others) == (3, True, [], [])
    assert len(json.dumps(first.decode())) < MAX_BODY_BYTES // 2


def test_a_problem_with_much_to_say_fits_into_its_column() -> None:
    sent: list[Sequence[Any]] = []
    asks = SimpleNamespace(ask=lambda _sql, params, **_: sent.append(params))
    error = BadRequest("params do not fit: " + "\U0001f600\x01" * 100_000)
    claims = Claims(cast("Statements", asks), lease_ms=1000, ledger_keeps_s=7200)
    claims.ended(Claim("r", "ann", "token", 1, 1, None), "failed", error.problem("r"))
    ((_, text, *_),) = sent
    assert len(text.encode()) < 65_535
    assert json.loads(text)["detail"].startswith("params do not fit: ")


def test_the_queue_is_bounded_for_each_owner_and_for_all() -> None:
    counts: Counts = {"a": {"queued": 1, "running": 1}, "b": {"queued": 1}}
    load = Load(lambda: counts, most=5, most_per_owner=3)
    load.check("a")
    with pytest.raises(RateLimited) as full:
        load.check("a")
    assert (full.value.rule, full.value.retry_after_s) == ("queue_owner", 5)
    load.check("b")
    with pytest.raises(Unavailable) as busy:
        load.check("c")
    assert (busy.value.rule, busy.value.retry_after_s) == ("queue_full", 5)
