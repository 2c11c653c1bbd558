"""What to measure, and in which order."""

import random
from collections.abc import Sequence

import msgspec

from benchmark.arrivals import RATES, SECONDS
from benchmark.large import ROWS
from benchmark.measurement import Cell
from benchmark.shapes import POINT, SEED, SHAPES
from benchmark.targets import TARGETS

PARTS = ("stages", "arrivals", "large", "rounds")


class Plan(msgspec.Struct, frozen=True):
    """What to measure. `seconds`: of each of the `rounds` runs of a cell; `stage_seconds`: of all ways together.

    `clients`: of point selects; `other_clients`: of the other shapes. `minutes`: after these no run is begun.
    """

    targets: tuple[str, ...] = tuple(TARGETS)
    parts: tuple[str, ...] = PARTS
    shapes: tuple[str, ...] = tuple(SHAPES)
    clients: tuple[int, ...] = (1, 4, 16, 64)
    other_clients: tuple[int, ...] = (1, 16)
    rounds: int = 3
    seconds: int = 2
    minutes: int = 13
    stage_seconds: int = 20
    rates: tuple[int, ...] = RATES
    rate_seconds: int = SECONDS
    rows: int = ROWS


def cells(plan: Plan, targets: Sequence[str]) -> list[Cell]:
    """Every cell that these targets have."""
    found = []
    for shape in plan.shapes:
        wanted = plan.clients if shape == POINT.name else plan.other_clients
        for target in (TARGETS[name] for name in targets):
            if shape == POINT.name or target.every_shape:
                # A target that is asked by few numbers of clients is asked by those of them that are wanted.
                found += [Cell(target.name, shape, n) for n in wanted if n in (target.clients or wanted)]
    return found


def order(plan: Plan, targets: Sequence[str], round_number: int) -> list[Cell]:
    """The runs of a round, shuffled: the same for the same plan, another for each round."""
    shuffled = cells(plan, targets)
    random.Random(SEED + round_number).shuffle(shuffled)
    return shuffled
