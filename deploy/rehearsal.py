"""`fab rehearse`: a deployment from nothing to answered queries on local machines, by the code path of a cloud.

Then the checks of deploy/checks/: what is deployed there must show what it promises, also while parts of it break.

All of it runs in namespaces of its own (unshare(1)): no address of it can be reached from outside, and when their
first process ends, everything ends.
"""

import platform
import shutil
import subprocess
import sys
import time
from typing import Any, Final, get_args

import msgspec

from deploy import clusters, release
from deploy.checks import breakage, once, ports, tables
from deploy.checks.failed import CheckFailed
from deploy.deployment import ROOT, Deployment, deploy
from deploy.providers.fleet import image, sandbox
from deploy.providers.fleet.outside import outside
from deploy.providers.interface import ProviderError, Say
from deploy.site import Site, printing

NAME: Final = "rehearsal"
_TIMEOUT_S: Final = 1500
# Debian bookworm's Python; a machine of the fleet has no way to a package index, so wheels are fetched before.
_TARGET: Final = release.Target("3.11", platform.machine())


class Script(msgspec.Struct, frozen=True):
    """What is rehearsed. `members`: the cluster's description; `faults`: whether parts of it are broken, under load."""

    members: dict[str, Any]
    faults: bool = True


def run(script: Script, say: Say) -> int:
    """Makes the image if need be, then rehearses in namespaces of its own; the exit status. Raises ProviderError."""
    fetch(say)
    command = sandbox.inside([sys.executable, "-m", "deploy.tasks.rehearse", msgspec.json.encode(script).decode()])
    try:
        return subprocess.run(command, check=False, cwd=ROOT, timeout=_TIMEOUT_S).returncode
    except subprocess.TimeoutExpired:
        raise ProviderError(f"the rehearsal did not end within {_TIMEOUT_S} s; it was stopped whole") from None
    finally:
        shutil.rmtree(clusters.directory(NAME), ignore_errors=True)


def fetch(say: Say) -> None:
    """What a deployment to the fleet takes and can't be had in namespaces: image and wheels. Raises ProviderError."""
    image.ensure(clusters.fleet_recipe(), clusters.FLEET_CACHE, say)
    for service in get_args(release.Service):
        release.wheels(release.build(ROOT, service), _TARGET, clusters.VAR / "cache")


def rehearse(script: Script) -> None:
    """Deploys, deploys again, checks, and takes it down. Raises CheckFailed, and what deployment raises."""
    said: list[tuple[str, str]] = []
    printed = printing()

    def say(host: str, text: str) -> None:
        said.append((host, text))
        printed(host, text)

    began = time.monotonic()
    deployment = clusters.described(NAME, say, members=script.members)
    try:
        _ask(deployment, deploy(deployment), say)
        say(NAME, f"deployed and answered after {time.monotonic() - began:.0f} s")
        said.clear()
        site = deploy(deployment)
        _ask(deployment, site, say)
        _check_unchanged(said)
        say(NAME, f"deployed again, unchanged, after {time.monotonic() - began:.0f} s")
        _check(deployment, site, faults=script.faults)
        say(NAME, f"checked after {time.monotonic() - began:.0f} s")
    finally:
        deployment.provider.destroy(say)
    say(NAME, f"taken down after {time.monotonic() - began:.0f} s")


def _ask(deployment: Deployment, site: Site, say: Say) -> None:
    for implementation, node in clusters.first_queries(deployment, site):
        say(node, f"answered {implementation}")


def _check(deployment: Deployment, site: Site, *, faults: bool) -> None:
    tables.check(site, deployment.engine, deployment.say)
    once.check(deployment, site, deployment.say)
    with outside() as stranger:
        ports.check(site, deployment.order().rules, stranger, deployment.say)
    if faults:
        breakage.check(deployment, site, deployment.say)


def _check_unchanged(said: list[tuple[str, str]]) -> None:
    changed = [f"[{host}] {text}" for host, text in said if not (text.endswith("unchanged") or "answered" in text)]
    if changed:
        raise CheckFailed("the second deployment changed something: " + "; ".join(changed))
