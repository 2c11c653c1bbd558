"""The command `python -m benchmark`, which `make bench` runs."""

import argparse
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import FrameType

import msgspec
from invoke.exceptions import Exit
from rich.console import Console

from benchmark import bench, report, world
from benchmark.bench import Report
from benchmark.large import ROWS
from benchmark.plan import PARTS, Plan
from benchmark.shapes import SHAPES
from benchmark.targets import TARGETS
from deploy import local
from deploy.secrets import WORLD_READABLE, write_file
from deploy.tasks.failures import reported

_DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks.md"
_INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the table, and keeps the raw data in var/bench."""
    options = _parser().parse_args(arguments)
    for number in _INTERRUPTIONS:
        signal.signal(number, _interrupt)
    try:
        found = reported(bench.run)(_plan(options), _say)
    except Exit as end:
        print(end.message, file=sys.stderr)
        sys.exit(end.code)
    for grid in report.grids(found):
        Console().print(grid.terminal())
    print(f"raw data: {_keep(found)}")
    if options.write_docs:
        document = report.put_between_markers(_DOCUMENT.read_text(encoding="utf-8"), report.markdown(found))
        write_file(_DOCUMENT, document.encode(), WORLD_READABLE)


def _parser() -> argparse.ArgumentParser:
    of = Plan()
    parser = argparse.ArgumentParser(prog="python -m benchmark", description=main.__doc__)
    add = parser.add_argument
    add("--parts", type=_names(PARTS), default=of.parts, help=f"of {','.join(PARTS)} (default: all)")
    add("--targets", type=_names(TARGETS), default=of.targets, help=f"of {','.join(TARGETS)} (default: all)")
    add("--shapes", type=_names(SHAPES), default=of.shapes, help=f"of {','.join(SHAPES)} (default: all)")
    add("--clients", type=_counts, default=of.clients, help="of point selects (default: 1,4,16,64)")
    add("--other-clients", type=_counts, default=of.other_clients, help="of the other shapes (default: 1,16)")
    add("--rounds", type=_count, default=of.rounds, help="of all rows (default: %(default)s)")
    add("--seconds", type=_count, default=of.seconds, help="of each run (default: %(default)s)")
    add("--minutes", type=_count, default=of.minutes, help="after these no run is begun (default: %(default)s)")
    add("--stage-seconds", type=_count, default=of.stage_seconds, help="of all stages (default: %(default)s)")
    add("--rates", type=_counts, default=of.rates, help="requests/s of the streams (default: 50,200,800)")
    add("--rate-seconds", type=_count, default=of.rate_seconds, help="of each stream (default: %(default)s)")
    add("--rows", type=_rows, default=of.rows, help="of a large result (default: %(default)s)")
    add("--write-docs", action="store_true", help="put the results into docs/benchmarks.md")
    return parser


def _plan(options: argparse.Namespace) -> Plan:
    members = {field.name: getattr(options, field.name) for field in msgspec.structs.fields(Plan)}
    return Plan(**members)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 1000):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000")
    return int(text)


def _counts(text: str) -> tuple[int, ...]:
    return tuple(_count(word) for word in text.split(","))


def _rows(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= ROWS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {ROWS}")
    return int(text)


def _names(known: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    def names(text: str) -> tuple[str, ...]:
        wanted = tuple(text.split(","))
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known are {', '.join(known)}")
        return wanted

    return names


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """The first interruption ends the run; others must not cut short its cleaning up."""
    for number in _INTERRUPTIONS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _say(host: str, text: str) -> None:
    print(f"[{host}] {text}", flush=True)


def _keep(found: Report) -> Path:
    date = found.machine.date.replace(" UTC", "").translate(str.maketrans(" ", "T", "-:"))
    path = local.system(world.NAME).var / "bench" / f"{date}.json"
    write_file(path, msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n", WORLD_READABLE)
    return path


if __name__ == "__main__":
    main()
