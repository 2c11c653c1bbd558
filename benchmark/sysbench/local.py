"""`fab benchmark.local`: machines on this one, the runs, and the machines' end, in namespaces of their own.

As `fab rehearse` (deploy/rehearsal.py): nothing of it can be reached from outside, and it ends with its first process.
"""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmark.sysbench import run
from benchmark.sysbench.matrix import named
from contract.inventory import SQL_ROLES
from deploy import clusters
from deploy.deployment import API_ROLE, ROOT, Deployment
from deploy.providers.fleet import image, sandbox
from deploy.providers.interface import ProviderError, Say
from deploy.secrets import write_file
from deploy.site import Site, printing

NAME: Final = "benchmark"
_TIMEOUT_S: Final = 3 * 3600
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
        site = _servers(deployment)
        for path in map(Path, wish.paths):
            bench = (
                run.resume(site, deployment.engine, path)
                if _has_run(path)
                else run.begin(site, deployment.engine, matrix, path, wish.seed)
            )
            run.carry_out(bench)
    finally:
        deployment.provider.destroy(deployment.say)


def _servers(deployment: Deployment) -> Site:
    """The machines with SQL servers, as `fab deploy` makes them, without the services that would ask them all the time.

    Raises ProviderError, HostError.
    """
    deployment.say(NAME, f"files: {', '.join(deployment.material.make(API_ROLE))}")
    whole = deployment.order()
    machines = tuple(machine for machine in whole.machines if machine.role in SQL_ROLES)
    deployment.provider.launch(msgspec.structs.replace(whole, machines=machines), deployment.say)
    write_file(deployment.material.host_keys, deployment.provider.known_hosts().encode())
    site = deployment.site()
    deployment.engine.install(site, lambda _: nullcontext())
    return site


def _has_run(path: Path) -> bool:
    return path.exists() and any(path.iterdir())


def paths(first: Path, runs: int) -> Sequence[Path]:
    """A directory for each run: PATH, PATH-2, PATH-3."""
    return [first, *(first.with_name(f"{first.name}-{number}") for number in range(2, runs + 1))]
