"""One run: every target opened, checked, and then asked in turn, round after round, in an order that changes."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import msgspec
import pymysql

from benchmark import arrivals, large, machine, stages, tunnels, usage, world
from benchmark.arrivals import Arrival
from benchmark.errors import BenchmarkError, LoadFailed
from benchmark.http_load import HttpLoad
from benchmark.large import Large
from benchmark.machine import Machine
from benchmark.measurement import Cell, Run, run_of
from benchmark.plan import Plan, order
from benchmark.shapes import POINT, SHAPES
from benchmark.stages import Stages
from benchmark.targets import PER_REQUEST, TARGETS, Load, Opened
from benchmark.tunnels import NoDelay
from benchmark.usage import Roots
from benchmark.world import World
from deploy.local import Say
from proxy.tunnels import TunnelError

_IDLE_S = 3.0
_TRIES = 3
# A target rests when it takes less than so much processor time in a pause; it is waited for 20 s at most.
_PAUSE_S = 0.1
_RESTING_S = 0.03
_MOST_PAUSES = 200

Found = TypeVar("Found")
# What goes wrong with a part of a run, which the others outlive.
_FAILURES = (BenchmarkError, TunnelError, OSError, pymysql.MySQLError)


class Report(msgspec.Struct, frozen=True):
    """Everything that a run found: the raw data. `not_measured`: why targets or parts, by name, have less or nothing.

    `minutes`: how long it took, with starting and ending.
    """

    machine: Machine
    plan: Plan
    runs: list[Run]
    not_measured: dict[str, str]
    no_delay: NoDelay | None = None
    stages: Stages | None = None
    arrivals: list[Arrival] = []
    large: list[Large] = []
    minutes: float = 0.0


def run(plan: Plan, say: Say) -> Report:
    """Measures on a system of its own. Raises what world.started raises."""
    began = time.monotonic()
    described = machine.describe()
    with world.started(say) as here:
        bench = _Bench(plan, here, say, began + plan.minutes * 60)
        found = Report(described, plan, [], bench.problems)
        found = msgspec.structs.replace(found, **bench.parts())
    return msgspec.structs.replace(found, minutes=round((time.monotonic() - began) / 60, 1))


class _Bench:
    """A run under way. `problems`: what could not be measured, and why."""

    def __init__(self, plan: Plan, here: World, say: Say, deadline: float) -> None:
        self._plan = plan
        self._here = here
        self._say = say
        self._deadline = deadline
        self.problems: dict[str, str] = {}
        self._opened: dict[str, Opened] = {}
        self._loads: dict[tuple[str, str], Load] = {}

    def parts(self) -> dict[str, object]:
        """The members of the report that are asked for."""
        for name in self._plan.targets:
            self._open(name)
        parts: dict[str, Callable[[], object]] = {
            "stages": lambda: stages.measure(self._here, self._plan.stage_seconds),
            "arrivals": lambda: list(
                arrivals.measure(self._http(), self._plan.rates, self._plan.rate_seconds, self._say)
            ),
            "large": lambda: list(large.measure(self._here, self._plan.rows)),
            "no_delay": lambda: tunnels.measure(self._here),
        }
        found = {
            name: self._part(name, part) for name, part in parts.items() if name in (*self._plan.parts, "no_delay")
        }
        if "rounds" in self._plan.parts:
            found["runs"] = list(self._rounds())
        return {name: value for name, value in found.items() if value is not None}

    def _part(self, name: str, measure: Callable[[], Found]) -> Found | None:
        self._say(name, "measuring")
        try:
            return measure()
        except _FAILURES as error:
            self._not(name, str(error))
            return None

    def _open(self, name: str) -> None:
        """Starts a target and asks it for every shape once."""
        target = TARGETS[name]
        try:
            opened = target.open(self._here)
        except _FAILURES as error:
            self._not(name, str(error))
            return
        self._opened[name] = opened
        for shape in self._plan.shapes if target.every_shape else (POINT.name,):
            try:
                self._loads[name, shape] = _checked(opened.load(self._here.asked[shape]))
            except _FAILURES as error:
                self._not(problem_of(name, shape), str(error))
        self._say(name, "ready")

    def _http(self) -> dict[str, HttpLoad]:
        """The targets that plain HTTP reaches, for point selects; what can't serve the least rate would only queue."""
        names = [name for name in self._opened if name != PER_REQUEST and (name, POINT.name) in self._loads]
        loads = {name: self._loads[name, POINT.name] for name in names}
        return {name: load for name, load in loads.items() if isinstance(load, HttpLoad) and not TARGETS[name].clients}

    def _rounds(self) -> Iterator[Run]:
        idle = self._idle()
        for number in range(1, self._plan.rounds + 1):
            for cell in order(self._plan, list(self._opened), number):
                if (cell.target, cell.shape) not in self._loads:
                    continue
                if time.monotonic() + self._plan.seconds > self._deadline:
                    self._not("time", f"stopped in round {number}, after {self._plan.minutes} minutes")
                    return
                yield from self._cell(number, cell, idle[cell.target])

    def _cell(self, number: int, cell: Cell, idle: Mapping[str, float]) -> Iterator[Run]:
        roots = self._roots(cell.target)
        before, begin = usage.snapshot(roots), time.monotonic()
        try:
            sample = self._loads[cell.target, cell.shape].measure(cell.clients, self._plan.seconds)
        except LoadFailed as error:
            self._not(problem_of(cell.target, cell.shape), f"round {number}, {cell.clients} clients: {error}")
            return
        after, lasted = usage.snapshot(roots), time.monotonic() - begin
        self._settle(self._opened[cell.target].roots)
        if SHAPES[cell.shape].writes:
            self._here.clean()
        # The warm-up's requests take processor time, too; they are counted as if they came as fast as the others.
        requests = round(sample.per_second * self._plan.seconds) + sample.errors
        spent = usage.per_thousand(before, after, requests, {role: rate * lasted for role, rate in idle.items()})
        found = run_of(number, cell, sample, spent)
        self._say(f"{number}/{self._plan.rounds}", _line(found))
        yield found

    def _settle(self, roots: Roots) -> None:
        """Waits until a target rests: some go on with requests that nobody waits for any more."""
        last = usage.snapshot(roots).total_cpu_s
        for _ in range(_MOST_PAUSES):
            time.sleep(_PAUSE_S)
            now = usage.snapshot(roots).total_cpu_s
            if now - last <= _RESTING_S:
                return
            last = now

    def _idle(self) -> dict[str, dict[str, float]]:
        """By target what each role takes in a second while nobody asks: of probes, and of other targets' probes."""
        before = {name: usage.snapshot(self._roots(name)) for name in self._opened}
        time.sleep(_IDLE_S)
        after = {name: usage.snapshot(self._roots(name)) for name in self._opened}
        return {name: usage.per_second(before[name], after[name], _IDLE_S) for name in self._opened}

    def _roots(self, name: str) -> Roots:
        return {**self._opened[name].roots, **self._here.database_roots()}

    def _not(self, name: str, reason: str) -> None:
        self.problems[name] = reason
        self._say(name, f"not measured: {reason}")


def _checked(load: Load) -> Load:
    """The load, when it is rightly answered; on a busy machine a first answer may take too long. Raises LoadFailed."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(LoadFailed):
            load.check()
            return load
    load.check()
    return load


def problem_of(target: str, shape: str) -> str:
    """Under which name it is kept why a target was not, or less, asked for a shape."""
    return f"{target}, {shape}"


def _line(found: Run) -> str:
    errors = f", {found.errors} errors" if found.errors else ""
    return (
        f"{found.target}, {found.shape} with {found.clients}: {found.per_second:.0f}/s, p50 {found.p50_ms:.2f} ms, "
        f"p99 {found.p99_ms:.2f} ms{errors}"
    )
