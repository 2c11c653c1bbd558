"""A run's tables, as rows of text: what the HTML and the Markdown both show. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from benchmark.sysbench.agreement import Compared
from benchmark.sysbench.cells import Summary
from benchmark.sysbench.intervals import Interval
from benchmark.sysbench.plots import title
from benchmark.sysbench.rundir import Results
from benchmark.sysbench.usage import Usage


class Table(msgspec.Struct, frozen=True):
    """A table; the first `words` columns are words, the others numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1


_RATES: Final = (
    *("workload", "threads", "target", "transactions/s", "interval", "queries/s", "p50 ms", "p95 ms", "p99 ms"),
    *("server ms/transaction", "used", "marked"),
)


def rates(run: Results, found: Sequence[Summary]) -> Iterator[Table]:
    """A table for each size."""
    for size in run.manifest.matrix.sizes:
        mine = [each for each in found if each.cell.size == size.name]
        if mine:
            rows = tuple(_rate(run, each) for each in mine)
            yield Table(f"{size.name}: {size.tables} tables of {size.rows:,} rows", _RATES, rows, words=1)


def _rate(run: Results, each: Summary) -> tuple[str, ...]:
    marked = len({mark.partition(":")[0] for mark in each.marks})
    return (
        each.cell.workload,
        str(each.cell.threads),
        title(run, each.cell.target.nodes),
        number(each.rate, 1),
        f"{each.rate.low:,.1f} to {each.rate.high:,.1f}" if each.rate else "",
        number(each.queries, 0),
        *(number(value, 2) for value in (each.p50_ms, each.p95_ms, each.p99_ms, each.servers_ms)),
        f"{each.repetitions - each.failed} of {each.repetitions}",
        str(marked) if marked else "",
    )


def number(value: Interval | None, digits: int) -> str:
    """The median."""
    return f"{value.median:,.{digits}f}" if value else "none"


def sizes(run: Results) -> Table:
    """How large the data were beside the buffer pool."""
    rows = tuple(
        (
            data.size,
            f"{data.standalone_bytes / 2**20:,.0f}",
            f"{data.cluster_bytes / 2**20:,.0f}",
            f"{data.pool_bytes / 2**20:,.0f}",
            "larger than the pool" if data.standalone_bytes > data.pool_bytes else "fits",
        )
        for data in run.data
    )
    columns = ("data set", "stand-alone MiB", "cluster MiB", "stand-alone's buffer pool MiB", "so it")
    return Table("Sizes, as the servers tell them", columns, rows)


def settings(run: Results) -> Table:
    """The settings side by side: the stand-alone, and the nodes' (one value where all agree)."""
    nodes = [run.servers[name] for name in run.manifest.nodes if name in run.servers]
    alone = run.servers.get(run.manifest.standalone)
    rows: list[tuple[str, ...]] = []
    for kind in ("variables", "kernel"):
        names = sorted({name for server in [*nodes, *([alone] if alone else [])] for name in getattr(server, kind)})
        for name in names:
            values = list(dict.fromkeys(getattr(server, kind).get(name, "-") for server in nodes))
            mine = getattr(alone, kind).get(name, "-") if alone else "-"
            rows.append((name, mine, " | ".join(values), "" if [mine] == values else "differs"))
    parameters = next((server.ndb for server in nodes if server.ndb), None) or {}
    rows += [(name, "-", value, "") for name, value in sorted(parameters.items())]
    rows.append(("sysbench", alone.sysbench if alone else "-", " | ".join(sorted({s.sysbench for s in nodes})), ""))
    return Table("Settings", ("setting", "stand-alone", "cluster", ""), tuple(rows), words=4)


def machines(run: Results) -> Table:
    """What each machine spent, by the side that was measured: medians over all measurements."""
    columns = (
        "machine",
        "while measured",
        "servers' cores",
        "sysbench's cores",
        "servers' MiB",
        "in KiB/s",
        "out KiB/s",
    )
    rows: list[tuple[str, ...]] = []
    for name in (run.manifest.standalone, *run.manifest.nodes):
        for side, wanted in (("the stand-alone", False), ("the cluster", True)):
            spent = [
                result.usage[name]
                for result in run.results
                if name in result.usage and bool(result.cell.target.nodes) is wanted
            ]
            if spent:
                rows.append((name, side, *_spent(spent)))
    return Table("Processor, memory and network of each machine (medians)", columns, tuple(rows), words=2)


def _spent(spent: Sequence[Usage]) -> tuple[str, ...]:
    def middle(values: list[float]) -> float:
        return sorted(values)[len(values) // 2]

    return (
        f"{middle([each.servers for each in spent]):.2f}",
        f"{middle([each.client for each in spent]):.2f}",
        f"{middle([float(each.resident) for each in spent]) / 2**20:,.0f}",
        f"{middle([each.received_per_s for each in spent]) / 1024:,.0f}",
        f"{middle([each.sent_per_s for each in spent]) / 1024:,.0f}",
    )


def comparison(compared: Sequence[Compared]) -> Table:
    """Two runs beside each other."""
    rows = tuple(
        (
            each.cell.name,
            _interval(each.here),
            _interval(each.there),
            f"{each.change:+.0%}" if each.change is not None else "",
            each.verdict,
        )
        for each in compared
    )
    return Table("Beside the other run", ("cell", "this run", "the other", "change", "verdict"), rows)


def _interval(value: Interval | None) -> str:
    return f"{value.median:,.1f} ({value.low:,.1f} to {value.high:,.1f})" if value else "none"


def marks(found: Sequence[Summary]) -> list[str]:
    """Every mark, with its cell."""
    return [f"{each.cell.name}: {mark}" for each in found for mark in each.marks]
