"""A run: faults one after the other under writes, and the verdict."""

import random
import time
from collections import Counter
from collections.abc import Callable

import msgspec

from deploy import local
from tests.chaos import workload
from tests.chaos.faults import FAULTS, mend
from tests.chaos.history import violations
from tests.chaos.sender import Sender
from tests.chaos.workload import Script, Writers
from tests.live.system_fixtures import LiveSystem

_ENGINES = {"galera": "InnoDB", "ndb": "NDB"}


class Report(msgspec.Struct, frozen=True):
    """What was tried and what is wrong."""

    operations: int
    keyed: int
    outcomes: dict[str, int]
    replayed: int
    faults: dict[str, int]
    longest_s: dict[str, float]
    violations: list[str]


def run(system: LiveSystem, script: Script, say: Callable[[str], None]) -> Report:
    """Runs the script on the system. Raises TimeoutError when the system does not become whole again."""
    dice = random.Random(script.seed)
    with system.admin() as connection:
        workload.create(connection, _ENGINES[local.ENGINE], script.clients)
    end = time.monotonic() + script.minutes * 60
    done: Counter[str] = Counter()

    def sender(own: random.Random) -> Sender:
        return Sender(system.url, system.key, own)

    with Writers(sender, script) as writers:
        while time.monotonic() < end and not writers.finished():
            done[_break(system, dice, script, say)] += 1
            mend(system)
    with system.admin() as connection:
        wrong = violations(writers.history, workload.found(connection))
    outcomes = Counter(f"{each.kind}: {each.outcome}" for each in writers.history)
    longest: dict[str, float] = {kind: round(seconds, 1) for kind, seconds in writers.longest_s.items()}
    return Report(len(writers.history), writers.keyed, dict(outcomes), writers.replayed, dict(done), longest, wrong)


def _break(system: LiveSystem, dice: random.Random, script: Script, say: Callable[[str], None]) -> str:
    name = dice.choice(sorted(FAULTS))
    with FAULTS[name](system, dice) as target:
        say(f"{time.strftime('%H:%M:%S')} {name}: {target}")
        time.sleep(dice.uniform(*script.lasts_s))
    return name
