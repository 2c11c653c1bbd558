"""From a run's directory to its report: HTML, Markdown, and the data as CSV and JSON."""

import csv
import io
from pathlib import Path
from typing import Final

import msgspec

from benchmark.sysbench import agreement, reading, tables
from benchmark.sysbench.cells import Summary, summaries
from benchmark.sysbench.documents import Document, html, markdown
from benchmark.sysbench.intervals import Interval
from benchmark.sysbench.plots import plots
from benchmark.sysbench.rundir import Results, RunDirectory
from deploy.secrets import WORLD_READABLE, write_file

_MEASURES: Final = ("rate", "queries", "p50_ms", "p95_ms", "p99_ms", "servers_ms")


class Made(msgspec.Struct, frozen=True):
    """What was written. `slower`: the cells that became slower than in the other run."""

    files: tuple[Path, ...]
    sentences: tuple[str, ...]
    agreement: str
    slower: tuple[str, ...]


def make(run: Path, to: Path, name: str, other: Path | None = None) -> Made:
    """Writes NAME.html, .md, .csv and .json into a directory. Raises RunUnusable."""
    loaded = RunDirectory(run).load()
    found = summaries(loaded)
    compared = agreement.compare(found, summaries(RunDirectory(other).load())) if other else []
    document = _document(loaded, found, compared)
    to.mkdir(parents=True, exist_ok=True)
    written = {
        "html": html(document),
        "md": markdown(document, f"[{name}.html]({name}.html)"),
        "csv": as_csv(found),
        "json": as_json(loaded, found),
    }
    for ending, text in written.items():
        write_file(to / f"{name}.{ending}", text.encode(), WORLD_READABLE)
    return Made(
        files=tuple(to / f"{name}.{ending}" for ending in written),
        sentences=document.sentences,
        agreement=document.agreement,
        slower=tuple(each.cell.name for each in compared if each.verdict == "slower"),
    )


def _document(run: Results, found: list[Summary], compared: list[agreement.Compared]) -> Document:
    return Document(
        run=run,
        sentences=tuple(reading.sentences(run, found)),
        plots=tuple(plots(run, found)),
        tables=(*tables.rates(run, found), tables.sizes(run), tables.machines(run), tables.settings(run)),
        marks=tuple(tables.marks(found)),
        agreement=agreement.sentence(compared) if compared else "",
        comparison=tables.comparison(compared) if compared else None,
    )


def as_csv(found: list[Summary]) -> str:
    """A row for each cell: medians with their intervals."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    bounds = [f"{name}{part}" for name in _MEASURES for part in ("", "_low", "_high")]
    writer.writerow(["size", "workload", "threads", "target", "repetitions", "failed", "marks", *bounds])
    for each in found:
        cell = each.cell
        row = [cell.size, cell.workload, cell.threads, cell.target.name, each.repetitions, each.failed, len(each.marks)]
        writer.writerow([*row, *(part for name in _MEASURES for part in _parts(getattr(each, name)))])
    return text.getvalue()


def as_json(run: Results, found: list[Summary]) -> str:
    """The run's description, its state, every cell with its marks, and the time line; not the single measurements."""
    whole = {
        "manifest": run.manifest,
        "servers": run.servers,
        "data": run.data,
        "cells": found,
        "timeline": run.timeline,
    }
    return msgspec.json.format(msgspec.json.encode(whole), indent=1).decode() + "\n"


def _parts(value: Interval | None) -> tuple[str, str, str]:
    return ("", "", "") if value is None else (f"{value.median:.4g}", f"{value.low:.4g}", f"{value.high:.4g}")
