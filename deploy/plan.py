"""What a deployment would do, told by the deployment itself on machines that take no change (deploy/dry.py).

The operator's files are a copy meanwhile, which is removed: keys and certificates that it would make are not kept.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from contract.inventory import Machine
from deploy.cluster import Cluster
from deploy.deployment import API_ROLE, Deployment, configure, drained, write_known
from deploy.dry import Dry, New
from deploy.host import Host
from deploy.providers.interface import Wanted
from deploy.roles import tarball
from deploy.site import Site

_PROVIDERS_OWN: Final = "provider"
_NOT_THERE: Final = "it does not run, so it can't be asked: all of its steps follow"


def tell(deployment: Deployment, *, upgrade: bool = False) -> None:
    """Says what `deploy`, or `upgrade`, would do to each machine; changes nothing on any. Raises as they do."""
    deployment.material.check_closed()
    with _pretended(deployment) as dry:
        site = _site(dry, deployment.directory)
        configure(dry, site)
        if upgrade:
            dry.engine.upgrade(site, lambda host: drained(site, dry.engine, host))


@contextmanager
def _pretended(deployment: Deployment) -> Iterator[Deployment]:
    """The deployment with a copy of the operator's files, whose sentences are marked."""

    def say(name: str, text: str) -> None:
        deployment.say(name, f"plan: {text}")

    with tempfile.TemporaryDirectory(prefix="gatekeeper-plan-") as directory:
        copy = Path(directory) / "files"
        if deployment.directory.exists():
            shutil.copytree(deployment.directory, copy, ignore=shutil.ignore_patterns(_PROVIDERS_OWN))
        yield msgspec.structs.replace(deployment, directory=copy, say=say)


def _site(dry: Deployment, directory: Path) -> Site:
    """The machines that are there, as they are, and those that are wanted besides, as new ones."""
    if dry.cluster.ndb:
        tarball.check(dry.cluster.ndb)
    dry.say(dry.name, f"files: {', '.join(dry.material.make(API_ROLE)) or 'unchanged'}")
    planned = dry.provider.plan(msgspec.structs.replace(dry.order(), directory=directory))
    for sentence in planned or ["machines: unchanged"]:
        dry.say(dry.name, sentence)
    there = dry.provider.find()
    machines = _all(there, dry.cluster)
    write_known(dry, machines)
    return dry.site_of([_host(dry, machine, machines) for machine in machines])


def _all(there: Sequence[Machine], cluster: Cluster) -> list[Machine]:
    """By name, as the provider tells them."""
    known = {machine.name: machine for machine in there}
    wanted = {each.name: _unmade(each) for each in cluster.wanted()}
    return [machine for _, machine in sorted({**wanted, **known}.items())]


def _unmade(wanted: Wanted) -> Machine:
    return Machine(
        name=wanted.name,
        role=wanted.role,
        user_name="",
        public_dns_name=wanted.name,
        private_dns_name="",
        public_ip_address="",
        private_ip_address="",
        ssh_port=22,
        mysql_port=3306,
        state="pending",
    )


def _host(dry: Deployment, machine: Machine, machines: Sequence[Machine]) -> Host:
    host = dry.host(machine, machines)
    if machine.state == "running":
        return Dry(host)
    dry.say(machine.name, _NOT_THERE)
    return New(host)
