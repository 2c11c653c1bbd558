"""`fab benchmark.*`. As a program (`python -m benchmark.sysbench.tasks JSON`) it runs in namespaces of its own."""

import functools
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import ParamSpec, TypeVar

import msgspec
from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from benchmark.sysbench import local as machines
from benchmark.sysbench import run as running
from benchmark.sysbench.errors import SysbenchError, UnknownMatrix
from benchmark.sysbench.matrix import named
from benchmark.sysbench.rundir import RunDirectory
from deploy import cluster as descriptions
from deploy import clusters
from deploy.site import printing
from deploy.tasks.failures import FAILED, USAGE, reported
from deploy.tasks.rehearse import archive

RUNS = clusters.VAR / "benchmark"
_MATRIX = "trial (whether it works), scale (minutes), reduced (half an hour, for small machines) or full (a day)"
_SEED = "of the order and of sysbench's random numbers (default: by chance; it is printed)"

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")


def told(wrapped: Callable[Arguments, Returned]) -> Callable[Arguments, Returned]:
    """The task, whose expected errors end the program with a sentence, as those of deploy's tasks do."""
    reporting = reported(wrapped)

    @functools.wraps(wrapped)
    def telling(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Returned:
        try:
            return reporting(*args, **kwargs)
        except UnknownMatrix as error:
            raise Exit(str(error), code=USAGE) from None
        except SysbenchError as error:
            raise Exit(f"failed: {error}", code=FAILED) from None

    return telling


@task(
    help={
        "cluster": "a cluster with a stand-alone server (default: main)",
        "matrix": _MATRIX,
        "resume": "a run's directory to go on with",
        "seed": _SEED,
    }
)
@told
def run(
    _context: Context,
    cluster: str = clusters.DEFAULT_NAME,
    matrix: str = "reduced",
    resume: str | None = None,
    seed: int | None = None,
) -> None:
    """Measure a cluster that is deployed: sysbench on its machines, stand-alone against cluster. Loads it fully."""
    wanted = named(matrix)
    with clusters.locked(cluster):
        deployment = clusters.known(cluster, printing())
        site = deployment.site()
        if resume:
            bench = running.resume(site, deployment.engine, Path(resume))
        else:
            bench = running.begin(site, deployment.engine, wanted, _new(cluster), seed)
        running.carry_out(bench)
    print(bench.directory.path)


@task(
    help={
        "engine": "ndb or galera (default: ndb)",
        "tarball": "with ndb: MySQL NDB Cluster's archive, a path; else the setting GATEKEEPER_NDB_TARBALL",
        "data_nodes": "so many (default: 3)",
        "matrix": _MATRIX,
        "runs": "so many runs on the same machines, to see whether they agree (default: 1)",
        "resume": "a run's directory to go on with",
        "seed": _SEED,
    }
)
@told
def local(  # noqa: PLR0917 (options are given by name)
    _context: Context,
    engine: str = "ndb",
    tarball: str | None = None,
    data_nodes: int = 3,
    matrix: str = "reduced",
    runs: int = 1,
    resume: str | None = None,
    seed: int | None = None,
) -> None:
    """Deploy to machines on this one, in namespaces of their own, measure them, and take them down. Needs root."""
    named(matrix)
    described = machines.members(engine, data_nodes, archive(tarball) if engine == "ndb" else None)
    descriptions.checked(described)
    paths = machines.paths(Path(resume).absolute() if resume else _new(engine), runs)
    wish = machines.Wish(described, matrix, tuple(map(str, paths)), seed)
    if status := machines.start(wish, printing()):
        raise Exit("the run failed", code=status)
    print("\n".join(map(str, paths)))


@task(
    positional=["directory"],
    help={
        "directory": "the run's directory",
        "compare": "another run's directory, to see regressions",
        "to": "where the report is written (default: the run's directory)",
        "name": "the files' name without its ending (default: report)",
    },
)
@told
def report(
    _context: Context, directory: str, compare: str | None = None, to: str | None = None, name: str = "report"
) -> None:
    """Write a run's report: HTML, Markdown, CSV and JSON; exit code 2 when the other run was faster somewhere."""
    from benchmark.sysbench import report as reports  # noqa: PLC0415 (matplotlib takes a second, which other tasks save)

    made = reports.make(Path(directory), Path(to or directory), name, Path(compare) if compare else None)
    print("\n".join([*made.sentences, *([made.agreement] if made.agreement else []), *map(str, made.files)]))
    if made.slower:
        raise Exit(f"slower than the other run: {'; '.join(made.slower)}", code=FAILED)


@task(iterable=["run"], help={"run": "a run's directory; say it for 2, 3 and 4 data nodes"})
@told
def scale(_context: Context, run: Sequence[str]) -> None:
    """Lay runs with different numbers of data nodes together, as a table in Markdown."""
    if len(run) < 2:
        raise Exit("say --run DIRECTORY for each of at least two runs", code=USAGE)
    from benchmark.sysbench import scale as scales  # noqa: PLC0415 (as above)
    from benchmark.sysbench.documents import markdown_table  # noqa: PLC0415

    table = scales.table([RunDirectory(Path(each)).load() for each in run])
    print(f"{table.title}\n\n{markdown_table(table)}")


def _new(name: str) -> Path:
    return RUNS / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


namespace = Collection("benchmark")
for each in (run, local, report, scale):
    namespace.add_task(each)


def main() -> int:
    """Runs what the first argument wishes, as JSON; the exit status."""
    try:
        told(machines.inside)(msgspec.json.decode(sys.argv[1], type=machines.Wish))
    except Exit as ended:
        print(ended.message, file=sys.stderr)
        return ended.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
