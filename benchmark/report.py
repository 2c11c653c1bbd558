"""A run's report: tables for the terminal, Markdown for docs/benchmarks.md. Pure."""

from collections.abc import Iterator

from benchmark.bench import Report, problem_of
from benchmark.grids import Grid
from benchmark.measurement import Cell, Summary, summaries
from benchmark.report_parts import arrivals_grid, large_grid, stages_grid, stages_verdict
from benchmark.shapes import POINT, SHAPES
from benchmark.targets import DBHUB, LIMIT, SSHTUNNEL, TARGETS, WHOLE_PATH, XMYSQL

BEGIN = "<!-- results: begin (make bench writes what stands between these lines) -->"
END = "<!-- results: end -->"

# "ratio" is that of the requests/s to the whole path's.
_COLUMNS = ("target", "requests/s", "least to most", "p50 ms", "p99 ms", "p99.9 ms", "errors", "ratio")
_ROLES = ("gatekeeper", "proxy", "ssh", "sshd", "database", "peer")
# What a row took is shown at this number of clients, or at the most there were below it.
_USAGE_CLIENTS = 16


def grids(report: Report) -> Iterator[Grid]:
    """All tables of the report, in their order."""
    found = summaries(report.runs)
    if report.stages:
        yield stages_grid(report.stages)
    for shape in report.plan.shapes if report.runs else ():
        clients = report.plan.clients if shape == POINT.name else report.plan.other_clients
        for number in clients:
            yield _speed_grid(report, found, shape, number)
        yield _usage_grid(report, found, shape, max([n for n in clients if n <= _USAGE_CLIENTS] or clients))
    if report.arrivals:
        yield arrivals_grid(report.arrivals, report.plan)
    if report.large:
        yield large_grid(report.large)


def markdown(report: Report) -> str:
    """The results as Markdown: what they were measured on, the tables, what was chosen by them."""
    parts = [_provenance(report)]
    for grid in grids(report):
        parts.append(grid.markdown())
        if report.stages and grid.heading.startswith("Where the time"):
            parts.append(stages_verdict(report.stages))
    missing = [f"Not measured: {name}: {reason}." for name, reason in report.not_measured.items()]
    return "\n\n".join([*parts, *missing, "### What was chosen by it", *_choices(report), *_aims(report)]) + "\n"


def put_between_markers(document: str, text: str) -> str:
    """The document with the text in place of what stood between the markers. Raises ValueError without them."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document lacks the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"


def _speed_grid(report: Report, found: dict[Cell, Summary], shape: str, clients: int) -> Grid:
    rows = []
    for name in report.plan.targets:
        summary = found.get(Cell(name, shape, clients))
        if summary:
            rows.append(_speed(summary, found.get(Cell(WHOLE_PATH, shape, clients))))
        elif why := report.not_measured.get(name) or report.not_measured.get(problem_of(name, shape)):
            reason = f"not measured: {why}"
            rows.append((TARGETS[name].title, reason, *[""] * (len(_COLUMNS) - 2)))
    return Grid(f"{SHAPES[shape].title.capitalize()}: {_clients(clients)}", _COLUMNS, rows)


def _speed(summary: Summary, whole_path: Summary | None) -> tuple[str, ...]:
    ratio = f"{summary.per_second / whole_path.per_second:.2f}" if whole_path and whole_path.per_second else ""
    return (
        TARGETS[summary.cell.target].title,
        f"{summary.per_second:,.0f}",
        f"{summary.least_per_second:,.0f} to {summary.most_per_second:,.0f}",
        *(f"{value:.2f}" for value in (summary.p50_ms, summary.p99_ms, summary.p999_ms)),
        f"{summary.errors:,}",
        ratio,
    )


def _usage_grid(report: Report, found: dict[Cell, Summary], shape: str, clients: int) -> Grid:
    cells = [Cell(name, shape, clients) for name in report.plan.targets]
    rows = [_used(found[cell]) for cell in cells if cell in found]
    heading = f"{SHAPES[shape].title.capitalize()}: processor seconds for 1,000 requests, {_clients(clients)}"
    return Grid(heading, ("target", *_ROLES, "sum", "memory MiB"), rows)


def _used(summary: Summary) -> tuple[str, ...]:
    spent, memory = summary.usage.cpu_s, summary.usage.memory_mib
    figures = [f"{spent[role]:.2f}" if role in spent else "" for role in _ROLES]
    own = sum(value for role, value in memory.items() if role not in {"sshd", "database"})
    return (TARGETS[summary.cell.target].title, *figures, f"{summary.usage.total_cpu_s:.2f}", f"{own:,.0f}")


def _clients(number: int) -> str:
    return "1 client" if number == 1 else f"{number} clients"


def _provenance(report: Report) -> str:
    machine, plan = report.machine, report.plan
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return (
        f"Measured on {machine.date} with `make bench`: one run of {report.minutes:.0f} minutes, {plan.rounds} "
        f"interleaved rounds of {plan.seconds} s for each row at each number of clients; medians, and the least and "
        f"most of the rounds.\n\n"
        f"Machine: {machine.cores} cores ({machine.cpu}), {machine.memory_gib:.0f} GiB, Linux {machine.kernel}; load "
        f"average {machine.load_average} before the run.\n\nVersions: {versions}."
    )


def _choices(report: Report) -> Iterator[str]:
    yield _choice("Tunnel backend", "openssh", "sshtunnel", report, SSHTUNNEL)
    if report.no_delay:
        found = report.no_delay
        yield (
            f"A session after connecting (proxy/tunnels/openssh.py): a pipelined reset and query takes "
            f"{found.with_p50_ms:.2f} ms (p50; p99 {found.with_p99_ms:.2f}) with it and {found.without_p50_ms:.2f} ms "
            f"(p99 {found.without_p99_ms:.2f}) without it."
        )


def _choice(what: str, deployed: str, other: str, report: Report, name: str) -> str:
    compared = [
        f"{ours.per_second:,.0f} against {theirs.per_second:,.0f} requests/s at {_clients(clients)}"
        for clients, ours, theirs in _pairs(report, name)
    ]
    return f"{what}, {deployed} against {other}: {'; '.join(compared) or 'not measured'}."


def _aims(report: Report) -> Iterator[str]:
    """How the whole path stands to its peers and its limit, point selects."""
    for name in (LIMIT, XMYSQL, DBHUB):
        compared = [
            f"{ours.per_second / theirs.per_second:.2f} times its requests/s and "
            f"{ours.p50_ms / theirs.p50_ms:.2f} times its p50 at {_clients(clients)}"
            for clients, ours, theirs in _pairs(report, name)
            if theirs.per_second
        ]
        if compared:
            yield f"The whole path against {TARGETS[name].title}: {'; '.join(compared)}."


def _pairs(report: Report, name: str) -> Iterator[tuple[int, Summary, Summary]]:
    """The whole path and another target, for each number of clients at which both were measured."""
    found = summaries(report.runs)
    for clients in report.plan.clients:
        ours, theirs = (found.get(Cell(target, POINT.name, clients)) for target in (WHOLE_PATH, name))
        if ours and theirs:
            yield clients, ours, theirs
