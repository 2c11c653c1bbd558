"""One run: every target opened, checked, and then asked in turn, round after round, in an order that changes."""

import contextlib
import random
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import pymysql

from benchmark import machine, tunnels, world
from benchmark.errors import BenchmarkError, LoadFailed
from benchmark.machine import Machine
from benchmark.measurement import Run, run_of
from benchmark.targets import TARGETS, Load
from benchmark.tunnels import NoDelay
from benchmark.workload import SEED
from benchmark.world import World
from deploy.local import Say
from proxy.tunnels import TunnelError

CLIENTS = (1, 16)


class Plan(msgspec.Struct, frozen=True):
    """What to measure. `seconds`: of each of the `rounds` runs of a target at a number of clients."""

    targets: tuple[str, ...]
    clients: tuple[int, ...] = CLIENTS
    rounds: int = 5
    seconds: int = 2


class Report(msgspec.Struct, frozen=True):
    """Everything that a run found: the raw data. `not_measured`: why targets, by name, have no runs or fewer."""

    machine: Machine
    plan: Plan
    runs: list[Run]
    not_measured: dict[str, str]
    no_delay: NoDelay | None


def run(plan: Plan, say: Say) -> Report:
    """Measures on a system of its own. Raises what world.started raises."""
    described = machine.describe()
    with world.started(say) as here, contextlib.ExitStack() as stack:
        problems: dict[str, str] = {}
        loads = _opened(plan.targets, here, stack, problems, say)
        runs = list(_measured(plan, loads, problems, say))
        return Report(described, plan, runs, problems, _no_delay(here, say))


def order(plan: Plan, targets: Sequence[str], round_number: int) -> list[tuple[str, int]]:
    """The runs of a round, shuffled: the same for the same plan, another for each round."""
    cells = [(target, clients) for target in targets for clients in plan.clients]
    random.Random(SEED + round_number).shuffle(cells)
    return cells


def _opened(
    names: Sequence[str], here: World, stack: contextlib.ExitStack, problems: dict[str, str], say: Say
) -> dict[str, Load]:
    loads = {}
    for name in names:
        try:
            load = TARGETS[name].open(here, stack)
            load.check()
        except (BenchmarkError, TunnelError) as error:
            problems[name] = str(error)
            say(name, f"not measured: {error}")
        else:
            loads[name] = load
            say(name, "ready")
    return loads


def _measured(plan: Plan, loads: Mapping[str, Load], problems: dict[str, str], say: Say) -> Iterator[Run]:
    for round_number in range(1, plan.rounds + 1):
        for name, clients in order(plan, list(loads), round_number):
            try:
                found = run_of(round_number, name, clients, loads[name].measure(clients, plan.seconds))
            except LoadFailed as error:
                problems[name] = f"round {round_number}, {clients} clients: {error}"
                say(name, problems[name])
                continue
            say(f"{round_number}/{plan.rounds}", _line(found))
            yield found


def _line(found: Run) -> str:
    errors = f", {found.errors} errors" if found.errors else ""
    return (
        f"{found.target} with {found.clients}: {found.per_second:.0f}/s, p50 {found.p50_ms:.2f} ms, "
        f"p99 {found.p99_ms:.2f} ms{errors}"
    )


def _no_delay(here: World, say: Say) -> NoDelay | None:
    try:
        return tunnels.measure(here)
    except (TunnelError, pymysql.MySQLError) as error:
        say("tunnels", f"not measured: {error}")
        return None
