"""What targets make of a steady stream of requests (constant_rate.py), at rates that are the same for all of them."""

from collections.abc import Iterator, Mapping

import msgspec

from benchmark import constant_rate
from benchmark.errors import LoadFailed
from benchmark.http_load import HttpLoad
from deploy.local import Say

RATES = (50, 200, 800)
SECONDS = 4


class Arrival(msgspec.Struct, frozen=True):
    """A target at a rate: latencies in ms, from the moment at which a request was due. `errors`: with the unanswered.

    `late_p99_ms`: how late the load generator itself was.
    """

    target: str
    rate: int
    requests: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    most_ms: float
    errors: int
    late_p99_ms: float


def measure(loads: Mapping[str, HttpLoad], rates: tuple[int, ...], seconds: float, say: Say) -> Iterator[Arrival]:
    """Every target at every rate, the lowest first; what fails is said and left out."""
    for rate in sorted(rates):
        for name, load in loads.items():
            try:
                found = arrival_of(name, rate, constant_rate.measure(load.address, load.exchanges, rate, seconds))
            except LoadFailed as error:
                say(name, f"not measured at {rate}/s: {error}")
                continue
            say("arrivals", f"{name} at {rate}/s: p50 {found.p50_ms:.2f} ms, p99 {found.p99_ms:.2f} ms")
            yield found


def arrival_of(target: str, rate: int, arrived: constant_rate.Arrived) -> Arrival:
    """The figures of a stream."""
    sample = arrived.sample
    return Arrival(
        target=target,
        rate=rate,
        requests=sample.requests,
        p50_ms=sample.percentile_ms(50),
        p99_ms=sample.percentile_ms(99),
        p999_ms=sample.percentile_ms(99.9),
        most_ms=sample.percentile_ms(100),
        errors=sample.errors,
        late_p99_ms=arrived.late_p99_ms,
    )
