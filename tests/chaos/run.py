"""A run: faults one after the other under reads and writes, and the verdict."""

import random
import time
from collections import Counter
from collections.abc import Callable

import msgspec

from tests.chaos import workload
from tests.chaos.figures import Figures, Window, by_fault
from tests.chaos.history import violations
from tests.chaos.target import Target
from tests.chaos.workload import Script, Writers


class Report(msgspec.Struct, frozen=True):
    """What was tried and what is wrong."""

    operations: int
    keyed: int
    outcomes: dict[str, int]
    replayed: int
    faults: dict[str, Figures]
    violations: list[str]


def run(target: Target, script: Script, say: Callable[[str], None]) -> Report:
    """Runs the script on the target. Raises TimeoutError when it does not become whole again."""
    dice = random.Random(script.seed)
    workload.create(target, script.clients)
    end = time.monotonic() + script.minutes * 60
    windows: list[Window] = []
    with Writers(target, script) as writers:
        while time.monotonic() < end and not writers.finished():
            windows.append(_break(target, dice, script, say))
    wrong = violations(writers.history, workload.found(target))
    outcomes = Counter(f"{each.kind}: {each.outcome}" for each in writers.history)
    faults = by_fault(writers.history, windows)
    return Report(len(writers.history), writers.keyed, dict(outcomes), writers.replayed, faults, wrong)


def _break(target: Target, dice: random.Random, script: Script, say: Callable[[str], None]) -> Window:
    name = dice.choice(sorted(target.faults))
    began = time.monotonic()
    with target.faults[name](dice) as victim:
        say(f"{time.strftime('%H:%M:%S')} {name}: {victim}")
        time.sleep(dice.uniform(*script.lasts_s))
    target.mend()
    return Window(name, began, time.monotonic())
