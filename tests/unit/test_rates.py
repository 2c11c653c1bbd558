"""Rates and places of keys and roles, shared by processes."""

import fcntl
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from contract.errors import RateLimited, Unavailable
from gatekeeper import rates
from gatekeeper.rates import UNLIMITED, Budget, Limits, Rates
from tests.unit.clock_fixtures import Clock, clock

__all__ = ["clock"]


@pytest.fixture
def counted(tmp_path: Path, clock: Clock) -> Rates:
    return Rates(tmp_path / "rates", clock)


def key(limits: Limits, name: str = "web") -> Budget:
    return Budget("key", name, limits)


def role(limits: Limits, name: str = "reader") -> Budget:
    return Budget("role", name, limits)


def taken(counted: Rates, *budgets: Budget, asked: int = 100) -> int:
    """How many of the requests that are asked at once are taken, one after the other."""
    count = 0
    for _ in range(asked):
        try:
            counted.take(*budgets)()
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
    assert taken(counted, key(limits)) == at_once
    clock.now += pause_s
    assert taken(counted, key(limits)) == afterwards


def test_a_steady_rate_is_never_refused(counted: Rates, clock: Clock) -> None:
    limits = Limits(rate_per_second=3, burst=1)
    for _ in range(300):
        counted.take(key(limits))()
        clock.now += 1 / 3


@pytest.mark.parametrize(("rate", "seconds"), [(0.2, 5), (10, 1)])
def test_the_refusal_says_when_to_come_again(counted: Rates, clock: Clock, rate: float, seconds: int) -> None:
    limits = Limits(rate_per_second=rate, burst=1)
    counted.take(key(limits))()
    with pytest.raises(RateLimited) as caught:
        counted.take(key(limits))
    assert (caught.value.retry_after_s, caught.value.retryable, caught.value.outcome) == (seconds, True, "not_executed")
    clock.now += seconds
    counted.take(key(limits))()


def test_each_key_has_a_bucket_of_its_own(counted: Rates) -> None:
    limits = Limits(rate_per_second=1)
    assert taken(counted, key(limits)) == 1
    assert taken(counted, key(limits, "..")) == 1


def test_a_clock_that_began_anew_does_not_keep_a_key_out_for_long(counted: Rates, clock: Clock) -> None:
    limits = Limits(rate_per_second=10)
    assert taken(counted, key(limits)) == 10
    clock.now = 5.0
    assert taken(counted, key(limits)) == 0
    clock.now += 1.0
    assert taken(counted, key(limits)) == 10


def test_places_are_taken_given_back_and_never_more_than_there_are(counted: Rates) -> None:
    limits = Limits(max_concurrent=3)
    leave = [counted.take(key(limits)) for _ in range(3)]
    with pytest.raises(Unavailable, match="under way") as caught:
        counted.take(key(limits))
    assert (caught.value.rule, caught.value.retry_after_s) == ("max_concurrent", 1)
    counted.take(key(limits, "other"))()
    leave[1]()
    counted.take(key(limits))()
    for left in (leave[0], leave[2]):
        left()
    for left in [counted.take(key(limits)) for _ in range(3)]:
        left()


def test_a_directory_that_is_lost_refuses_rather_than_lets_all_in(counted: Rates, tmp_path: Path) -> None:
    (tmp_path / "rates" / "key").rmdir()
    with pytest.raises(Unavailable, match="can't be counted"):
        counted.take(key(Limits(rate_per_second=1)))


def test_a_lock_that_is_never_given_back_refuses_in_time(
    counted: Rates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "_LOCK_TIMEOUT_S", 0.05)
    with (tmp_path / "rates" / "key" / "web.rate").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Unavailable):
            counted.take(key(Limits(rate_per_second=1)))


# The key's own limits, its role's; how many requests of one key are taken, then how many of another of the role.
TOGETHER = {
    "a role's keys share its rate": (UNLIMITED, Limits(rate_per_second=1, burst=5), 5, 0),
    "the key's own rate is the tighter one": (Limits(rate_per_second=2), Limits(rate_per_second=5), 2, 2),
    "the role's rate is the tighter one": (Limits(rate_per_second=7), Limits(rate_per_second=5), 5, 0),
    "neither has one": (UNLIMITED, UNLIMITED, 100, 100),
}


@pytest.mark.parametrize("case", TOGETHER.values(), ids=TOGETHER.keys())
def test_a_key_asks_within_its_own_rate_and_its_roles(counted: Rates, case: tuple[Limits, Limits, int, int]) -> None:
    own, shared, first, second = case
    assert taken(counted, key(own, "web"), role(shared)) == first
    assert taken(counted, key(own, "app"), role(shared)) == second


def test_a_role_and_a_key_of_one_name_are_counted_apart(counted: Rates) -> None:
    limits = Limits(rate_per_second=1, burst=3)
    assert taken(counted, key(limits, "web")) == 3
    assert taken(counted, role(limits, "web")) == 3


def test_what_one_rate_refuses_is_counted_in_neither(counted: Rates) -> None:
    slow, fast = Limits(rate_per_second=1, burst=1), Limits(rate_per_second=1, burst=3)
    assert taken(counted, key(slow), role(fast)) == 1
    assert taken(counted, key(UNLIMITED, "app"), role(fast)) == 2
    assert taken(counted, key(fast, "job"), role(slow, "writer")) == 1
    assert taken(counted, key(fast, "job")) == 2


def test_a_refusal_says_whose_limit_it_was(counted: Rates) -> None:
    once = Limits(rate_per_second=0.2, burst=1)
    counted.take(role(once))()
    with pytest.raises(RateLimited, match="the role's rate") as late:
        counted.take(key(UNLIMITED), role(once))
    assert (late.value.rule, late.value.retry_after_s, late.value.retryable) == ("role_rate", 5, True)
    counted.take(role(Limits(max_concurrent=1)))
    with pytest.raises(Unavailable, match="of this role") as full:
        counted.take(key(UNLIMITED), role(Limits(max_concurrent=1)))
    assert full.value.rule == "role_max_concurrent"


def test_a_place_of_the_key_is_given_back_where_the_role_has_none(counted: Rates) -> None:
    own, shared = key(Limits(max_concurrent=1)), role(Limits(max_concurrent=1))
    leave = counted.take(key(UNLIMITED, "app"), shared)
    for _ in range(2):
        with pytest.raises(Unavailable, match="of this role"):
            counted.take(own, shared)
    leave()
    leave = counted.take(own, shared)
    with pytest.raises(Unavailable, match="of this key"):
        counted.take(own, shared)
    leave()
    counted.take(own, shared)()


def test_what_has_no_limits_touches_no_file(counted: Rates, tmp_path: Path) -> None:
    counted.take(key(UNLIMITED), role(UNLIMITED))()
    assert [path for path in (tmp_path / "rates").rglob("*") if path.is_file()] == []


def _take_rate(directory: Path, name: str, start: Any, answers: Any) -> None:
    counted = Rates(directory)
    start.wait(120)
    limits = Limits(rate_per_second=0.001, burst=100)
    answers.put((taken(counted, key(limits)), taken(counted, key(limits, name), role(limits))))


def _take_places(directory: Path, start: Any, answers: Any) -> None:
    counted = Rates(directory)
    for _ in range(2):
        counted.take(key(Limits(max_concurrent=4)), role(Limits(max_concurrent=4)))
    answers.put(os.getpid())
    start.wait(120)


def test_the_rate_holds_over_processes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(3), context.Queue()
    names = ("web", "app", "job")  # of the three keys of one role
    workers = [context.Process(target=_take_rate, args=(tmp_path, name, start, answers)) for name in names]
    for worker in workers:
        worker.start()
    of_the_key, of_the_role = zip(*(answers.get(timeout=120) for _ in workers), strict=True)
    assert (sum(of_the_key), sum(of_the_role)) == (100, 100)
    for worker in workers:
        worker.join(60)


def test_places_hold_over_processes_and_a_killed_one_leaves_none_taken(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(3), context.Queue()
    workers = [context.Process(target=_take_places, args=(tmp_path, start, answers)) for _ in range(2)]
    for worker in workers:
        worker.start()
    pids = [answers.get(timeout=120) for _ in workers]
    counted = Rates(tmp_path)
    for budget in (key(Limits(max_concurrent=4)), role(Limits(max_concurrent=4))):
        with pytest.raises(Unavailable):
            counted.take(budget)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for worker in workers:
        worker.join(60)
    both = (key(Limits(max_concurrent=4)), role(Limits(max_concurrent=4)))
    for leave in [counted.take(*both) for _ in range(4)]:
        leave()
