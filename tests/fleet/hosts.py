"""Machines as the tasks reach them: deploy/host.py's connections to a cluster of tests."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import paramiko

from contract.inventory import MachineRole
from deploy.firewall import SSH_PORT, Rule
from deploy.host import Access, Host
from deploy.providers import sshd
from deploy.secrets import private_directory, write_file
from tests.fleet.cluster import Cluster


class Machines:
    """A cluster, and what the operator reaches it with."""

    def __init__(self, cluster: Cluster, key: sshd.KeyPair) -> None:
        self.cluster = cluster
        directory = private_directory(cluster.settings.directory / "operator")
        self.access = Access(directory / "operator.key", directory / "known_hosts")
        write_file(self.access.private_key, key.private.encode())

    def learn_host_keys(self) -> None:
        write_file(self.access.known_hosts, self.cluster.fleet.known_hosts().encode())

    def host(self, name: str, access: Access | None = None, *, through: str | None = None) -> Host:
        """A connection of its own, not open yet; where a jump host is named, as to a machine without public address."""
        machines = {machine.name: machine for machine in self.cluster.fleet.find()}
        machine, access = machines[name], access or self.access
        if through:
            machine = msgspec.structs.replace(machine, public_ip_address="")
            access = msgspec.structs.replace(access, jump=machines[through])
        return Host(machine, access)


@contextmanager
def machines(directory: Path, roles: Mapping[str, MachineRole]) -> Iterator[Machines]:
    """Machines with these names, which are removed at the end; a gatekeeper may be the jump host to data nodes."""
    key = sshd.new_key_pair()
    cluster = Cluster(directory, roles)
    cluster.key = paramiko.Ed25519Key.from_private_key(io.StringIO(key.private))
    rules = (*cluster.order.rules, Rule("data", SSH_PORT, "gatekeeper"))
    cluster.order = msgspec.structs.replace(cluster.order, operator_key=key.public, rules=rules)
    try:
        cluster.launch()
        made = Machines(cluster, key)
        made.learn_host_keys()
        yield made
    finally:
        cluster.destroy()
