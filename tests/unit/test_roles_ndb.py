"""NDB on pretended machines: what is started and restarted, in which order, and what each machine knows."""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from contract.inventory import MachineRole
from deploy.cluster import checked
from deploy.host import Done, Host
from deploy.roles.ndb import Ndb
from deploy.roles.tarball import WrongChecksum
from deploy.site import Site
from tests.unit.pretended_hosts import Answer, Pretended

ROLES: Mapping[str, MachineRole] = {"standalone": "standalone", "manager": "manager", "data1": "data", "data2": "data"}
GIB = 1 << 30
ANSWERS: Mapping[str, Answer] = {"nproc": f"{4 * GIB}\n2\n", "base64 ": "Y2VydGlmaWNhdGU="}


class Watched(Pretended):
    """A pretended machine that notes which unit is started, restarted and waited for when, among the others."""

    def __init__(self, name: str, role: MachineRole, log: list[str]) -> None:
        super().__init__(name, role, ANSWERS)
        self._log = log
        self._writing = threading.Lock()

    def attempt(self, script: str, *, timeout_s: float = 120.0, given: bytes | BinaryIO = b"") -> Done:
        if " start gk-" in script or " restart gk-" in script:
            self._note(script.rpartition("start gk-")[2].split(".")[0])
        return super().attempt(script, timeout_s=timeout_s, given=given)

    def _note(self, unit: str) -> None:
        with self._writing:
            self._log.append(f"{self.name} {unit}")


class World:
    """A cluster of pretended machines. `log`: units that were started or restarted, and drained nodes."""

    def __init__(self, directory: Path) -> None:
        archive = directory / "mysql.tar.xz"
        archive.write_bytes(b"archive")
        (directory / "group-secret").write_bytes(b"s" * 32)
        sha256 = hashlib.sha256(b"archive").hexdigest()
        self.log: list[str] = []
        self.said: list[str] = []
        self.hosts = {name: Watched(name, role, self.log) for name, role in ROLES.items()}
        self.site = Site(
            name="demo",
            cluster=checked(
                {
                    "provider": "fleet",
                    "ndb": {"source": str(archive), "sha256": sha256},
                    "machines": {"data": {"count": 2}},
                }
            ),
            root=directory,
            directory=directory,
            cache=directory,
            hosts=self.hosts,
            say=lambda host, text: self.said.append(f"{host} {text}"),
        )

    def install(self) -> list[str]:
        """What was started, restarted and drained by an installation."""
        self.log.clear()
        self.said.clear()
        Ndb().install(self.site, self._drained)
        return list(self.log)

    @contextmanager
    def _drained(self, host: Host) -> Iterator[None]:
        self.log.append(f"{host.name} drained")
        yield
        self.log.append(f"{host.name} given back")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_management_server_starts_before_the_data_nodes_and_these_before_sql(world: World) -> None:
    log = world.install()
    kinds = [entry.split()[1] for entry in log]
    assert kinds == ["ndb-mgmd", "ndbmtd", "ndbmtd", "mysql", "mysql", "mysql", "mysql"]
    assert {entry.split()[0] for entry in log if "ndbmtd" in entry} == {"data1", "data2"}


def test_a_second_run_is_unchanged_and_starts_nothing(world: World) -> None:
    world.install()
    assert world.install() == []
    assert [said for said in world.said if not said.endswith("unchanged")] == []


def test_another_configuration_restarts_the_data_nodes_one_after_the_other_and_no_sql_node(world: World) -> None:
    world.install()
    for name in ("data1", "data2"):
        world.hosts[name].answers["nproc"] = f"{4 * GIB}\n8\n"
    assert world.install() == ["manager ndb-mgmd", "data1 ndbmtd", "data2 ndbmtd"]


def test_the_smallest_data_node_says_how_much_memory_all_have(world: World) -> None:
    world.hosts["data2"].answers["nproc"] = f"{2 * GIB}\n2\n"
    world.install()
    config = world.hosts["manager"].written["/etc/mysql-cluster/config.ini"].decode()
    assert "DataMemory=803M\n" in config


def test_options_that_changed_on_one_machine_restart_its_sql_node_when_proxies_have_left_it(world: World) -> None:
    world.install()
    world.hosts["data2"].files["/etc/mysql-cluster/my.cnf"] = ("regular file|0640|root:mysql", b"tampered with")
    assert world.install() == ["data2 drained", "data2 mysql", "data2 given back"]


def test_a_unit_that_was_stopped_is_started_and_nothing_else(world: World) -> None:
    world.install()
    world.hosts["data1"].units["gk-ndbmtd.service"] = "enabled inactive"
    assert world.install() == ["data1 ndbmtd"]


def test_another_archive_is_refused_before_any_machine_is_touched(world: World) -> None:
    ndb = world.site.cluster.ndb
    assert ndb is not None
    Path(ndb.source).write_bytes(b"another")
    with pytest.raises(WrongChecksum):
        world.install()
    assert [host.scripts for host in world.hosts.values()] == [[]] * len(ROLES)


def test_each_server_has_an_administrators_password_of_its_own_that_no_script_tells(world: World) -> None:
    world.install()
    passwords = set()
    for host in world.hosts.values():
        state, content = host.files["/etc/mysql-cluster/root.cnf"]
        assert state == "regular file|0600|root:root"
        password = content.decode().partition("password=")[2].split()[0]
        assert not host.ran(password)
        passwords.add(password)
    assert len(passwords) == len(ROLES)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [("data1", {"ndb-data-node", "ndb-api"}), ("manager", {"ndb-mgm-server", "ndb-api"}), ("standalone", set())],
)
def test_a_machine_has_the_certificates_of_its_nodes_and_their_keys_are_the_servers_alone(
    world: World, name: str, kinds: set[str]
) -> None:
    world.install()
    files = world.hosts[name].files
    keys = {path: state for path, (state, _) in files.items() if path.endswith("-private-key")}
    assert {path.rpartition("/")[2].removesuffix("-private-key") for path in keys} == kinds
    assert set(keys.values()) <= {"regular file|0400|mysql:mysql"}


def seen(ready: int, known: int) -> str:
    return f"Ndb_number_of_data_nodes\t{known}\nNdb_number_of_ready_data_nodes\t{ready}\n"


STATES = [
    pytest.param("data1", seen(3, 3), "3 of 3 data nodes", True, id="all"),
    pytest.param("data1", seen(1, 3), "1 of 3 data nodes", True, id="one is enough"),
    pytest.param("data1", seen(10, 12), "10 of 12 data nodes", True, id="two digits"),
    pytest.param("data1", seen(0, 3), "0 of 3 data nodes", False, id="none"),
    pytest.param("data1", "", "0 of 0 data nodes", False, id="not a word"),
    pytest.param("data1", Done("", "refused", 1), "stopped", False, id="no server"),
    pytest.param("standalone", "", "Running", True, id="stand-alone"),
]


@pytest.mark.parametrize(("name", "answer", "state", "ready"), STATES)
def test_an_sql_node_may_be_used_when_it_sees_a_data_node_that_is_ready(
    name: str, answer: Answer, state: str, *, ready: bool
) -> None:
    host = Pretended(name, ROLES[name], {"Ndb_number_of": answer})
    assert Ndb().state(host) == state
    assert Ndb().is_ready(state) is ready
