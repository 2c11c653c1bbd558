"""What sysbench 1.0 prints, as values. Pure; tests/unit/sysbench_transcripts has what it was held to.

A transcript may end anywhere: Debian's sysbench crashes when it should connect again (akopytov/sysbench#527), and what
was printed until then counts.
"""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

_NUMBER: Final = r"(\d+(?:\.\d+)?)"
_VERSION: Final = re.compile(r"^sysbench (\d+(?:\.\d+)+)", re.MULTILINE)
_REPORT: Final = re.compile(r"^SQL statistics:$", re.MULTILINE)
_CHECKPOINT: Final = re.compile(r"^\[ \d+s \] Checkpoint report:$", re.MULTILINE)
_SECOND: Final = re.compile(
    rf"^\[ (\d+)s \] thds: (\d+) tps: {_NUMBER} qps: {_NUMBER} \(r/w/o: \S+\) lat \(ms,\d+%\): {_NUMBER}"
    rf" err/s: {_NUMBER} reconn/s: {_NUMBER}$",
    re.MULTILINE,
)
_BUCKET: Final = re.compile(rf"^ *{_NUMBER} \|\** +(\d+)$", re.MULTILINE)
_HISTOGRAM: Final = "Latency histogram (values are in milliseconds)"
_ERROR: Final = re.compile(r"^(?:FATAL|ALERT|CRITICAL|ERROR|WARNING): .*$", re.MULTILINE)
_MYSQL_ERROR: Final = re.compile(r"(?:errno = |error:? |MySQL error: )(\d{4})\b")
_KEPT_ERRORS: Final = 5


class Report(msgspec.Struct, frozen=True):
    """The numbers of one report: since the start, or since the checkpoint before it. Milliseconds for latencies."""

    reads: int
    writes: int
    others: int
    transactions: int
    transactions_per_s: float
    queries: int
    queries_per_s: float
    ignored_errors: int
    reconnects: int
    total_time_s: float
    events: int
    least_ms: float
    average_ms: float
    most_ms: float
    percentile_ms: float
    sum_ms: float

    @property
    def counted_s(self) -> float:
        """How long it counted, as its own rate has it (`total_time_s` begins with the warm-up); 0 without any."""
        return self.transactions / self.transactions_per_s if self.transactions_per_s else 0.0


class Second(msgspec.Struct, frozen=True):
    """One line of progress: rates of the interval that ends at `at_s`."""

    at_s: int
    threads: int
    transactions_per_s: float
    queries_per_s: float
    latency_ms: float
    errors_per_s: float
    reconnects_per_s: float


class Bucket(msgspec.Struct, frozen=True):
    """A line of the histogram: so many events took about so long."""

    value_ms: float
    count: int


class Transcript(msgspec.Struct, frozen=True):
    """All of it. `final` is None when sysbench did not come to its end. `errors`: the first lines; `error_lines`: all.

    `mysql_errors`: the server's or client library's numbers in those lines, each once.
    """

    version: str
    checkpoints: tuple[Report, ...]
    final: Report | None
    seconds: tuple[Second, ...]
    histogram: tuple[Bucket, ...]
    errors: tuple[str, ...]
    error_lines: int
    mysql_errors: tuple[int, ...]


def parse(text: str) -> Transcript:
    """The transcript's content; of what it lacks there is nothing."""
    found = _VERSION.search(text)
    reports = list(_reports(text))
    errors = [line.strip() for line in _ERROR.findall(text)]
    return Transcript(
        version=found[1] if found else "",
        checkpoints=tuple(report for is_checkpoint, report in reports if is_checkpoint),
        final=next((report for is_checkpoint, report in reports if not is_checkpoint), None),
        seconds=tuple(_second(match) for match in _SECOND.finditer(text)),
        histogram=tuple(_histogram(text)),
        errors=tuple(dict.fromkeys(errors))[:_KEPT_ERRORS],
        error_lines=len(errors),
        mysql_errors=tuple(sorted({int(number) for line in errors for number in _MYSQL_ERROR.findall(line)})),
    )


def version(printed: str) -> str:
    """The number that `sysbench --version` tells; "" when that is something else."""
    found = _VERSION.search(printed)
    return found[1] if found else ""


def _reports(text: str) -> Iterator[tuple[bool, Report]]:
    """Each report, and whether it is a checkpoint's. One that was cut off is none.

    A line of progress may stand between a checkpoint's heading and its report, because another thread writes it. But
    the final report is always the last: as many as there are headings, the first ones, are checkpoints'.
    """
    headings = len(_CHECKPOINT.findall(text))
    starts = [*_REPORT.finditer(text)]
    for number, start in enumerate(starts):
        end = starts[number + 1].start() if number + 1 < len(starts) else len(text)
        report = _report(text[start.start() : end])
        if report:
            yield number < headings, report


def _report(text: str) -> Report | None:
    """A report's numbers, each found by its label; None when one is missing."""
    try:
        return Report(
            reads=int(_one(text, "read")),
            writes=int(_one(text, "write")),
            others=int(_one(text, "other")),
            transactions=int(_one(text, "transactions")),
            transactions_per_s=_rate(text, "transactions"),
            queries=int(_one(text, "queries")),
            queries_per_s=_rate(text, "queries"),
            ignored_errors=int(_one(text, "ignored errors")),
            reconnects=int(_one(text, "reconnects")),
            total_time_s=_one(text, "total time"),
            events=int(_one(text, "total number of events")),
            least_ms=_one(text, "min"),
            average_ms=_one(text, "avg"),
            most_ms=_one(text, "max"),
            percentile_ms=_one(text, r"\d+th percentile"),
            sum_ms=_one(text, "sum"),
        )
    except LookupError:
        return None


def _one(text: str, label: str) -> float:
    if found := re.search(rf"^ +{label}: +{_NUMBER}", text, re.MULTILINE):
        return float(found[1])
    raise LookupError(label)


def _rate(text: str, label: str) -> float:
    if found := re.search(rf"^ +{label}: +\d+ +\({_NUMBER} per sec\.\)", text, re.MULTILINE):
        return float(found[1])
    raise LookupError(label)


def _second(match: re.Match[str]) -> Second:
    at, threads, *rates = match.groups()
    return Second(int(at), int(threads), *map(float, rates))


def _histogram(text: str) -> Iterator[Bucket]:
    """The last histogram's lines."""
    _, _, lines = text.rpartition(_HISTOGRAM)
    if _HISTOGRAM in text:
        yield from (Bucket(float(match[1]), int(match[2])) for match in _BUCKET.finditer(lines))
