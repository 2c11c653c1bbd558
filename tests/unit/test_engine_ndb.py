"""MySQL NDB Cluster's texts: config.ini, the SQL nodes' options, the accounts' statements."""

import configparser
import re

import pytest

from deploy.engines import ndb
from deploy.engines.mariadb import new_accounts
from deploy.engines.ndb import Node, NotEnoughMemory

GIB = 1 << 30
NODES = [Node(0, "10.0.0.9"), Node(1, "10.0.0.1"), Node(2, "10.0.0.2"), Node(3, "10.0.0.3")]


def config(memory: int = 4 * GIB, cores: int = 2) -> str:
    return ndb.config_ini(NODES, copies=3, memory=memory, cores=cores, directory="/var/lib/mysql-cluster")


def sections(text: str) -> list[tuple[str, dict[str, str]]]:
    """The sections in order: config.ini repeats their names."""
    found = []
    for part in re.split(r"^(?=\[)", text, flags=re.MULTILINE)[1:]:
        parser = configparser.ConfigParser()
        parser.optionxform = str  # type: ignore[assignment, method-assign]  # as typeshed's own example has it
        parser.read_string(part)
        name = parser.sections()[0]
        found.append((name, dict(parser[name])))
    return found


def test_every_node_has_an_id_of_its_own_and_its_address() -> None:
    nodes = [(kind, values) for kind, values in sections(config()) if "NodeId" in values]
    assert [(kind, values["HostName"]) for kind, values in nodes] == [
        ("ndb_mgmd", "10.0.0.9"),
        *[("ndbd", f"10.0.0.{number}") for number in (1, 2, 3)],
        *[(kind, node.address) for node in NODES for kind in ("mysqld", "api")],
    ]
    ids = [int(values["NodeId"]) for _, values in nodes]
    assert len(set(ids)) == len(ids)
    assert [int(values["NodeId"]) for kind, values in nodes if kind == "ndbd"] == [1, 2, 3]


def test_a_data_nodes_ids_stay_when_others_come() -> None:
    more = [*NODES, Node(4, "10.0.0.4")]
    text = ndb.config_ini(more, copies=2, memory=4 * GIB, cores=2, directory="/d")
    known = [section for section in sections(config()) if "NodeId" in section[1] and section[0] != "ndb_mgmd"]
    assert [section for section in known if section not in sections(text)] == []


def test_ids_are_within_what_ndb_allows() -> None:
    """Data nodes 1 to 144, all 1 to 255: "NodeId" in the manual's mysql-cluster-ndbd-definition and -api-definition."""
    last = Node(48, "10.0.0.48")
    assert 144 < ndb.MANAGEMENT_ID < Node(0, "").sql_id
    assert last.sql_id < Node(0, "").tool_id
    assert last.tool_id <= 255


def test_ports_are_fixed_and_tls_is_required_of_every_node() -> None:
    by_kind = dict(sections(config())[:3])
    assert by_kind["ndbd default"]["ServerPort"] == "11860"
    assert by_kind["ndb_mgmd"]["PortNumber"] == "1186"
    for kind in ("ndbd default", "ndb_mgmd default"):
        assert by_kind[kind]["RequireTls"] == "true"
        assert by_kind[kind]["RequireCertificate"] == "true"


def test_copies_are_as_asked() -> None:
    assert dict(sections(config())[:1])["ndbd default"]["NoOfReplicas"] == "3"


@pytest.mark.parametrize(
    ("cores", "members"),
    [
        (1, {"AutomaticThreadConfig": "0", "MaxNoOfExecutionThreads": "2"}),
        (2, {"AutomaticThreadConfig": "0", "MaxNoOfExecutionThreads": "2"}),
        (4, {"AutomaticThreadConfig": "1", "NumCPUs": "4"}),
        (32, {"AutomaticThreadConfig": "1", "NumCPUs": "32"}),
    ],
)
def test_threads_are_as_many_as_the_cores_allow(cores: int, members: dict[str, str]) -> None:
    default = dict(sections(config(cores=cores))[:1])["ndbd default"]
    assert {name: default[name] for name in members} == members


@pytest.mark.parametrize("memory", [int(1.5 * GIB), 2 * GIB, 16 * GIB, 512 * GIB])
def test_data_memory_leaves_room_for_the_processes_and_the_system(memory: int) -> None:
    data = ndb.data_memory(memory)
    assert data % (1 << 20) == 0
    assert memory - data >= memory / 10 + (1 << 30)
    assert f"DataMemory={data >> 20}M\n" in config(memory=memory)


def test_a_machine_that_is_too_small_is_refused_with_what_is_needed() -> None:
    with pytest.raises(NotEnoughMemory, match=r"^a data node needs 1262 MiB of memory; the machine has 1024$"):
        config(memory=GIB)
    assert ndb.data_memory(1263 << 20) == 96 << 20


def options(node: Node | None = NODES[1]) -> dict[str, str | int]:
    return dict(ndb.sql_options(memory=4 * GIB, directory="/d", tls="/tls", node=node, manager="10.0.0.9:1186"))


@pytest.mark.parametrize("node", [None, NODES[0], NODES[1]], ids=["stand-alone", "manager", "data node"])
def test_sql_is_on_loopback_only_and_there_is_no_way_from_it_to_files(node: Node | None) -> None:
    found = options(node)
    assert found["bind_address"] == "127.0.0.1"
    assert (found["mysqlx"], found["local_infile"], found["secure_file_priv"]) == ("OFF", "OFF", "NULL")
    assert "ANSI_QUOTES" not in str(found["sql_mode"])
    assert "NO_BACKSLASH_ESCAPES" not in str(found["sql_mode"])


def test_an_sql_node_joins_with_its_own_id_by_tls_and_makes_ndb_tables() -> None:
    found = options()
    assert found["ndb_nodeid"] == NODES[1].sql_id
    assert found["ndb_mgm_tls"] == "strict"
    assert found["default_storage_engine"] == "ndbcluster"


def test_the_stand_alone_server_knows_nothing_of_the_cluster_and_has_half_of_the_memory_for_pages() -> None:
    found = options(None)
    assert [name for name in found if "ndb" in name] == []
    assert found["innodb_buffer_pool_size"] == "2048M"


@pytest.mark.parametrize("stored", [True, False])
def test_accounts_are_made_from_loopback_with_no_rights_but_the_schemas_and_the_cluster_keeps_them(
    *, stored: bool
) -> None:
    statements = ndb.account_statements(new_accounts(), ["rental", "a_b"], stored=stored)
    kept = [statement for statement in statements if "NDB_STORED_USER" in statement]
    assert kept == ([f"GRANT NDB_STORED_USER ON *.* TO 'gk_{name}'@'127.0.0.1'" for name in _EFFECTS] if stored else [])
    assert "GRANT SELECT ON `a\\_b`.* TO 'gk_reader'@'127.0.0.1'" in statements
    assert {statement.partition(" TO ")[0].split(" ON ")[1] for statement in statements if " TO " in statement} == {
        "`rental`.*",
        "`a\\_b`.*",
        "`gatekeeper`.`ledger`",
        "`gatekeeper`.`requests`",
        "`gatekeeper`.`results`",
        "`gatekeeper`.`webhooks`",
        "`gatekeeper`.`kept`",
        *(["*.*"] if stored else []),
    }
    assert all("@'127.0.0.1'" in statement for statement in statements if "USER" in statement or "GRANT" in statement)
    assert statements[1].endswith("ENGINE=NDBCLUSTER" if stored else "ENGINE=InnoDB")


_EFFECTS = ("reader", "writer", "caller", "builder", "queue")


def test_rights_that_an_account_no_longer_has_are_taken_before_the_others_are_given() -> None:
    statements = [text.split()[0] for text in ndb.account_statements(new_accounts(), ["rental"], stored=True)]
    reader, writer = ["CREATE", "ALTER", "REVOKE", "GRANT", "GRANT"], ["CREATE", "ALTER", "REVOKE", *["GRANT"] * 3]
    queue = ["CREATE", "ALTER", "REVOKE", *["GRANT"] * 5]  # four own tables
    assert statements == [*["CREATE"] * 6, *reader, *writer, *reader, *reader, *queue]


@pytest.mark.parametrize("schema", ["a`b", "", "a b", "a.b", "a'b", "a\\b"])
def test_a_schema_whose_name_is_not_plain_gets_no_account(schema: str) -> None:
    with pytest.raises(ValueError, match="can't be a schema"):
        ndb.account_statements(new_accounts(), [schema], stored=True)


def test_a_checksum_is_a_sum_over_rows_so_that_their_order_does_not_matter_and_tells_null_from_text() -> None:
    statement = ndb.checksum_statement("`s`.`t`", [("`a`", "int"), ("`b``c`", "float")])
    row = "CONCAT(COALESCE(SHA2(`a`, 256), '-'), COALESCE(SHA2(`b``c` + 0e0, 256), '-'))"
    assert f"SUM(CAST(CONV(LEFT(SHA2({row}, 256), 15), 16, 10) AS UNSIGNED))" in statement
    assert statement.endswith("FROM `s`.`t`")


def test_a_checksum_fits_the_manifest_whatever_the_number_of_rows() -> None:
    assert f"% {2**63} FROM" in ndb.checksum_statement("`t`", [("`a`", "int")])
