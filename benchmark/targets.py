"""What is measured, by name. Each target is opened once and then asked in turn with the others."""

import contextlib
import os
from collections.abc import Callable
from typing import Protocol

import msgspec

from benchmark import exchanges, peers, supervised, usage
from benchmark.driver_load import DriverLoad
from benchmark.exchanges import Exchange
from benchmark.gateway import PLAIN, Variant
from benchmark.http_load import HttpLoad
from benchmark.measurement import Sample
from benchmark.peers import Peer, Running
from benchmark.shapes import Asked
from benchmark.tls_load import TlsLoad, context_of
from benchmark.usage import Roots
from benchmark.world import World
from contract.implementations import CUSTOMIZED_HIT, DIRECT_HIT, RANDOM_HIT
from deploy.services import Services
from proxy.tunnels.openssh import OpensshTunnel


class Load(Protocol):
    """A target that can be asked for one shape."""

    def check(self) -> None:
        """Asks a little. Raises LoadFailed unless the answers are right."""
        ...

    def measure(self, clients: int, seconds: int) -> Sample:
        """Asks from that many clients at once, each waiting for its answer. Raises LoadFailed."""
        ...


class Opened(msgspec.Struct, frozen=True):
    """A target that runs: how to ask it for a shape, and its own processes by role."""

    load: Callable[[Asked], Load]
    roots: Roots


class Target(msgspec.Struct, frozen=True):
    """`open` starts what the target needs, which the world's stack stops; it raises NotMeasured and LoadFailed.

    `clients`: the numbers of clients that it is asked by, none for all. `every_shape`: not only for the first.
    """

    name: str
    title: str
    open: Callable[[World], Opened]
    clients: tuple[int, ...] = ()
    every_shape: bool = False


LIMIT = "limit"
WHOLE_PATH = CUSTOMIZED_HIT
NO_GUARD = "no_guard"
NO_TLS = "no_tls"
NO_GUARD_NO_TLS = "no_guard_no_tls"
SSHTUNNEL = "sshtunnel"
PER_REQUEST = "per_request"
XMYSQL = "xmysql"
DBHUB = "dbhub"

_SSHTUNNEL = Variant(SSHTUNNEL, proxy={"tunnel": "sshtunnel"})


def _limit(world: World) -> Opened:
    before = set(usage.children_named(os.getpid(), usage.SSH))
    ends = []
    for machine in (*world.data_nodes, world.manager):
        tunnel = OpensshTunnel(world.tunnel_target(machine))
        world.stack.callback(tunnel.close)
        ends.append(tunnel.open())
    tunnels = [pid for pid in usage.children_named(os.getpid(), usage.SSH) if pid not in before]

    def load(asked: Asked) -> Load:
        # Where the proxy sends it: reads to the data nodes, writes to the manager.
        if asked.shape.writes:
            return DriverLoad(ends[-1:], world.writer, asked)
        return DriverLoad(ends[:-1], world.reader, asked)

    return Opened(load, {usage.SSH: tunnels})


def _deployed(implementation: str) -> Callable[[World], Opened]:
    def opened(world: World) -> Opened:
        return _through(world, world.services, implementation, implementation)

    return opened


def _variant(name: str, variant: Variant) -> Callable[[World], Opened]:
    def opened(world: World) -> Opened:
        return _through(world, world.variant(variant), CUSTOMIZED_HIT, name)

    return opened


def _through(world: World, services: Services, implementation: str, name: str) -> Opened:
    address = services.gatekeeper.listen

    def ask(asked: Asked) -> list[Exchange]:
        return exchanges.gateway(asked, address, world.key, implementation)

    return Opened(_http(world, name, address, ask), supervised.roots(services))


def _no_guard(world: World) -> Opened:
    """Straight to the deployed proxy, with the gatekeeper's certificate."""
    address = world.services.proxies[0].listen
    context = context_of(world.services.credentials(world.services.gatekeeper))

    def load(asked: Asked) -> Load:
        return TlsLoad(address, exchanges.proxy(asked, address, CUSTOMIZED_HIT), context)

    return Opened(load, _proxy_only(world.services))


def _no_guard_no_tls(world: World) -> Opened:
    services = world.variant(PLAIN)
    address = services.proxies[0].listen

    def load(asked: Asked) -> Load:
        return TlsLoad(address, exchanges.proxy(asked, address, CUSTOMIZED_HIT), None)

    return Opened(load, _proxy_only(services))


def _proxy_only(services: Services) -> Roots:
    return {role: pids for role, pids in supervised.roots(services).items() if role == "proxy"}


def _peer(
    name: str, start: Callable[[Peer, contextlib.ExitStack], Running], ask: Callable[[Asked, str], list[Exchange]]
) -> Callable[[World], Opened]:
    def opened(world: World) -> Opened:
        packages = peers.install(world.system.cache)
        peer = Peer(packages, world.scratch, world.place, world.cluster, world.peer_password, world.ports.take())
        running = start(peer, world.stack)
        load = _http(world, name, running.address, lambda asked: ask(asked, running.address))
        return Opened(load, {"peer": [running.pid]})

    return opened


def _http(world: World, name: str, address: str, ask: Callable[[Asked], list[Exchange]]) -> Callable[[Asked], HttpLoad]:
    def load(asked: Asked) -> HttpLoad:
        return HttpLoad(address, ask(asked), world.scratch / f"{name}-{asked.shape.name}.exchanges")

    return load


_FEW = (1, 16)
_ALL = (
    Target(LIMIT, "limit: PyMySQL, tunnel", _limit, every_shape=True),
    Target(CUSTOMIZED_HIT, "whole path: customized_hit", _deployed(CUSTOMIZED_HIT), every_shape=True),
    Target(DIRECT_HIT, "whole path: direct_hit", _deployed(DIRECT_HIT), _FEW),
    Target(RANDOM_HIT, "whole path: random_hit", _deployed(RANDOM_HIT), _FEW),
    Target(SSHTUNNEL, "whole path: sshtunnel", _variant(SSHTUNNEL, _SSHTUNNEL)),
    Target(NO_TLS, "without mutual TLS", _variant(NO_TLS, PLAIN), every_shape=True),
    Target(NO_GUARD, "without guard: proxy, mutual TLS", _no_guard, every_shape=True),
    Target(NO_GUARD_NO_TLS, "without both: proxy, plain HTTP", _no_guard_no_tls),
    Target(
        PER_REQUEST,
        "a tunnel for each request",
        _peer(PER_REQUEST, peers.start_per_request, exchanges.per_request),
        every_shape=True,
    ),
    Target(XMYSQL, "xmysql", _peer(XMYSQL, peers.start_xmysql, exchanges.xmysql), every_shape=True),
    Target(DBHUB, "@bytebase/dbhub", _peer(DBHUB, peers.start_dbhub, exchanges.dbhub), every_shape=True),
)
TARGETS = {target.name: target for target in _ALL}
