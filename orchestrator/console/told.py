"""What gatekeepers have told in the last minutes: who of them lives, why requests were refused, what took long.

In memory and bounded, whatever a gatekeeper sends: so many gatekeepers, and of each so many workers, so many slots of
half a minute, and in each slot so many reasons and statements. What finds no place is counted.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Final

import msgspec

from contract.console import DigestView, GatekeeperView, RefusalView, Refused, Slow, Summary

OVER_S: Final = 300
_SLOT_S: Final = 30.0
_MOST_GATEKEEPERS: Final = 64
_MOST_WORKERS: Final = 64
_MOST_IN_SLOT: Final = 200
# A worker tells something every two seconds; one that has not for so long counts no more.
_ALIVE_FOR_S: Final = 6.0
_AVERAGED: Final = 6  # summaries, for its rates: about twelve seconds, as those of the proxies
_SHOWN_FOR_S: Final = 600.0
_MOST_REFUSALS_SHOWN: Final = 50
_MOST_DIGESTS_SHOWN: Final = 20

_Why = tuple[str, str | None, str | None, str | None, bool]


class _Refusals(msgspec.Struct):
    last: float
    count: int = 0


class _Slot(msgspec.Struct):
    began: float
    refusals: dict[_Why, _Refusals]
    digests: dict[str, Slow]
    left_out: int = 0


class _Worker(msgspec.Struct):
    heard: float
    lately: deque[Summary]  # without their lists


class _Gatekeeper(msgspec.Struct):
    heard: float
    workers: dict[int, _Worker]
    slots: deque[_Slot]


class Told:
    """What gatekeepers told, by their names."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._of: dict[str, _Gatekeeper] = {}

    def take(self, name: str, summary: Summary) -> None:
        """Takes what a worker of the gatekeeper of that name tells."""
        now = self._clock()
        with self._lock:
            known = self._of.get(name) or self._new(name, now)
            known.heard = now
            _hear(known, summary, now)
            _put(_slot(known, now), summary, now)

    def gatekeepers(self) -> list[GatekeeperView]:
        """Each gatekeeper that was heard of in the last ten minutes."""
        now = self._clock()
        with self._lock:
            lately = {name: known for name, known in self._of.items() if now - known.heard <= _SHOWN_FOR_S}
            return [_gatekeeper(name, known, now) for name, known in sorted(lately.items())]

    def refusals(self) -> list[RefusalView]:
        """What was refused, the latest first, each reason once."""
        now = self._clock()
        found: dict[tuple[str, _Why], _Refusals] = {}
        with self._lock:
            for name, slot in self._slots(now):
                for why, each in slot.refusals.items():
                    both = found.setdefault((name, why), _Refusals(each.last))
                    both.count += each.count
                    both.last = max(both.last, each.last)
        latest = sorted(found.items(), key=lambda item: item[1].last, reverse=True)
        return [_refusal(name, why, each, now) for (name, why), each in latest[:_MOST_REFUSALS_SHOWN]]

    def digests(self) -> list[DigestView]:
        """The statements that took longest in the mean, the slowest first."""
        found: dict[str, Slow] = {}
        with self._lock:
            for _, slot in self._slots(self._clock()):
                for digest, slow in slot.digests.items():
                    found[digest] = _both(found[digest], slow) if digest in found else slow
        views = [_digest(slow) for slow in found.values() if slow.count]
        return sorted(views, key=attrgetter("mean_ms"), reverse=True)[:_MOST_DIGESTS_SHOWN]

    def left_out(self) -> int:
        """Requests of which only the number is known."""
        with self._lock:
            return sum(slot.left_out for _, slot in self._slots(self._clock()))

    def _new(self, name: str, now: float) -> _Gatekeeper:
        """Room for a gatekeeper; where there is none, the one that was silent for longest goes."""
        if len(self._of) >= _MOST_GATEKEEPERS:
            del self._of[min(self._of, key=lambda known: self._of[known].heard)]
        return self._of.setdefault(name, _Gatekeeper(now, {}, deque(maxlen=int(OVER_S / _SLOT_S))))

    def _slots(self, now: float) -> Iterator[tuple[str, _Slot]]:
        for name, known in self._of.items():
            for slot in known.slots:
                if now - slot.began < OVER_S:
                    yield name, slot


def _hear(known: _Gatekeeper, summary: Summary, now: float) -> None:
    known.workers = {number: each for number, each in known.workers.items() if now - each.heard <= _ALIVE_FOR_S}
    if summary.worker in known.workers or len(known.workers) < _MOST_WORKERS:
        worker = known.workers.setdefault(summary.worker, _Worker(now, deque(maxlen=_AVERAGED)))
        worker.heard = now
        worker.lately.append(msgspec.structs.replace(summary, refusals=[], digests=[]))


def _slot(known: _Gatekeeper, now: float) -> _Slot:
    if not known.slots or now - known.slots[-1].began >= _SLOT_S:
        known.slots.append(_Slot(now, {}, {}))
    return known.slots[-1]


def _put(slot: _Slot, summary: Summary, now: float) -> None:
    slot.left_out += summary.left_out
    for refused in summary.refusals:
        why = (refused.code, refused.rule, refused.key, refused.digest, refused.reported)
        if why not in slot.refusals and len(slot.refusals) >= _MOST_IN_SLOT:
            slot.left_out += refused.count
            continue
        _count(slot.refusals.setdefault(why, _Refusals(0.0)), refused, now)
    for slow in summary.digests:
        if slow.digest in slot.digests:
            slot.digests[slow.digest] = _both(slot.digests[slow.digest], slow)
        elif len(slot.digests) < _MOST_IN_SLOT:
            slot.digests[slow.digest] = slow
        else:
            slot.left_out += slow.count


def _count(into: _Refusals, refused: Refused, now: float) -> None:
    into.count += refused.count
    into.last = max(into.last, now - min(refused.ms_ago, OVER_S * 1000) / 1000)


def _both(one: Slow, other: Slow) -> Slow:
    count, total_ms = one.count + other.count, one.total_ms + other.total_ms
    return Slow(one.digest, one.kind, count, total_ms, max(one.max_ms, other.max_ms))


def _gatekeeper(name: str, known: _Gatekeeper, now: float) -> GatekeeperView:
    alive = [worker.lately for worker in known.workers.values() if now - worker.heard <= _ALIVE_FOR_S]

    def per_s(count: Callable[[Summary], int]) -> float:
        seconds = ((lately, sum(each.span_ms for each in lately) / 1000) for lately in alive)
        return round(sum(sum(map(count, lately)) / over for lately, over in seconds), 2)

    return GatekeeperView(
        name=name,
        age_ms=max(0, round((now - known.heard) * 1000)),
        workers=len(alive),
        per_s=per_s(lambda summary: summary.requests),
        refused_per_s=per_s(lambda summary: summary.refused),
        failed_per_s=per_s(lambda summary: summary.failed),
    )


def _refusal(name: str, why: _Why, each: _Refusals, now: float) -> RefusalView:
    code, rule, key, digest, reported = why
    return RefusalView(name, max(0, round((now - each.last) * 1000)), each.count, code, rule, key, digest, reported)


def _digest(slow: Slow) -> DigestView:
    mean_ms = round(slow.total_ms / slow.count, 3)
    return DigestView(slow.digest, slow.kind, slow.count, mean_ms, round(slow.max_ms, 3))
