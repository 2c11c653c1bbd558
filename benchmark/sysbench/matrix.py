"""What is measured: sizes, workloads, threads and targets, by the name of a matrix. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

import msgspec

from benchmark.sysbench.errors import UnknownMatrix

STANDALONE: Final = "standalone"
WORKLOADS: Final = (
    "oltp_point_select",
    "oltp_read_only",
    "oltp_write_only",
    "oltp_read_write",
    "oltp_update_index",
    "select_random_ranges",
)
_POWERS: Final = (1, 2, 4, 8, 16, 32, 64)


class Size(msgspec.Struct, frozen=True):
    """A data set. `larger`: it is meant to be larger than the stand-alone's buffer pool, which is then checked."""

    name: str
    tables: int
    rows: int
    larger: bool = False


class Target(msgspec.Struct, frozen=True):
    """Who is asked: the stand-alone server (0 nodes), or the cluster through so many of its SQL nodes."""

    nodes: int

    @property
    def name(self) -> str:
        """`standalone`, `cluster-1`, `cluster-4`."""
        return f"cluster-{self.nodes}" if self.nodes else STANDALONE


class Cell(msgspec.Struct, frozen=True):
    """One thing that is measured, several times. `threads`: clients in all, however many SQL nodes share them."""

    size: str
    workload: str
    threads: int
    target: Target

    @property
    def name(self) -> str:
        """For people and for progress."""
        return f"{self.workload}, {self.size}, {self.threads} threads, {self.target.name}"


class Block(msgspec.Struct, frozen=True):
    """Cells that belong together. `nodes`: the stand-alone, one SQL node and all; or every number of SQL nodes too."""

    size: str
    workloads: tuple[str, ...]
    threads: tuple[int, ...]
    nodes: Literal["ends", "each"] = "ends"


class Timeline(msgspec.Struct, frozen=True):
    """The loss and the return of a node under load. Seconds count from the beginning of the load."""

    workload: str = "oltp_read_write"
    threads: int = 16
    lost_at_s: int = 15
    back_at_s: int = 30
    seconds: int = 80


class Matrix(msgspec.Struct, frozen=True):
    """All of it. `warmup_s` and `seconds`: of each measurement, not counted and counted.

    `settle_s`: load on each target after its tables were made, before anything is counted.
    """

    name: str
    sizes: tuple[Size, ...]
    blocks: tuple[Block, ...]
    repetitions: int
    warmup_s: int
    seconds: int
    settle_s: int
    timeline: Timeline | None


_ENDS: Final = ("oltp_point_select", "oltp_read_write")
_READ_AND_WRITE: Final = ("oltp_point_select", "oltp_write_only")
_LARGER: Final = Size("larger", 4, 325_000, larger=True)

MATRICES: Final[Mapping[str, Matrix]] = {
    # Whether it works at all, in two minutes; one repetition says nothing about speed.
    "trial": Matrix(
        name="trial",
        sizes=(Size("fits", 2, 1_000),),
        blocks=(Block("fits", _READ_AND_WRITE, (4,), "each"),),
        repetitions=1,
        warmup_s=1,
        seconds=1,
        settle_s=1,
        timeline=Timeline(threads=4, lost_at_s=5, back_at_s=10, seconds=40),
    ),
    # Reads and writes by the number of SQL nodes; run with 2, 3 and 4 data nodes, and laid together (scale.py).
    "scale": Matrix(
        name="scale",
        sizes=(Size("fits", 4, 25_000),),
        blocks=(Block("fits", _READ_AND_WRITE, (16,), "each"),),
        repetitions=5,
        warmup_s=1,
        seconds=2,
        settle_s=5,
        timeline=None,
    ),
    # For machines that are far smaller than those of production, and for changes of the benchmark itself.
    "reduced": Matrix(
        name="reduced",
        sizes=(Size("fits", 4, 25_000), _LARGER),
        blocks=(
            Block("fits", _ENDS, (1, 4, 16, 64)),
            Block("fits", WORKLOADS, (16,)),
            Block("fits", _READ_AND_WRITE, (16,), "each"),
            Block("larger", ("oltp_read_write",), (16,)),
        ),
        repetitions=5,
        warmup_s=1,
        seconds=2,
        settle_s=5,
        timeline=Timeline(),
    ),
    # 10 tables of 1, 4 and 16 million rows: 2, 9 and 36 GiB of InnoDB. A day on machines of their own.
    "full": Matrix(
        name="full",
        sizes=(
            Size("fits", 10, 1_000_000),
            Size("near", 10, 4_000_000),
            Size("larger", 10, 16_000_000, larger=True),
        ),
        blocks=(
            Block("fits", WORKLOADS, _POWERS),
            Block("fits", _READ_AND_WRITE, _POWERS, "each"),
            Block("near", WORKLOADS, (16, 64)),
            Block("larger", WORKLOADS, (16, 64)),
        ),
        repetitions=7,
        warmup_s=10,
        seconds=60,
        settle_s=120,
        timeline=Timeline(threads=32, lost_at_s=60, back_at_s=120, seconds=360),
    ),
}


def named(name: str) -> Matrix:
    """The matrix of that name. Raises UnknownMatrix."""
    try:
        return MATRICES[name]
    except KeyError:
        raise UnknownMatrix(f"unknown matrix {name!r}; known are {', '.join(MATRICES)}") from None


def size_of(matrix: Matrix, name: str) -> Size:
    """The data set of that name."""
    return next(size for size in matrix.sizes if size.name == name)


def cells(matrix: Matrix, sql_nodes: int) -> tuple[Cell, ...]:
    """Every cell once, for a cluster with so many SQL nodes."""
    return tuple(dict.fromkeys(cell for block in matrix.blocks for cell in _cells(block, sql_nodes)))


def _cells(block: Block, sql_nodes: int) -> Iterator[Cell]:
    for workload in block.workloads:
        for threads in block.threads:
            for nodes in _numbers(block, sql_nodes):
                # With fewer clients than nodes some would idle: the cell would be that of fewer nodes.
                if nodes <= threads:
                    yield Cell(block.size, workload, threads, Target(nodes))


def _numbers(block: Block, sql_nodes: int) -> Sequence[int]:
    if block.nodes == "each":
        return range(sql_nodes + 1)
    return tuple(dict.fromkeys((0, 1, sql_nodes)))


def shares(threads: int, nodes: int) -> tuple[int, ...]:
    """The clients' threads, as evenly as can be over the nodes: 16 over 3 are 6, 5 and 5."""
    return tuple(threads // nodes + (number < threads % nodes) for number in range(nodes))
