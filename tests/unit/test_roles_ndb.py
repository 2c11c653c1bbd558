"""NDB on pretended machines: what is started and restarted, in which order, and what each machine knows."""

from pathlib import Path

import pytest
from cryptography import x509

from deploy.cluster import ClusterError
from deploy.roles.ndb import Ndb
from deploy.roles.tarball import WrongChecksum
from tests.unit.pretended_hosts import Answer, Pretended
from tests.unit.pretended_ndb import GIB, ROLES, CutOff, World, hexed


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


def test_data_nodes_that_look_for_a_lost_management_server_are_restarted_one_after_the_other(world: World) -> None:
    """The new one has another address, so that their options change; and it does not see them until then."""
    world.install()
    world.cluster.unseen = {1, 2}
    for name in ("manager", "data1", "data2"):
        world.hosts[name].files["/etc/mysql-cluster/config.ini"] = ("regular file|0640|root:mysql", b"of the lost one")
    assert world.install() == ["manager ndb-mgmd", "data1 ndbmtd", "data2 ndbmtd"]


def test_an_sql_node_that_does_not_see_a_data_node_at_its_new_address_is_restarted(world: World) -> None:
    world.install()
    world.cluster.blind = {"manager", "data1"}
    assert sorted(world.install()) == sorted(
        f"{host} {what}" for host in ("manager", "data1") for what in ("drained", "mysql", "given back")
    )


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
    host = world.hosts[name]
    made = {path.rpartition("/")[2].removesuffix("-cert") for path in host.written if path.endswith("-cert")}
    assert made - {"NDB-Cluster"} == kinds
    for kind in kinds:
        first = x509.load_pem_x509_certificate(host.certificate(f"{kind}-cert"))
        first.verify_directly_issued_by(x509.load_pem_x509_certificate(world.authority("pem")))
    assert not host.ran("NDB-Cluster-private-key")


def test_the_authoritys_key_and_the_nodes_keys_stay_where_they_were_made(world: World) -> None:
    world.install()
    secret = world.authority("key").split(b"\n")[1]
    for host in world.hosts.values():
        assert not [given for given in host.given if secret in given or b"a secret" in given]
        assert not host.ran(secret.decode())


def seen(ready: int, known: int) -> str:
    return f"Ndb_number_of_data_nodes\t{known}\nNdb_number_of_ready_data_nodes\t{ready}\n"


STATES = [
    pytest.param("data1", seen(3, 3), "3 of 3 data nodes", True, id="all"),
    pytest.param("data1", seen(1, 3), "1 of 3 data nodes", True, id="one is enough"),
    pytest.param("data1", seen(10, 12), "10 of 12 data nodes", True, id="two digits"),
    pytest.param("data1", seen(0, 3), "0 of 3 data nodes", False, id="none"),
    pytest.param("data1", "", "0 of 0 data nodes", False, id="not a word"),
    pytest.param("data1", "stopped\n", "stopped", False, id="no server"),
    pytest.param("standalone", "", "Running", True, id="stand-alone"),
]


@pytest.mark.parametrize(("name", "answer", "state", "ready"), STATES)
def test_an_sql_node_may_be_used_when_it_sees_a_data_node_that_is_ready(
    name: str, answer: Answer, state: str, *, ready: bool
) -> None:
    host = Pretended(name, ROLES[name], {"Ndb_number_of": answer})
    assert Ndb().state(host) == state
    assert Ndb().is_ready(state) is ready


def test_new_certificates_are_taken_up_by_restarts_one_after_the_other(world: World) -> None:
    world.install()
    before = world.hosts["data1"].certificate("ndb-data-node-cert")
    world.log.clear()
    Ndb().rotate_certificates(world.site, world.drained)
    sql = [f"{name} {what}" for name in ("manager", "data1", "data2") for what in ("drained", "mysql", "given back")]
    assert world.log == ["manager ndb-mgmd", "data1 ndbmtd", "data2 ndbmtd", *sql]
    assert world.hosts["data1"].certificate("ndb-data-node-cert") != before
    assert world.install() == []


def test_a_rotation_that_was_cut_off_is_completed_by_the_next_deployment(world: World) -> None:
    world.install()
    world.cluster.cut = 2
    with pytest.raises(CutOff):
        Ndb().rotate_certificates(world.site, world.drained)
    world.cluster.cut = None
    assert [entry for entry in world.install() if "ndb" in entry] == ["data2 ndbmtd"]


def test_the_authority_that_an_earlier_version_left_on_the_manager_comes_to_the_operator(world: World) -> None:
    certificate, key = world.authority("pem"), world.authority("key")
    for suffix in ("pem", "key"):
        (world.site.directory / "certificates" / f"ndb-authority.{suffix}").unlink()
    manager = world.hosts["manager"]
    manager.answers |= {"authority/NDB-Cluster-cert": certificate.decode(), "openssl pkey": key.decode()}
    world.install()
    assert (world.authority("pem"), world.authority("key")) == (certificate, key)
    assert manager.ran("rm -rf /etc/mysql-cluster/authority")


def test_another_number_of_copies_than_the_clusters_is_refused_before_anything_is_changed(world: World) -> None:
    world.install()
    world.hosts["manager"].answers["NoOfReplicas"] = "NoOfReplicas=3\n"
    with pytest.raises(ClusterError, match="replicas can't become 2 where the cluster has 3"):
        world.install()
    assert world.log == []


def test_a_tables_checksum_is_of_its_own_columns_alone() -> None:
    rows = [("s", "t", "a", "int"), ("s", "t", "b", "text"), ("s", "other", "c", "int")]
    host = Pretended("manager", "manager", {"mysql --defaults-file": "".join(f"{hexed(*row)}\n" for row in rows)})
    (statement,) = Ndb().checksum_statements(host, [("s", "t")])
    assert "SHA2(`a`, 256)" in statement
    assert "SHA2(`b`, 256)" in statement
    assert "`c`" not in statement
    assert statement.endswith("FROM `s`.`t`")
