"""`python -m tests.chaos`: faults at random under reads and writes, and a verdict on what became of them.

On a local system, or with --machines on a cluster of the fleet, which has cables and power, and NDB. That takes root,
and runs in namespaces of its own.
"""

import argparse
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from deploy import clusters, local, rehearsal
from deploy.deployment import ROOT
from deploy.providers.fleet import sandbox
from deploy.site import printing
from deploy.tasks.rehearse import archive
from tests.chaos.local import LocalTarget
from tests.chaos.machines import Machines
from tests.chaos.run import run
from tests.chaos.target import Target
from tests.chaos.workload import KINDS, Script
from tests.live.system_fixtures import LiveSystem, keep_logs

_MOST_SHOWN = 20
_NAME = "chaos"


@contextmanager
def _local(proxies: int) -> Iterator[tuple[Target, Callable[[], None]]]:
    """A system of this machine, and what keeps its logs."""
    files = local.system(f"chaos-{secrets.token_hex(3)}")
    services, _ = local.up(files, lambda _host, _text: None, lambda _system, _services: None, proxies)
    try:
        yield LocalTarget(LiveSystem(files, services)), lambda: keep_logs(files.directory / "log")
    except BaseException:
        keep_logs(files.directory / "log")
        raise
    finally:
        local.down(files)


@contextmanager
def _machines(engine: str, proxies: int) -> Iterator[tuple[Target, Callable[[], None]]]:
    """A cluster on the fleet without a stand-alone server, and what keeps its logs."""
    machines = {"standalone": {"count": 0}, "proxy": {"count": proxies}}
    members: dict[str, Any] = {"provider": "fleet", "engine": engine, "machines": machines}
    if engine == "ndb":
        members["ndb"] = archive(None)
    deployment = clusters.described(_NAME, printing(), members=members)
    try:
        target = Machines(deployment)
        try:
            yield target, target.keep_logs
        except BaseException:
            target.keep_logs()
            raise
    finally:
        deployment.provider.destroy(deployment.say)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 its answer


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32), help="by chance; it is printed")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--operations", type=int, default=200_000, help="at most")
    parser.add_argument("--kinds", type=lambda text: tuple(text.split(",")), default=KINDS, help="of operations")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--proxies", type=int, default=2)
    parser.add_argument("--machines", choices=["galera", "ndb"], help="the fleet's, with this engine")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """0 when nothing is wrong."""
    given = _arguments()
    if given.machines and not given.inside:
        rehearsal.fetch(printing())
        command = [sys.executable, "-m", "tests.chaos", *sys.argv[1:], "--seed", str(given.seed), "--inside"]
        limit_s = given.minutes * 60 + 1800
        return subprocess.run(sandbox.inside(command), check=False, cwd=ROOT, timeout=limit_s).returncode
    _say(f"seed {given.seed}")
    script = Script(given.seed, given.minutes, given.operations, given.kinds, given.clients)
    started = _machines(given.machines, given.proxies) if given.machines else _local(given.proxies)
    with started as (target, keep):
        report = run(target, script, _say)
        if report.violations:
            keep()
    shown = msgspec.structs.replace(report, violations=report.violations[:_MOST_SHOWN])
    _say(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode())
    return bool(report.violations)


if __name__ == "__main__":
    sys.exit(main())
