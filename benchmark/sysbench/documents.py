"""A run's report as one HTML file and as Markdown. Pure."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

import msgspec

from benchmark.sysbench import considered, reading
from benchmark.sysbench.plots import Plot
from benchmark.sysbench.rundir import Results
from benchmark.sysbench.tables import Table

_STYLE: Final = """\
:root { color-scheme: light dark;
  --ground: #ffffff; --ink: #1b1f24; --faint: #6a737d; --line: #d0d7de; --warn: #fff4d6; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14181d; --ink: #e6e9ec; --faint: #9aa4ae; --line: #39424c; --warn: #3a3113; }
}
body { background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 62rem; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
.warn { background: var(--warn); border-left: .3rem solid #c8941b; padding: .6rem 1rem; }
figure { margin: 1.5rem 0; } figure svg { width: 100%; height: auto; max-width: 52rem; }
figcaption { color: var(--faint); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
th, td { border-bottom: 1px solid var(--line); padding: .2rem .6rem; text-align: left; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
details { margin: 1rem 0; } summary { cursor: pointer; font-weight: 600; }
"""
_WORDS: Final = frozenset({"target", "interval", "workload", "verdict", "marked", "cell", "this run", "the other"})


class Document(msgspec.Struct, frozen=True):
    """What a report shows, in its order. `other`: what the comparison is with, "" when there is none."""

    run: Results
    sentences: tuple[str, ...]
    plots: tuple[Plot, ...]
    tables: tuple[Table, ...]
    marks: tuple[str, ...]
    agreement: str = ""
    comparison: Table | None = None

    @property
    def title(self) -> str:
        """Its heading."""
        manifest = self.run.manifest
        return f"sysbench: stand-alone InnoDB against {manifest.engine}, matrix {manifest.matrix.name}"

    @property
    def shares_cores(self) -> bool:
        """Whether all machines are on one host: then that is said first of all."""
        return self.run.manifest.provider == "fleet"


def about(document: Document) -> list[str]:
    """What was run, where and how, a sentence or two each."""
    manifest = document.run.manifest
    matrix = manifest.matrix
    made = len(document.run.results)
    return [
        f"Began {manifest.began}. Host: {manifest.machine}. {len(manifest.nodes)} SQL nodes"
        f" ({', '.join(manifest.nodes)}, {manifest.data_nodes} of them data nodes) and the stand-alone server"
        f" {manifest.standalone}.",
        f"Versions: {_versions(document.run)}.",
        f"{made} measurements: {matrix.repetitions} repetitions of each cell, {matrix.warmup_s} s of warm-up and"
        f" {matrix.seconds} s counted each; order shuffled, seed {manifest.seed}.",
        considered.STATISTICS,
        considered.WHERE,
    ]


def html(document: Document) -> str:
    """The page: nothing in it is loaded from elsewhere."""
    return "\n".join(_html(document)) + "\n"


def _html(document: Document) -> Iterator[str]:
    yield f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(document.title)}</title>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<style>\n{_STYLE}</style>\n</head>\n<body>\n<h1>{escape(document.title)}</h1>"
    if document.shares_cores:
        yield f'<p class="warn">{escape(considered.SHARED)}</p>'
    yield from (f"<p>{escape(text)}</p>" for text in about(document))
    yield f"<h2>What to read from this</h2>{_list(document.sentences)}"
    yield f"<details><summary>The rules behind these sentences</summary>{_list(reading.RULES)}</details>"
    yield "<h2>Plots</h2>"
    for plot in document.plots:
        yield f"<figure><h3>{escape(plot.title)}</h3>{plot.svg}<figcaption>{escape(plot.caption)}</figcaption></figure>"
    if document.comparison:
        yield f"<h2>Two runs</h2><p>{escape(document.agreement)}</p>"
        yield f"<details><summary>Each cell</summary>{_html_table(document.comparison)}</details>"
    yield "<h2>Tables</h2>"
    yield from (f"<h3>{escape(table.title)}</h3>{_html_table(table)}" for table in document.tables)
    yield f"<h2>Marks</h2><details><summary>{len(document.marks)} marks</summary>{_list(document.marks)}</details>"
    yield f"<h2>What is unfair to whom</h2>{_list(considered.UNFAIR)}"
    yield f"<h2>What was considered</h2>{_list(considered.CONSIDERED)}"
    yield "</body>\n</html>"


def _html_table(table: Table) -> str:
    classes = ["" if _is_word(table, number) else ' class="n"' for number in range(len(table.columns))]
    head = "".join(f"<th{kind}>{escape(name)}</th>" for name, kind in zip(table.columns, classes, strict=True))
    rows = "".join(
        f"<tr>{''.join(f'<td{kind}>{escape(cell)}</td>' for cell, kind in zip(row, classes, strict=True))}</tr>\n"
        for row in table.rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>'


def _is_word(table: Table, number: int) -> bool:
    return number < table.words or table.columns[number] in _WORDS


def _list(texts: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(text)}</li>\n" for text in texts) + "</ul>"


def markdown(document: Document, page: str) -> str:
    """The same without plots. `page`: the HTML file's name."""
    return "\n\n".join(_markdown(document, page)) + "\n"


def _markdown(document: Document, page: str) -> Iterator[str]:
    yield f"# {document.title}"
    if document.shares_cores:
        yield f"**{considered.SHARED}**"
    yield from about(document)
    yield f"With plots: {page}."
    yield "## What to read from this"
    yield _bullets(document.sentences)
    yield "The rules behind these sentences:"
    yield _bullets(reading.RULES)
    if document.comparison:
        yield "## Two runs"
        yield document.agreement
        yield markdown_table(document.comparison)
    for table in document.tables:
        yield f"## {table.title}"
        yield markdown_table(table)
    yield "## Marks"
    yield _bullets(document.marks) or "None."
    yield "## What is unfair to whom"
    yield _bullets(considered.UNFAIR)
    yield "## What was considered"
    yield _bullets(considered.CONSIDERED)


def _bullets(texts: Sequence[str]) -> str:
    return "\n".join(f"- {text}" for text in texts)


def markdown_table(table: Table) -> str:
    """A table as Markdown has it."""
    rule = ["---" if _is_word(table, number) else "---:" for number in range(len(table.columns))]
    return "\n".join(_line(cells) for cells in (table.columns, rule, *table.rows))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _versions(run: Results) -> str:
    servers = [run.servers[name] for name in (run.manifest.standalone, *run.manifest.nodes) if name in run.servers]
    databases = {
        f"{each.variables.get('version', '?')} ({each.variables.get('version_comment', '?')})" for each in servers
    }
    clients = {f"sysbench {each.sysbench}" for each in servers}
    return ", ".join([*sorted(databases), *sorted(clients)]) or "not looked up"
