"""An NDB cluster on pretended machines: which process knows which nodes, and on which nodes tables have rows."""

import functools
import hashlib
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from contract.inventory import MachineRole
from deploy.cluster import checked
from deploy.host import Done, Host, HostError
from deploy.roles.ndb import Ndb
from deploy.roles.ndb_authority import Authority
from deploy.site import Site
from tests.unit.pretended_hosts import Answer, Pretended

ROLES: Mapping[str, MachineRole] = {"standalone": "standalone", "manager": "manager", "data1": "data", "data2": "data"}
GIB = 1 << 30
CERTIFICATES = "/etc/mysql-cluster/certificates"
_ANSWERS: Mapping[str, Answer] = {"nproc": f"{4 * GIB}\n2\n"}
_CONFIG = "/etc/mysql-cluster/config.ini"
_STEMS = {"db": "ndb-data-node", "mgmd": "ndb-mgm-server", "api": "ndb-api"}
_REFUSED = Done("", "refused", 1)


def hexed(*values: str | int) -> str:
    """A row of values as SQL's HEX gives them."""
    return "\t".join(str(value).encode().hex().upper() for value in values)


class CutOff(HostError):
    """The operator's machine vanished before the script was sent."""


def certificate_request() -> bytes:
    """A request for a certificate, in PEM."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    signed = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


@functools.cache
def authority_files() -> Mapping[str, bytes]:
    """An authority, which all tests share: its key takes a while to be found."""
    with tempfile.TemporaryDirectory() as directory:
        Authority(Path(directory)).make()
        return {path.name: path.read_bytes() for path in Path(directory).iterdir()}


REQUEST = certificate_request()


class Cluster:
    """What the processes know together. `log`: units that were started or restarted, and nodes that were drained.

    `tables`: for each table the data nodes that have rows of it. `unseen`: data nodes that look for a management server
    that is lost, until they are restarted. `blind`: hosts whose SQL node does not see all data nodes, until then.
    `cut`: so many more changes are let through, and then CutOff is raised; None: all.
    """

    def __init__(self) -> None:
        self.log: list[str] = []
        self.hosts: dict[str, Watched] = {}
        self.known: dict[tuple[str, str], frozenset[int]] = {}
        self.groups: dict[int, int] = {}
        self.tables: dict[str, set[int]] = {}
        self.unseen: set[int] = set()
        self.blind: set[str] = set()
        self.cut: int | None = None
        self._formed = False
        self._turn = threading.RLock()

    def change(self, entry: str) -> None:
        """Notes what changes the cluster. Raises CutOff."""
        with self._turn:
            if self.cut is not None:
                self.cut -= 1
                if self.cut < 0:
                    raise CutOff("cut off")
            self.log.append(entry)

    def started(self, host: str, unit: str) -> None:
        """A process takes up what config.ini says now; a first start forms a node group of all data nodes."""
        with self._turn:
            self.known[host, unit] = self.configured()
            if unit == "mysql":
                self._formed = True
                self.blind.discard(host)
            if unit == "ndbmtd":
                self.unseen.discard(int(host[-1]))
            if unit == "ndbmtd" and not self._formed:
                self.groups[int(host[-1])] = 0

    def configured(self) -> frozenset[int]:
        """The data nodes in the manager's config.ini."""
        text = self.hosts["manager"].written.get(_CONFIG, b"").decode()
        return frozenset(map(int, re.findall(r"\[ndbd\]\nNodeId=(\d+)", text)))

    def running(self) -> list[int]:
        """The data nodes that were started."""
        return sorted(int(host[-1]) for host, unit in self.known if unit == "ndbmtd")

    def can_join(self, number: int) -> bool:
        """Whether all data nodes that have a group know the node."""
        return all(number in known for (host, unit), known in self.known.items() if self._holds(host, unit))

    def shown(self) -> str:
        """What the management client's SHOW prints of data nodes."""
        listed = [
            f"id={number}\t@10.0.0.{number}  (mysql-9.7.2 ndb-9.7.2, "
            + (f"Nodegroup: {self.groups[number]})" if number in self.groups else "no nodegroup)")
            for number in self.running()
        ]
        return "Cluster Configuration\n" + "\n".join(listed) + "\nid=145\t@10.0.0.9  (mysql-9.7.2 ndb-9.7.2)\n"

    def group(self, numbers: list[int]) -> None:
        """CREATE NODEGROUP."""
        self.change(f"group {numbers}")
        made = max(self.groups.values()) + 1
        self.groups |= dict.fromkeys(numbers, made)

    def ask(self, host: str, script: str) -> str | None:
        """What an SQL node answers to what has to do with growing; None for other scripts."""
        if "Ndb_number_of_data_nodes" in script:
            return f"Ndb_number_of_data_nodes\t{len(self.known[host, 'mysql'])}\n"
        if "memory_per_fragment" in script:
            return "".join(f"{hexed(f's/def/{name}', len(on))}\n" for name, on in self.tables.items())
        if "FROM information_schema.tables" in script and "ndbcluster" in script:
            return "".join(f"{hexed('s', name)}\n" for name in self.tables)
        if moved := re.match(r"ALTER TABLE `s`\.`(.*)` ALGORITHM=INPLACE, REORGANIZE PARTITION", script):
            self.change(f"move {moved[1]}")
            self.tables[moved[1].replace("``", "`")] = set(self.groups)
            return ""
        return None

    def _holds(self, host: str, unit: str) -> bool:
        return unit == "ndbmtd" and int(host[-1]) in self.groups


class Watched(Pretended):
    """A machine of the cluster, which makes keys as ndb_sign_keys does, and asks for certificates."""

    def __init__(self, name: str, role: MachineRole, cluster: Cluster) -> None:
        super().__init__(name, role, _ANSWERS)
        self._cluster = cluster

    def _run(self, script: str, timeout_s: float, given: bytes | BinaryIO, *, read_only: bool = False) -> Done:
        if found := re.search(r" (?:re)?start gk-([a-z-]+)", script):
            self._cluster.change(f"{self.name} {found[1]}")
            done = super()._run(script, timeout_s, given, read_only=read_only)
            self._cluster.started(self.name, found[1])
            return done
        if self.name in self._cluster.hosts and (answer := self._answer(script, given)) is not None:
            return answer
        return super()._run(script, timeout_s, given, read_only=read_only)

    def certificate(self, name: str) -> bytes:
        """A certificate among those in use; empty if there is none."""
        moment = self.links.get(f"{CERTIFICATES}/current", "none")
        return self.files.get(f"{CERTIFICATES}/{moment}/{name}", ("", b""))[1]

    def _answer(self, script: str, given: bytes | BinaryIO) -> Done | None:
        told = self._cluster.ask(self.name, given.decode(errors="replace")) if isinstance(given, bytes) else None
        if told is not None:
            return Done(told, "", 0)
        return self._seeing(script) or self._certified(script) or self._managed(script)

    def _seeing(self, script: str) -> Done | None:
        waited = re.search(r"-e '(\d+) STATUS'", script)
        if not script.startswith("for ") or not (waited or "Ndb_number_of" in script):
            return None
        missing = int(waited[1]) in self._cluster.unseen if waited else self.name in self._cluster.blind
        return Done("" if missing else "y\n", "", 0)

    def _certified(self, script: str) -> Done | None:
        if made := re.search(r"ndb_sign_keys .*--node-type=(\w+) .*--to-dir=(\S+)", script):
            self.files[f"{made[2]}/{_STEMS[made[1]]}-private-key"] = ("regular file|0400|root:root", b"a secret")
        if script.endswith("-cert-request"):
            return Done(REQUEST.decode(), "", 0)
        if read := re.match(rf"cd {CERTIFICATES}/current .* cat (\S+-cert) ", script):
            return Done(self.certificate(read[1]).decode(), "", 0)
        return None

    def _managed(self, script: str) -> Done | None:
        if waited := re.search(r"-e '(\d+) STATUS'", script):
            number = int(waited[1])
            return (
                Done("", "", 0) if self._cluster.can_join(number) and number not in self._cluster.unseen else _REFUSED
            )
        if script.endswith("-e 'SHOW' </dev/null"):
            return Done(self._cluster.shown(), "", 0)
        if made := re.search(r"CREATE NODEGROUP ([\d,]+)", script):
            self._cluster.group([int(number) for number in made[1].split(",")])
        if asked := re.search(r"ndb_config .*--config-from-node=(\d+)", script):
            known = self._cluster.known.get((f"data{asked[1]}", "ndbmtd"))
            return Done(" ".join(map(str, sorted(known or ()))), "", 0)
        if active := re.match(r"systemctl is-active (\S+)(?: \|\| true)?$", script):
            return Done(self.units.get(active[1], "disabled inactive").split()[1], "", 0)
        return None


class World:
    """The cluster of ROLES, and its engine. `log`: what was started and restarted, drained and given back, changed."""

    def __init__(self, directory: Path) -> None:
        archive = directory / "mysql.tar.xz"
        archive.write_bytes(b"archive")
        (directory / "group-secret").write_bytes(b"s" * 32)
        (directory / "certificates").mkdir()
        for name, content in authority_files().items():
            (directory / "certificates" / name).write_bytes(content)
        self.archive = archive
        self.said: list[str] = []
        self.cluster = Cluster()
        self.hosts = self.cluster.hosts
        self.hosts |= {name: Watched(name, role, self.cluster) for name, role in ROLES.items()}
        self.site = self._site(directory)

    @property
    def log(self) -> list[str]:
        return self.cluster.log

    def install(self) -> list[str]:
        """What was started, restarted and drained by an installation."""
        self.log.clear()
        self.said.clear()
        Ndb().install(self.site, self.drained)
        return list(self.log)

    def grow(self, count: int) -> None:
        """The description asks for so many data nodes, and their machines are there."""
        for number in range(1, count + 1):
            self.hosts.setdefault(f"data{number}", Watched(f"data{number}", "data", self.cluster))
        self.site = self._site(self.site.directory)

    def authority(self, suffix: str) -> bytes:
        """The file of the authority on the operator's machine."""
        return (self.site.directory / "certificates" / f"ndb-authority.{suffix}").read_bytes()

    @contextmanager
    def drained(self, host: Host) -> Iterator[None]:
        self.log.append(f"{host.name} drained")
        yield
        self.log.append(f"{host.name} given back")

    def _site(self, directory: Path) -> Site:
        sha256 = hashlib.sha256(self.archive.read_bytes()).hexdigest()
        count = sum(host.machine.role == "data" for host in self.hosts.values())
        described = {
            "provider": "fleet",
            "replicas": 2,
            "ndb": {"source": str(self.archive), "sha256": sha256},
            "machines": {"data": {"count": count}},
        }
        return Site(
            name="demo",
            cluster=checked(described),
            root=directory,
            directory=directory,
            cache=directory,
            hosts=dict(self.hosts),
            say=lambda host, text: self.said.append(f"{host} {text}"),
        )
