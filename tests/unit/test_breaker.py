"""A node's circuit breaker: opens after failures in a row, for longer each time, and closes with the first success."""

import random

import pytest

from proxy import breaker
from proxy.breaker import Breaker


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "_JITTER", (1.0, 1.0))


def opened(at: float = 0.0) -> Breaker:
    found = Breaker()
    assert [found.failed(at) for _ in range(5)] == [False, False, False, False, True]
    return found


def test_it_opens_after_five_failures_in_a_row_and_half_opens_after_a_second() -> None:
    found = opened()
    assert found.is_open(0.99)
    assert not found.is_open(1.0)


def test_a_success_in_between_keeps_it_closed() -> None:
    found = Breaker()
    for number in range(100):
        assert not found.failed(float(number))
        if number % 4 == 3:
            found.worked()
    assert not found.is_open(100.0)


def test_what_was_under_way_when_it_opened_opens_it_no_longer() -> None:
    found = opened()
    assert not any(found.failed(0.5) for _ in range(50))
    assert not found.is_open(1.0)


def test_each_failure_when_half_open_opens_it_for_twice_as_long_up_to_half_a_minute() -> None:
    found, now, lengths = opened(), 1.0, []
    for _ in range(8):
        assert found.failed(now)
        closed = next(after for after in range(1, 100) if not found.is_open(now + after))
        lengths.append(closed)
        now += closed
    assert lengths == [2, 4, 8, 16, 30, 30, 30, 30]


def test_a_success_when_half_open_closes_it() -> None:
    found = opened()
    found.worked()
    assert not found.failed(1.0)
    assert not found.is_open(1.0)


def test_a_node_that_was_down_begins_anew() -> None:
    found = opened()
    found.reset()
    assert not found.is_open(0.5)
    assert not found.failed(0.5)


def test_nodes_are_not_asked_again_at_the_same_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(breaker, "_DICE", random.Random(1))
    assert len({next(ms for ms in range(3000) if not opened().is_open(ms / 1000)) for _ in range(20)}) > 10
