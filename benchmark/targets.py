"""What is measured, by name. Each target is opened once and then asked in turn with the others."""

import contextlib
from collections.abc import Callable
from typing import Protocol

import msgspec

from benchmark import gateway, peers, workload
from benchmark.driver_load import DriverLoad
from benchmark.gateway import Variant
from benchmark.http_load import HttpLoad
from benchmark.measurement import Sample
from benchmark.peers import Peer
from benchmark.workload import Exchange
from benchmark.world import World
from contract.implementations import CUSTOMIZED_HIT, DIRECT_HIT, RANDOM_HIT
from deploy.services import Service
from proxy.tunnels.openssh import OpensshTunnel


class Load(Protocol):
    """A target that can be asked."""

    def check(self) -> None:
        """Asks a little. Raises LoadFailed unless the answers are right."""
        ...

    def measure(self, clients: int, seconds: int) -> Sample:
        """Asks from that many clients at once, each waiting for its answer. Raises LoadFailed."""
        ...


class Target(msgspec.Struct, frozen=True):
    """`open` starts what the target needs, which the stack stops; it raises NotMeasured and LoadFailed."""

    name: str
    title: str
    open: Callable[[World, contextlib.ExitStack], Load]


LIMIT = "limit"
WHOLE_PATH = CUSTOMIZED_HIT
SSHTUNNEL = "sshtunnel"
GTHREAD = "gthread"
XMYSQL = "xmysql"
DBHUB = "dbhub"

_VARIANTS = {
    SSHTUNNEL: Variant(SSHTUNNEL, proxy={"tunnel": "sshtunnel"}),
    # As many threads as there are clients, so that none waits for a thread; more only compete for Python's lock.
    GTHREAD: Variant(GTHREAD, gunicorn="--worker-class gthread --threads 16"),
}


def _limit(world: World, stack: contextlib.ExitStack) -> Load:
    ends = []
    for machine in world.data_nodes:
        tunnel = OpensshTunnel(world.tunnel_target(machine))
        stack.callback(tunnel.close)
        ends.append(tunnel.open())
    return DriverLoad(ends, world.reader, world.films)


def _deployed(implementation: str) -> Callable[[World, contextlib.ExitStack], Load]:
    def opened(world: World, _stack: contextlib.ExitStack) -> Load:
        return _through(world, world.services.gatekeeper, implementation, implementation)

    return opened


def _variant(name: str) -> Callable[[World, contextlib.ExitStack], Load]:
    def opened(world: World, stack: contextlib.ExitStack) -> Load:
        return _through(world, gateway.start(_VARIANTS[name], world.services, world.ports, stack), CUSTOMIZED_HIT, name)

    return opened


def _through(world: World, gatekeeper: Service, implementation: str, name: str) -> Load:
    address = gatekeeper.listen
    return _http(world, name, address, workload.gateway_exchanges(world.films, address, world.key, implementation))


def _xmysql(world: World, stack: contextlib.ExitStack) -> Load:
    address = peers.start_xmysql(_peer(world), stack)
    return _http(world, XMYSQL, address, workload.xmysql_exchanges(world.films, address))


def _dbhub(world: World, stack: contextlib.ExitStack) -> Load:
    address = peers.start_dbhub(_peer(world), stack)
    return _http(world, DBHUB, address, workload.dbhub_exchanges(world.films, address))


def _peer(world: World) -> Peer:
    packages = peers.install(world.system.cache)
    return Peer(packages, world.scratch, world.place, world.cluster, world.peer_password, world.ports.take())


def _http(world: World, name: str, address: str, exchanges: list[Exchange]) -> Load:
    return HttpLoad(address, exchanges, world.scratch / f"{name}.exchanges")


TARGETS = {
    target.name: target
    for target in (
        Target(LIMIT, "limit: PyMySQL, tunnel", _limit),
        Target(CUSTOMIZED_HIT, "whole path: customized_hit", _deployed(CUSTOMIZED_HIT)),
        Target(DIRECT_HIT, "whole path: direct_hit", _deployed(DIRECT_HIT)),
        Target(RANDOM_HIT, "whole path: random_hit", _deployed(RANDOM_HIT)),
        Target(SSHTUNNEL, "whole path: sshtunnel", _variant(SSHTUNNEL)),
        Target(GTHREAD, "whole path: gthread", _variant(GTHREAD)),
        Target(XMYSQL, "xmysql", _xmysql),
        Target(DBHUB, "@bytebase/dbhub", _dbhub),
    )
}
