"""Why proxy/tunnels/openssh.py opens a session after connecting: the latency of a pipelined reset and query without it.

sshd sets TCP_NODELAY on a connection when a session starts, not for forwarding alone. Until then Nagle's algorithm
holds back the second of two small replies until the first is acknowledged, and the client's kernel delays that for up
to 40 ms (RFC 1122, 4.2.3.2; TCP_DELACK_MIN in Linux).
"""

import time
from collections import Counter
from collections.abc import Callable

import msgspec

from benchmark.measurement import Sample
from benchmark.shapes import SCHEMA
from benchmark.world import World
from proxy.connection import Connection
from proxy.tunnels.openssh import OpensshTunnel

_WARM_UP = 20  # a new connection acknowledges its first segments at once
_TIMES = 100
_TIMEOUT_S = 5.0


class NoDelay(msgspec.Struct, frozen=True):
    """The latency of a pipelined reset and query, in ms, with the session and without it."""

    with_p50_ms: float
    with_p99_ms: float
    without_p50_ms: float
    without_p99_ms: float


class _WithoutSession(OpensshTunnel):
    """The same tunnel, but for the session after connecting."""

    def _ask_for_no_delay(self) -> None:
        """Asks for nothing."""


def measure(world: World) -> NoDelay:
    """Measures both on the first data node, one after the other. Raises TunnelError, pymysql.MySQLError."""
    with_session, without = _sample(world, OpensshTunnel), _sample(world, _WithoutSession)
    return NoDelay(
        with_p50_ms=with_session.percentile_ms(50),
        with_p99_ms=with_session.percentile_ms(99),
        without_p50_ms=without.percentile_ms(50),
        without_p99_ms=without.percentile_ms(99),
    )


def _sample(world: World, backend: Callable[..., OpensshTunnel]) -> Sample:
    tunnel = backend(world.tunnel_target(world.data_nodes[0]))
    try:
        connection = Connection(tunnel.open(), world.reader, _TIMEOUT_S)
        try:
            for _ in range(_WARM_UP):
                _reset_and_query(connection)
            latencies = [_reset_and_query(connection) for _ in range(_TIMES)]
        finally:
            connection.close()
    finally:
        tunnel.close()
    return Sample(sum(latencies) / 1e6, Counter(latencies))


def _reset_and_query(connection: Connection) -> int:
    """Asks for a fresh session and runs a statement without waiting for the first replies; in microseconds."""
    sent = time.perf_counter()
    connection.begin_reset()
    connection.query(f"SELECT COUNT(*) FROM {SCHEMA}.language", 1, 1024)  # noqa: S608 a constant
    return int((time.perf_counter() - sent) * 1e6)
