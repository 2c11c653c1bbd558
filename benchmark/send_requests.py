"""Sends requests to a gatekeeper and prints what happened: `python -m benchmark.send_requests --help`.

    python -m benchmark.send_requests --requests 1000 --concurrency 8 --query "SELECT COUNT(*) FROM film"

The implementations take turns. The key comes from a file or the environment, as for `gk`, never from an argument, which
every account of the machine could read. An interruption ends it with what was answered until then.
"""

import argparse
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmark.sending import Job, Report, send
from client import arguments, settings
from client.failures import ANSWERED, FAILED, INTERRUPTED, USAGE
from client.output import visible
from contract.errors import UnknownImplementation
from contract.implementations import IMPLEMENTATIONS, canonical
from contract.messages import DEFAULT_TIMEOUT_MS, MAX_TIMEOUT_MS

MOST_REQUESTS = 1_000_000
MOST_CONCURRENCY = 256
_COLUMNS = ("implementation", "node", "requests", "requests/s", "p50 ms", "p99 ms", "errors")


def main(words: Sequence[str] | None = None) -> int:
    """Sends, prints, and returns the exit status: 0 when all was answered, 1 when not, 2 for wrong usage."""
    options = _parser().parse_args(words)
    try:
        access = settings.access(options.url, options.key_file, os.environ, Path.cwd())
        job = _job(options)
        report = send(job, access, threading.Event())
    except ValueError as error:
        print(f"send_requests: {error}", file=sys.stderr)
        return USAGE
    _SHOW[options.format](report)
    if report.interrupted:
        return INTERRUPTED
    return ANSWERED if report.answered == report.requests else FAILED


def table_of(report: Report) -> Table:
    """A line for each implementation and node; errors by their codes."""
    shown = Table(title=f"{report.requests:,} requests in {report.seconds:.2f} s, {report.answered:,} answered")
    for number, column in enumerate(_COLUMNS):
        shown.add_column(column, justify="right" if number in range(2, 6) else "left")
    for line in report.lines:
        errors = ", ".join(f"{count} {code}" for code, count in sorted(line.errors.items()))
        latencies = ("" if ms is None else f"{ms:.2f}" for ms in (line.p50_ms, line.p99_ms))
        cells = (
            line.implementation,
            line.node or "-",
            f"{line.requests:,}",
            f"{line.per_second:,.1f}",
            *latencies,
            errors,
        )
        shown.add_row(*(Text(visible(cell)) for cell in cells))
    return shown


def _print_json(report: Report) -> None:
    print(msgspec.json.encode(report).decode())


def _print_table(report: Report) -> None:
    Console().print(table_of(report))


_SHOW: dict[str, Callable[[Report], None]] = {"table": _print_table, "json": _print_json}


def _job(options: argparse.Namespace) -> Job:
    return Job(
        requests=options.requests,
        concurrency=min(options.concurrency, options.requests),
        implementations=tuple(options.implementation or IMPLEMENTATIONS),
        query=options.query,
        params=arguments.params(options.param),
        database=options.database,
        timeout_ms=options.timeout_ms,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="send_requests", description=main.__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--url", help=f"the gatekeeper's (else {settings.URL_VARIABLE}, else the local cluster's)")
    add("--key-file", type=Path, help=f"a file with the API key (else {settings.KEY_VARIABLE}, else the local one)")
    add("--requests", type=_up_to(MOST_REQUESTS), default=100, help="how many (default: %(default)s)")
    add("--concurrency", type=_up_to(MOST_CONCURRENCY), default=4, help="how many at once (default: %(default)s)")
    add("--implementation", action="append", type=_implementation, help="may be repeated (default: all, in turn)")
    add("--query", default="SELECT 1", help="the statement (default: %(default)s)")
    add("--param", action="append", default=[], help="as gk's: VALUE for the next ?, NAME=VALUE for :NAME; repeated")
    add("--database", help="the default schema")
    add("--timeout-ms", type=_up_to(MAX_TIMEOUT_MS), default=DEFAULT_TIMEOUT_MS, help="(default: %(default)s)")
    add("--format", choices=tuple(_SHOW), default="table")
    return parser


def _up_to(most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and 0 < int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {most}")
        return int(text)

    return number


def _implementation(text: str) -> str:
    try:
        return canonical(text)
    except UnknownImplementation as error:
        raise argparse.ArgumentTypeError(error.detail) from None


if __name__ == "__main__":
    sys.exit(main())
