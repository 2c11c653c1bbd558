"""Where the time of one request goes: a film by its primary key, one client, nothing else to do.

The ways of a request are asked in turn, some requests of each at a time, all by the same client (raw sockets, or
PyMySQL), so that what disturbs the machine disturbs all. A stage is the difference of two ways' medians. The whole path
is in none of these differences: the sum of the stages comes from a gatekeeper before a proxy that does nothing, and
from a proxy without a gatekeeper before it, and is then held against the whole path. What differs is the remainder.
"""

import contextlib
import json
import random
import time
from collections.abc import Mapping, Sequence
from statistics import median

import msgspec

from benchmark import exchanges, judge, stub_proxy
from benchmark.children import running, wait_listening
from benchmark.driver_load import DriverLoad
from benchmark.errors import LoadFailed
from benchmark.forked import Ask
from benchmark.gateway import PLAIN, Variant
from benchmark.shapes import POINT, SEED, Asked
from benchmark.tls_load import TlsLoad, context_of
from benchmark.world import World
from contract.implementations import CUSTOMIZED_HIT
from deploy.secrets import write_file
from proxy.tunnels import LocalEnd
from proxy.tunnels.openssh import OpensshTunnel

BLOCK = 20
_WARM_UP = 3  # of a block's requests: what ran last is still in the processor's caches
TENTH = 0.1

# The ways that are timed.
DATABASE = "PyMySQL, the server's own port"
TUNNEL = "PyMySQL, SSH tunnel"
PROXY_HTTP = "proxy, plain: what is no message"
PROXY = "proxy, plain"
PROXY_TLS = "proxy, mutual TLS"
STUB = "stub instead of a proxy"
GATEKEEPER_HTTP = "gatekeeper without audit log: what is no message"
NO_AUDIT = "gatekeeper without audit log, stub"
GATEKEEPER = "gatekeeper, stub"
WHOLE = "whole path"
GUARD = "verdict on a statement seen before, in this process"


class Stage(msgspec.Struct, frozen=True):
    """A part of a request's time, in ms. `rule`: how it was found."""

    name: str
    ms: float
    rule: str


class Stages(msgspec.Struct, frozen=True):
    """Medians of the ways in ms, how many requests each is of, and what follows from them."""

    ways_ms: dict[str, float]
    requests: int
    stages: list[Stage]
    whole_ms: float

    @property
    def sum_ms(self) -> float:
        """Of all stages."""
        return sum(stage.ms for stage in self.stages)

    @property
    def remainder_ms(self) -> float:
        """What the stages leave unexplained, negative when they are too much."""
        return self.whole_ms - self.sum_ms

    @property
    def explained(self) -> bool:
        """Whether the sum is the whole within a tenth."""
        return abs(self.remainder_ms) <= TENTH * self.whole_ms


# Name, then the ways that are added, then those that are taken away.
_RULES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("database, and the driver", (DATABASE,), ()),
    ("SSH tunnel", (TUNNEL,), (DATABASE,)),
    ("proxy: HTTP", (PROXY_HTTP,), ()),
    ("proxy: routing, pool, values, JSON", (PROXY,), (TUNNEL, PROXY_HTTP)),
    ("mutual TLS", (PROXY_TLS,), (PROXY,)),
    ("gatekeeper: HTTP, key", (GATEKEEPER_HTTP,), ()),
    ("gatekeeper: verdict", (GUARD,), ()),
    ("gatekeeper: audit log", (GATEKEEPER,), (NO_AUDIT,)),
    ("gatekeeper: forwarding, the rest", (NO_AUDIT,), (STUB, GATEKEEPER_HTTP, GUARD)),
)


def stages_of(ways_ms: Mapping[str, float], requests: int) -> Stages:
    """The stages that follow from the medians. Pure."""
    stages = [
        Stage(name, sum(ways_ms[way] for way in plus) - sum(ways_ms[way] for way in minus), _rule(plus, minus))
        for name, plus, minus in _RULES
    ]
    return Stages(dict(ways_ms), requests, stages, ways_ms[WHOLE])


def measure(world: World, seconds: float) -> Stages:
    """Times all ways for so long. Raises LoadFailed, TunnelError, OSError, pymysql.MySQLError."""
    with contextlib.ExitStack() as stack:
        asks = {name: stack.enter_context(way) for name, way in _ways(world, stack).items()}
        latencies = _in_turn(asks, seconds)
    ways_ms = {name: median(found) for name, found in latencies.items()}
    return stages_of({**ways_ms, GUARD: judge.seen_before_us() / 1000}, min(map(len, latencies.values())))


def _rule(plus: Sequence[str], minus: Sequence[str]) -> str:
    return " - ".join([" + ".join(plus), *minus])


def _in_turn(asks: Mapping[str, Ask], seconds: float) -> dict[str, list[float]]:
    """The latencies of each way, ms."""
    dice = random.Random(SEED)
    names = list(asks)
    latencies: dict[str, list[float]] = {name: [] for name in names}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        dice.shuffle(names)
        for name in names:
            latencies[name] += _block(name, asks[name], dice)
    return latencies


def _block(name: str, ask: Ask, dice: random.Random) -> list[float]:
    found = []
    for _ in range(BLOCK):
        sent = time.perf_counter()
        right = ask(dice)
        found.append((time.perf_counter() - sent) * 1000)
        if not right:
            raise LoadFailed(f"{name}: answered without the row")
    return found[_WARM_UP:]


def _ways(world: World, stack: contextlib.ExitStack) -> dict[str, contextlib.AbstractContextManager[Ask]]:
    asked = world.asked[POINT.name]
    plain, deployed = world.variant(PLAIN), world.services
    context = context_of(deployed.credentials(deployed.gatekeeper))
    proxy, secure = plain.proxies[0].listen, deployed.proxies[0].listen
    stub = _start_stub(world, asked, stack)
    upstream = (f"http://{stub}",)
    before_stub = world.variant(Variant("stub", plain=True, upstream=upstream)).gatekeeper.listen
    no_audit = world.variant(
        Variant("stub-no-audit", plain=True, upstream=upstream, without=("audit",))
    ).gatekeeper.listen
    return {
        DATABASE: _driver(world, asked, _server_end(world), world.data_nodes[0].sql_address),
        TUNNEL: _driver(world, asked, _tunnel_end(world, stack), "127.0.0.1"),
        PROXY_HTTP: _refused(proxy),
        PROXY: TlsLoad(proxy, exchanges.proxy(asked, proxy, CUSTOMIZED_HIT), None).connected(0),
        PROXY_TLS: TlsLoad(secure, exchanges.proxy(asked, secure, CUSTOMIZED_HIT), context).connected(0),
        STUB: TlsLoad(stub, exchanges.proxy(asked, stub, CUSTOMIZED_HIT), None).connected(0),
        GATEKEEPER_HTTP: _refused(no_audit, world.key),
        NO_AUDIT: _gatekeeper(world, asked, no_audit),
        GATEKEEPER: _gatekeeper(world, asked, before_stub),
        WHOLE: _gatekeeper(world, asked, deployed.gatekeeper.listen),
    }


def _driver(world: World, asked: Asked, end: LocalEnd, host: str) -> contextlib.AbstractContextManager[Ask]:
    return DriverLoad([end], world.reader, asked, host).connected(0)


def _server_end(world: World) -> LocalEnd:
    return LocalEnd(port=world.data_nodes[0].mysql_port)


def _tunnel_end(world: World, stack: contextlib.ExitStack) -> LocalEnd:
    tunnel = OpensshTunnel(world.tunnel_target(world.data_nodes[0]))
    stack.callback(tunnel.close)
    return tunnel.open()


def _gatekeeper(world: World, asked: Asked, address: str) -> contextlib.AbstractContextManager[Ask]:
    return TlsLoad(address, exchanges.gateway(asked, address, world.key, CUSTOMIZED_HIT), None).connected(0)


def _refused(address: str, key: str | None = None) -> contextlib.AbstractContextManager[Ask]:
    """What a service's HTTP costs: a plain request that is read and refused."""
    return TlsLoad(address, [exchanges.refused(address, key)], None).connected(0)


def _start_stub(world: World, asked: Asked, stack: contextlib.ExitStack) -> str:
    port = world.ports.take()
    file, log = world.scratch / "stub.json", world.scratch / "stub.log"
    write_file(file, json.dumps(stub_proxy.answers_to(asked)).encode())
    root = world.services.root
    child = stack.enter_context(running(stub_proxy.command(port, file), directory=root, log=log))
    wait_listening(child, port, log)
    return f"127.0.0.1:{port}"
