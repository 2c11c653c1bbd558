"""The tables of a report besides those of requests/s: stages, streams of requests, large results. Pure."""

import math
from collections.abc import Sequence

from benchmark.arrivals import Arrival
from benchmark.grids import Grid
from benchmark.large import Large
from benchmark.plan import Plan
from benchmark.stages import Stages
from benchmark.targets import TARGETS

_ROLES = ("gatekeeper", "proxy", "ssh", "sshd", "database")


def stages_grid(found: Stages) -> Grid:
    """The stages of a request's time, their sum, the whole and what is left."""
    rows = [(stage.name, stage.rule, *_share(stage.ms, found.whole_ms)) for stage in found.stages]
    rows += [
        ("sum of the stages", "", *_share(found.sum_ms, found.whole_ms)),
        ("whole path", "timed by itself", *_share(found.whole_ms, found.whole_ms)),
        ("remainder", "whole path - sum", *_share(found.remainder_ms, found.whole_ms)),
    ]
    return Grid("Where the time of a request goes: 1 client, medians", ("stage", "how", "ms", "share"), rows, words=2)


def stages_verdict(found: Stages) -> str:
    """Whether the stages explain the whole, in a sentence, and the ways that they were computed from."""
    verdict = "explains the whole within a tenth" if found.explained else "does not explain the whole within a tenth"
    ways = "; ".join(f"{name} {ms:.3f}" for name, ms in found.ways_ms.items())
    return f"The sum {verdict}. Medians in ms of {found.requests:,} requests or more for each way: {ways}."


def arrivals_grid(found: Sequence[Arrival], plan: Plan) -> Grid:
    """The latencies of steady streams."""
    rows = [
        (
            f"{TARGETS[arrival.target].title}, {arrival.rate}/s",
            f"{arrival.requests:,}",
            *(_ms(ms) for ms in (arrival.p50_ms, arrival.p99_ms, arrival.p999_ms, arrival.most_ms)),
            f"{arrival.errors:,}",
            f"{arrival.late_p99_ms:.2f}",
        )
        for arrival in found
    ]
    columns = (
        "target, rate",
        "answered",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "most ms",
        "errors",
        "generator late, p99 ms",
    )
    return Grid(f"Point selects at a constant rate, {plan.rate_seconds} s each, from when they were due", columns, rows)


def large_grid(found: Sequence[Large]) -> Grid:
    """The large results."""
    rows = [
        (
            one.way,
            f"{one.rows:,}",
            f"{one.mib:,.0f}" if one.mib else "",
            f"{one.first_row_ms:.1f}",
            f"{one.seconds:.1f}",
            f"{one.rows_per_second:,.0f}",
            *(_of_role(one, role) for role in _ROLES),
        )
        for one in found
    ]
    columns = ("way", "rows", "MiB", "first row ms", "seconds", "rows/s", *_ROLES)
    return Grid("Large results; of each service the most memory in MiB / processor seconds", columns, rows)


def _ms(ms: float) -> str:
    return "" if math.isnan(ms) else f"{ms:,.2f}"


def _of_role(one: Large, role: str) -> str:
    if role not in one.cpu_s:
        return ""
    return f"{one.peaks_mib.get(role, 0):,.0f} / {one.cpu_s[role]:.1f}"


def _share(ms: float, whole_ms: float) -> tuple[str, str]:
    return f"{ms:.3f}", f"{ms / whole_ms:.0%}"
