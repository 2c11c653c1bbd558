"""Requests without a good key, counted by network, over processes."""

import fcntl
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import CapturingLogger

from contract.errors import RateLimited
from gatekeeper import guesses, rates
from gatekeeper.guesses import BURST, RATE_PER_SECOND, Guesses, network_of
from tests.unit.clock_fixtures import Clock, clock

__all__ = ["clock"]

NETWORK = "203.0.113.7"


@pytest.fixture
def counted(tmp_path: Path, clock: Clock) -> Guesses:
    return Guesses(tmp_path / "run" / "guesses", clock)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    logger = CapturingLogger()
    monkeypatch.setattr(guesses, "log", logger)
    return logger


def lines(logged: CapturingLogger) -> Iterator[tuple[str, str, int]]:
    return ((call.args[0], call.kwargs["network"], call.kwargs["count"]) for call in logged.calls)


def let_through(counted: Guesses, network: str = NETWORK, asked: int = 2 * BURST) -> int:
    """How many of the wrong keys are answered as such, and not as too many."""
    count = 0
    for _ in range(asked):
        try:
            counted.count(network)
        except RateLimited:
            continue
        count += 1
    return count


def test_wrong_keys_are_slowed_down_after_a_burst(counted: Guesses, clock: Clock) -> None:
    assert let_through(counted) == BURST
    clock.now += 2.0
    assert let_through(counted) == 2 * RATE_PER_SECOND
    clock.now += 3600.0
    assert let_through(counted) == BURST


def test_the_refusal_says_when_to_come_again_and_that_it_is_of_no_use(counted: Guesses) -> None:
    let_through(counted, asked=BURST)
    with pytest.raises(RateLimited) as caught:
        counted.count(NETWORK)
    assert (caught.value.rule, caught.value.retry_after_s, caught.value.retryable) == ("wrong_keys", 1, False)


def test_each_network_is_counted_for_itself(counted: Guesses) -> None:
    assert let_through(counted, "203.0.113.7") == BURST
    assert let_through(counted, "203.0.113.8") == BURST


def test_two_networks_of_one_slot_are_counted_together(counted: Guesses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "_SLOTS", 1)
    assert let_through(counted, "203.0.113.7") == BURST
    assert let_through(counted, "203.0.113.8") == 0


def test_however_many_networks_there_are_the_counts_stay_as_small(counted: Guesses, tmp_path: Path) -> None:
    for number in range(3_000):
        counted.count(f"2001:db8:0:{number:x}::/64")
    assert (tmp_path / "run" / "guesses").stat().st_size <= 400 << 10


def test_a_clock_that_began_anew_keeps_nobody_out_for_long(
    counted: Guesses, clock: Clock, logged: CapturingLogger
) -> None:
    let_through(counted)
    clock.now = 5.0
    assert let_through(counted) == 0
    assert len(logged.calls) == 2
    clock.now += 1.0
    assert let_through(counted) == RATE_PER_SECOND


def test_what_is_refused_is_logged_once_a_second_with_its_number(
    counted: Guesses, clock: Clock, logged: CapturingLogger
) -> None:
    let_through(counted, asked=BURST + 30)
    assert list(lines(logged)) == [("refused_keys", NETWORK, 1)]
    clock.now += 1.0
    let_through(counted, asked=15)
    assert list(lines(logged))[1:] == [("refused_keys", NETWORK, 30)]
    clock.now += 0.9
    let_through(counted, asked=30)
    assert len(logged.calls) == 2


def test_nothing_is_logged_of_those_within_the_rate(counted: Guesses, logged: CapturingLogger) -> None:
    let_through(counted, asked=BURST)
    assert logged.calls == []


@pytest.mark.parametrize("trouble", ["a lost directory", "a lock that is kept"])
def test_where_nothing_can_be_counted_the_key_is_refused_as_ever(
    counted: Guesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    if trouble == "a lost directory":
        (tmp_path / "run").rmdir()
        assert let_through(counted) == 2 * BURST
        return
    monkeypatch.setattr(rates, "_LOCK_TIMEOUT_S", 0.01)
    with (tmp_path / "run" / "guesses").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert let_through(counted, asked=3) == 3


PROXY = "127.0.0.1"
NETWORKS = {
    "a peer": ("198.51.100.4", None, None, "198.51.100.4"),
    "a peer that names another": ("198.51.100.4", "203.0.113.7", PROXY, "198.51.100.4"),
    "no proxy is trusted": ("127.0.0.1", "203.0.113.7", None, "127.0.0.1"),
    "the proxy": ("127.0.0.1", "203.0.113.7", PROXY, "203.0.113.7"),
    "the proxy, and what the client said": ("127.0.0.1", "10.0.0.1, 192.0.2.1,203.0.113.7 ", PROXY, "203.0.113.7"),
    "the proxy without the header": ("127.0.0.1", None, PROXY, "127.0.0.1"),
    "the proxy with a last entry that is none": ("127.0.0.1", "203.0.113.7, unknown", PROXY, "127.0.0.1"),
    "the proxy with an empty last entry": ("127.0.0.1", "203.0.113.7,", PROXY, "127.0.0.1"),
    "IPv6": ("2001:db8:1:2:3:4:5:6", None, None, "2001:db8:1:2::/64"),
    "IPv6 behind the proxy": ("127.0.0.1", "2001:db8:1:2::9", PROXY, "2001:db8:1:2::/64"),
    "IPv4 in IPv6": ("::ffff:198.51.100.4", None, None, "198.51.100.4"),
    "a link's own address": ("fe80::1%eth0", None, None, "fe80::/64"),
    "no address": ("", None, None, "unknown"),
}


@pytest.mark.parametrize("case", NETWORKS.values(), ids=NETWORKS.keys())
def test_a_request_comes_from_its_peer_or_from_where_the_trusted_proxy_says(
    case: tuple[str, str | None, str | None, str],
) -> None:
    peer, forwarded, trusted, network = case
    assert network_of(peer, forwarded or "", trusted) == network


def _guess(path: Path, start: Any, answers: Any) -> None:
    counted = Guesses(path, clock=lambda: 1_000.0)
    start.wait(120)
    answers.put(let_through(counted))


def test_wrong_keys_are_counted_over_processes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(3), context.Queue()
    workers = [context.Process(target=_guess, args=(tmp_path / "guesses", start, answers)) for _ in range(3)]
    for worker in workers:
        worker.start()
    assert sum(answers.get(timeout=120) for _ in workers) == BURST
    for worker in workers:
        worker.join(60)
