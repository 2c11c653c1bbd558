"""What to read from a run: sentences that its data give by stated rules, and no others. Pure.

The rules, which the report prints too: RULES.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from benchmark.sysbench import durability
from benchmark.sysbench.cells import DEVIATES, Summary
from benchmark.sysbench.intervals import Interval, interval
from benchmark.sysbench.rundir import Results, TimelineResult

RULES: Final = (
    "Two values are told apart only when their intervals do not meet; else the sentence says so.",
    "A ratio is that of two medians. Its range is from the least to the most that the two intervals allow.",
    "Of each side the number of threads with the highest median counts as its best, among those measured for both.",
    "Scale is read from the cells with the same workload and threads, from one SQL node to all.",
    "The cost of a transaction is the processor time of the servers' processes on all machines of that side, without"
    " sysbench's own.",
    f"A repetition that is more than {DEVIATES:.0%} from its cell's median is marked. It stays in the median, as every"
    " one that has a rate does.",
    "In the time line, a second counts as an outage when it has less than a tenth of the median before the fault, and"
    " the throughput is back in the first of three seconds in a row that have 80 % of it.",
)
_OUTAGE: Final = 0.1
_BACK: Final = 0.8
_IN_A_ROW: Final = 3


def sentences(run: Results, found: Sequence[Summary]) -> list[str]:
    """All that the rules give."""
    last = len(run.manifest.nodes)
    return [
        *_durability(run),
        *_beside(run, found, 1, "through one SQL node"),
        *(_beside(run, found, last, f"spread over {last} SQL nodes") if last > 1 else ()),
        *_scale(found, last),
        *_larger(run, found),
        *_costs(run, found),
        *_idle(run),
        *(timeline(run.timeline) if run.timeline else ()),
        *_odd(found),
    ]


def durabilities(run: Results) -> tuple[durability.Durability, durability.Durability] | None:
    """What a commit outlives at the stand-alone and at the cluster; None before the state was looked up."""
    alone, node = run.servers.get(run.manifest.standalone), run.servers.get(run.manifest.nodes[0])
    if alone is None or node is None:
        return None
    return durability.of(alone.variables), durability.of(node.variables, node.ndb)


def ratio(here: Interval, there: Interval) -> str:
    """`0.31 times (0.28 to 0.35)`."""
    if not there.median or not there.low or not there.high:
        return "not comparable (none)"
    return f"{here.median / there.median:.2f} times ({here.low / there.high:.2f} to {here.high / there.low:.2f})"


def _durability(run: Results) -> Iterator[str]:
    if both := durabilities(run):
        yield durability.label(*both)


def _beside(run: Results, found: Sequence[Summary], nodes: int, how: str) -> Iterator[str]:
    """The cluster beside the stand-alone, each at its best."""
    for size, workload in _kinds(found):
        ours, alone = _rates(found, size, workload, nodes), _rates(found, size, workload, 0)
        both = sorted(ours.keys() & alone.keys())
        if both:
            here, there = (max(both, key=lambda threads: rates[threads].median) for rates in (ours, alone))
            told = ratio(ours[here], alone[there])
            unclear = "" if not ours[here].meets(alone[there]) else "; their intervals meet: not told apart"
            yield (
                f"{workload}, {size}: {run.manifest.engine} {how} serves {told} the stand-alone's transactions/s, each"
                f" at its best ({_at(ours[here], here)} against {_at(alone[there], there)}){unclear}."
            )


def _scale(found: Sequence[Summary], last: int) -> Iterator[str]:
    for workload, threads, rates in scaled(found, last):
        steps = ", ".join(f"{nodes}: {rates[nodes].median:,.0f}" for nodes in sorted(rates))
        apart = not rates[1].meets(rates[last])
        told = ratio(rates[last], rates[1]) if apart else "as much as can be told apart from one"
        yield f"{workload}, {threads} threads over 1 to {last} SQL nodes ({steps} transactions/s): all serve {told}."


def scaled(found: Sequence[Summary], last: int) -> list[tuple[str, int, dict[int, Interval]]]:
    """The workloads and threads that were measured with every number of SQL nodes, on the first size that has them."""
    kinds = dict.fromkeys((each.cell.size, each.cell.workload, each.cell.threads) for each in found)
    listed = []
    for size, workload, threads in kinds:
        rates = {
            each.cell.target.nodes: each.rate
            for each in found
            if (each.cell.size, each.cell.workload, each.cell.threads) == (size, workload, threads)
            and each.rate
            and each.cell.target.nodes
        }
        if last > 2 and sorted(rates) == list(range(1, last + 1)):
            listed.append((workload, threads, rates))
    return listed


def _larger(run: Results, found: Sequence[Summary]) -> Iterator[str]:
    """Each target with the largest data against itself with the smallest."""
    sizes = [size.name for size in run.manifest.matrix.sizes]
    if len(sizes) < 2:
        return
    by_key = {(each.cell.size, each.cell.workload, each.cell.threads, each.cell.target): each.rate for each in found}
    for (size, workload, threads, target), rate in by_key.items():
        small = by_key.get((sizes[0], workload, threads, target))
        if size == sizes[-1] and rate and small:
            yield (
                f"{workload}, {threads} threads, {target.name}: with the data set {size}, {ratio(rate, small)} the"
                f" transactions/s of {sizes[0]}."
            )


def _costs(run: Results, found: Sequence[Summary]) -> Iterator[str]:
    by_key = {(each.cell.size, each.cell.workload, each.cell.threads, each.cell.target.nodes): each for each in found}
    for (size, workload, threads, nodes), each in by_key.items():
        alone = by_key.get((size, workload, threads, 0))
        if nodes == 1 and threads == _common_threads(found) and each.servers_ms and alone and alone.servers_ms:
            yield (
                f"{workload}, {size}, {threads} threads: a transaction costs {run.manifest.engine}"
                f" {each.servers_ms.median:.2f} ms of processor time, {ratio(each.servers_ms, alone.servers_ms)} the"
                f" stand-alone's."
            )


def _common_threads(found: Sequence[Summary]) -> int:
    """The number of threads with which most workloads were measured."""
    workloads: dict[int, set[str]] = {}
    for each in found:
        workloads.setdefault(each.cell.threads, set()).add(each.cell.workload)
    return max(workloads, key=lambda threads: (len(workloads[threads]), threads), default=0)


def _idle(run: Results) -> Iterator[str]:
    """What the cluster spends while the stand-alone is measured, because they may share cores."""
    nodes = run.manifest.nodes
    idle = [
        sum(result.usage[name].servers for name in nodes)
        for result in run.results
        if not result.cell.target.nodes and set(nodes) <= result.usage.keys()
    ]
    if idle:
        yield (
            f"While the stand-alone was measured, the servers of the idle cluster spent {interval(idle).median:.2f}"
            f" cores together (median): where all share the same cores, the stand-alone did without these."
        )


def timeline(line: TimelineResult) -> Iterator[str]:
    """What the loss and the return of the node did."""
    at = {mark.text: mark.at_s for mark in line.marks}
    lost, back = at.get("killed"), at.get("in step again")
    before = [moment.transactions_per_s for moment in line.moments if lost and 2 < moment.at_s <= lost]
    if lost is None or not before:
        yield f"The loss of {line.lost} was not seen by the load: {'; '.join(line.errors) or 'it ended before'}."
        return
    usual = interval(before).median
    after = [moment for moment in line.moments if moment.at_s > lost]
    out = sum(moment.transactions_per_s < _OUTAGE * usual for moment in after)
    again = _back_at(line, lost, usual)
    returned = f"in step again {back - at['started again']:.0f} s after its start" if back else "not in step again"
    recovered = f"80 % of it again after {again - lost:.0f} s" if again is not None else "never 80 % of it again"
    errors = sum(moment.errors_per_s for moment in after)
    yield (
        f"When {line.lost} was killed under load ({usual:,.0f} transactions/s before, {line.target}), the others had"
        f" {out} seconds of outage, {recovered}, and about {errors:,.0f} transactions to try again; the node was"
        f" {returned}. Measured once."
    )


def _back_at(line: TimelineResult, lost: float, usual: float) -> float | None:
    moments = [moment for moment in line.moments if moment.at_s > lost]
    for number in range(len(moments) - _IN_A_ROW + 1):
        if all(moment.transactions_per_s >= _BACK * usual for moment in moments[number : number + _IN_A_ROW]):
            return float(moments[number].at_s)
    return None


def _odd(found: Sequence[Summary]) -> Iterator[str]:
    made, failed = sum(each.repetitions for each in found), sum(each.failed for each in found)
    marked = sum(len({mark.partition(":")[0] for mark in each.marks}) for each in found)
    yield f"Of {made} measurements {marked} are marked, and {failed} failed and have no rate; all are listed below."


def _kinds(found: Sequence[Summary]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((each.cell.size, each.cell.workload) for each in found))


def _rates(found: Sequence[Summary], size: str, workload: str, nodes: int) -> dict[int, Interval]:
    return {
        each.cell.threads: each.rate
        for each in found
        if (each.cell.size, each.cell.workload, each.cell.target.nodes) == (size, workload, nodes) and each.rate
    }


def _at(rate: Interval, threads: int) -> str:
    return f"{rate.median:,.0f} with {threads} thread{'' if threads == 1 else 's'}"
