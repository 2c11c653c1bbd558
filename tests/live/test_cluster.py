"""The local cluster itself: it comes up whole, survives crashes, keeps its borders, and leaves nothing behind."""

import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from deploy.engines.mariadb import GRANTS
from deploy.providers import addresses, nodes
from deploy.providers.loopback import CannotRun, Settings
from tests.live.cluster_fixtures import CACHE, LiveCluster, mentions

NODES = ("manager", "data1", "data2", "data3")
FULL_TRANSFER = r"rsync SST completed on joiner"
INCREMENTAL_TRANSFER = r"IST received"


@pytest.fixture
def whole(cluster: LiveCluster) -> Iterator[LiveCluster]:
    """The cluster, for a test that stops nodes: with a table to write to, and started whole again afterwards."""
    cluster.run("manager", "CREATE DATABASE crash_test")
    cluster.run("manager", "CREATE TABLE crash_test.t (id INT PRIMARY KEY)")
    yield cluster
    cluster.up()
    cluster.run("manager", "DROP DATABASE crash_test")


@pytest.fixture
def another(tmp_path: Path) -> Iterator[LiveCluster]:
    """A second cluster; the test may take it down itself."""
    live = LiveCluster(Settings(tmp_path / "another", CACHE))
    live.up()
    yield live
    live.down()


@pytest.fixture
def standalone(tmp_path: Path) -> Iterator[LiveCluster]:
    live = LiveCluster(Settings(tmp_path / "alone", CACHE, engine="standalone"))
    live.up()
    yield live
    live.down()


def test_all_nodes_are_synced_among_four(cluster: LiveCluster) -> None:
    rows = cluster.status()
    assert [(row.name, row.state, row.engine_state) for row in rows.values()] == [
        (name, "running", "Synced") for name in NODES
    ]
    assert all(row.ping_ms is not None and row.ping_ms < 1000 for row in rows.values())
    assert {cluster.run(name, "SHOW STATUS LIKE 'wsrep_cluster_size'")[0][1] for name in NODES} == {"4"}


def test_starting_what_runs_changes_nothing(cluster: LiveCluster) -> None:
    before = {name: row.pid for name, row in cluster.status().items()}
    cluster.up()
    assert {name: row.pid for name, row in cluster.status().items()} == before


def test_a_killed_node_comes_back_with_what_it_missed_by_an_incremental_transfer(whole: LiveCluster) -> None:
    log = whole.node("data2").error_log
    full, incremental = mentions(log, FULL_TRANSFER), mentions(log, INCREMENTAL_TRANSFER)
    whole.kill("data2")
    assert whole.status()["data2"].state == "stopped"
    whole.run("manager", "INSERT INTO crash_test.t VALUES (1)")
    whole.start("data2")
    assert whole.status()["data2"].engine_state == "Synced"
    assert whole.run("data2", "SELECT id FROM crash_test.t") == ((1,),)
    assert (mentions(log, FULL_TRANSFER), mentions(log, INCREMENTAL_TRANSFER)) == (full, incremental + 1)


def test_a_node_that_lost_its_place_in_the_history_gets_a_full_copy(whole: LiveCluster) -> None:
    server = whole.node("data3")
    full = mentions(server.error_log, FULL_TRANSFER)
    whole.kill("data3")
    (Path(server.data) / "grastate.dat").unlink()
    whole.run("manager", "INSERT INTO crash_test.t VALUES (3)")
    whole.start("data3")
    assert whole.run("data3", "SELECT id FROM crash_test.t") == ((3,),)
    assert mentions(server.error_log, FULL_TRANSFER) == full + 1


def test_a_node_killed_with_its_sshd_comes_back_with_it(whole: LiveCluster) -> None:
    whole.kill("data1", ssh=True)
    assert whole.machine("data1").state == "stopped"
    whole.start("data1")
    assert whole.machine("data1").state == "running"
    assert whole.status()["data1"].state == "running"


def test_survivors_without_a_majority_can_be_joined_again(whole: LiveCluster) -> None:
    whole.kill("manager", "data1")
    whole.start("data1")
    whole.start("manager")
    assert {row.engine_state for row in whole.status().values()} == {"Synced"}


def test_after_a_crash_of_all_the_most_advanced_node_leads(whole: LiveCluster) -> None:
    whole.kill("manager")
    whole.run("data3", "INSERT INTO crash_test.t VALUES (7)")
    whole.kill("data1", "data2", "data3", ssh=True)
    assert {row.state for row in whole.status().values()} == {"stopped"}
    whole.start("manager")
    assert whole.run("manager", "SELECT id FROM crash_test.t") == ((7,),)
    whole.up()
    assert {row.engine_state for row in whole.status().values()} == {"Synced"}


def test_sql_listens_on_the_nodes_own_address_alone(cluster: LiveCluster) -> None:
    server = cluster.node("data1")
    nodes_own = {node.address for node in cluster.description.nodes}
    others = [address for address in _own_addresses() if address not in nodes_own]
    assert "127.0.0.1" in others
    for address in others:
        with pytest.raises(OSError, match=r"refused|timed out"):
            socket.create_connection((address, server.mysql_port), timeout=2)
    socket.create_connection((server.address, server.mysql_port), timeout=2).close()


def test_two_clusters_run_at_once_and_one_goes_without_a_trace(cluster: LiveCluster, another: LiveCluster) -> None:
    first, second = cluster.description, another.description
    assert not {node.address for node in first.nodes} & {node.address for node in second.nodes}
    assert {row.engine_state for row in another.status().values()} == {"Synced"}
    another.kill("data1")
    assert another.down()
    assert not any(nodes.processes_in(Path(node.directory)) for node in second.nodes)
    assert not Path(second.home).exists()
    assert list(another.directory.parent.iterdir()) == []
    ports = (second.ssh_port, *second.nodes[0].ports)
    assert addresses.is_free([node.address for node in second.nodes], ports)
    assert {row.engine_state for row in cluster.status().values()} == {"Synced"}
    assert not another.down()


def test_a_single_server_starts_again_after_a_crash(standalone: LiveCluster) -> None:
    standalone.kill("standalone")
    standalone.start("standalone")
    row = standalone.status()["standalone"]
    assert (row.role, row.state, row.engine_state) == ("standalone", "running", "Running")


def test_a_cluster_of_another_engine_is_not_taken_for_the_wanted_one(standalone: LiveCluster) -> None:
    with pytest.raises(CannotRun, match="runs standalone"):
        LiveCluster(Settings(standalone.directory, CACHE, engine="galera")).up()


def test_a_cluster_of_an_earlier_version_gets_the_accounts_that_it_lacks(standalone: LiveCluster) -> None:
    before = standalone.accounts
    old = {member: value for member, value in before.items() if member.startswith(("reader", "writer"))}
    standalone.place.accounts.write_text("".join(f'{member} = "{value}"\n' for member, value in old.items()))
    standalone.up()
    after = standalone.accounts
    assert old.items() <= after.items()
    assert after.keys() == before.keys()
    assert stat.S_IMODE(standalone.place.accounts.stat().st_mode) == 0o600
    server = standalone.node("standalone")
    for name in GRANTS:
        user, password = after[f"{name}_user"], after[f"{name}_password"]
        pymysql.connect(host=server.address, port=server.mysql_port, user=user, password=password).close()
    standalone.up()
    assert standalone.accounts == after


@pytest.mark.parametrize(
    ("user", "statement", "errno"),
    [
        pytest.param("reader", "INSERT INTO rental.nothing VALUES (1)", 1142, id="a reader can't write"),
        pytest.param("reader", "CREATE TEMPORARY TABLE rental.t (a INT)", 1044, id="a reader can't make tables"),
        pytest.param("writer", "CREATE TABLE rental.t (a INT)", 1142, id="a writer can't change the schema"),
        pytest.param("writer", "SELECT * FROM mysql.global_priv", 1142, id="a writer can't read accounts"),
        pytest.param("writer", "SELECT * FROM `rental2`.t", 1142, id="a schema of a similar name is another one"),
        pytest.param("writer", "SELECT LOAD_FILE('/etc/passwd')", None, id="files are out of reach"),
        pytest.param("writer", "SELECT 1 INTO OUTFILE '/tmp/x'", 1227, id="files can't be written"),
        pytest.param("writer", "SET GLOBAL max_connections = 1", 1227, id="a writer can't change the server"),
    ],
)
def test_the_accounts_have_no_more_rights_than_their_work_needs(
    cluster: LiveCluster, user: str, statement: str, errno: int | None
) -> None:
    server, accounts = cluster.node("data1"), cluster.accounts
    with (
        pymysql.connect(
            host=server.address,
            port=server.mysql_port,
            user=accounts[f"{user}_user"],
            password=accounts[f"{user}_password"],
        ) as connection,
        connection.cursor() as cursor,
    ):
        if errno is None:
            cursor.execute(statement)
            assert cursor.fetchall() == ((None,),)
        else:
            with pytest.raises(pymysql.MySQLError) as refused:
                cursor.execute(statement)
            assert refused.value.args[0] == errno


def test_an_account_needs_its_password(cluster: LiveCluster) -> None:
    server = cluster.node("data1")
    for user in (*(f"gk_{name}" for name in GRANTS), "root", ""):
        with pytest.raises(pymysql.OperationalError) as refused:
            pymysql.connect(host=server.address, port=server.mysql_port, user=user, password="")
        assert refused.value.args[0] in {1045, 1698}


def test_secrets_are_readable_by_their_owner_only(cluster: LiveCluster) -> None:
    place = cluster.place
    for path in (place.accounts, place.private_key, place.cluster_file):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for server in cluster.description.nodes:
        assert stat.S_IMODE(Path(server.directory).stat().st_mode) == 0o700
        for process in nodes.processes_in(Path(server.directory)):
            command = Path(f"/proc/{process.pid}/cmdline").read_text()
            assert not any(secret in command for secret in cluster.accounts.values())


def test_root_is_not_what_the_nodes_run_as(cluster: LiveCluster) -> None:
    account = cluster.description.account
    assert account.uid != 0
    for server in cluster.description.nodes:
        found = nodes.processes_in(Path(server.directory))
        assert [Path(f"/proc/{process.pid}").stat().st_uid for process in found] == [account.uid] * 2


def _own_addresses() -> list[str]:
    found = {"127.0.0.1"}
    for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET):
        found.add(str(info[4][0]))
    return sorted(found)
