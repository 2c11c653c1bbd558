"""`fab rehearse`: a deployment from nothing to answered queries on local machines, by the code path of a cloud.

All of it runs in namespaces of its own (unshare(1)): no address of it can be reached from outside, and when their
first process ends, everything ends.
"""

import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any, Final, get_args

import msgspec

from deploy import clusters, release
from deploy.deployment import ROOT, Deployment, deploy
from deploy.providers.fleet import image, sandbox
from deploy.providers.interface import ProviderError, Say
from deploy.sample import rental
from deploy.site import Site, printing

NAME: Final = "rehearsal"
_TIMEOUT_S: Final = 1200
# Debian bookworm's Python; a machine of the fleet has no way to a package index, so wheels are fetched before.
_TARGET: Final = release.Target("3.11", platform.machine())
_ENGINES_IN_USE: Final = (
    "SELECT DISTINCT engine FROM information_schema.tables"  # noqa: S608 - our own name
    f" WHERE table_type = 'BASE TABLE' AND table_schema = '{rental.SCHEMA}'"
)
_ENGINE_OF_TABLES: Final[Mapping[str, str]] = {"ndb": "ndbcluster", "galera": "InnoDB"}


class RehearsalFailed(ProviderError):
    """What was deployed is not as it should be."""


def run(members: Mapping[str, Any], say: Say) -> int:
    """Makes the image if need be, then rehearses in namespaces of its own; the exit status. Raises ProviderError."""
    image.ensure(clusters.fleet_recipe(), clusters.FLEET_CACHE, say)
    for service in get_args(release.Service):
        release.wheels(release.build(ROOT, service), _TARGET, clusters.VAR / "cache")
    description = msgspec.json.encode(members).decode()
    command = sandbox.inside([sys.executable, "-m", "deploy.tasks.rehearse", description])
    try:
        return subprocess.run(command, check=False, cwd=ROOT, timeout=_TIMEOUT_S).returncode
    except subprocess.TimeoutExpired:
        raise ProviderError(f"the rehearsal did not end within {_TIMEOUT_S} s; it was stopped whole") from None
    finally:
        shutil.rmtree(clusters.directory(NAME), ignore_errors=True)


def rehearse(members: Mapping[str, Any]) -> None:
    """Deploys, asks, deploys again, and takes it down. Raises RehearsalFailed, and what deployment raises."""
    said: list[tuple[str, str]] = []
    printed = printing()

    def say(host: str, text: str) -> None:
        said.append((host, text))
        printed(host, text)

    began = time.monotonic()
    deployment = clusters.described(NAME, say, members=members)
    try:
        site = deploy(deployment)
        _ask(deployment, site, say)
        say(NAME, f"deployed and answered after {time.monotonic() - began:.0f} s")
        said.clear()
        _ask(deployment, deploy(deployment), say)
        _check_unchanged(said)
        say(NAME, f"deployed again, unchanged, after {time.monotonic() - began:.0f} s")
    finally:
        deployment.provider.destroy(say)
    say(NAME, f"taken down after {time.monotonic() - began:.0f} s")


def _ask(deployment: Deployment, site: Site, say: Say) -> None:
    for implementation, node in clusters.first_queries(deployment, site):
        say(node, f"answered {implementation}")
    wanted = _ENGINE_OF_TABLES[deployment.cluster.engine]
    for host in site.nodes:
        engines = deployment.engine.sql(host, _ENGINES_IN_USE).split()
        if engines != [wanted]:
            raise RehearsalFailed(f"{host.name}: the sample's tables are {engines or 'not there'}, not {wanted}")


def _check_unchanged(said: list[tuple[str, str]]) -> None:
    changed = [f"[{host}] {text}" for host, text in said if not (text.endswith("unchanged") or "answered" in text)]
    if changed:
        raise RehearsalFailed("the second deployment changed something: " + "; ".join(changed))
