"""A run's plots, as SVG that takes its text's colour from the page, so that it is read on light and on dark. Pure.

Series differ in marker and line as well as in colour; the colours have a contrast of 3 to 1 or more to white and to the
page's dark ground.
"""

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from benchmark.sysbench.cells import Summary
from benchmark.sysbench.intervals import Interval
from benchmark.sysbench.reading import scaled
from benchmark.sysbench.rundir import Results, TimelineResult

# Stands for the page's own text colour; nothing else is drawn in it.
_INK: Final = "#010203"
_STYLES: Final[Mapping[int, tuple[str, str, str]]] = {
    0: ("#2f7fc1", "o", "-"),
    1: ("#c8641b", "s", "--"),
    -1: ("#2c9468", "^", "-."),
}
# matplotlib's type for these is a literal of all their names.
_OPTIONS: Final[dict[Any, Any]] = {
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "legend.labelcolor"), _INK
    ),
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "gatekeeper",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.color": "#808080",
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


class Plot(msgspec.Struct, frozen=True):
    """A plot with what is said below it."""

    title: str
    caption: str
    svg: str


def plots(run: Results, found: Sequence[Summary]) -> list[Plot]:
    """All that the run has data for."""
    made: list[Plot] = []
    with mpl.rc_context(_OPTIONS):
        for size in (size.name for size in run.manifest.matrix.sizes):
            mine = [each for each in found if each.cell.size == size]
            if any(len(_threads(mine, workload)) > 1 for workload in _workloads(mine)):
                made += [_by_threads(run, size, mine, "rate"), _by_threads(run, size, mine, "p99_ms")]
            if mine:
                made.append(_beside(run, size, mine))
        made += _scale(run, found)
        if run.timeline and run.timeline.moments:
            made.append(_timeline(run.timeline))
    return [
        msgspec.structs.replace(plot, svg=_own_names(plot.svg, f"g{number}-")) for number, plot in enumerate(made, 1)
    ]


def _by_threads(run: Results, size: str, found: Sequence[Summary], what: str) -> Plot:
    workloads = [workload for workload in _workloads(found) if len(_threads(found, workload)) > 1]
    unit = "transactions/s" if what == "rate" else "99th percentile, ms"
    figure, axes = _grid(len(workloads))
    for axis, workload in zip(axes, workloads, strict=True):
        for nodes in _targets(run):
            points = _points(found, workload, nodes, what)
            _draw(axis, run, nodes, points)
        _log_threads(axis, _threads(found, workload))
        axis.set(title=workload, xlabel="threads", ylabel=unit, yscale="log" if what != "rate" else "linear")
        if what == "rate":
            axis.set_ylim(bottom=0)
        _plain(axis)
    _legend(figure, axes)
    title = "Throughput" if what == "rate" else "Latency"
    return Plot(f"{title} by threads, {size}", "Medians; bars are intervals (see Statistics).", _svg(figure))


def _beside(run: Results, size: str, found: Sequence[Summary]) -> Plot:
    """Every workload at the number of threads that most were measured with."""
    numbers = [each.cell.threads for each in found]
    threads = max(set(numbers), key=lambda number: (len({e.cell.workload for e in found if e.cell.threads == number}),))
    mine = [each for each in found if each.cell.threads == threads and each.rate]
    workloads = _workloads(mine)
    figure = Figure(figsize=(7.5, 1.3 + 0.5 * len(workloads)), layout="constrained")
    axis = figure.subplots()
    for offset, nodes in enumerate(_targets(run)):
        rows = [
            (at + 0.22 * (offset - 1), each.rate)
            for at, workload in enumerate(workloads)
            for each in mine
            if each.cell.workload == workload and each.cell.target.nodes == nodes
        ]
        _draw(axis, run, nodes, [(at, rate) for at, rate in rows if rate], across=True)
    axis.set(xlabel="transactions/s", xscale="log", yticks=range(len(workloads)), yticklabels=workloads)
    axis.invert_yaxis()
    _plain(axis, across=True)
    _legend(figure, [axis])
    return Plot(
        f"Every workload with {threads} threads, {size}", "A logarithmic axis; medians with intervals.", _svg(figure)
    )


def _scale(run: Results, found: Sequence[Summary]) -> Iterator[Plot]:
    listed = scaled(found, len(run.manifest.nodes))
    if not listed:
        return
    threads = max(threads for _, threads, _ in listed)
    mine = [(workload, rates) for workload, number, rates in listed if number == threads]
    figure, axes = _grid(len(mine))
    for axis, (workload, rates) in zip(axes, mine, strict=True):
        _draw(axis, run, len(run.manifest.nodes), sorted(rates.items()))
        axis.set(title=workload, xlabel="SQL nodes", ylabel="transactions/s", xticks=sorted(rates))
        axis.set_ylim(bottom=0)
        _plain(axis)
    yield Plot(
        f"Scale: {threads} threads over 1 to {len(run.manifest.nodes)} SQL nodes",
        "Medians with intervals.",
        _svg(figure),
    )


def _timeline(line: TimelineResult) -> Plot:
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    rates, latencies = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    at = [moment.at_s for moment in line.moments]
    colour = _STYLES[0][0]
    rates.plot(at, [moment.transactions_per_s for moment in line.moments], color=colour, drawstyle="steps-pre")
    latencies.plot(at, [moment.latency_ms for moment in line.moments], color=_STYLES[1][0], drawstyle="steps-pre")
    rates.set(ylabel="transactions/s")
    rates.set_ylim(bottom=0)
    latencies.set(ylabel="p99, ms", xlabel="seconds since the load began", yscale="symlog")
    _plain(latencies)
    for mark in line.marks:
        for axis in (rates, latencies):
            axis.axvline(mark.at_s, color="#b03a5b", linestyle=":")
        rates.annotate(
            f"{line.lost} {mark.text}",
            (mark.at_s, 1),
            xycoords=("data", "axes fraction"),
            rotation=90,
            va="top",
            ha="right",
            fontsize=8,
        )
    return Plot(
        f"The loss and the return of {line.lost}",
        f"{line.target}. A point is a second; p99 is that of the worst of the processes. Measured once.",
        _svg(figure),
    )


def _draw(
    axis: Axes, run: Results, nodes: int, points: Sequence[tuple[float, Interval]], *, across: bool = False
) -> None:
    if not points:
        return
    colour, marker, line = _STYLES[nodes if nodes < 2 else -1]
    at = [place for place, _ in points]
    medians = [value.median for _, value in points]
    errors = [[value.median - value.low for _, value in points], [value.high - value.median for _, value in points]]
    style: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 4, "capsize": 3, "linewidth": 1.3}
    label = title(run, nodes)
    if across:
        axis.errorbar(medians, at, xerr=errors, linestyle="none", label=label, **style)
    else:
        axis.errorbar(at, medians, yerr=errors, linestyle=line, label=label, **style)


def title(run: Results, nodes: int) -> str:
    """A target, for people."""
    if not nodes:
        return "stand-alone InnoDB"
    return f"{run.manifest.engine}, {nodes} SQL node{'' if nodes == 1 else 's'}"


def _targets(run: Results) -> tuple[int, ...]:
    return tuple(dict.fromkeys((0, 1, len(run.manifest.nodes))))


def _points(found: Sequence[Summary], workload: str, nodes: int, what: str) -> list[tuple[float, Interval]]:
    value: Callable[[Summary], Interval | None] = lambda each: each.rate if what == "rate" else each.p99_ms  # noqa: E731
    mine = [each for each in found if each.cell.workload == workload and each.cell.target.nodes == nodes]
    return [(each.cell.threads, interval) for each in mine if (interval := value(each))]


def _threads(found: Sequence[Summary], workload: str) -> list[int]:
    return sorted({each.cell.threads for each in found if each.cell.workload == workload})


def _workloads(found: Sequence[Summary]) -> list[str]:
    return list(dict.fromkeys(each.cell.workload for each in found))


def _grid(count: int) -> tuple[Figure, list[Axes]]:
    columns = min(2, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(7.5 if columns > 1 else 4.5, 2.9 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes[count:]:
        axis.set_axis_off()
    return figure, axes[:count]


def _legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One below all, where it hides nothing; a target that is in several is named once."""
    named = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    if named:
        figure.legend([*named.values()], [*named], loc="outside lower center", ncols=3)


def _log_threads(axis: Axes, threads: Sequence[int]) -> None:
    axis.set_xscale("log", base=2)
    axis.set_xticks(threads, [str(number) for number in threads])
    axis.xaxis.set_minor_locator(NullLocator())


def _plain(axis: Axes, *, across: bool = False) -> None:
    """Numbers as people write them: 1,000."""
    scale = axis.xaxis if across else axis.yaxis
    scale.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    scale.set_minor_formatter(NullFormatter())


def _svg(figure: Figure) -> str:
    """The figure as an element for a page: no header, a viewBox that scales, the ink as the page's own colour."""
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return text.replace(_INK, "currentColor").replace("<svg", '<svg role="img"', 1)


def _own_names(svg: str, prefix: str) -> str:
    """The element with names of its own, so that several can be on one page."""
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r'href="#', f'href="#{prefix}', svg)
    return svg.replace("url(#", f"url(#{prefix}")
