"""Several sysbench processes that ran at once, as one: rates are added, histograms laid together. Pure.

The processes start within some 0.1 s of each other, each on its own machine; the warm-up hides that. On a machine that
is overloaded one may begin to count later than the others: the sum of such rates is none.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from benchmark.sysbench.parser import Bucket, Report, Transcript

_SHARES = (50.0, 95.0, 99.0)
# The longest time that one of several processes counted may be so many times the shortest.
_UNEVEN = 1.5


class Rates(msgspec.Struct, frozen=True):
    """What one measurement gave. Per second, and milliseconds; percentiles are those of all events together."""

    transactions_per_s: float
    queries_per_s: float
    average_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    most_ms: float
    events: int
    ignored_errors: int
    reconnects: int


def merged(transcripts: Sequence[Transcript]) -> Rates | None:
    """The processes together; None when one did not come to its end, or they did not count the same time."""
    reports = [transcript.final for transcript in transcripts]
    whole = [report for report in reports if report is not None]
    if not whole or len(whole) != len(reports) or uneven(whole):
        return None
    counts = histogram(transcripts)
    return Rates(
        transactions_per_s=sum(report.transactions_per_s for report in whole),
        queries_per_s=sum(report.queries_per_s for report in whole),
        average_ms=_average(whole),
        **dict(zip(("p50_ms", "p95_ms", "p99_ms"), (percentile(counts, share) for share in _SHARES), strict=True)),
        most_ms=max(report.most_ms for report in whole),
        events=sum(report.events for report in whole),
        ignored_errors=sum(report.ignored_errors for report in whole),
        reconnects=sum(report.reconnects for report in whole),
    )


def uneven(reports: Sequence[Report]) -> bool:
    """Whether the processes counted times so different that their rates can't be added."""
    counted = [report.counted_s for report in reports]
    return len(counted) > 1 and max(counted) > _UNEVEN * min(counted)


def histogram(transcripts: Iterable[Transcript]) -> list[Bucket]:
    """One histogram of all events. sysbench's bounds are the same in every process, so its lines can be added."""
    counts: Counter[float] = Counter()
    for transcript in transcripts:
        for bucket in transcript.histogram:
            counts[bucket.value_ms] += bucket.count
    return [Bucket(value, counts[value]) for value in sorted(counts)]


def percentile(buckets: Sequence[Bucket], share: float) -> float:
    """The value that so many in a hundred events did not exceed, as sysbench counts it (sb_histogram.c); 0 of none."""
    wanted = int(sum(bucket.count for bucket in buckets) * share / 100 + 0.5)
    seen = 0
    for bucket in buckets:
        seen += bucket.count
        if seen >= wanted:
            return bucket.value_ms
    return 0.0


def _average(reports: Sequence[Report]) -> float:
    events = sum(report.events for report in reports)
    return sum(report.sum_ms for report in reports) / events if events else 0.0
