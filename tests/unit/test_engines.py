"""The engines' pure part: option files, the meaning of a status, positions, accounts."""

import tomllib

import msgspec
import pytest

from contract.messages import MAX_BODY_BYTES
from deploy import engines
from deploy.engines import mariadb
from deploy.engines.galera import Galera, provider_options
from deploy.engines.interface import Health, Position, Server, most_advanced
from deploy.engines.standalone import Standalone

HISTORY = "6b18dec2-e73d-11f1-b591-3618d684cea7"
PEERS = tuple(
    Server(name=name, role=role, address=f"127.0.0.{number}", directory=f"/nodes/{name}")
    for number, (name, role) in enumerate(Galera().layout, 11)
)


def options(text: str) -> dict[str, str]:
    """The options in an option file's only group."""
    group, *lines = text.splitlines()
    assert group == "[mariadbd]"
    return {name: value for name, _, value in (line.partition(" = ") for line in lines)}


def test_engines_are_found_by_name_and_an_unknown_one_is_answered_with_the_known() -> None:
    assert engines.engine("galera").name == "galera"
    with pytest.raises(engines.UnknownEngine, match="unknown engine 'ndbx'; known are galera, standalone"):
        engines.engine("ndbx")


@pytest.mark.parametrize("server", PEERS, ids=lambda server: server.name)
def test_every_port_of_a_galera_node_is_on_its_own_address(server: Server) -> None:
    found = options(Galera().configuration(server, PEERS, "group"))
    provider = dict(option.split("=", 1) for option in found["wsrep_provider_options"].strip('"').split(";"))
    assert found["bind_address"] == found["wsrep_node_address"] == provider["base_host"] == server.address
    assert provider["gmcast.listen_addr"] == f"tcp://{server.address}:4567"
    assert provider["ist.recv_addr"] == f"{server.address}:4568"
    assert found["wsrep_sst_receive_address"] == f"{server.address}:4444"


def test_galera_nodes_know_all_peers_and_the_manager_weighs_more() -> None:
    texts = [Galera().configuration(server, PEERS, "group") for server in PEERS]
    found = [options(text) for text in texts]
    assert {one["wsrep_cluster_address"] for one in found} == {
        "gcomm://127.0.0.11:4567,127.0.0.12:4567,127.0.0.13:4567,127.0.0.14:4567"
    }
    assert ["pc.weight=2" in text for text in texts] == [True, False, False, False]
    assert sorted(one["server_id"] for one in found) == ["1", "2", "3", "4"]


@pytest.mark.parametrize("nodes", range(3, 10))
def test_a_group_of_galera_outlives_each_of_its_nodes_and_no_halves_are_equal(nodes: int) -> None:
    """With more than half of the votes: https://galeracluster.com/library/documentation/weighted-quorum.html"""
    peers = [Server(name=f"n{number}", role="data", address="127.0.0.1", directory="") for number in range(1, nodes)]
    manager = Server(name="manager", role="manager", address="127.0.0.1", directory="")
    votes = [
        int(dict(option.split("=") for option in provider_options(server, nodes).split(";"))["pc.weight"])
        for server in (manager, *peers)
    ]
    assert all(2 * (sum(votes) - lost) > sum(votes) for lost in votes)
    assert sum(votes) % 2


@pytest.mark.parametrize("engine", [Galera(), Standalone()], ids=lambda engine: engine.name)
def test_servers_are_strict_and_give_no_way_to_files(engine: Galera | Standalone) -> None:
    found = options(engine.configuration(PEERS[0], PEERS, "group"))
    modes = set(found["sql_mode"].split(","))
    assert modes >= {"STRICT_TRANS_TABLES", "ERROR_FOR_DIVISION_BY_ZERO", "NO_ENGINE_SUBSTITUTION"}
    assert not modes & {"ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI"}
    assert (found["local_infile"], found["skip_name_resolve"], found["default_time_zone"]) == ("OFF", "ON", "+00:00")
    assert found["secure_file_priv"] == "/nodes/manager/files"


@pytest.mark.parametrize("engine", [Galera(), Standalone()])
def test_a_server_takes_the_largest_request_and_no_value_that_is_much_larger(engine: Galera | Standalone) -> None:
    """Each byte of a body may be two in a statement: a quote that is escaped, half a byte in hexadecimal."""
    allowed = int(options(engine.configuration(PEERS[0], PEERS, "group"))["max_allowed_packet"].removesuffix("M")) << 20
    assert 2 * MAX_BODY_BYTES < allowed <= 4 * MAX_BODY_BYTES


def galera_status(**changed: str) -> dict[str, str]:
    synced = {
        "wsrep_local_state_comment": "Synced",
        "wsrep_cluster_status": "Primary",
        "wsrep_cluster_size": "4",
        "wsrep_ready": "ON",
    }
    return {**synced, **changed}


@pytest.mark.parametrize(
    ("status", "health"),
    [
        pytest.param(galera_status(), Health(ready=True, state="Synced", size=4), id="synced"),
        pytest.param(
            galera_status(wsrep_local_state_comment="Donor/Desynced"),
            Health(ready=False, state="Donor/Desynced", size=4),
            id="a donor is not ready",
        ),
        pytest.param(
            galera_status(wsrep_cluster_status="non-Primary", wsrep_cluster_size="2"),
            Health(ready=False, state="non-Primary", size=0),
            id="without a majority",
        ),
        pytest.param(galera_status(wsrep_ready="OFF"), Health(ready=False, state="Synced", size=4), id="not ready yet"),
        pytest.param({}, Health(ready=False, state="non-Primary", size=0), id="no Galera at all"),
    ],
)
def test_a_galera_node_is_ready_when_it_is_synced_in_the_primary_component(
    status: dict[str, str], health: Health
) -> None:
    assert Galera().health(status) == health


@pytest.mark.parametrize(
    ("printed", "position"),
    [
        pytest.param(f"[Note] WSREP: Recovered position: {HISTORY}:42,0-1-7\n", Position(HISTORY, 42), id="a position"),
        pytest.param("[Note] WSREP: Recovered position: 00000000-0000-0000-0000-000000000000:-1", None, id="none"),
        pytest.param("[ERROR] Aborting", None, id="it failed"),
    ],
)
def test_the_recovered_position_is_read(printed: str, position: Position | None) -> None:
    assert Galera().recovered_position(printed) == position


def test_a_position_becomes_an_argument_and_only_the_first_node_makes_a_group() -> None:
    position = Position(HISTORY, 42)
    assert Galera().start_arguments(first=True, position=None) == ("--wsrep-new-cluster",)
    assert Galera().start_arguments(first=False, position=position) == (f"--wsrep_start_position={HISTORY}:42",)


def test_only_the_permission_to_start_the_cluster_changes_in_the_state_file() -> None:
    state = f"# GALERA saved state\nversion: 2.1\nuuid:    {HISTORY}\nseqno:   -1\nsafe_to_bootstrap: 0\n"
    assert Galera().may_start_cluster(state) == state.replace("bootstrap: 0", "bootstrap: 1")


@pytest.mark.parametrize(
    ("positions", "leader"),
    [
        pytest.param({"manager": Position(HISTORY, 7), "data1": Position(HISTORY, 9)}, "data1", id="who got furthest"),
        pytest.param({"manager": Position(HISTORY, 9), "data1": Position(HISTORY, 9)}, "manager", id="first of equals"),
        pytest.param({"manager": None, "data1": Position(HISTORY, 0)}, "data1", id="not one without a position"),
        pytest.param({"standalone": None}, "standalone", id="the only one"),
    ],
)
def test_the_most_advanced_node_leads(positions: dict[str, Position | None], leader: str) -> None:
    assert most_advanced(positions) == leader


def test_between_different_histories_nobody_is_chosen() -> None:
    with pytest.raises(ValueError, match="different histories"):
        most_advanced({"manager": Position(HISTORY, 7), "data1": Position(HISTORY.replace("6", "7"), 9)})


def test_a_password_reaches_the_server_as_the_hash_that_it_keeps() -> None:
    """As in MariaDB's documentation of PASSWORD()."""
    assert mariadb.password_hash("notagoodpwd") == "*3A70EE9FC6594F88CE9E959CD51C5A1C002DC937"


def test_accounts_get_rights_on_the_schemas_alone() -> None:
    accounts = mariadb.Accounts(
        "gk_reader", "r", "gk_writer", "w", "gk_caller", "c", "gk_builder", "b", "gk_queue", "q"
    )
    by = {password: f"IDENTIFIED BY PASSWORD '{mariadb.password_hash(password)}'" for password in "rwcbq"}
    schema, *rest = mariadb.account_statements(accounts, ["film_shop"])
    tables, statements = rest[:5], rest[5:]
    assert schema == "CREATE DATABASE IF NOT EXISTS `gatekeeper` CHARACTER SET utf8mb4"
    for name, table in zip(("ledger", "requests", "results", "webhooks", "kept"), tables, strict=True):
        assert table.startswith(f"CREATE TABLE IF NOT EXISTS `gatekeeper`.`{name}` (")
        assert table.endswith(") ENGINE=InnoDB")
    assert statements == [
        f"CREATE OR REPLACE USER 'gk_reader'@'127.0.0.1' {by['r']} WITH MAX_USER_CONNECTIONS 70",
        r"GRANT SELECT ON `film\_shop`.* TO 'gk_reader'@'127.0.0.1'",
        f"CREATE OR REPLACE USER 'gk_writer'@'127.0.0.1' {by['w']} WITH MAX_USER_CONNECTIONS 70",
        r"GRANT SELECT, INSERT, UPDATE, DELETE ON `film\_shop`.* TO 'gk_writer'@'127.0.0.1'",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON `gatekeeper`.`ledger` TO 'gk_writer'@'127.0.0.1'",
        f"CREATE OR REPLACE USER 'gk_caller'@'127.0.0.1' {by['c']} WITH MAX_USER_CONNECTIONS 20",
        r"GRANT SELECT, INSERT, UPDATE, DELETE, EXECUTE ON `film\_shop`.* TO 'gk_caller'@'127.0.0.1'",
        f"CREATE OR REPLACE USER 'gk_builder'@'127.0.0.1' {by['b']} WITH MAX_USER_CONNECTIONS 10",
        r"GRANT CREATE, ALTER, DROP, INDEX, REFERENCES, INSERT ON `film\_shop`.* TO 'gk_builder'@'127.0.0.1'",
        f"CREATE OR REPLACE USER 'gk_queue'@'127.0.0.1' {by['q']} WITH MAX_USER_CONNECTIONS 10",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON `gatekeeper`.`requests` TO 'gk_queue'@'127.0.0.1'",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON `gatekeeper`.`results` TO 'gk_queue'@'127.0.0.1'",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON `gatekeeper`.`webhooks` TO 'gk_queue'@'127.0.0.1'",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON `gatekeeper`.`kept` TO 'gk_queue'@'127.0.0.1'",
    ]


def test_the_accounts_leave_connections_for_the_administrator() -> None:
    assert sum(grant.connections for grant in mariadb.GRANTS.values()) <= mariadb.MAX_CONNECTIONS - 20


@pytest.mark.parametrize("schema", ["", "a`b", "%", "a.b", "a" * 65, "a\n", "Gatekeeper"])
def test_a_schema_that_would_widen_a_grant_is_refused(schema: str) -> None:
    with pytest.raises(ValueError, match="can't be a schema"):
        mariadb.account_statements(mariadb.new_accounts(), [schema])


def test_passwords_are_new_each_time_and_hidden_in_logs() -> None:
    one, other = mariadb.new_accounts(), mariadb.new_accounts()
    members = tomllib.loads(mariadb.accounts_file(one))
    assert list(members) == [f"{name}_{member}" for name in mariadb.GRANTS for member in ("user", "password")]
    assert members == msgspec.structs.asdict(one)
    passwords = {value for member, value in members.items() if member.endswith("_password")}
    assert len(passwords) == len(mariadb.GRANTS)
    assert passwords.isdisjoint(msgspec.structs.asdict(other).values())
    assert not any(password in repr(one) for password in passwords)
    assert members["caller_user"] == "gk_caller"


def test_an_accounts_file_of_an_earlier_version_gets_what_it_lacks_and_keeps_the_rest() -> None:
    old = {"reader_user": "gk_reader", "reader_password": "r", "writer_user": "mine", "writer_password": "w"}
    completed = mariadb.missing_accounts("".join(f'{name} = "{value}"\n' for name, value in old.items()))
    assert completed is not None
    assert old.items() <= msgspec.structs.asdict(completed).items()
    assert completed.builder_user == "gk_builder"
    assert mariadb.missing_accounts(mariadb.accounts_file(completed)) is None
