"""What clients met while each fault was done, and until the system was whole again. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from tests.chaos.history import Operation

_MOST_ERRORS: Final = 10


class Window(msgspec.Struct, frozen=True):
    """From a fault's beginning until the system was whole again; seconds of the operations' clock."""

    fault: str
    began_s: float
    ended_s: float


class Figures(msgspec.Struct, frozen=True):
    """Of one kind of fault: how often it was done, and of what clients had under way meanwhile:

    reads, writes with a key, and writes without one; how many of the former two had to be asked for again, since the
    first attempt was answered with an error or not at all; the longest of each, with all its attempts; how many of the
    latter failed, with a true outcome, and of how many the outcome was unknown. `longest_whole_s`: until all was whole
    again. `errors`: what the former were told before, the most frequent ones.
    """

    times: int
    reads: int
    reads_again: int
    longest_read_s: float
    keyed: int
    keyed_again: int
    longest_keyed_s: float
    plain: int
    plain_failed: int
    plain_unknown: int
    longest_whole_s: float
    errors: dict[str, int]


def by_fault(history: Sequence[Operation], windows: Sequence[Window]) -> dict[str, Figures]:
    """The figures of each fault that was done."""
    return {
        name: _figures(history, [window for window in windows if window.fault == name])
        for name in sorted({window.fault for window in windows})
    }


def _figures(history: Sequence[Operation], windows: Sequence[Window]) -> Figures:
    met = [each for each in history if any(_overlap(each, window) for window in windows)]
    reads = [each for each in met if each.kind == "read"]
    plain = [each for each in met if each.kind == "plain"]
    keyed = [each for each in met if each.kind not in {"read", "plain"}]
    return Figures(
        times=len(windows),
        reads=len(reads),
        reads_again=_again(reads),
        longest_read_s=_longest(reads),
        keyed=len(keyed),
        keyed_again=_again(keyed),
        longest_keyed_s=_longest(keyed),
        plain=len(plain),
        plain_failed=sum(each.outcome == "not_done" for each in plain),
        plain_unknown=sum(each.outcome == "unknown" for each in plain),
        longest_whole_s=round(max(window.ended_s - window.began_s for window in windows), 1),
        errors=dict(Counter(each.detail for each in reads + keyed if each.detail).most_common(_MOST_ERRORS)),
    )


def _overlap(each: Operation, window: Window) -> bool:
    return each.began_s <= window.ended_s and each.ended_s >= window.began_s


def _again(operations: Iterable[Operation]) -> int:
    return sum(each.attempts > 1 for each in operations)


def _longest(operations: Iterable[Operation]) -> float:
    return round(max((each.ended_s - each.began_s for each in operations), default=0.0), 1)
