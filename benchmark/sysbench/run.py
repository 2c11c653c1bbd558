"""A run: everything that is planned and not yet done, kept measurement by measurement, so that it can be gone on with.

What one measurement meets is kept with it. A run ends early only when going on makes no sense; what it made on the
machines is taken away then, too.
"""

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from benchmark.machine import describe
from benchmark.sysbench import measuring, state, system, timeline
from benchmark.sysbench.errors import NotFit, RunUnusable, SysbenchError
from benchmark.sysbench.matrix import Cell, Matrix, Size, Target
from benchmark.sysbench.plan import Item, plan
from benchmark.sysbench.rundir import FORMAT, DataSize, Manifest, RunDirectory
from benchmark.sysbench.system import Subject
from deploy.host import Host, HostError
from deploy.providers.interface import Say
from deploy.roles.engine import MachineEngine
from deploy.site import Site

_READY_TIMEOUT_S: Final = 300.0
_POLL_S: Final = 1.0
_MOST_FAILURES: Final = 5
_SETTLING: Final = ("oltp_read_write", 16)


class Bench(msgspec.Struct, frozen=True):
    """A run on machines."""

    directory: RunDirectory
    manifest: Manifest
    standalone: Subject
    cluster: Subject
    say: Say

    @property
    def subjects(self) -> tuple[Subject, Subject]:
        """Both."""
        return (self.standalone, self.cluster)

    @property
    def hosts(self) -> list[Host]:
        """Every machine with an SQL server."""
        return [*self.standalone.hosts, *self.cluster.hosts]

    def subject(self, target: Target) -> Subject:
        """Who is asked."""
        return self.cluster if target.nodes else self.standalone


def begin(site: Site, engine: MachineEngine, matrix: Matrix, path: Path, seed: int | None = None) -> Bench:
    """A new run. Raises SysbenchError."""
    standalone, cluster = system.subjects(site, engine)
    host = describe()
    manifest = Manifest(
        format=FORMAT,
        began=datetime.now(UTC).isoformat(timespec="seconds"),
        engine=site.cluster.engine,
        provider=site.cluster.provider,
        cluster=site.name,
        matrix=matrix,
        seed=secrets.randbelow(1_000_000) if seed is None else seed,
        standalone=standalone.first.name,
        nodes=tuple(each.name for each in cluster.hosts),
        data_nodes=len(site.of("data")),
        machine=f"{host.cores} cores ({host.cpu}), {host.memory_gib:g} GiB, Linux {host.kernel}",
    )
    directory = RunDirectory(path)
    directory.begin(manifest)
    return Bench(directory, manifest, standalone, cluster, site.say)


def resume(site: Site, engine: MachineEngine, path: Path) -> Bench:
    """A run that was interrupted, on the same cluster or one that is like it. Raises SysbenchError."""
    directory = RunDirectory(path)
    manifest = directory.manifest()
    standalone, cluster = system.subjects(site, engine)
    nodes = tuple(each.name for each in cluster.hosts)
    if (site.cluster.engine, nodes) != (manifest.engine, manifest.nodes):
        raise RunUnusable(
            f"{path} is of {manifest.engine} on {', '.join(manifest.nodes)}; {site.name} is {site.cluster.engine}"
            f" on {', '.join(nodes)}"
        )
    return Bench(directory, manifest, standalone, cluster, site.say)


def carry_out(bench: Bench) -> None:
    """Measures what is not measured yet. Raises SysbenchError, HostError."""
    matrix = bench.manifest.matrix
    done = {result.number for result in bench.directory.results()}
    items = plan(matrix, len(bench.cluster.hosts), bench.manifest.seed)
    left = [item for item in items if item.number not in done]
    bench.say("run", f"seed {bench.manifest.seed}; {len(left)} of {len(items)} measurements are left")
    with _prepared(bench):
        progress = _Progress(bench, len(items), len(left))
        for size in matrix.sizes:
            mine = [item for item in left if item.cell.size == size.name]
            if mine:
                _prepare(bench, size)
                _measure(bench, mine, progress)
        _timeline(bench)


@contextmanager
def _prepared(bench: Bench) -> Iterator[None]:
    """sysbench, the account and the state; all of it but the package is taken away when the block ends."""
    for subject in bench.subjects:
        system.check_ready(subject)
        if left := system.left_tables(subject):
            bench.say(subject.first.name, f"{len(left)} tables of a run that was cut off are made anew")
    versions = system.versions(bench.hosts)
    try:
        password = system.new_password()
        for subject in bench.subjects:
            system.account(subject, password)
        servers = {
            host.name: state.look(subject, host, versions[host.name])
            for subject in bench.subjects
            for host in subject.hosts
        }
        bench.directory.put_servers(servers)
        yield
    finally:
        _remove(bench)


def _remove(bench: Bench) -> None:
    """Takes everything away. What can't be taken away is said: the error that brought us here must not be hidden."""
    for subject in bench.subjects:
        try:
            system.remove(subject)
        except (HostError, SysbenchError) as error:
            bench.say(subject.first.name, f"could not be cleaned: {error}; the next run does it")


def _prepare(bench: Bench, size: Size) -> None:
    sizes: dict[str, int] = {}
    for subject in bench.subjects:
        began = time.monotonic()
        sizes[subject.name] = system.prepare(subject, size)
        bench.say(
            subject.first.name, f"{size.name}: {sizes[subject.name] >> 20} MiB in {time.monotonic() - began:.0f} s"
        )
    pool = int(bench.standalone.sql("SELECT @@GLOBAL.innodb_buffer_pool_size"))
    bench.directory.put_data(DataSize(size.name, sizes["standalone"], sizes["cluster"], pool))
    if size.larger and sizes["standalone"] <= pool:
        bench.say("run", f"{size.name} is NOT larger than the buffer pool of {pool >> 20} MiB; the report says so")
    settling = msgspec.structs.replace(bench.manifest.matrix, warmup_s=0, seconds=bench.manifest.matrix.settle_s)
    for target in (Target(0), Target(len(bench.cluster.hosts))):
        cell = Cell(size.name, *_SETTLING, target)
        measuring.measure(settling, Item(-1, 0, cell, 1000), bench.subject(target), [])


def _measure(bench: Bench, items: Sequence[Item], progress: "_Progress") -> None:
    failures = 0
    for item in items:
        subject = bench.subject(item.cell.target)
        others = [host for host in bench.hosts if host not in subject.hosts]
        result, asked = measuring.measure(bench.manifest.matrix, item, subject, others)
        for name, said in asked.items():
            bench.directory.keep_transcript(f"{item.number:05}-{name}", said.text)
        bench.directory.add(result)
        progress.tell(item.cell, result.rates.transactions_per_s if result.rates else None, result.marks)
        failures = 0 if result.rates else failures + 1
        if failures >= _MOST_FAILURES:
            raise NotFit(f"{failures} measurements in a row failed ({'; '.join(result.errors)}); resume the run later")
        if not result.rates:
            _wait_ready(bench)


def _wait_ready(bench: Bench) -> None:
    """After a failure: goes on when every node serves. Raises NotFit."""
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while True:
        try:
            for subject in bench.subjects:
                system.check_ready(subject)
            return
        except (NotFit, HostError) as error:
            if time.monotonic() > deadline:
                raise NotFit(f"{error}, for {_READY_TIMEOUT_S:g} s; resume the run when it is back") from None
        time.sleep(_POLL_S)


def _timeline(bench: Bench) -> None:
    wanted = bench.manifest.matrix.timeline
    if wanted is None or bench.directory.timeline() is not None:
        return
    size = bench.manifest.matrix.sizes[0]
    system.prepare(bench.cluster, size)
    bench.say("run", f"a node is lost and comes back: {wanted.seconds} s")
    made = timeline.run(wanted, size, bench.cluster, 1000, bench.say)
    bench.directory.put_timeline(made)


class _Progress:
    """Says after each measurement what it gave and about how long the rest takes."""

    def __init__(self, bench: Bench, planned: int, left: int) -> None:
        self._bench = bench
        self._planned = planned
        self._left = left
        self._made = 0
        self._began = time.monotonic()

    def tell(self, cell: Cell, rate: float | None, marks: Sequence[str]) -> None:
        """One more was made."""
        self._made += 1
        left = self._left - self._made
        minutes = (time.monotonic() - self._began) / self._made * left / 60
        told = "failed" if rate is None else f"{rate:,.0f} transactions/s"
        marked = f" (marked: {'; '.join(marks)})" if marks else ""
        done = self._planned - left
        self._bench.say("run", f"{done} of {self._planned}, {minutes:.0f} min left: {cell.name}: {told}{marked}")
