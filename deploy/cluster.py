"""What a cluster on machines shall be: a TOML file's frozen values, checked whole.

docs/operations.md describes each member.
"""

import ipaddress
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from contract.inventory import MachineRole
from contract.messages import OWN_SCHEMA, SchemaName
from deploy.providers.ec2 import images
from deploy.providers.interface import Wanted

ENGINES: Final = ("galera", "ndb")
MOST_REPLICAS: Final = 4
_NAME = re.compile(r"[a-z][a-z0-9-]{0,22}")
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}")
_SUBNET = re.compile(r"subnet-(?:[0-9a-f]{8}|[0-9a-f]{17})")
_INSTANCE_TYPE = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+")
_ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}")

Count = Annotated[int, msgspec.Meta(ge=0, le=48)]


class ClusterError(ValueError):
    """The description makes no sense; every mistake is named, with its member."""


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The machines of one role. `size`: the provider's word (EC2: an instance type; fleet: MiB or MiB/CPUs)."""

    count: Count = 1
    size: str = ""
    volume_gib: Annotated[int, msgspec.Meta(ge=4, le=16384)] = 10


class Machines(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many machines of each role. `standalone` is the single server that the cluster is compared with.

    Without an orchestrator there are no requests for later.
    """

    standalone: Group = Group(volume_gib=20)
    manager: Group = Group(volume_gib=20)
    data: Group = Group(count=3, volume_gib=20)
    proxy: Group = Group()
    orchestrator: Group = Group()
    gatekeeper: Group = Group()


class Tarball(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """MySQL NDB Cluster's generic Linux archive: a path on the operator's machine or an https URL, and its SHA-256."""

    source: str
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Ec2(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """EC2's part. `operator`: the addresses that reach SSH, in CIDR form. `image`: an AMI's id, or a release's name.

    `region`: left out, that of the AWS configuration. `user`: the login account of an image that is neither Debian's
    nor Canonical's. `subnets`, `private_subnets`: ids; left out, the default VPC's, and none: then all machines have
    public addresses, otherwise the gatekeepers alone.
    """

    operator: str
    region: str | None = None
    image: str = "debian"
    user: str | None = None
    spread_over_zones: bool = False
    subnets: tuple[str, ...] = ()
    private_subnets: tuple[str, ...] = ()


class Edge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """nginx in front. Without `certificate` and `key` (paths of PEM files) one is made by the cluster's authority.

    `server_name`: the name that clients use; left out, the first gatekeeper's public DNS name or address. `http`: what
    port 80 does: send to https, answer as 443 does but in the clear, or nothing.
    """

    http: Literal["redirect", "serve", "closed"] = "redirect"
    server_name: str | None = None
    certificate: str | None = None
    key: str | None = None


class Cluster(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A cluster. `replicas`: NDB's copies of each row (Galera has one on every node). `sample`: loads the rental shop.

    `schemas`: those of the application, which the accounts get rights on. `policy`: a path; left out, the sample's.
    """

    engine: Literal["galera", "ndb"] = "ndb"
    provider: Literal["ec2", "fleet"] = "ec2"
    replicas: Annotated[int, msgspec.Meta(ge=1, le=MOST_REPLICAS)] | None = None
    machines: Machines = Machines()
    schemas: tuple[SchemaName, ...] = ("rental",)
    sample: bool = True
    policy: str | None = None
    ndb: Tarball | None = None
    ec2: Ec2 | None = None
    edge: Edge = Edge()

    @property
    def copies(self) -> int:
        """Copies of each row that NDB keeps: as asked, else two for an even number of data nodes, or three."""
        return self.replicas or (3 if self.machines.data.count % 2 else 2)

    def wanted(self) -> tuple[Wanted, ...]:
        """The machines, by name: a role's only machine is called as the role; data nodes are always numbered."""
        return tuple(
            Wanted(name, role, group.size, group.volume_gib)
            for role, group in _groups(self.machines)
            for name in names(role, group.count)
        )


def names(role: MachineRole, count: int) -> tuple[str, ...]:
    """The names of so many machines of a role: data1, data2, ...; proxy, or proxy1, proxy2."""
    if count == 1 and role != "data":
        return (role,)
    return tuple(f"{role}{number}" for number in range(1, count + 1))


def members(path: Path) -> dict[str, Any]:
    """What stands in a TOML file, unchecked. Raises ClusterError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ClusterError(f"{path.name} can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ClusterError(f"{path.name}: {error}") from None


def checked(described: Mapping[str, Any], name: str = "the description") -> Cluster:
    """The cluster that the members describe. Raises ClusterError with all mistakes; `name` says where they stand."""
    try:
        found = msgspec.convert(_with_defaults(described), Cluster)
    except msgspec.ValidationError as error:
        raise ClusterError(f"{name}: {error}") from None
    if mistakes := list(_mistakes(found)):
        raise ClusterError(f"{name}: " + "; ".join(mistakes))
    return found


def _with_defaults(described: Mapping[str, Any]) -> Mapping[str, Any]:
    """The members, where a role's table that gives some members has the role's defaults for the others."""
    machines = described.get("machines")
    if not isinstance(machines, Mapping):
        return described
    defaults = msgspec.to_builtins(Machines())
    filled = {
        role: {**defaults.get(role, {}), **group} if isinstance(group, Mapping) else group
        for role, group in machines.items()
    }
    return {**described, "machines": filled}


def check_name(name: str) -> str:
    """The name, if a cluster may have it: it becomes part of machines' names and tags. Raises ClusterError."""
    if not _NAME.fullmatch(name):
        raise ClusterError(f"{name!r} can't be a cluster's name: a small letter, then up to 22 of a-z, 0-9 and '-'")
    return name


def _groups(machines: Machines) -> tuple[tuple[MachineRole, Group], ...]:
    return (
        ("standalone", machines.standalone),
        ("manager", machines.manager),
        ("data", machines.data),
        ("proxy", machines.proxy),
        ("orchestrator", machines.orchestrator),
        ("gatekeeper", machines.gatekeeper),
    )


def _mistakes(cluster: Cluster) -> Iterator[str]:
    machines = cluster.machines
    if machines.manager.count != 1:
        yield f"machines.manager.count is {machines.manager.count}: a cluster has one manager"
    if machines.data.count < 2:
        yield f"machines.data.count is {machines.data.count}: a cluster that outlives a node needs two data nodes"
    for role in ("proxy", "gatekeeper"):
        if getattr(machines, role).count < 1:
            yield f"machines.{role}.count is 0: without one nothing can be asked"
    if machines.standalone.count > 1:
        yield f"machines.standalone.count is {machines.standalone.count}: it is a single server, or none"
    if OWN_SCHEMA in (schema.lower() for schema in cluster.schemas):
        yield f"schemas: {OWN_SCHEMA} is the gateway's own"
    yield from _ndb_mistakes(cluster)
    yield from _ec2_mistakes(cluster)
    if (cluster.edge.certificate is None) != (cluster.edge.key is None):
        yield "edge: certificate and key belong together; give both or neither"


def _ndb_mistakes(cluster: Cluster) -> Iterator[str]:
    if cluster.engine != "ndb":
        if cluster.replicas:
            yield "replicas is for ndb: with galera every node has all the data"
        return
    nodes = cluster.machines.data.count
    if nodes % cluster.copies:
        yield f"{nodes} data nodes can't be divided into groups of {cluster.copies} (replicas)"
    if cluster.ndb is None:
        yield "ndb.source and ndb.sha256 are missing: say where MySQL NDB Cluster's archive is"
    elif "://" in cluster.ndb.source and not cluster.ndb.source.startswith("https://"):
        yield f"ndb.source {cluster.ndb.source!r} must be a path or an https URL"


def _ec2_mistakes(cluster: Cluster) -> Iterator[str]:
    if cluster.provider != "ec2":
        return
    if cluster.ec2 is None:
        yield "ec2.operator is missing: the addresses that may reach SSH, as 203.0.113.7/32"
        return
    try:
        network = ipaddress.ip_network(cluster.ec2.operator)
    except ValueError as error:
        yield f"ec2.operator: {error}"
        return
    if network.prefixlen == 0:
        yield "ec2.operator is the whole world: name the addresses that you work from"
    yield from _ec2_words(cluster, cluster.ec2)


def _ec2_words(cluster: Cluster, ec2: Ec2) -> Iterator[str]:
    """Words that AWS would refuse only when others are at work already."""
    if ec2.region is not None and not _REGION.fullmatch(ec2.region):
        yield f"ec2.region {ec2.region!r} is no name of a region, as eu-central-1"
    if not images.is_known(ec2.image):
        yield f"ec2.image {ec2.image!r} is no AMI's id; known names are {', '.join(images.RELEASES)}"
    if ec2.user is not None and not _ACCOUNT.fullmatch(ec2.user):
        yield f"ec2.user {ec2.user!r} can't be an account"
    for subnet in (*ec2.subnets, *ec2.private_subnets):
        if not _SUBNET.fullmatch(subnet):
            yield f"ec2: {subnet!r} is no subnet's id, as subnet-0123456789abcdef0"
    for role, group in _groups(cluster.machines):
        if group.size and not _INSTANCE_TYPE.fullmatch(group.size):
            yield f"machines.{role}.size {group.size!r} is no instance type, as r6i.large"
