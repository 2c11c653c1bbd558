"""A local cluster's nodes, started in the order that their engine needs: who got furthest first, then the others."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from contract.messages import OWN_SCHEMA
from deploy import processes
from deploy.engines import engine as engine_of
from deploy.engines import own_schema
from deploy.engines.interface import Engine, Position, Server, most_advanced
from deploy.processes import Process
from deploy.providers import servers, sshd
from deploy.providers.state import Cluster

_READY_TIMEOUT_S = 120.0
# Survivors agree on who is gone within evs.inactive_timeout + evs.install_timeout, 6 s in all.
_SETTLED_AFTER_S = 8.0


class _Group(msgspec.Struct, frozen=True):
    """Nodes that run and can be joined, as one of them, the witness, sees them."""

    witness: Server
    size: int


def processes_in(directory: Path) -> list[Process]:
    """What runs in a node's directory: sshd and the database server, as far as they do."""
    return [*sshd.processes_in(directory), *servers.processes_in(directory)]


def form(cluster: Cluster, statements: Iterable[str]) -> None:
    """Start all nodes, whose data is the same, for the first time; the first runs the statements before others join."""
    engine = engine_of(cluster.engine)
    _start_ssh(cluster, cluster.nodes)
    first, *others = cluster.nodes
    _start_first(cluster, engine, first, None)
    execute(cluster, statements)
    _join(cluster, engine, others, {}, _Group(first, 1))


def execute(cluster: Cluster, statements: Iterable[str]) -> None:
    """Run statements as the administrator, on the first node."""
    with servers.connect(cluster.nodes[0]) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def has_own_tables(cluster: Cluster) -> bool:
    """Whether no table of deploy/engines/own_schema.py is missing, by the first node's word."""
    with servers.connect(cluster.nodes[0]) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = %s", (OWN_SCHEMA,))
        return {name for (name,) in cursor.fetchall()} >= {table.name for table in own_schema.TABLES}


def start(cluster: Cluster, names: Sequence[str]) -> None:
    """Start what does not run of the nodes named. Raises ServerDied, TimeoutError, CommandFailed.

    Positions are asked for first, so that those who return after a crash get what they missed and not everything.
    """
    engine = engine_of(cluster.engine)
    _start_ssh(cluster, [server for server in cluster.nodes if server.name in names])
    live = [server for server in cluster.nodes if servers.processes_in(Path(server.directory))]
    stopped = [server for server in cluster.nodes if server not in live]
    wanted = [server for server in stopped if server.name in names]
    if not wanted:
        return
    positions = _recover(cluster, engine, wanted if live else stopped)
    if live:
        group = _living_group(engine, live)
    else:
        group = _Group(cluster.node(most_advanced(positions)), 1)
        _start_first(cluster, engine, group.witness, positions[group.witness.name])
    _join(cluster, engine, [server for server in wanted if server != group.witness], positions, group)


def _start_ssh(cluster: Cluster, nodes: Iterable[Server]) -> None:
    for directory in (Path(server.directory) for server in nodes):
        if not sshd.processes_in(directory):
            sshd.launch(directory, cluster.account)


def _start_first(cluster: Cluster, engine: Engine, server: Server, position: Position | None) -> None:
    process = servers.launch(engine, server, cluster.account, first=True, position=position)
    servers.wait_ready(engine, server, process, size=1, timeout_s=_READY_TIMEOUT_S)


def _join(
    cluster: Cluster,
    engine: Engine,
    joining: Sequence[Server],
    positions: Mapping[str, Position | None],
    group: _Group,
) -> None:
    """Start servers one after another, each as soon as the group has the one before; transfers then overlap.

    Servers that are let in together may find each other before they find the group, and then waver for long (measured:
    10 to 22 s for three, and once no end).
    """
    started = []
    for size, server in enumerate(joining, group.size + 1):
        position = positions.get(server.name)
        process = servers.launch(engine, server, cluster.account, first=False, position=position)
        servers.wait_member(engine, server, process, seen_by=group.witness, size=size, timeout_s=_READY_TIMEOUT_S)
        started.append((server, process))
    size = group.size + len(joining)
    for server, process in started:
        servers.wait_ready(engine, server, process, size=size, timeout_s=_READY_TIMEOUT_S)


def _recover(cluster: Cluster, engine: Engine, stopped: Sequence[Server]) -> dict[str, Position | None]:
    with ThreadPoolExecutor(len(stopped)) as pool:
        positions = pool.map(lambda server: servers.recover(engine, server, cluster.account), stopped)
        return {server.name: position for server, position in zip(stopped, positions, strict=True)}


def _living_group(engine: Engine, live: Sequence[Server]) -> _Group:
    """The group that can be joined, once its nodes have noticed who is gone.

    Those that lost the majority when others were killed would wait for them for ever; but here it is known that the
    others are dead, and not just out of sight, so that they may go on without.
    """

    def settled() -> _Group | None:
        for server in live:
            health = servers.health(engine, server)
            if health and health.ready and health.size <= len(live):
                return _Group(server, health.size)
        return None

    try:
        return processes.wait_until(settled, timeout_s=_SETTLED_AFTER_S, what="a node to join")
    except TimeoutError:
        if engine.regroup_statement is None:
            raise
        with servers.connect(live[0]) as connection, connection.cursor() as cursor:
            cursor.execute(engine.regroup_statement)
        return processes.wait_until(settled, timeout_s=_READY_TIMEOUT_S, what="a node to join")
