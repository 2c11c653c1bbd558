"""The results of a run that is pretended: rates that are told apart, five repetitions of each."""

from collections.abc import Sequence
from pathlib import Path

from benchmark.sysbench.cells import Summary, summaries
from benchmark.sysbench.matrix import Block, Cell, Matrix, Size, Target
from benchmark.sysbench.merging import Rates
from benchmark.sysbench.rundir import DataSize, Mark, Moment, Result, Results, RunDirectory, Server, TimelineResult
from benchmark.sysbench.usage import Usage
from tests.unit.sysbench_world import manifest

NODES = ("manager", "data1", "data2")
MATRIX = Matrix(
    name="tiny",
    sizes=(Size("fits", 2, 100), Size("larger", 2, 1000, larger=True)),
    blocks=(
        Block("fits", ("oltp_point_select",), (1, 16), "each"),
        Block("larger", ("oltp_point_select",), (16,)),
    ),
    repetitions=5,
    warmup_s=1,
    seconds=2,
    settle_s=1,
    timeline=None,
)
GALERA = {
    "innodb_flush_log_at_trx_commit": "1",
    "wsrep_on": "ON",
    "version": "10.11.19",
    "version_comment": "Debian 12",
}
INNODB = {"innodb_flush_log_at_trx_commit": "1", "version": "10.11.19", "version_comment": "Debian 12"}
NDB = {"NoOfReplicas": "3", "TimeBetweenGlobalCheckpoints": "2000"}
# Transactions/s by size, threads and SQL nodes; a repetition is a percent more than the one before.
RATES = {
    ("fits", 1, 0): 100.0,
    ("fits", 1, 1): 50.0,
    ("fits", 16, 0): 1000.0,
    ("fits", 16, 1): 200.0,
    ("fits", 16, 2): 300.0,
    ("fits", 16, 3): 400.0,
    ("larger", 16, 0): 500.0,
    ("larger", 16, 1): 100.0,
    ("larger", 16, 3): 200.0,
}


def rates(each: float) -> Rates:
    return Rates(
        transactions_per_s=each,
        queries_per_s=each,
        average_ms=1.0,
        p50_ms=1.0,
        p95_ms=2.0,
        p99_ms=3.0,
        most_ms=9.0,
        events=100,
        ignored_errors=0,
        reconnects=0,
    )


def usage(servers: float) -> Usage:
    return Usage(2.0, servers, 0.1, 1.9, 0.0, 100 << 20, 1024.0, 2048.0)


def results(factor: float = 1.0) -> list[Result]:
    made: list[Result] = []
    for (size, threads, nodes), rate in RATES.items():
        for repetition in range(1, 6):
            busy = {"standalone": usage(0.02 if nodes else 1.0)}
            busy |= {name: usage(0.5 if nodes else 0.1) for name in NODES}
            cell = Cell(size, "oltp_point_select", threads, Target(nodes))
            speed = rate * factor * (1 + repetition / 100)
            made.append(Result(len(made), repetition, cell, "2026-11-28T00:00:00+00:00", 3.2, rates(speed), usage=busy))
    return made


def a_run(listed: Sequence[Result] | None = None, line: TimelineResult | None = None) -> Results:
    servers = {"standalone": Server(INNODB, {"kernel": "6.1"}, "1.0.20")}
    servers |= {name: Server(GALERA, {"kernel": "6.1"}, "1.0.20") for name in NODES}
    data = (DataSize("fits", 10 << 20, 11 << 20, 256 << 20), DataSize("larger", 300 << 20, 310 << 20, 256 << 20))
    return Results(manifest(MATRIX, NODES), servers, data, tuple(results() if listed is None else listed), line)


def kept(path: Path, run: Results) -> Path:
    directory = RunDirectory(path)
    directory.begin(run.manifest)
    directory.put_servers(run.servers)
    for data in run.data:
        directory.put_data(data)
    for result in run.results:
        directory.add(result)
    if run.timeline:
        directory.put_timeline(run.timeline)
    return path


def summary(threads: int, nodes: int, size: str = "fits", run: Results | None = None) -> Summary:
    found = summaries(run or a_run())
    return next(
        each for each in found if (each.cell.size, each.cell.threads, each.cell.target.nodes) == (size, threads, nodes)
    )


def line(rates_: Sequence[float], *, back: float | None = 12.0) -> TimelineResult:
    marks = [Mark(5.0, "killed"), Mark(8.0, "started again")]
    return TimelineResult(
        target="oltp_read_write",
        lost="data2",
        moments=tuple(Moment(at, rate, 5.0, 2.0 if at == 6 else 0.0, 2) for at, rate in enumerate(rates_, 1)),
        marks=tuple([*marks, Mark(back, "in step again")] if back else marks),
        errors=(),
        ended_early=(),
    )
