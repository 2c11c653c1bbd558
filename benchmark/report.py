"""A run's report: a table for the terminal, Markdown for docs/benchmarks.md. Pure."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from benchmark.bench import Report
from benchmark.measurement import Summary, summaries
from benchmark.targets import GTHREAD, SSHTUNNEL, TARGETS, WHOLE_PATH

BEGIN = "<!-- results: begin (make bench writes what stands between these lines) -->"
END = "<!-- results: end -->"

# "ratio" is that of the requests/s to the whole path's.
_COLUMNS = ("target", "requests/s", "least to most", "p50 ms", "p99 ms", "errors", "ratio")


def table(report: Report, clients: int) -> Table:
    """The table for people at a terminal, of one number of clients."""
    shown = Table(title=f"{_clients(clients)}: a film by its primary key; medians of {report.plan.rounds} rounds")
    for column in _COLUMNS:
        shown.add_column(column, justify="left" if column == "target" else "right")
    for cells in _rows(report, clients):
        shown.add_row(*cells)
    return shown


def markdown(report: Report) -> str:
    """The results as Markdown: what they were measured on, a table for each number of clients, what was chosen."""
    tables = [f"### {_clients(clients)}\n\n{_markdown_table(report, clients)}" for clients in report.plan.clients]
    parts = [_provenance(report), *tables, "### What was chosen by it", *_choices(report)]
    return "\n\n".join(parts) + "\n"


def put_between_markers(document: str, text: str) -> str:
    """The document with the text in place of what stood between the markers. Raises ValueError without them."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document lacks the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"


def _rows(report: Report, clients: int) -> Iterator[tuple[str, ...]]:
    found = {summary.target: summary for summary in summaries(report.runs) if summary.clients == clients}
    for name in report.plan.targets:
        if name in found:
            yield _cells(found[name], found.get(WHOLE_PATH))
        else:
            reason = report.not_measured.get(name, "no run")
            yield (TARGETS[name].title, f"not measured: {reason}", *[""] * (len(_COLUMNS) - 2))


def _cells(summary: Summary, whole_path: Summary | None) -> tuple[str, ...]:
    ratio = f"{summary.per_second / whole_path.per_second:.2f}" if whole_path and whole_path.per_second else ""
    return (
        TARGETS[summary.target].title,
        f"{summary.per_second:,.0f}",
        f"{summary.least_per_second:,.0f} to {summary.most_per_second:,.0f}",
        f"{summary.p50_ms:.2f}",
        f"{summary.p99_ms:.2f}",
        f"{summary.errors:,}",
        ratio,
    )


def _markdown_table(report: Report, clients: int) -> str:
    lines = [_line(_COLUMNS), _line(["---"] + ["---:"] * (len(_COLUMNS) - 1))]
    return "\n".join(lines + [_line(cells) for cells in _rows(report, clients)])


def _clients(number: int) -> str:
    return "1 client" if number == 1 else f"{number} clients"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _provenance(report: Report) -> str:
    machine, plan = report.machine, report.plan
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return (
        f"Measured on {machine.date} with `make bench`: one run, {plan.rounds} interleaved rounds of "
        f"{plan.seconds} s for each row at each number of clients; medians, and the least and most of the rounds.\n\n"
        f"Machine: {machine.cores} cores ({machine.cpu}), {machine.memory_gib:.0f} GiB, Linux {machine.kernel}; load "
        f"average {machine.load_average} before the run.\n\nVersions: {versions}."
    )


def _choices(report: Report) -> Iterator[str]:
    yield _choice("Tunnel backend", "openssh", "sshtunnel", report, SSHTUNNEL)
    yield _choice("Class of gunicorn's workers", "gevent", "gthread", report, GTHREAD)
    if report.no_delay:
        found = report.no_delay
        yield (
            f"A session after connecting (proxy/tunnels/openssh.py): a pipelined reset and query takes "
            f"{found.with_p50_ms:.2f} ms (p50; p99 {found.with_p99_ms:.2f}) with it and {found.without_p50_ms:.2f} ms "
            f"(p99 {found.without_p99_ms:.2f}) without it."
        )


def _choice(what: str, deployed: str, other: str, report: Report, name: str) -> str:
    found = {(summary.target, summary.clients): summary for summary in summaries(report.runs)}
    compared = [
        f"{found[WHOLE_PATH, clients].per_second:,.0f} against {found[name, clients].per_second:,.0f} requests/s at "
        f"{_clients(clients)}"
        for clients in report.plan.clients
        if (WHOLE_PATH, clients) in found and (name, clients) in found
    ]
    return f"{what}, {deployed} against {other}: {'; '.join(compared) or 'not measured'}."
