"""A run's cells: the repetitions of each, as medians with intervals, and everything that was odd. Pure."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from benchmark.sysbench.intervals import Interval, interval
from benchmark.sysbench.matrix import Cell
from benchmark.sysbench.merging import Rates
from benchmark.sysbench.rundir import Manifest, Result, Results

# A repetition whose rate is further from its cell's median than this share of it is marked.
DEVIATES: Final = 0.25


class Summary(msgspec.Struct, frozen=True):
    """A cell. `rate` and latencies are None when no repetition gave any. Milliseconds; processor ms a transaction.

    `repetitions`: made; `failed`: of these, without a rate. `marks`: `repetition 3: ...`, all of them.
    """

    cell: Cell
    repetitions: int
    failed: int
    rate: Interval | None
    queries: Interval | None
    p50_ms: Interval | None
    p95_ms: Interval | None
    p99_ms: Interval | None
    servers_ms: Interval | None
    marks: tuple[str, ...]


def summaries(run: Results) -> list[Summary]:
    """Every cell that was measured, in the plan's order of sizes, workloads, threads and targets."""
    by_cell: dict[Cell, list[Result]] = {}
    for result in run.results:
        by_cell.setdefault(result.cell, []).append(result)
    order = {cell: number for number, cell in enumerate(sorted(by_cell, key=lambda cell: _place(run, cell)))}
    return [_summary(run.manifest, cell, by_cell[cell]) for cell in sorted(by_cell, key=order.__getitem__)]


def deviating(results: Sequence[Result]) -> list[tuple[int, str]]:
    """The repetitions that are far from their median, each with a phrase."""
    rates = [(result.repetition, result.rates.transactions_per_s) for result in results if result.rates]
    if not rates:
        return []
    median = interval([rate for _, rate in rates]).median
    return [
        (repetition, f"{rate / median - 1:+.0%} from the median")
        for repetition, rate in rates
        if median and abs(rate / median - 1) > DEVIATES
    ]


def servers_ms(manifest: Manifest, result: Result) -> float | None:
    """Processor milliseconds that the servers of the target's side spent for a transaction, all machines together."""
    mine = manifest.nodes if result.cell.target.nodes else (manifest.standalone,)
    if not result.rates or not result.rates.transactions_per_s or not set(mine) <= result.usage.keys():
        return None
    return 1000 * sum(result.usage[name].servers for name in mine) / result.rates.transactions_per_s


def _summary(manifest: Manifest, cell: Cell, results: Sequence[Result]) -> Summary:
    given = [result.rates for result in results if result.rates]
    spent = [ms for result in results if (ms := servers_ms(manifest, result)) is not None]
    return Summary(
        cell=cell,
        repetitions=len(results),
        failed=len(results) - len(given),
        rate=_of(given, lambda rates: rates.transactions_per_s),
        queries=_of(given, lambda rates: rates.queries_per_s),
        p50_ms=_of(given, lambda rates: rates.p50_ms),
        p95_ms=_of(given, lambda rates: rates.p95_ms),
        p99_ms=_of(given, lambda rates: rates.p99_ms),
        servers_ms=interval(spent) if spent else None,
        marks=tuple(_marks(results)),
    )


def _of(given: Sequence[Rates], value: Callable[[Rates], float]) -> Interval | None:
    return interval([value(rates) for rates in given]) if given else None


def _marks(results: Sequence[Result]) -> list[str]:
    found = [(result.repetition, mark) for result in results for mark in result.marks]
    return [f"repetition {repetition}: {mark}" for repetition, mark in sorted([*found, *deviating(results)])]


def _place(run: Results, cell: Cell) -> tuple[int, int, int, int]:
    matrix = run.manifest.matrix
    sizes = [size.name for size in matrix.sizes]
    workloads = list(dict.fromkeys(workload for block in matrix.blocks for workload in block.workloads))
    return sizes.index(cell.size), workloads.index(cell.workload), cell.threads, cell.target.nodes
