"""`fab benchmark.local`: machines on this one, the runs, and the machines' end, in namespaces of their own.

As `fab rehearse` (deploy/rehearsal.py): nothing of it can be reached from outside, and it ends with its first process.
"""

import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args

import msgspec

from benchmark.sysbench import run
from benchmark.sysbench.matrix import Matrix, named
from deploy import clusters, release
from deploy.deployment import ROOT, deploy
from deploy.providers.fleet import image, sandbox
from deploy.providers.interface import ProviderError, Say
from deploy.site import printing

NAME: Final = "benchmark"
_TIMEOUT_S: Final = 3 * 3600
# As the rehearsal's: Debian bookworm's Python; wheels are fetched before, because machines have no way out.
_TARGET: Final = release.Target("3.11", platform.machine())
# Small, so that a data set larger than a buffer pool is made in a minute. A data node of NDB keeps all rows in memory.
_SIZES: Final[Mapping[str, Mapping[str, str]]] = {
    "galera": {"standalone": "512", "manager": "512", "data": "512"},
    "ndb": {"standalone": "512", "manager": "512", "data": "1900"},
}


class Wish(msgspec.Struct, frozen=True):
    """What is run inside. `paths`: a run's directory each; one that holds a run already is gone on with."""

    members: dict[str, Any]
    matrix: str
    paths: tuple[str, ...]
    seed: int | None = None


def members(engine: str, data_nodes: int, archive: Mapping[str, str] | None) -> dict[str, Any]:
    """The description of the cluster that is measured. The sample is left out: it would take memory."""
    sizes = _SIZES.get(engine, {})
    machines: dict[str, dict[str, Any]] = {role: {"size": size} for role, size in sizes.items()}
    machines["data"] = {**machines.get("data", {}), "count": data_nodes}
    described = {"provider": "fleet", "engine": engine, "sample": False, "machines": machines}
    return {**described, "ndb": dict(archive)} if archive else described


def start(wish: Wish, say: Say) -> int:
    """Makes the image if need be, then runs it in namespaces of their own; the exit status. Raises ProviderError."""
    image.ensure(clusters.fleet_recipe(), clusters.FLEET_CACHE, say)
    for service in get_args(release.Service):
        release.wheels(release.build(ROOT, service), _TARGET, clusters.VAR / "cache")
    given = msgspec.json.encode(wish).decode()
    command = sandbox.inside([sys.executable, "-m", "benchmark.sysbench.tasks", given])
    try:
        return subprocess.run(command, check=False, cwd=ROOT, timeout=_TIMEOUT_S).returncode
    except subprocess.TimeoutExpired:
        raise ProviderError(f"the runs did not end within {_TIMEOUT_S} s; they were stopped whole") from None
    finally:
        shutil.rmtree(clusters.directory(NAME), ignore_errors=True)


def inside(wish: Wish) -> None:
    """Deploys, runs, and takes it down. Raises SysbenchError, and what deployment raises."""
    matrix = named(wish.matrix)
    deployment = clusters.described(NAME, printing(), members=wish.members)
    try:
        site = deploy(deployment)
        for path in map(Path, wish.paths):
            bench = (
                run.resume(site, deployment.engine, path)
                if _has_run(path)
                else run.begin(site, deployment.engine, matrix, path, wish.seed)
            )
            run.carry_out(bench)
    finally:
        deployment.provider.destroy(deployment.say)


def _has_run(path: Path) -> bool:
    return path.exists() and any(path.iterdir())


def check(matrix: str) -> Matrix:
    """The matrix of that name, looked up before anything is made. Raises UnknownMatrix."""
    return named(matrix)


def paths(first: Path, runs: int) -> Sequence[Path]:
    """A directory for each run: PATH, PATH-2, PATH-3."""
    return [first, *(first.with_name(f"{first.name}-{number}") for number in range(2, runs + 1))]
