"""A whole system on this machine: a local cluster (providers/loopback.py), the services in front of it, a key for it.

Everything of the system NAME lies in var/local/NAME and goes with it; var/cache stays. What a newcomer looks for (the
key, the gatekeeper's address, the keys' file) lies in var itself for the default name, where `gk` finds it.
"""

import contextlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from contract.inventory import Machine
from deploy import certificates, processes, services, supervision
from deploy.ports import Ports
from deploy.providers import loopback, state
from deploy.providers.loopback import NodeRow
from deploy.providers.seed import Seed
from deploy.providers.servers import AdminConnection
from deploy.providers.state import NoCluster, Place
from deploy.sample import rental
from deploy.secrets import private_directory, write_file
from deploy.services import Installation, ServiceError, Services
from gatekeeper import keys

DEFAULT_NAME = "demo"
DEFAULT_PORT = 8080
ENGINE = "galera"
SCHEMA = "rental"
KEY_NAME = "demo"
KEY_ROLE = "demo"

_ROOT = Path(__file__).parent.parent
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_LOCK_TIMEOUT_S = 1.0

Say = Callable[[str, str], None]
"""Takes a host's name and what is to be said about it."""
Proof = Callable[["System", Services], None]
"""Shows that a system works, or raises; its failure is a failed start."""


class UnusableName(ValueError):
    """The name can't be a system's."""


class System(msgspec.Struct, frozen=True):
    """Where a local system of that name keeps its files."""

    name: str
    var: Path

    @property
    def directory(self) -> Path:
        """All that goes with the system."""
        return self.var / "local" / self.name

    @property
    def cache(self) -> Path:
        """What is kept from one system for the next."""
        return self.var / "cache"

    @property
    def key_file(self) -> Path:
        """The key for the first queries, readable by its owner only."""
        return self._front / "demo-key"

    @property
    def url_file(self) -> Path:
        """The gatekeeper's address."""
        return self._front / "gatekeeper-url"

    @property
    def keys(self) -> Path:
        """The gatekeeper's keys, hashed."""
        return self._front / "keys.json"

    @property
    def kept_logs(self) -> Path:
        """The services' logs of a start that failed; gone with the next start."""
        return self.var / "failed" / self.name

    @property
    def lock(self) -> Path:
        """Held by the command that brings the system up or down."""
        return self.directory.with_name(f"{self.name}.system.lock")

    @property
    def _front(self) -> Path:
        return self.var if self.name == DEFAULT_NAME else self.directory


class Row(msgspec.Struct, frozen=True):
    """A line of the status, of a node or a service; `ping_ms`: of SELECT 1 on a node."""

    name: str
    role: str
    address: str
    pid: int | None
    state: str
    engine_state: str
    ping_ms: float | None


def system(name: str = DEFAULT_NAME, var: Path = _ROOT / "var") -> System:
    """The system of that name. Raises UnusableName."""
    if not _NAME.fullmatch(name):
        raise UnusableName(f"{name!r} can't be a name: small letters, digits and '-', up to 31 characters")
    return System(name, var.absolute())


def sample_seed() -> Seed:
    """The sample database, as what a cluster holds from the start."""
    return Seed(key=rental.cache_key(), prepare=_load)


def up(wanted: System, say: Say, prove: Proof, proxies: int = 1) -> tuple[Services, bool]:
    """Starts what does not run of the system, and returns its services and whether anything was started.

    `prove` is called with what was started. A failure takes down what this call started. Raises the errors of the
    provider, the services and the key store.
    """
    private_directory(wanted.var)
    with state.locked(wanted.lock, timeout_s=_LOCK_TIMEOUT_S):
        running = _running(wanted)
        if running:
            return running, False
        existed = loopback.Loopback(_settings(wanted)).find() != ()
        shutil.rmtree(wanted.kept_logs, ignore_errors=True)
        try:
            started = _start(wanted, say, proxies)
            prove(wanted, started)
            return started, True
        except BaseException as error:
            _stop_services(wanted)
            _keep_logs(wanted, error)
            if not existed:
                _remove(wanted)
            raise


def down(wanted: System) -> bool:
    """Ends everything of the system and removes it, but for the cache; False when there was nothing."""
    with state.locked(wanted.lock, timeout_s=_LOCK_TIMEOUT_S):
        _stop_services(wanted)
        return _remove(wanted)


def orchestrators(wanted: System) -> list[str]:
    """The orchestrators' URLs. Raises NoCluster."""
    configured = services.configured(wanted.directory)
    if configured is None:
        raise NoCluster(f"{wanted.name} is not up")
    return [f"https://{service.listen}" for service in configured.orchestrators]


def operator(wanted: System) -> certificates.Credentials:
    """The operator's certificate, which opens the console and nothing else; issued when it is missing or ends soon."""
    return certificates.issue(wanted.directory / "certificates", "operator", "operator")


def rotate_certificates(wanted: System) -> Services:
    """Gives every service a new key and certificate of the same authority, which the next handshake is made with.

    Raises NoCluster, ServiceError.
    """
    with state.locked(wanted.lock, timeout_s=_LOCK_TIMEOUT_S):
        configured = services.configured(wanted.directory)
        if configured is None:
            raise NoCluster(f"{wanted.name} is not up")
        for service in configured.services:
            certificates.renew(wanted.directory / "certificates", service.role, service.name)
        supervision.wait_ready(configured)
        return configured


def status(wanted: System) -> list[Row]:
    """How each node and service is. Raises NoCluster."""
    nodes = [_row_of_node(row) for row in loopback.status(wanted.directory)]
    configured = services.configured(wanted.directory)
    return nodes + [_row_of_service(row) for row in (supervision.statuses(configured) if configured else ())]


def _start(wanted: System, say: Say, proxies: int) -> Services:
    say(wanted.name, "starting the cluster (the first time, its data is prepared; later starts are quicker)")
    loopback.up(_settings(wanted))
    for row in loopback.status(wanted.directory):
        say(row.name, f"{row.role} on {row.address}, {row.engine_state}")
    _stop_services(wanted)
    _make_key(wanted)
    with Ports(services.ADDRESS) as ports:
        configured = services.configure(_installation(wanted, proxies), ports)
        loopback.write_inventory(wanted.directory, _inventory(wanted), _machines(configured))
        supervision.start(configured)
    write_file(wanted.url_file, f"{configured.gatekeeper_url}\n".encode())
    for service in configured.services:
        say(service.name, f"{service.role} on {service.listen}, ready")
    return configured


def _running(wanted: System) -> Services | None:
    """The services, if they and all nodes run."""
    configured = services.configured(wanted.directory)
    if configured is None or not all(supervision.is_ready(service, configured) for service in configured.services):
        return None
    rows = loopback.status(wanted.directory)
    return configured if all(row.state == "running" and row.ping_ms is not None for row in rows) else None


def _stop_services(wanted: System) -> None:
    configured = services.configured(wanted.directory)
    if configured:
        supervision.stop(configured)
        services.forget(configured)


def _remove(wanted: System) -> bool:
    lock = wanted.keys.with_name(f".{wanted.keys.name}.lock")
    for path in (wanted.key_file, wanted.url_file, wanted.keys, lock):
        path.unlink(missing_ok=True)
    return loopback.down(wanted.directory)


def _keep_logs(wanted: System, error: BaseException) -> None:
    """What the services wrote before a failed start, which the error may point to."""
    with contextlib.suppress(FileNotFoundError):
        shutil.copytree(wanted.directory / "log", wanted.kept_logs, dirs_exist_ok=True)
    if isinstance(error, ServiceError) and error.log:
        error.log = wanted.kept_logs / error.log.name


def _make_key(wanted: System) -> None:
    """The key, unless there is one already: it may be in use."""
    if not wanted.key_file.exists():
        if any(key.name == KEY_NAME for key in keys.listed(wanted.keys)):
            keys.revoke(wanted.keys, KEY_NAME)
        key = keys.add(wanted.keys, KEY_NAME, KEY_ROLE)
        write_file(wanted.key_file, f"{key}\n".encode())


def _settings(wanted: System) -> loopback.Settings:
    return loopback.Settings(wanted.directory, wanted.cache, engine=ENGINE, schemas=(SCHEMA,), seed=sample_seed())


def _load(connection: AdminConnection) -> None:
    rental.load(connection)


def _installation(wanted: System, proxies: int) -> Installation:
    place = Place(wanted.directory)
    return Installation(
        root=_ROOT,
        state=wanted.directory,
        inventory=_inventory(wanted),
        engine=ENGINE,
        ssh_key=place.private_key,
        known_hosts=place.known_hosts,
        accounts=place.accounts,
        policy=_ROOT / "deploy" / "sample" / "policy.toml",
        keys=wanted.keys,
        proxies=proxies,
        gatekeeper_port=DEFAULT_PORT if wanted.name == DEFAULT_NAME else None,
    )


def _inventory(wanted: System) -> Path:
    return wanted.directory / "cluster_config.csv"


def _machines(configured: Services) -> list[Machine]:
    """The services' rows in the inventory. Nobody connects to them by SSH, but the ports' columns want a port."""
    user = processes.own_account().name
    return [
        Machine(service.name, service.role, user, "", "", "", services.ADDRESS, 22, 3306, "running")
        for service in configured.services
    ]


def _row_of_node(row: NodeRow) -> Row:
    return Row(row.name, row.role, row.address, row.pid, row.state, row.engine_state, row.ping_ms)


def _row_of_service(row: supervision.ServiceStatus) -> Row:
    return Row(row.name, row.role, row.address, row.pid or None, row.state, "", None)
