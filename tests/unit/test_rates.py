"""Rates and places of a key, shared by processes."""

import fcntl
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from contract.errors import RateLimited, Unavailable
from gatekeeper import rates
from gatekeeper.rates import Limits, Rates


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counted(tmp_path: Path, clock: Clock) -> Rates:
    return Rates(tmp_path / "rates", clock)


def taken(counted: Rates, limits: Limits, asked: int = 100, name: str = "web") -> int:
    """How many of the requests that are asked at once are taken, one after the other."""
    count = 0
    for _ in range(asked):
        try:
            counted.take(name, limits)()
        except RateLimited:
            continue
        count += 1
    return count


# Limits; how many are taken at once, and after a pause of so many seconds.
BUCKETS = {
    "those of a second": (Limits(rate_per_second=10), 10, 1.0, 10),
    "a burst is the most, however long the pause": (Limits(rate_per_second=10, burst=3), 3, 60.0, 3),
    "a large burst fills with the rate": (Limits(rate_per_second=10, burst=30), 30, 1.0, 10),
    "one in two seconds": (Limits(rate_per_second=0.5), 1, 2.0, 1),
    "not before two seconds": (Limits(rate_per_second=0.5), 1, 1.9, 0),
    "no limit": (Limits(), 100, 0.0, 100),
}


@pytest.mark.parametrize("case", BUCKETS.values(), ids=BUCKETS.keys())
def test_a_key_asks_at_its_rate(counted: Rates, clock: Clock, case: tuple[Limits, int, float, int]) -> None:
    limits, at_once, pause_s, afterwards = case
    assert taken(counted, limits) == at_once
    clock.now += pause_s
    assert taken(counted, limits) == afterwards


def test_a_steady_rate_is_never_refused(counted: Rates, clock: Clock) -> None:
    limits = Limits(rate_per_second=3, burst=1)
    for _ in range(300):
        counted.take("web", limits)()
        clock.now += 1 / 3


@pytest.mark.parametrize(("rate", "seconds"), [(0.2, 5), (10, 1)])
def test_the_refusal_says_when_to_come_again(counted: Rates, clock: Clock, rate: float, seconds: int) -> None:
    limits = Limits(rate_per_second=rate, burst=1)
    counted.take("web", limits)()
    with pytest.raises(RateLimited) as caught:
        counted.take("web", limits)
    assert (caught.value.retry_after_s, caught.value.retryable, caught.value.outcome) == (seconds, True, "not_executed")
    clock.now += seconds
    counted.take("web", limits)()


def test_each_key_has_a_bucket_of_its_own(counted: Rates) -> None:
    limits = Limits(rate_per_second=1)
    assert taken(counted, limits, name="web") == 1
    assert taken(counted, limits, name="..") == 1


def test_a_clock_that_began_anew_does_not_keep_a_key_out_for_long(counted: Rates, clock: Clock) -> None:
    limits = Limits(rate_per_second=10)
    assert taken(counted, limits) == 10
    clock.now = 5.0
    assert taken(counted, limits) == 0
    clock.now += 1.0
    assert taken(counted, limits) == 10


def test_places_are_taken_given_back_and_never_more_than_there_are(counted: Rates) -> None:
    limits = Limits(max_concurrent=3)
    leave = [counted.take("web", limits) for _ in range(3)]
    with pytest.raises(Unavailable, match="under way") as caught:
        counted.take("web", limits)
    assert (caught.value.rule, caught.value.retry_after_s) == ("max_concurrent", 1)
    counted.take("other", limits)()
    leave[1]()
    counted.take("web", limits)()
    for left in (leave[0], leave[2]):
        left()
    for left in [counted.take("web", limits) for _ in range(3)]:
        left()


def test_a_directory_that_is_lost_refuses_rather_than_lets_all_in(counted: Rates, tmp_path: Path) -> None:
    (tmp_path / "rates").rmdir()
    with pytest.raises(Unavailable, match="can't be counted"):
        counted.take("web", Limits(rate_per_second=1))


def test_a_lock_that_is_never_given_back_refuses_in_time(
    counted: Rates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "_LOCK_TIMEOUT_S", 0.05)
    with (tmp_path / "rates" / "web.rate").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Unavailable):
            counted.take("web", Limits(rate_per_second=1))


def _take_rate(directory: Path, start: Any, answers: Any) -> None:
    counted = Rates(directory)
    start.wait(20)
    answers.put(taken(counted, Limits(rate_per_second=0.001, burst=100)))


def _take_places(directory: Path, start: Any, answers: Any) -> None:
    counted = Rates(directory)
    for _ in range(2):
        counted.take("web", Limits(max_concurrent=4))
    answers.put(os.getpid())
    start.wait(20)


def test_the_rate_holds_over_processes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(3), context.Queue()
    workers = [context.Process(target=_take_rate, args=(tmp_path, start, answers)) for _ in range(3)]
    for worker in workers:
        worker.start()
    assert sum(answers.get(timeout=30) for _ in workers) == 100
    for worker in workers:
        worker.join(10)


def test_places_hold_over_processes_and_a_killed_one_leaves_none_taken(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(3), context.Queue()
    workers = [context.Process(target=_take_places, args=(tmp_path, start, answers)) for _ in range(2)]
    for worker in workers:
        worker.start()
    pids = [answers.get(timeout=30) for _ in workers]
    counted = Rates(tmp_path)
    with pytest.raises(Unavailable):
        counted.take("web", Limits(max_concurrent=4))
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for worker in workers:
        worker.join(10)
    for leave in [counted.take("web", Limits(max_concurrent=4)) for _ in range(4)]:
        leave()
