"""A short run of `make chaos`: whatever is killed or paused, no write is lost, doubled, or told wrongly."""

import random

from tests.chaos.local import LocalTarget
from tests.chaos.run import run
from tests.chaos.workload import Script
from tests.live.system_fixtures import LiveSystem


def test_under_random_faults_no_write_is_lost_or_doubled_and_every_keyed_one_ends(system: LiveSystem) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 pytest shows it with a failure
    report = run(LocalTarget(system), Script(seed, minutes=0.4, operations=20_000, lasts_s=(0.5, 3.0)), print)
    assert report.violations == []
    assert report.faults
    assert {
        "keyed: done",
        "transfer: done",
        "register: done",
        "plain: done",
        "later: done",
        "read: done",
    } <= report.outcomes.keys()
