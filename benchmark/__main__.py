"""The command `python -m benchmark`, which `make bench` runs."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import msgspec
from invoke.exceptions import Exit
from rich.console import Console

from benchmark import bench, report, world
from benchmark.bench import Plan, Report
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
    for clients in found.plan.clients:
        Console().print(report.table(found, clients))
    print(f"raw data: {_keep(found)}")
    if options.write_docs:
        document = report.put_between_markers(_DOCUMENT.read_text(encoding="utf-8"), report.markdown(found))
        write_file(_DOCUMENT, document.encode(), WORLD_READABLE)


def _parser() -> argparse.ArgumentParser:
    defaults = Plan(tuple(TARGETS))
    parser = argparse.ArgumentParser(prog="python -m benchmark", description=main.__doc__)
    parser.add_argument("--seconds", type=_count, default=defaults.seconds, help="of each run (default: %(default)s)")
    parser.add_argument("--rounds", type=_count, default=defaults.rounds, help="of all targets (default: %(default)s)")
    parser.add_argument("--clients", type=_counts, default=defaults.clients, help="such as 1,16 (the default)")
    parser.add_argument("--targets", type=_targets, default=defaults.targets, help=f"of {','.join(TARGETS)}")
    parser.add_argument("--write-docs", action="store_true", help="put the results into docs/benchmarks.md")
    return parser


def _plan(options: argparse.Namespace) -> Plan:
    return Plan(options.targets, options.clients, options.rounds, options.seconds)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 1000):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000")
    return int(text)


def _counts(text: str) -> tuple[int, ...]:
    return tuple(_count(word) for word in text.split(","))


def _targets(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known are {', '.join(TARGETS)}")
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
