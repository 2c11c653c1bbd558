"""The order of measurements: size after size, and within a size repetition after repetition, each shuffled. Pure.

So a cell's repetitions are spread over the whole time of its size: what disturbs the machine for a minute disturbs one
repetition of many cells, not many repetitions of one. The same seed gives the same plan.
"""

import random
from collections.abc import Iterator

import msgspec

from benchmark.sysbench.matrix import Cell, Matrix, cells


class Item(msgspec.Struct, frozen=True):
    """One measurement. `number`: its place in the plan, from 0. `seed`: of sysbench's random numbers.

    The seed is the repetition's, so that every target is asked for the same rows in the same repetition.
    """

    number: int
    repetition: int
    cell: Cell
    seed: int


def plan(matrix: Matrix, sql_nodes: int, seed: int) -> tuple[Item, ...]:
    """All measurements, in their order."""
    items = _ordered(matrix, sql_nodes, random.Random(seed))
    return tuple(
        Item(number, repetition, cell, _seed(seed, repetition)) for number, (repetition, cell) in enumerate(items)
    )


def _ordered(matrix: Matrix, sql_nodes: int, source: random.Random) -> Iterator[tuple[int, Cell]]:
    every = cells(matrix, sql_nodes)
    for size in matrix.sizes:
        mine = [cell for cell in every if cell.size == size.name]
        for repetition in range(1, matrix.repetitions + 1):
            source.shuffle(mine)
            yield from ((repetition, cell) for cell in list(mine))


def _seed(seed: int, repetition: int) -> int:
    """Never 0, which sysbench takes for "by the clock"; room is left for a number for each node."""
    return 1000 * (1 + (seed + repetition) % 1_000_000)
