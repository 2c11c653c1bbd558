"""Medians with intervals that assume nothing about the distribution. Pure.

The interval is between two order statistics, the narrowest symmetric pair that covers the median of the population with
at least 93 %: for 5 repetitions the least and the most, which cover it with 1 - 2 / 2**5 = 93.75 %; for 7 the second of
each end would cover 87.5 %, so the least and the most again (98.4 %); for 9 the second of each end (96.1 %).
See: W. J. Conover, Practical Nonparametric Statistics, "Confidence interval for a quantile".
"""

import math
import statistics
from collections.abc import Sequence
from typing import Final

import msgspec

LEAST_COVERAGE: Final = 0.93


class Interval(msgspec.Struct, frozen=True):
    """A median and where the true one lies. `coverage`: how surely; `count`: of how many values."""

    median: float
    low: float
    high: float
    coverage: float
    count: int

    def holds(self, value: float) -> bool:
        """Whether the value lies within."""
        return self.low <= value <= self.high

    def meets(self, other: "Interval") -> bool:
        """Whether the two have a value in common."""
        return self.low <= other.high and other.low <= self.high


def interval(values: Sequence[float]) -> Interval:
    """The median of at least one value, with its interval. Fewer than 5 can't reach the coverage: it is told."""
    ordered = sorted(values)
    count = len(ordered)
    rank = max((rank for rank in range(1, (count + 1) // 2 + 1) if coverage(count, rank) >= LEAST_COVERAGE), default=1)
    return Interval(statistics.median(ordered), ordered[rank - 1], ordered[-rank], coverage(count, rank), count)


def coverage(count: int, rank: int) -> float:
    """How surely the median lies between the value of that rank from below and that from above: 1 - 2 P(X < rank)."""
    below = sum(math.comb(count, number) for number in range(rank))
    return max(0.0, 1 - 2 * below / float(2**count))
