"""What was measured, and what is read from it: latencies of one run, and medians and spread over several. Pure."""

import math
from collections.abc import Mapping, Sequence
from statistics import median

import msgspec

from benchmark.usage import Usage, median_usage

# The first part of every run is not counted: connections are opened, caches filled, processors woken.
WARM_UP_S = 0.5


class Sample(msgspec.Struct, frozen=True):
    """One run against one target. `latencies_us`: how often each latency, in microseconds, was seen in `seconds`.

    `errors` are answers that were not the row that was asked for, whatever their status, and exchanges that failed;
    they are counted in the warm-up too, and are no part of the latencies.
    """

    seconds: float
    latencies_us: Mapping[int, int]
    errors: int = 0

    @property
    def requests(self) -> int:
        """How many were answered rightly."""
        return sum(self.latencies_us.values())

    @property
    def per_second(self) -> float:
        """Right answers a second."""
        return self.requests / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """The latency that `percent` of the answers did not exceed (nearest rank), in ms; nan when there were none."""
        rank = math.ceil(self.requests * percent / 100)
        for latency in sorted(self.latencies_us):
            rank -= self.latencies_us[latency]
            if rank <= 0:
                return latency / 1000
        return math.nan


class Run(msgspec.Struct, frozen=True):
    """One line of the raw data: a sample's figures and where it belongs; latencies in ms.

    `usage`: what the processes took for 1,000 requests.
    """

    round: int
    target: str
    shape: str
    clients: int
    seconds: float
    requests: int
    per_second: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    errors: int
    usage: Usage = Usage()


class Cell(msgspec.Struct, frozen=True, order=True):
    """What rounds repeat: a target, asked for a shape by so many clients."""

    target: str
    shape: str
    clients: int


class Summary(msgspec.Struct, frozen=True):
    """A cell over all rounds: medians, the least and the most requests/s, all errors."""

    cell: Cell
    rounds: int
    requests: int
    per_second: float
    least_per_second: float
    most_per_second: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    errors: int
    usage: Usage


def run_of(round_number: int, cell: Cell, sample: Sample, usage: Usage) -> Run:
    """The sample as a line of the raw data."""
    return Run(
        round=round_number,
        target=cell.target,
        shape=cell.shape,
        clients=cell.clients,
        seconds=round(sample.seconds, 3),
        requests=sample.requests,
        per_second=round(sample.per_second, 1),
        p50_ms=sample.percentile_ms(50),
        p90_ms=sample.percentile_ms(90),
        p99_ms=sample.percentile_ms(99),
        p999_ms=sample.percentile_ms(99.9),
        errors=sample.errors,
        usage=usage,
    )


def cell_of(run: Run) -> Cell:
    """Where the run belongs."""
    return Cell(run.target, run.shape, run.clients)


def summarize(runs: Sequence[Run]) -> Summary:
    """The summary of one cell's runs. Raises ValueError when there are none, or of several cells."""
    cells = {cell_of(run) for run in runs}
    if len(cells) != 1:
        raise ValueError("a summary is of one target, shape and number of clients")
    speeds = [run.per_second for run in runs]
    return Summary(
        cell=cells.pop(),
        rounds=len(runs),
        requests=sum(run.requests for run in runs),
        per_second=median(speeds),
        least_per_second=min(speeds),
        most_per_second=max(speeds),
        p50_ms=median(run.p50_ms for run in runs),
        p99_ms=median(run.p99_ms for run in runs),
        p999_ms=median(run.p999_ms for run in runs),
        errors=sum(run.errors for run in runs),
        usage=median_usage([run.usage for run in runs]),
    )


def summaries(runs: Sequence[Run]) -> dict[Cell, Summary]:
    """A summary for each cell, in the order of their first runs."""
    cells: dict[Cell, list[Run]] = {}
    for run in runs:
        cells.setdefault(cell_of(run), []).append(run)
    return {cell: summarize(found) for cell, found in cells.items()}
