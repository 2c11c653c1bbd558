"""The clusters that the operator's machine knows: VAR/clusters/NAME, with what each was described as."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from client import Client
from contract.implementations import IMPLEMENTATIONS
from deploy import cluster as descriptions
from deploy.cluster import Cluster, ClusterError
from deploy.deployment import ROOT, Deployment
from deploy.providers import state
from deploy.providers.ec2 import Ec2
from deploy.providers.ec2 import Settings as Ec2Settings
from deploy.providers.fleet import Fleet
from deploy.providers.fleet import Settings as FleetSettings
from deploy.providers.fleet.image import Recipe
from deploy.providers.interface import Provider, Say
from deploy.roles import edge, galera, gatekeeper, proxy, tarball
from deploy.roles.engine import MachineEngine
from deploy.roles.galera import Galera
from deploy.roles.ndb import Ndb
from deploy.sample import rental
from deploy.secrets import private_directory, write_file
from deploy.site import Site

DEFAULT_NAME: Final = "main"
VAR: Final = ROOT / "var"
FLEET_CACHE: Final = VAR / "cache" / "fleet"
_DESCRIPTION: Final = "description.json"
_LOCK_TIMEOUT_S: Final = 1.0
FIRST_QUERY: Final = "SELECT film_id, title, rental_rate FROM film WHERE film_id = ?"
# What machines get installed: the fleet's image has it downloaded, because the fleet may have no way out.
_PACKAGES: Final = tuple(
    sorted(
        {
            *galera.PACKAGES,
            *galera.NODE_PACKAGES,
            *tarball.PACKAGES,
            *proxy.PACKAGES,
            *gatekeeper.PACKAGES,
            "lsof",
            "sysbench",
        }
    )
)
_ENGINES: Final[dict[str, type[MachineEngine]]] = {"galera": Galera, "ndb": Ndb}


class UnknownCluster(ValueError):
    """No cluster of that name was described here; the message lists the known ones."""


def directory(name: str, var: Path = VAR) -> Path:
    """The operator's directory of the cluster. Raises ClusterError for a name that can't be one."""
    return var / "clusters" / descriptions.check_name(name)


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Keeps other commands from the cluster meanwhile. Raises Busy."""
    lock = directory(name).with_name(f".{name}.lock")
    private_directory(lock.parent)
    with state.locked(lock, timeout_s=_LOCK_TIMEOUT_S):
        yield


def described(
    name: str, say: Say, *, config: Path | None = None, members: Mapping[str, Any] | None = None, keep: bool = True
) -> Deployment:
    """The cluster as it is described by the file, or as before, with `members` in place of its own.

    `keep`: so it is described from now on. Raises ClusterError.
    """
    place = directory(name) / _DESCRIPTION
    before = msgspec.json.decode(place.read_bytes()) if place.exists() else {}
    described = {**(descriptions.members(config) if config else before), **(members or {})}
    found = descriptions.checked(described, config.name if config else name)
    if keep and described != before:
        private_directory(place.parent)
        write_file(place, msgspec.json.encode(described))
    return _deployment(name, found, say)


def with_data_nodes(deployment: Deployment, count: int, *, keep: bool = True) -> Deployment:
    """The cluster, described with so many data nodes and as many copies as before; `keep`: from now on.

    Raises ClusterError.
    """
    before = msgspec.json.decode((deployment.directory / _DESCRIPTION).read_bytes())
    machines = before.get("machines", {})
    data = {**machines.get("data", {}), "count": count}
    changed: dict[str, Any] = {"machines": {**machines, "data": data}}
    if deployment.cluster.engine == "ndb":
        changed["replicas"] = deployment.cluster.copies  # left out, it would follow from the count
    return described(deployment.name, deployment.say, members=changed, keep=keep)


def known(name: str, say: Say) -> Deployment:
    """A cluster that was described before. Raises UnknownCluster, ClusterError."""
    place = directory(name) / _DESCRIPTION
    if not place.exists():
        listed = sorted(path.parent.name for path in place.parent.parent.glob(f"*/{_DESCRIPTION}"))
        raise UnknownCluster(f"unknown cluster {name!r}; known are {', '.join(listed) or 'none'}")
    return _deployment(name, descriptions.checked(msgspec.json.decode(place.read_bytes()), name), say)


def forget(deployment: Deployment) -> None:
    """Removes the operator's files of a cluster whose machines are gone: its keys open nothing any more."""
    shutil.rmtree(deployment.directory)


def url(deployment: Deployment, site: Site) -> str:
    """Where clients reach the first gatekeeper."""
    return f"https://{edge.server_name(site.of('gatekeeper')[0], deployment.cluster.edge)}"


def client(deployment: Deployment, site: Site) -> Client:
    """A client with the tasks' own key, which trusts the edge's certificate and no other where that was made here."""
    host = site.of("gatekeeper")[0]
    key = deployment.material.api_key.read_text(encoding="utf-8").strip()
    made = deployment.material.certificates / f"edge-{host.name}.pem"
    if not deployment.cluster.edge.certificate and not made.exists():
        raise ClusterError("the cluster is not deployed yet: its gatekeeper has no certificate; fab deploy goes on")
    return Client(url(deployment, site), key, ca=None if deployment.cluster.edge.certificate else str(made))


def first_queries(deployment: Deployment, site: Site) -> list[tuple[str, str]]:
    """Asks the sample through nginx by each implementation; which node answered which. Raises GatekeeperError."""
    if not deployment.cluster.sample:
        return []
    with client(deployment, site) as asking:
        return [
            (name, asking.query(FIRST_QUERY, (42,), implementation=name, database=rental.SCHEMA).node)
            for name in IMPLEMENTATIONS
        ]


def _deployment(name: str, cluster: Cluster, say: Say) -> Deployment:
    place = directory(name)
    return Deployment(name, cluster, _provider(name, cluster), _engine(cluster), place, VAR / "cache", say)


def fleet_recipe() -> Recipe:
    """What the fleet's image is made of."""
    return Recipe(downloaded=_PACKAGES)


def _provider(name: str, cluster: Cluster) -> Provider:
    if cluster.provider == "fleet":
        return Fleet(FleetSettings(name, directory(name), FLEET_CACHE, fleet_recipe()))
    assert cluster.ec2 is not None, "a checked description has it"
    return Ec2(Ec2Settings(name, directory(name), **msgspec.structs.asdict(cluster.ec2)))


def _engine(cluster: Cluster) -> MachineEngine:
    try:
        return _ENGINES[cluster.engine]()
    except KeyError:
        raise ClusterError(f"unknown engine {cluster.engine!r}; known are {', '.join(sorted(_ENGINES))}") from None
