"""`python -m benchmark.soak`: whether memory and open files stay flat over a million requests while nodes are lost.

A local system is asked by wrk in rounds, three of reads and one of inserts in turn. In each round a database node is
killed and started again, or all tunnels are killed; services are not, since a new process would hide what an old one
gathers. After each round the memory and open files of every service are taken.
"""

import argparse
import itertools
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from benchmark import shapes, supervised, usage
from benchmark.targets import TARGETS, WHOLE_PATH, Opened
from benchmark.world import World, started
from deploy.providers import loopback

_CLIENTS: Final = 16
_TURN: Final = (shapes.POINT, shapes.POINT, shapes.POINT, shapes.INSERT)
_DOWN_S: Final = 3.0
# What a role may hold more in the last quarter of the rounds than in the second one. The first warms caches.
_MORE_MEMORY: Final = 0.05
_MORE_FILES: Final = 0.1


class Footprint(msgspec.Struct, frozen=True):
    """After a round: requests that were answered rightly so far, and of each role MiB of memory and open files."""

    requests: int
    memory_mib: dict[str, float]
    files: dict[str, int]


class Soak:
    """The rounds. `errors`: answers that were wrong or missing, by shape."""

    def __init__(self, world: World, seed: int, seconds: int) -> None:
        self._world = world
        self._dice = random.Random(seed)
        self._seconds = seconds
        self._target: Opened = TARGETS[WHOLE_PATH].open(world)
        self.requests = 0
        self.faults = 0
        self.errors = {shape.name: 0 for shape in _TURN}

    def round(self, shape: shapes.Shape) -> Footprint:
        """Asks for so many seconds, with a fault meanwhile."""
        breaking = threading.Thread(target=self._break)
        breaking.start()
        try:
            sample = self._target.load(self._world.asked[shape.name]).measure(_CLIENTS, self._seconds)
        finally:
            breaking.join()
        self.requests += sample.requests
        self.errors[shape.name] += sample.errors
        self._world.clean()
        roots = supervised.roots(self._world.services)
        return Footprint(self.requests, usage.snapshot(roots).memory_mib, _files(roots))

    def _break(self) -> None:
        self.faults += 1
        time.sleep(self._seconds / 4)
        names = [machine.name for machine in loopback.machines(self._world.system.directory)]
        if (name := self._dice.choice([*names, "tunnels"])) == "tunnels":
            for pid in usage.pids(supervised.roots(self._world.services))[usage.SSH]:
                os.kill(pid, signal.SIGKILL)
            return
        loopback.kill(self._world.system.directory, name)
        time.sleep(_DOWN_S)
        loopback.start(self._world.system.directory, name)


def flat(footprints: Sequence[Footprint]) -> list[str]:
    """What grew, a sentence each: medians of the second and the last quarter of the rounds, compared. Pure."""
    quarter = len(footprints) // 4
    early, late = footprints[quarter : 2 * quarter], footprints[-quarter:]
    grown = []
    for what, most in (("memory_mib", _MORE_MEMORY), ("files", _MORE_FILES)):
        for role in footprints[0].memory_mib:
            before, after = (median(getattr(each, what)[role] for each in part) for part in (early, late))
            if after > before * (1 + most):
                grown.append(f"{what} of {role} grew from {before:.0f} to {after:.0f}")
    return grown


def _files(roots: usage.Roots) -> dict[str, int]:
    return {
        role: sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)
        for role, pids in usage.pids(roots).items()
    }


def main() -> int:
    """0 when nothing grew and no read failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000, help="answered, at least (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=20, help="of a round (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=90.0, help="after these no round is begun")
    parser.add_argument("--seed", type=int, default=7, help="of the faults (default: %(default)s)")
    given = parser.parse_args()
    footprints: list[Footprint] = []
    with started(lambda host, text: _say(f"[{host}] {text}")) as world:
        soak, end = Soak(world, given.seed, given.seconds), time.monotonic() + given.minutes * 60
        for shape in itertools.cycle(_TURN):
            footprints.append(soak.round(shape))
            _say(_line(footprints[-1]))
            if soak.requests >= given.requests or time.monotonic() > end:
                break
    grown = flat(footprints)
    _say(f"{soak.requests} requests, {soak.faults} faults, errors {soak.errors}; {'; '.join(grown) or 'all is flat'}")
    return bool(grown or soak.errors[shapes.POINT.name])


def _line(footprint: Footprint) -> str:
    roles = [
        f"{role} {footprint.memory_mib[role]:.0f} MiB {footprint.files[role]} files" for role in footprint.memory_mib
    ]
    return f"{footprint.requests} requests: {', '.join(roles)}"


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
