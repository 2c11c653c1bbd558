"""The memory that answers take together."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest

from contract.errors import Outcome, Unavailable
from contract.messages import ProxyRequest, Runnable
from proxy.answering import Found, Memory, Share, collected
from proxy.connection import Rows
from proxy.router import Router

MIB = 1 << 20


REQUEST = ProxyRequest(query="SELECT 1", implementation="direct_hit", effect="read")


class FakeConnection:
    """Answers every statement with one row of 3 MiB."""

    def query(self, _sql: str, _max_rows: int, _max_bytes: int, *, grow: Callable[[int], None]) -> Rows:
        grow(3 * MIB)
        return Rows([], [("x",)], 0, None, truncated=False, returned_rows=1)


class FakeRouter:
    """Lets a request fail so many times, after its rows were read, before it is answered."""

    def __init__(self, failures: int) -> None:
        self._attempts = failures + 1

    def admitted(self) -> Any:
        return nullcontext()

    def run(self, _request: ProxyRequest, work: Callable[[Any, Sequence[str]], Found]) -> tuple[Found, Any]:
        node = SimpleNamespace(name="data1", token=None)
        lease = SimpleNamespace(node=node, effect="read", release=lambda: None, connection=FakeConnection())
        for lease.attempt in range(1, self._attempts + 1):
            found = work(lease, [""])
        return found, lease


def answer(memory: Memory, *, failures: int = 0, effect: Runnable = "read") -> Any:
    request = ProxyRequest(query="SELECT 1", implementation="direct_hit", effect=effect)
    found = collected(cast("Router", FakeRouter(failures)), request, "r1", 16 * MIB, memory)
    found.share.give_back()
    return found.answer


def test_an_answers_share_begins_anew_with_each_attempt() -> None:
    assert answer(Memory(4 * MIB), failures=5).attempts == 6


@pytest.mark.parametrize("failures", [0, 3])
def test_what_an_answer_took_is_given_back(failures: int) -> None:
    memory = Memory(4 * MIB)
    answer(memory, failures=failures)
    memory.take(4 * MIB)
    with pytest.raises(Unavailable):
        memory.take(1)


@pytest.mark.parametrize(("effect", "outcome"), [("read", "rolled_back"), ("call", "not_executed")])
def test_an_answer_that_finds_no_memory_is_refused_and_says_what_became_of_it(
    effect: Runnable, outcome: Outcome
) -> None:
    with pytest.raises(Unavailable) as refused:
        answer(Memory(2 * MIB), effect=effect)
    assert (refused.value.rule, refused.value.outcome) == ("answer_memory", outcome)


def test_an_answer_holds_its_memory_until_it_was_sent() -> None:
    memory = Memory(4 * MIB)
    found = collected(cast("Router", FakeRouter(0)), REQUEST, "r1", 16 * MIB, memory)
    with pytest.raises(Unavailable):
        answer(memory)
    found.share.give_back()
    answer(memory)


def test_a_body_counts_for_what_it_was_made_of_and_may_be_larger() -> None:
    memory = Memory(8 * MIB)
    shares = [Share(memory) for _ in range(3)]
    shares[0].grow(2 * MIB)
    shares[0].hold(6 * MIB, read=True)
    with pytest.raises(Unavailable):
        shares[1].grow(3 * MIB)
    shares[2].hold(1000, read=True)
    shares[0].hold(1 * MIB, read=True)
    shares[2].grow(7 * MIB)


def test_a_body_that_finds_no_memory_is_refused_where_it_was_read_and_owed_where_it_was_written() -> None:
    memory = Memory(1 * MIB)
    share = Share(memory)
    with pytest.raises(Unavailable) as refused:
        share.hold(2 * MIB, read=True)
    assert (refused.value.rule, refused.value.outcome) == ("answer_memory", "rolled_back")
    share.hold(2 * MIB, read=False)
    with pytest.raises(Unavailable):
        memory.take(1)
    share.give_back()
    memory.take(1 * MIB)


def test_a_share_takes_nothing_for_a_small_answer() -> None:
    share = Share(Memory(0))
    share.grow(1000)
    share.give_back()
