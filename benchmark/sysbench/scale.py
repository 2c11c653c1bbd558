"""Runs on clusters with different numbers of data nodes, laid together: how a cell's rate follows that number. Pure."""

from collections.abc import Mapping, Sequence

from benchmark.sysbench.cells import Summary, summaries
from benchmark.sysbench.errors import RunUnusable
from benchmark.sysbench.intervals import Interval
from benchmark.sysbench.rundir import Results
from benchmark.sysbench.tables import Table


def table(runs: Sequence[Results]) -> Table:
    """A row for each workload and number of SQL nodes, a column for each number of data nodes.

    Raises RunUnusable when the runs are not of one engine and matrix, or two have as many data nodes.
    """
    _check(runs)
    ordered = sorted(runs, key=lambda run: run.manifest.data_nodes)
    counts = [run.manifest.data_nodes for run in ordered]
    rates = [{_key(each): each.rate for each in summaries(run)} for run in ordered]
    keys = sorted({key for found in rates for key in found})
    rows = tuple((*_words(key), *(_shown(found, key) for found in rates)) for key in keys)
    columns = ("workload", "size", "threads", "SQL nodes", *(f"{count} data nodes" for count in counts))
    engine = runs[0].manifest.engine
    return Table(f"{engine}: transactions/s by the number of data nodes (median, interval)", columns, rows, words=4)


def _check(runs: Sequence[Results]) -> None:
    kinds = {(run.manifest.engine, run.manifest.matrix.name) for run in runs}
    counts = [run.manifest.data_nodes for run in runs]
    if len(kinds) != 1 or len(set(counts)) != len(counts):
        raise RunUnusable("give runs of one engine and one matrix, each with another number of data nodes")


def _key(each: Summary) -> tuple[str, str, int, int]:
    return each.cell.workload, each.cell.size, each.cell.threads, each.cell.target.nodes


def _words(key: tuple[str, str, int, int]) -> tuple[str, ...]:
    workload, size, threads, nodes = key
    return workload, size, str(threads), str(nodes) if nodes else "stand-alone"


def _shown(found: Mapping[tuple[str, str, int, int], Interval | None], key: tuple[str, str, int, int]) -> str:
    rate = found.get(key)
    return f"{rate.median:,.0f} ({rate.low:,.0f} to {rate.high:,.0f})" if rate else "none"
