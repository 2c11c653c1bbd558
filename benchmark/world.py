"""The local system that everything is measured on: started for one run, taken down after it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from benchmark import gateway, peers, shapes
from benchmark.gateway import Variant
from benchmark.shapes import Asked
from contract import settings
from contract.inventory import Machine
from deploy import local
from deploy.local import Say, System
from deploy.ports import Ports
from deploy.providers import loopback, servers, sshd, state
from deploy.providers.state import Cluster, Place
from deploy.secrets import private_directory
from deploy.services import ADDRESS, Services
from proxy.connection import Login
from proxy.settings import Accounts
from proxy.tunnels import Target

NAME = "bench"
_MANAGER = "manager"
_LOCK_TIMEOUT_S = 1.0
_CONNECT_TIMEOUT_MS = 20_000  # a busy machine takes its time


class World(msgspec.Struct, frozen=True):
    """What targets need to know. `scratch`: a directory that only this account can read, and that goes with the run.

    `stack` ends what was started for the run; `variants`: the services beside the deployed ones that run, by name.
    """

    system: System
    services: Services
    cluster: Cluster
    asked: dict[str, Asked]
    key: str
    peer_password: str
    ports: Ports
    scratch: Path
    stack: contextlib.ExitStack
    variants: dict[str, Services] = {}

    def __repr__(self) -> str:
        return f"World({self.system.name}, secrets hidden)"

    @property
    def place(self) -> Place:
        """Where the cluster keeps its keys and accounts."""
        return Place(self.system.directory)

    @property
    def data_nodes(self) -> tuple[Machine, ...]:
        """The nodes that reads go to."""
        return tuple(machine for machine in loopback.machines(self.system.directory) if machine.role == "data")

    @property
    def reader(self) -> Login:
        """The account that the proxy runs reads as."""
        accounts = settings.load(self.place.accounts, Accounts, secret=True)
        return Login(accounts.reader_user, accounts.reader_password, read_only=True)

    @property
    def manager(self) -> Machine:
        """The node that writes go to."""
        return next(machine for machine in loopback.machines(self.system.directory) if machine.role == "manager")

    @property
    def writer(self) -> Login:
        """The account that the proxy runs writes as."""
        accounts = settings.load(self.place.accounts, Accounts, secret=True)
        return Login(accounts.writer_user, accounts.writer_password, read_only=False)

    def variant(self, wanted: Variant) -> Services:
        """The services of a variant, which are started when they are first asked for. Raises LoadFailed."""
        if wanted.name not in self.variants:
            self.variants[wanted.name] = gateway.start(wanted, self.services, self.ports, self.stack)
        return self.variants[wanted.name]

    def clean(self) -> None:
        """Removes what was inserted."""
        with loopback.connect(self.system.directory, _MANAGER) as connection:
            shapes.clean(connection)

    def database_roots(self) -> dict[str, list[int]]:
        """The processes of the nodes, which all targets share, by role."""
        directories = [Path(server.directory) for server in self.cluster.nodes]
        return {
            "sshd": [process.pid for directory in directories for process in sshd.processes_in(directory)],
            "database": [process.pid for directory in directories for process in servers.processes_in(directory)],
        }

    def tunnel_target(self, machine: Machine) -> Target:
        """Where a tunnel to the node leads, as a proxy would be told."""
        return Target(machine, self.place.private_key, self.place.known_hosts, self.scratch, _CONNECT_TIMEOUT_MS)


@contextlib.contextmanager
def started(say: Say) -> Iterator[World]:
    """The system, freshly started. Raises Busy while another run is on, and what local.up raises."""
    system = local.system(NAME)
    with state.locked(system.var / "bench" / "lock", timeout_s=_LOCK_TIMEOUT_S):
        local.down(system)  # what a killed run has left
        services, _ = local.up(system, say, lambda _system, _services: None)
        try:
            with Ports(ADDRESS) as ports, contextlib.ExitStack() as stack:
                yield world_of(system, services, ports, stack)
        finally:
            say(NAME, "stopping")
            local.down(system)


def world_of(system: System, services: Services, ports: Ports, stack: contextlib.ExitStack) -> World:
    """What targets need to know of a system that is up. Makes the peers' account and the table that is written to."""
    with loopback.connect(system.directory, _MANAGER) as connection:
        return World(
            system=system,
            services=services,
            cluster=Place(system.directory).load(),
            asked=shapes.prepare(connection),
            key=system.key_file.read_text(encoding="utf-8").strip(),
            peer_password=peers.create_account(connection),
            ports=ports,
            scratch=private_directory(services.runtime_directory / "b"),
            stack=stack,
        )
