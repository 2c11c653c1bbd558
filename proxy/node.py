"""One node of the cluster: the link to it, a pool for each account, its health and its counts."""

import contextlib
import time
from collections.abc import Callable, Mapping

import msgspec
import pymysql
import structlog

from contract.inventory import Machine
from contract.messages import NodeStatus, Runnable
from proxy.breaker import Breaker
from proxy.connection import Connection, Login
from proxy.engines import Engine
from proxy.health import Health
from proxy.link import Link
from proxy.pool import Pool
from proxy.settings import Accounts, Settings
from proxy.tunnels import Tunnel, TunnelError

log = structlog.get_logger()

# Each probe asks this often and takes the shortest round trip: on a busy machine one alone says little.
_PINGS = 3
_PROBE_TIMEOUT_MS = 1_000
# A tunnel takes all statements in it along when it is dropped: one slow answer is no reason yet.
_SILENT_PROBES_TO_DROP = 2
# Of the pool's size at most: two proxies must find place within the accounts' limits (deploy/engines/mariadb.py).
_MOST_CONNECTIONS: Mapping[Runnable, int] = {"call": 8, "schema": 3, "queue": 4}

# What an attempt to reach a node can raise: none of these has sent a statement.
UNREACHABLE = (pymysql.MySQLError, OSError, TunnelError)


class Counts(msgspec.Struct):
    """What happened at a node since the proxy started."""

    requests: int = 0
    failures: int = 0


class Node:
    """A node of the cluster, in the inventory's words `machine`."""

    def __init__(
        self,
        machine: Machine,
        engine: Engine,
        accounts: Accounts,
        settings: Settings,
        make_tunnel: Callable[[Machine], Tunnel],
    ) -> None:
        self.machine = machine
        self.name = machine.name
        self.role = machine.role
        self.health = Health()
        self.counts = Counts()
        self.breaker = Breaker()
        self.probed = False
        self.suspected: Callable[[], None] = lambda: None
        self._engine = engine
        self._connect_timeout_s = settings.connect_timeout_ms / 1000
        self._probe_connection: Connection | None = None
        self._silent_probes = 0
        self._logins = logins(accounts, engine)
        self.pools = {effect: self._pool(effect, settings.pool_size) for effect in self._logins}
        self._link = Link(machine, make_tunnel, self._forget_connections)

    @property
    def ping_ms(self) -> float | None:
        """The smoothed round trip through the tunnel."""
        return self.health.ping_ms

    @property
    def in_flight(self) -> int:
        """Requests that hold a connection to this node now."""
        return sum(pool.in_use for pool in self.pools.values())

    def probe(self) -> None:
        """Looks after the tunnel, asks the node for an answer and for the engine's state, and judges its health.

        `probed` is true from then on.
        """
        try:
            self._link.ensure()
            ping_ms, status = self._ask()
        except UNREACHABLE as error:
            self._probe_failed(error)
        else:
            self._silent_probes = 0
            serving, state = self._engine.judge(status)
            self._become(self.health.answered(ping_ms, serving=serving, engine_state=state))
        self.probed = True

    def worked(self) -> None:
        """A request's word that it was answered."""
        self.counts.requests += 1
        self.breaker.worked()

    def failed(self, reason: str) -> None:
        """A request's word that the connection failed: the node is suspect until the prober, told so, has looked."""
        self.counts.failures += 1
        if self.breaker.failed(time.monotonic()):
            log.warning("breaker_opened", node=self.name, reason=reason)
        self._become(self.health.suspected(reason))
        self.suspected()

    def kill(self, thread_id: int, effect: Runnable) -> None:
        """Ends a statement that nobody waits for, on a new connection of the same account. Best effort.

        DDL goes on where ending it would leave the nodes with different schemas.
        """
        if effect == "schema" and not self._engine.ends_schema_changes:
            return
        with contextlib.suppress(*UNREACHABLE):
            connection = self._connect(effect, self._connect_timeout_s)
            try:
                connection.query(f"KILL QUERY {thread_id}", 1, 1)
            finally:
                connection.close()

    @property
    def token(self) -> str | None:
        """What makes another node show what was written here; None where all show it at once."""
        return self.name if self._engine.catch_up else None

    def catching_up(self, token: str | None) -> str | None:
        """What a session is to be set to, so that it sees the write of that token."""
        return self._engine.catch_up if token is not None and token != self.name else None

    def close_idle(self) -> None:
        """Closes the connections that no request holds, and the others when they come back. The tunnel stays."""
        self._forget_connections()

    def close(self) -> None:
        """Closes the tunnel and all connections."""
        self._forget_connections()
        self._link.drop()

    def status(self) -> NodeStatus:
        """What `/nodes` shows."""
        health = self.health
        if health.state == "up" and self.breaker.is_open(time.monotonic()):
            health = health.suspected("the breaker is open: it answers pings, and requests failed one after the other")
        return NodeStatus(
            name=self.name,
            role=self.role,
            state=health.state,
            engine_state=health.engine_state,
            ping_ms=None if health.ping_ms is None else round(health.ping_ms, 3),
            in_flight=self.in_flight,
            requests=self.counts.requests,
            failures=self.counts.failures,
            tunnel_restarts=max(0, self._link.restarts),
            detail=health.detail,
        )

    def _pool(self, effect: Runnable, pool_size: int) -> Pool:
        size = min(pool_size, _MOST_CONNECTIONS.get(effect, pool_size))
        return Pool(lambda timeout_s: self._connect(effect, timeout_s), size)

    def _connect(self, effect: Runnable, timeout_s: float) -> Connection:
        end = self._link.end
        if end is None:
            raise TunnelError("there is no tunnel to the node at the moment")
        return Connection(end, self._logins[effect], max(0.001, min(timeout_s, self._connect_timeout_s)))

    def _ask(self) -> tuple[float, dict[str, str]]:
        connection = self._probe_connection
        if connection is None:
            connection = self._probe_connection = self._connect("read", _PROBE_TIMEOUT_MS / 1000)
            connection.use(None, _PROBE_TIMEOUT_MS)
        pings = [_round_trip_ms(connection) for _ in range(_PINGS)]
        query = self._engine.state_query
        rows = connection.query(query, 100, 1 << 20).rows if query else []
        return min(pings), {str(name): str(value) for name, value in rows}

    def _probe_failed(self, error: Exception) -> None:
        self._close_probe_connection()
        self._silent_probes = self._silent_probes + 1 if _silent(error) else 0
        if self._silent_probes >= _SILENT_PROBES_TO_DROP:
            self._link.drop()
            self._silent_probes = 0
        self._become(self.health.failed(describe(error)))

    def _become(self, health: Health) -> None:
        before, self.health = self.health, health
        if (before.state, health.state) == ("down", "up"):
            self.breaker.reset()
        if (before.state, before.engine_state) != (health.state, health.engine_state):
            log.warning(
                "node_changed",
                node=self.name,
                before=before.state,
                state=health.state,
                engine_state=health.engine_state,
                reason=health.detail,
            )

    def _forget_connections(self) -> None:
        self._close_probe_connection()
        for pool in self.pools.values():
            pool.clear()

    def _close_probe_connection(self) -> None:
        connection, self._probe_connection = self._probe_connection, None
        if connection is not None:
            connection.close()


def logins(accounts: Accounts, engine: Engine) -> Mapping[Runnable, Login]:
    """The account of each effect, and what its session is.

    NO_DIR_IN_CREATE: a table's files go nowhere else, whatever DATA DIRECTORY says.
    """
    by_effect: dict[Runnable, Login] = {
        "read": Login(accounts.reader_user, accounts.reader_password, read_only=True),
        "write": Login(accounts.writer_user, accounts.writer_password),
        "call": Login(accounts.caller_user, accounts.caller_password),
        "schema": Login(
            accounts.builder_user,
            accounts.builder_password,
            limited=engine.ends_schema_changes,
            autocommit=False,
            more_modes=("NO_DIR_IN_CREATE",),
        ),
        "queue": Login(accounts.queue_user, accounts.queue_password),
    }
    return {effect: msgspec.structs.replace(login, plugin=engine.plugin) for effect, login in by_effect.items()}


def describe(error: Exception) -> str:
    """An error's reason in few words, without addresses or accounts: for logs, `/nodes` and callers."""
    if isinstance(error, TunnelError):
        return str(error)
    if isinstance(error, pymysql.MySQLError) and error.args and isinstance(error.args[0], int):
        return f"the database connection failed with error {error.args[0]}"
    return f"the database connection failed: {type(error).__name__}"


def _round_trip_ms(connection: Connection) -> float:
    start = time.perf_counter()
    connection.query("SELECT 1", 1, 1 << 10)
    return (time.perf_counter() - start) * 1000


def _silent(error: Exception) -> bool:
    """Whether nothing came back in time, as from a tunnel whose peer has vanished."""
    return isinstance(error, TimeoutError) or "timed out" in str(error)
