"""What a worker tells orchestrators of the last seconds: why requests were refused, and which statements took long.

A worker's own, and bounded: adding to it takes no lock and a few microseconds. What finds no place is counted.
"""

import os
import time
from collections.abc import Callable
from operator import attrgetter
from typing import Final, Literal

import msgspec

from contract.console import MOST_DIGESTS, MOST_REFUSALS, Refused, Slow, Summary

# Statements that are told apart between two summaries; the slowest MOST_DIGESTS of them are told.
_MOST_STATEMENTS: Final = 512

Verdict = Literal["allowed", "refused", "reported"]
_Why = tuple[str, str | None, str | None, str | None, bool]


class Ended(msgspec.Struct, frozen=True):
    """A request that was answered; `digest` and `kind` of its first statement, as far as it was understood."""

    status: int
    code: str | None
    rule: str | None
    verdict: Verdict
    key: str | None
    digest: str | None
    kind: str | None
    elapsed_ms: float


class _Taken(msgspec.Struct):
    kind: str
    count: int = 0
    total_ms: float = 0.0
    max_ms: float = 0.0


class _Times(msgspec.Struct):
    count: int
    last: float


class Recent:
    """Collects what ended; `summary` gives it and begins anew."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begin()

    def _begin(self) -> None:
        self._began = self._clock()
        self._requests = self._refused = self._failed = self._left_out = 0
        self._why: dict[_Why, _Times] = {}
        self._taken: dict[str, _Taken] = {}

    def add(self, ended: Ended) -> None:
        """Counts a request."""
        self._requests += 1
        if ended.status >= 500:
            self._failed += 1
        elif ended.status >= 400:
            self._refused += 1
        elif ended.digest:
            self._add_taken(ended.digest, ended)
        if ended.verdict != "allowed":
            self._add_why(ended)

    def _add_taken(self, digest: str, ended: Ended) -> None:
        taken = self._taken.get(digest)
        if taken is None:
            if len(self._taken) >= _MOST_STATEMENTS:
                self._left_out += 1
                return
            taken = self._taken[digest] = _Taken(ended.kind or "unknown")
        taken.count += 1
        taken.total_ms += ended.elapsed_ms
        taken.max_ms = max(taken.max_ms, ended.elapsed_ms)

    def _add_why(self, ended: Ended) -> None:
        reported = ended.verdict == "reported"
        why = (ended.code or ("reported" if reported else "unknown"), ended.rule, ended.key, ended.digest, reported)
        times = self._why.get(why)
        if times is None:
            if len(self._why) >= MOST_REFUSALS:
                self._left_out += 1
                return
            times = self._why[why] = _Times(0, 0.0)
        times.count += 1
        times.last = self._clock()

    def summary(self) -> Summary:
        """What was collected since the last one."""
        now = self._clock()
        counts = {"requests": self._requests, "refused": self._refused, "failed": self._failed}
        span_ms = min(600_000, max(1, round((now - self._began) * 1000)))
        why, taken, left_out = self._why, self._taken, self._left_out
        self._begin()
        slow = [_slow(digest, each) for digest, each in taken.items()]
        slow.sort(key=attrgetter("max_ms"), reverse=True)
        left_out += sum(each.count for each in slow[MOST_DIGESTS:])
        refusals = [_refused_for(each, times, now) for each, times in why.items()]
        return Summary(
            worker=os.getpid(),
            span_ms=span_ms,
            left_out=left_out,
            refusals=refusals,
            digests=slow[:MOST_DIGESTS],
            **counts,
        )


def _slow(digest: str, taken: _Taken) -> Slow:
    return Slow(digest, taken.kind, taken.count, round(taken.total_ms, 3), round(taken.max_ms, 3))


def _refused_for(why: _Why, times: _Times, now: float) -> Refused:
    code, rule, key, digest, reported = why
    ms_ago = max(0, round((now - times.last) * 1000))
    return Refused(times.count, ms_ago, code, rule=rule, key=key, digest=digest, reported=reported)
