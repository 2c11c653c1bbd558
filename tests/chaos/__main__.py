"""`python -m tests.chaos`: faults at random under writes, and a verdict on what became of them."""

import argparse
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from deploy import local
from tests.chaos.run import run
from tests.chaos.workload import KINDS, Script
from tests.live.system_fixtures import LiveSystem, keep_logs

_MOST_SHOWN = 20


@contextmanager
def _started(proxies: int) -> Iterator[LiveSystem]:
    files = local.system(f"chaos-{secrets.token_hex(3)}")
    services, _ = local.up(files, lambda _host, _text: None, lambda _system, _services: None, proxies)
    try:
        yield LiveSystem(files, services)
    except BaseException:
        keep_logs(files.directory / "log")
        raise
    finally:
        local.down(files)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 its answer


def main() -> int:
    """0 when nothing is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32), help="by chance; it is printed")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--writes", type=int, default=200_000, help="at most")
    parser.add_argument("--kinds", type=lambda text: tuple(text.split(",")), default=KINDS, help="of writes")
    parser.add_argument("--proxies", type=int, default=2)
    given = parser.parse_args()
    _say(f"seed {given.seed}")
    with _started(given.proxies) as system:
        report = run(system, Script(given.seed, given.minutes, given.writes, given.kinds), _say)
        if report.violations:
            keep_logs(system.files.directory / "log")
    shown = msgspec.structs.replace(report, violations=report.violations[:_MOST_SHOWN])
    _say(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode())
    return bool(report.violations)


if __name__ == "__main__":
    sys.exit(main())
