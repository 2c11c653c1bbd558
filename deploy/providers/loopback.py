"""A cluster on this machine: each node has an address in 127.0.0.0/8, a database server and an sshd of its own.

Started by root, everything runs as the account that the database's package made; else as the calling user. Data is
thrown away with the cluster: what is worth having must be loaded by the seed.
"""

import contextlib
import secrets
import shutil
import tomllib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from contract import inventory
from contract.inventory import Machine
from deploy import processes
from deploy.engines import engine as engine_of
from deploy.engines import mariadb
from deploy.engines.interface import Engine, Server
from deploy.processes import Account
from deploy.providers import addresses, nodes, seed, servers, sshd, state
from deploy.providers.addresses import Block
from deploy.providers.seed import Seed
from deploy.providers.servers import AdminConnection
from deploy.providers.state import Cluster, NoCluster, Place

_DATABASE_ACCOUNT = "mysql"
# Long enough for a status or kill that is just ending; whoever starts a cluster takes longer and is not waited for.
_LOCK_TIMEOUT_S = 1.0


class CannotRun(RuntimeError):
    """This machine or account can't run a cluster; the message says what is missing."""


class Settings(msgspec.Struct, frozen=True):
    """What a local cluster is to be. `directory` (its last part is the cluster's name) goes with it, `cache` stays.

    `schemas`: those that the application's accounts may use. `seed`: what the cluster holds from the start.
    """

    directory: Path
    cache: Path
    engine: str = "galera"
    schemas: tuple[str, ...] = ("rental",)
    seed: Seed = Seed()


class NodeRow(msgspec.Struct, frozen=True):
    """A line of the status. `pid`: the database server's; `ping_ms`: the time of SELECT 1 through its socket."""

    name: str
    role: str
    address: str
    pid: int | None
    state: str
    engine_state: str
    ping_ms: float | None


class Loopback:
    """The provider `loopback`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def launch(self) -> tuple[Machine, ...]:
        """Start the cluster, or what of it does not run."""
        up(self._settings)
        return self.find()

    def find(self) -> tuple[Machine, ...]:
        """The nodes; none when there is no cluster."""
        try:
            return machines(self._settings.directory)
        except NoCluster:
            return ()

    def destroy(self) -> None:
        """End the cluster and remove it."""
        down(self._settings.directory)


def up(settings: Settings) -> Cluster:
    """Start the cluster whole and wait until every node is ready; of one that exists, only what does not run.

    A start that fails, or is interrupted, leaves nothing behind. Raises CannotRun, Busy, ServerDied, TimeoutError.
    """
    place = Place(settings.directory.absolute())
    with state.locked(place.lock, timeout_s=_LOCK_TIMEOUT_S):
        cluster = _usable(place)
        if cluster is None:
            with _nothing_left_on_failure(place):
                return _create(settings, place)
        if cluster.engine != settings.engine:
            raise CannotRun(f"cluster {cluster.name!r} runs {cluster.engine}; take it down to have {settings.engine}")
        nodes.start(cluster, [node.name for node in cluster.nodes])
        _complete_accounts(settings, place, cluster)
        return cluster


def down(directory: Path) -> bool:
    """End all processes of the cluster and remove all of it but the cache; False when there was nothing."""
    place = Place(directory.absolute())
    with state.locked(place.lock, timeout_s=_LOCK_TIMEOUT_S):
        return _remove(place)


def kill(directory: Path, node: str, *, ssh: bool = False) -> None:
    """SIGKILL to a node's database server, with `ssh` to its sshd and tunnels too. Raises NoCluster, UnknownNode."""
    place = Place(directory.absolute())
    with state.locked(place.lock, timeout_s=_LOCK_TIMEOUT_S):
        directory = Path(place.load().node(node).directory)
        processes.kill(nodes.processes_in(directory) if ssh else servers.processes_in(directory))


def start(directory: Path, node: str) -> None:
    """Start what does not run of a node, and wait until it is ready. Raises NoCluster, UnknownNode, ServerDied.

    When no node runs, the one whose data got furthest is started first, whichever was asked for.
    """
    place = Place(directory.absolute())
    with state.locked(place.lock, timeout_s=_LOCK_TIMEOUT_S):
        cluster = place.load()
        nodes.start(cluster, [cluster.node(node).name])


def status(directory: Path) -> list[NodeRow]:
    """How each node is. Raises NoCluster."""
    cluster = Place(directory.absolute()).load()
    engine = engine_of(cluster.engine)
    with ThreadPoolExecutor(len(cluster.nodes)) as pool:
        return list(pool.map(lambda server: _row(engine, server), cluster.nodes))


def connect(directory: Path, node: str) -> AdminConnection:
    """An administrator's connection to a node. Raises NoCluster, UnknownNode, pymysql's errors."""
    return servers.connect(Place(directory.absolute()).load().node(node))


def machines(directory: Path) -> tuple[Machine, ...]:
    """The nodes as rows of the inventory; a machine runs when it can be reached by SSH. Raises NoCluster."""
    cluster = Place(directory.absolute()).load()
    return tuple(_machine(cluster, server) for server in cluster.nodes)


def write_inventory(directory: Path, path: Path, others: Iterable[Machine] = ()) -> None:
    """Write the inventory, with `others` after the nodes; a reader sees the old or the new one. Raises NoCluster."""
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.write_text(inventory.render([*machines(directory), *others]))
    unfinished.replace(path)


def _create(settings: Settings, place: Place) -> Cluster:
    engine = engine_of(settings.engine)
    runs_as = _account()
    data = seed.ensure(settings.seed, engine, runs_as, settings.cache)
    place.directory.mkdir(mode=0o700, parents=True)
    home = state.fresh_home(place, runs_as)
    with addresses.reserved(place.directory.name, len(engine.layout)) as block:
        cluster = _plan(place.directory.name, engine, runs_as, home, block)
        place.save(cluster)
        _lay_out(cluster, engine, place, data)
        accounts = mariadb.new_accounts()
        nodes.form(cluster, mariadb.account_statements(accounts, settings.schemas))
    state.write_private(place.accounts, mariadb.accounts_file(accounts))
    cluster = msgspec.structs.replace(cluster, ready=True)
    place.save(cluster)
    return cluster


def _complete_accounts(settings: Settings, place: Place, cluster: Cluster) -> None:
    """Make the accounts and own tables that a cluster of an earlier version lacks; accounts keep their passwords."""
    text = place.accounts.read_text()
    accounts = mariadb.missing_accounts(text) or mariadb.Accounts(**tomllib.loads(text))
    if text != mariadb.accounts_file(accounts) or not nodes.has_own_tables(cluster):
        nodes.execute(cluster, mariadb.account_statements(accounts, settings.schemas))
        state.write_private(place.accounts, mariadb.accounts_file(accounts))


def _plan(name: str, engine: Engine, runs_as: Account, home: Path, block: Block) -> Cluster:
    nodes = tuple(
        Server(
            name=node,
            role=role,
            address=address,
            directory=str(home / node),
            mysql_port=block.mysql_port,
            group_port=block.group_port,
            transfer_port=block.transfer_port,
            snapshot_port=block.snapshot_port,
        )
        for (node, role), address in zip(engine.layout, block.addresses, strict=True)
    )
    # Who knows the group's name may join it, and would be given all the data: so it is a secret among the nodes.
    # Galera takes a name of up to 32 characters; a longer one fails without saying so (gcomm's types.hpp, String<32>).
    group = f"{name[:7]}-{secrets.token_hex(12)}"
    return Cluster(name, engine.name, runs_as, str(home), group, block.ssh_port, nodes)


def _lay_out(cluster: Cluster, engine: Engine, place: Place, data: Path) -> None:
    """Write each node's directory, with its copy of the seed, and the keys of the way in."""
    key = sshd.new_key_pair()
    state.write_private(place.private_key, key.private)
    known = ""
    for server in cluster.nodes:
        directory = Path(server.directory)
        host_key = sshd.new_key_pair()
        servers.prepare_directory(server, engine.configuration(server, cluster.nodes, cluster.group))
        servers.copy_data(data, Path(server.data), engine)
        sshd.write(directory, sshd.options(server, cluster.ssh_port, cluster.account.name), host_key, key.public)
        servers.give(directory, cluster.account)
        known += sshd.known_host(server.address, cluster.ssh_port, host_key.public)
    state.write_private(place.known_hosts, known)


def _usable(place: Place) -> Cluster | None:
    """The cluster that is there, if it was once started whole; what is left of another one is removed."""
    with contextlib.suppress(NoCluster):
        cluster = place.load()
        if cluster.ready:
            return cluster
    _remove(place)
    return None


@contextlib.contextmanager
def _nothing_left_on_failure(place: Place) -> Iterator[None]:
    try:
        yield
    except BaseException:
        _remove(place)
        raise


def _remove(place: Place) -> bool:
    """Needs no cluster file: the processes are known by the directories that they run in.

    Raises CannotRun for a directory that no cluster can have made: it was given by mistake.
    """
    if not place.directory.exists():
        return False
    if not place.is_ours():
        raise CannotRun(f"{place.directory} holds other files than a local cluster's; nothing was removed")
    home = state.home_of(place)
    if home:
        processes.kill(process for directory in home.iterdir() for process in nodes.processes_in(directory))
        shutil.rmtree(home)
    shutil.rmtree(place.directory)
    return True


def _account() -> Account:
    """The account that the nodes run as. Raises CannotRun."""
    try:
        own = processes.own_account()
        return processes.account(_DATABASE_ACCOUNT) if own.uid == 0 else own
    except KeyError as error:
        raise CannotRun(f"an account is missing ({error.args[0]}); is mariadb-server installed?") from None


def _row(engine: Engine, server: Server) -> NodeRow:
    running = servers.processes_in(Path(server.directory))
    with_ssh = sshd.processes_in(Path(server.directory))
    health = servers.health(engine, server) if running else None
    return NodeRow(
        name=server.name,
        role=server.role,
        address=server.address,
        pid=running[0].pid if running else None,
        state="running" if running and with_ssh else "no ssh" if running else "stopped",
        engine_state=health.state if health else "no answer" if running else "",
        ping_ms=servers.ping_ms(server) if health else None,
    )


def _machine(cluster: Cluster, server: Server) -> Machine:
    return Machine(
        name=server.name,
        role=server.role,
        user_name=cluster.account.name,
        public_dns_name="",
        private_dns_name="",
        public_ip_address="",
        private_ip_address=server.address,
        ssh_port=cluster.ssh_port,
        mysql_port=server.mysql_port,
        state="running" if sshd.processes_in(Path(server.directory)) else "stopped",
    )
