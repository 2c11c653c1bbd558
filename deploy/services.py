"""The services of a local cluster and their settings: those of 127.0.0.1, as STATE/NAME.toml.

Certificates go to STATE/certificates, sockets to a short directory of the cluster's own. deploy/supervision.py runs
the services.
"""

import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from deploy import certificates, toml
from deploy.ports import Ports
from deploy.secrets import write_file

ADDRESS = "127.0.0.1"
GATEKEEPER_WORKERS = 2

Role = Literal["proxy", "orchestrator", "gatekeeper"]

_SERVICES_FILE = "services.json"
_SECRET_BYTES: Final = 32


class ServiceError(RuntimeError):
    """The services can't be configured, started or stopped; `log` is the text to look at, if there is one."""

    def __init__(self, text: str, log: Path | None = None) -> None:
        super().__init__(text)
        self.log = log


class Installation(msgspec.Struct, frozen=True):
    """What the services of one cluster need to know of it.

    `root` has their packages; `proxies`, `orchestrators`: how many to run; `gatekeeper_port`: the wanted one, if free.
    """

    root: Path
    state: Path
    inventory: Path
    engine: str
    ssh_key: Path
    known_hosts: Path
    accounts: Path
    policy: Path
    keys: Path
    proxies: int = 1
    orchestrators: int = 1
    gatekeeper_port: int | None = None


class Service(msgspec.Struct, frozen=True):
    """One service: where it listens and where it is measured, as HOST:PORT, and its settings file."""

    name: str
    role: Role
    listen: str
    metrics_listen: str
    settings: Path
    log: Path


class Services(msgspec.Struct, frozen=True):
    """The services of one cluster, in the order in which they start, whose packages are in `root`."""

    root: Path
    state: Path
    runtime_directory: Path
    services: tuple[Service, ...]

    @property
    def gatekeeper(self) -> Service:
        """The gatekeeper."""
        return next(service for service in self.services if service.role == "gatekeeper")

    @property
    def proxies(self) -> tuple[Service, ...]:
        """The proxies."""
        return self.of("proxy")

    @property
    def orchestrators(self) -> tuple[Service, ...]:
        """The orchestrators."""
        return self.of("orchestrator")

    def of(self, role: Role) -> tuple[Service, ...]:
        """The services of that role."""
        return tuple(service for service in self.services if service.role == role)

    @property
    def gatekeeper_url(self) -> str:
        """Where clients send their statements."""
        return f"http://{self.gatekeeper.listen}"

    def credentials(self, service: Service) -> certificates.Credentials:
        """The service's certificate and key; issued when they are missing or end soon."""
        return certificates.issue(self.state / "certificates", service.role, service.name)


def configure(installation: Installation, ports: Ports) -> Services:
    """Issues certificates and writes every settings file; `ports` are to be held until the services listen.

    Raises NoPort, CertificateError.
    """
    services = _plan(installation, ports)
    write_file(installation.state / _SERVICES_FILE, msgspec.json.encode(services, enc_hook=str))
    certificates.create_authority(installation.state / "certificates")
    write_file(_secret(installation), secrets.token_bytes(_SECRET_BYTES))
    (installation.state / "log").mkdir(exist_ok=True)
    for service in services.services:
        (services.runtime_directory / service.name).mkdir(mode=0o700)
        write_file(service.settings, settings_of(service, services, installation).encode())
    return services


def configured(state: Path) -> Services | None:
    """The services that `configure` left in the directory; None when there are none."""
    try:
        text = (state / _SERVICES_FILE).read_bytes()
    except FileNotFoundError:
        return None
    return msgspec.json.decode(text, type=Services, dec_hook=lambda path, value: path(value))


def forget(services: Services) -> None:
    """Removes what lies outside the state directory."""
    shutil.rmtree(services.runtime_directory, ignore_errors=True)


def settings_of(service: Service, services: Services, installation: Installation) -> str:
    """The text of a service's settings file; the settings.py of each service reads it."""
    credentials = services.credentials(service)
    common: dict[str, toml.Value] = {
        "name": service.name,
        "listen": service.listen,
        "metrics_listen": service.metrics_listen,
        "runtime_directory": str(services.runtime_directory / service.name),
    }
    tls: dict[str, toml.Value] = {
        "certificate": str(credentials.certificate),
        "key": str(credentials.key),
        "authority": str(credentials.authority),
    }
    own: Mapping[Role, Callable[[], Mapping[str, toml.Value]]] = {
        "proxy": lambda: _proxy_members(installation),
        "orchestrator": lambda: {"proxies": _urls(services.proxies), "secret": str(_secret(installation))},
        "gatekeeper": lambda: _gatekeeper_members(services, installation),
    }
    return toml.render({**common, **own[service.role]()}, {"tls": tls})


def _urls(of: Iterable[Service]) -> list[str]:
    return [f"https://{service.listen}" for service in of]


def _secret(installation: Installation) -> Path:
    """What the orchestrators sign cursors with."""
    return installation.state / "orchestrators-secret"


def _proxy_members(installation: Installation) -> dict[str, toml.Value]:
    return {
        "inventory": str(installation.inventory),
        "engine": installation.engine,
        "tunnel": "openssh",
        "ssh_key": str(installation.ssh_key),
        "known_hosts": str(installation.known_hosts),
        "accounts": str(installation.accounts),
    }


def _gatekeeper_members(services: Services, installation: Installation) -> dict[str, toml.Value]:
    return {
        "workers": GATEKEEPER_WORKERS,
        "proxies": _urls(services.proxies),
        "orchestrators": _urls(services.orchestrators),
        "policy": str(installation.policy),
        "keys": str(installation.keys),
        "audit": str(installation.state / "audit.log"),
        "records": str(installation.state / "records.jsonl"),
    }


def _plan(installation: Installation, ports: Ports) -> Services:
    state = installation.state

    def service(name: str, role: Role, preferred: int | None = None) -> Service:
        listen, metrics = f"{ADDRESS}:{ports.take(preferred)}", f"{ADDRESS}:{ports.take()}"
        return Service(name, role, listen, metrics, state / f"{name}.toml", state / "log" / f"{name}.log")

    proxies = [service(f"proxy{number}", "proxy") for number in range(1, installation.proxies + 1)]
    orchestrators = [
        service(f"orchestrator{number}", "orchestrator") for number in range(1, installation.orchestrators + 1)
    ]
    gatekeeper = service("gatekeeper1", "gatekeeper", installation.gatekeeper_port)
    # Short, because a Unix socket's path has 107 bytes at most (unix(7)), and the owner's only.
    runtime_directory = Path(tempfile.mkdtemp(prefix="gatekeeper-", dir="/tmp"))
    return Services(installation.root, state, runtime_directory, (*proxies, *orchestrators, gatekeeper))
