"""A stand-alone server and a cluster that are pretended, as benchmark/sysbench sees them: no machine, no database.

What sysbench prints is a real transcript, told by the workload. A server keeps what SQL makes in it, as far as it is
asked for: schemas, tables, an account.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from benchmark.sysbench.matrix import Block, Matrix, Size, Timeline
from benchmark.sysbench.run import Bench
from benchmark.sysbench.rundir import FORMAT, Manifest, RunDirectory
from benchmark.sysbench.system import Subject
from contract.inventory import MachineRole
from deploy.host import Done, Host, HostError
from deploy.roles.engine import MachineEngine
from tests.unit.pretended_hosts import Pretended

TRANSCRIPTS = Path(__file__).with_name("sysbench_transcripts")
SAMPLES = """\
at 1000.0
cpu  100 0 50 1000 0 0 0 5 0 0
MemAvailable:    2000 kB
    lo: 999 0 0 0 0 0 0 0 999 0 0 0 0 0 0 0
  host0: 1000 0 0 0 0 0 0 0 2000 0 0 0 0 0 0 0
70 (mariadbd) S 1 70 70 0 -1 4194304 1 0 0 0 100 50 0 0 20 0 9 0 100 1000000 25600 0
at 1001.0
cpu  200 0 100 1000 0 0 0 5 0 0
MemAvailable:    1900 kB
  host0: 2000 0 0 0 0 0 0 0 4000 0 0 0 0 0 0 0
70 (mariadbd) S 1 70 70 0 -1 4194304 1 0 0 0 140 70 0 0 20 0 9 0 100 1000000 25600 0
90 (sysbench) S 1 90 90 0 -1 4194304 1 0 0 0 10 10 0 0 20 0 9 0 100 1000000 300 0
at 1003.0
cpu  300 0 200 1000 0 0 0 25 0 0
MemAvailable:    1800 kB
  host0: 4000 0 0 0 0 0 0 0 8000 0 0 0 0 0 0 0
70 (mariadbd) S 1 70 70 0 -1 4194304 1 0 0 0 300 150 0 0 20 0 9 0 100 1000000 51200 0
90 (sysbench) S 1 90 90 0 -1 4194304 1 0 0 0 50 30 0 0 20 0 9 0 100 1000000 300 0
"""
MATRIX = Matrix(
    name="tiny",
    sizes=(Size("fits", 2, 100),),
    blocks=(Block("fits", ("oltp_point_select",), (4,)),),
    repetitions=2,
    warmup_s=1,
    seconds=3,
    settle_s=1,
    timeline=None,
)


def transcript(name: str) -> str:
    return (TRANSCRIPTS / f"{name}.txt").read_text(encoding="utf-8")


class Machine(Pretended):
    """A machine with sysbench. `prints`: what it prints for a measurement, by its number; a HostError is raised."""

    def __init__(self, name: str, role: MachineRole) -> None:
        super().__init__(name, role)
        self.packages = {"sysbench"}
        self.measured = 0
        self.prints: Callable[[int], str | HostError] = lambda _: transcript("point-select")

    def attempt(self, script: str, *, timeout_s: float = 120.0, given: bytes | BinaryIO = b"") -> Done:
        if "timeout --kill-after" in script and " sysbench " in script:
            self.measured += 1
            return self._measured(self.prints(self.measured))
        if "timeout --kill-after" in script:
            return Done(f"\n----- samples\n{SAMPLES}", "", 0)
        if "--version" in script:
            return Done("sysbench 1.0.20\n", "", 0)
        if script.startswith("df "):
            return Done(f"{self.free}\n", "", 0)
        return super().attempt(script, timeout_s=timeout_s, given=given)

    free = 10**12

    def _measured(self, printed: str | HostError) -> Done:
        if isinstance(printed, HostError):
            raise printed
        return Done(f"{printed}\n----- samples\n{SAMPLES}", "", 0 if "Threads fairness" in printed[-400:] else 1)


class Engine:
    """An engine whose servers answer what the benchmark asks. `said`: every script of SQL, with its machine."""

    full_text = True

    def __init__(self, tables: str = "innodb") -> None:
        self.tables = tables
        self.rows = 100
        self.schema: dict[str, list[str]] = {}
        self.said: list[tuple[str, str]] = []
        self.states: dict[str, str] = {}

    def sql(self, host: Host, script: str, *, timeout_s: float = 120.0) -> str:  # noqa: ARG002 - MachineEngine's
        self.said.append((host.name, script))
        side = "standalone" if host.machine.role == "standalone" else "cluster"
        if "CREATE DATABASE" in script:
            self.schema[side] = ["sbtest1", "sbtest2"]
        elif "DROP DATABASE" in script:
            self.schema.pop(side, None)
        if script.startswith("SELECT table_name, LOWER(engine)"):
            return "".join(f"{name}\t{self.tables}\n" for name in self.schema.get(side, []))
        if script.startswith("SELECT table_name"):
            return "\n".join(self.schema.get(side, []))
        if "COUNT(*)" in script:
            return "".join(f"{self.rows}\t1\t{self.rows}\n" for _ in re.findall(r"COUNT", script))
        if "SUM(data_length" in script:
            return "1048576\n"
        return "134217728\n" if "buffer_pool" in script and script.startswith("SELECT") else "version\t10.11\n"

    def state(self, host: Host) -> str:
        return self.states.get(host.name, "Synced")

    def is_ready(self, state: str) -> bool:
        return state == "Synced"

    def is_whole(self, state: str) -> bool:
        return state == "Synced"

    def units(self, role: str) -> tuple[str, ...]:  # noqa: ARG002 - MachineEngine's
        return ("mariadb.service",)


class World(msgspec.Struct):
    """Both sides. `said`: what was told to people."""

    engine: Engine
    alone: Machine
    nodes: tuple[Machine, ...]
    said: list[str]

    @property
    def _engine(self) -> MachineEngine:
        """Of which the benchmark asks no more than Engine has."""
        return cast("MachineEngine", self.engine)

    @property
    def standalone(self) -> Subject:
        return Subject("standalone", "galera", self._engine, (self.alone,), "innodb")

    @property
    def cluster(self) -> Subject:
        return Subject("cluster", "galera", self._engine, self.nodes, "innodb")

    def bench(self, path: Path, matrix: Matrix = MATRIX) -> Bench:
        """A new run in that directory, or the one that is there."""
        directory = RunDirectory(path)
        if not (path / "manifest.json").exists():
            directory.begin(manifest(matrix, tuple(node.name for node in self.nodes)))
        return Bench(directory, directory.manifest(), self.standalone, self.cluster, self._say)

    def _say(self, host: str, text: str) -> None:
        self.said.append(f"[{host}] {text}")


def world() -> World:
    return World(
        Engine(), Machine("standalone", "standalone"), (Machine("manager", "manager"), Machine("data1", "data")), []
    )


def manifest(matrix: Matrix = MATRIX, nodes: tuple[str, ...] = ("manager", "data1")) -> Manifest:
    return Manifest(
        format=FORMAT,
        began="2026-11-28T00:00:00+00:00",
        engine="galera",
        provider="fleet",
        cluster="benchmark",
        matrix=matrix,
        seed=7,
        standalone="standalone",
        nodes=nodes,
        data_nodes=len(nodes) - 1,
        machine="2 cores, 24 GiB",
    )


TIMELINE = Timeline(threads=4, lost_at_s=0, back_at_s=0, seconds=3)
