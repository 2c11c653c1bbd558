"""Two runs of the same matrix beside each other: which cells agree, which became slower. Pure."""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from benchmark.sysbench.cells import Summary
from benchmark.sysbench.intervals import Interval
from benchmark.sysbench.matrix import Cell

# A difference below this share is none that anybody would act on, even where the intervals are apart.
_MATTERS: Final = 0.05

Verdict = Literal["agree", "overlap", "slower", "faster", "apart", "one only"]


class Compared(msgspec.Struct, frozen=True):
    """A cell in two runs. `change`: of the median, this run's to the other's, less one.

    agree: each median lies within the other's interval. overlap: the intervals meet, a median does not. slower, faster:
    the intervals are apart by 5 % or more. apart: they are, by less. one only: the other run has no rate for it.
    """

    cell: Cell
    here: Interval | None
    there: Interval | None
    change: float | None
    verdict: Verdict


def compare(here: Sequence[Summary], there: Sequence[Summary]) -> list[Compared]:
    """Every cell that one of them has."""
    ours = {summary.cell: summary.rate for summary in here}
    others = {summary.cell: summary.rate for summary in there}
    return [_compared(cell, ours.get(cell), others.get(cell)) for cell in dict.fromkeys([*ours, *others])]


def sentence(compared: Sequence[Compared]) -> str:
    """How many cells agree, in words."""
    counts = {verdict: sum(each.verdict == verdict for each in compared) for verdict in ("agree", "overlap")}
    apart = [each for each in compared if each.verdict in {"slower", "faster", "apart"}]
    single = sum(each.verdict == "one only" for each in compared)
    told = (
        f"Of {len(compared) - single} cells that both runs have, {counts['agree']} agree (each median lies within the"
        f" other's interval), {counts['overlap']} more have intervals that meet, and {len(apart)} have intervals that"
        " do not meet"
    )
    names = "; ".join(f"{each.cell.name} ({each.change:+.0%})" for each in apart if each.change is not None)
    return f"{told}: {names}." if names else f"{told}."


def _compared(cell: Cell, here: Interval | None, there: Interval | None) -> Compared:
    if here is None or there is None:
        return Compared(cell, here, there, None, "one only")
    change = here.median / there.median - 1 if there.median else 0.0
    return Compared(cell, here, there, change, _verdict(here, there, change))


def _verdict(here: Interval, there: Interval, change: float) -> Verdict:
    if here.holds(there.median) and there.holds(here.median):
        return "agree"
    if here.meets(there):
        return "overlap"
    if abs(change) < _MATTERS:
        return "apart"
    return "slower" if change < 0 else "faster"
