"""The command: a bounded run with a seed that it prints, and exit status 1 when something was found."""

import argparse
import secrets
import signal
import sys
import time
from collections import Counter
from typing import Any

from tests.fuzz import corpus, programs
from tests.fuzz.run import Counts, Fuzzer
from tests.fuzz.server import oracle

_SHOWN = 12
_SERVER_HELP = "`mariadb` for Debian's, a tarball of MySQL, or a directory with bin/mysqld or usr/sbin/mariadbd"


def main() -> int:
    """Runs, prints what it counted and found; 1 when it found anything."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    parser.add_argument("--server", default=programs.INSTALLED, help=_SERVER_HELP)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # else the server would be left running
    try:
        program = programs.find(options.server)
    except programs.CannotRun as error:
        parser.error(str(error))
    corpus_is = "found" if corpus.directory() else "not found"
    _say(f"seed {options.seed}; {program.family} {program.version}; shared corpus: {corpus_is}")
    with oracle(program) as server:
        counts = Fuzzer(options.seed, server).run(until=time.monotonic() + options.minutes * 60)
    _say(report(counts))
    return 1 if counts.findings else 0


def report(counts: Counts) -> str:
    """What a run did, for people."""
    lines = [
        f"{counts.tried} tried, {counts.accepted} accepted",
        f"{counts.ran} ran without an error, {counts.reads} of them reads",
        f"refused by rule: {_most(counts.refused)}",
        f"the server's errors for what was accepted: {_most(counts.errors)}",
        *(f"FOUND: {finding}" for finding in counts.findings),
        f"{len(counts.findings)} found",
    ]
    return "\n".join(lines)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _most(counter: Counter[Any]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counter.most_common(_SHOWN)) or "none"


if __name__ == "__main__":
    sys.exit(main())
