"""MySQL NDB Cluster: config.ini, the SQL nodes' options, the accounts. Text and values only.

See: https://dev.mysql.com/doc/refman/9.7/en/mysql-cluster-ndbd-definition.html
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from deploy.engines import own_schema
from deploy.engines.mariadb import GRANTS, SERVER_OPTIONS, Accounts, grant_pattern

MANAGEMENT_PORT: Final = 1186
SERVER_PORT: Final = 11860
# Node ids: a data node's is its number (1 to 144 are allowed), the others follow far behind.
MANAGEMENT_ID: Final = 145
_FIRST_SQL_ID: Final = 150
_FIRST_TOOL_ID: Final = 200
# ndbmtd's own needs beside DataMemory, and mysqld's: measured on 9.7.2 with the options below, see docs/operations.md.
_NDBMTD_BYTES: Final = 720 << 20
_MYSQLD_BYTES: Final = 320 << 20
_CHECKSUM_MODULUS: Final = 2**63
_LEAST_DATA_BYTES: Final = 96 << 20


class NotEnoughMemory(ValueError):
    """A machine is too small for a data node."""


class Node(msgspec.Struct, frozen=True):
    """A machine of the cluster: its number among the data nodes, 0 for the manager, and its private address."""

    number: int
    address: str

    @property
    def sql_id(self) -> int:
        """The node id of its SQL node."""
        return _FIRST_SQL_ID + self.number

    @property
    def tool_id(self) -> int:
        """The node id that ndb_restore and its like take on it."""
        return _FIRST_TOOL_ID + self.number


def data_memory(memory: int) -> int:
    """Bytes of DataMemory on a machine with so much memory: what the processes leave, less a tenth for the system.

    Raises NotEnoughMemory.
    """
    left = int(memory * 0.9) - _NDBMTD_BYTES - _MYSQLD_BYTES
    if left < _LEAST_DATA_BYTES:
        need = (_LEAST_DATA_BYTES + _NDBMTD_BYTES + _MYSQLD_BYTES) / 0.9
        raise NotEnoughMemory(f"a data node needs {need / 2**20:.0f} MiB of memory; the machine has {memory >> 20}")
    return left // 2**20 * 2**20


def config_ini(nodes: Sequence[Node], *, copies: int, memory: int, cores: int, directory: str) -> str:
    """The management server's config.ini. `memory` and `cores`: of the smallest data node; `directory`: for all data.

    SQL nodes may decide which half goes on where the management server, which else does, is lost (ArbitrationRank).
    Ports are fixed so that a firewall can name them. A transaction that does nothing for 60 s is ended, so that a
    client that vanished keeps no locks. TLS between all nodes is required.
    """
    data = data_memory(memory)
    threads = f"NumCPUs={cores}" if cores >= 4 else "MaxNoOfExecutionThreads=2"
    text = f"""\
[ndbd default]
NoOfReplicas={copies}
DataDir={directory}
DataMemory={data >> 20}M
SharedGlobalMemory=32M
ServerPort={SERVER_PORT}
AutomaticThreadConfig={int(cores >= 4)}
{threads}
NoOfFragmentLogFiles={max(4, min(16, data >> 26))}
FragmentLogFileSize=16M
MaxNoOfConcurrentOperations=65536
MaxNoOfAttributes=10000
MaxNoOfTables=1024
MaxNoOfOrderedIndexes=1024
MaxNoOfUniqueHashIndexes=512
TransactionInactiveTimeout=60000
RequireCertificate=true
RequireTls=true

[ndb_mgmd default]
RequireCertificate=true
RequireTls=true

[ndb_mgmd]
NodeId={MANAGEMENT_ID}
HostName={_manager(nodes).address}
PortNumber={MANAGEMENT_PORT}
DataDir={directory}
"""
    for node in nodes:
        if node.number:
            text += f"\n[ndbd]\nNodeId={node.number}\nHostName={node.address}\n"
    for node in nodes:
        text += f"\n[mysqld]\nNodeId={node.sql_id}\nHostName={node.address}\nArbitrationRank=2\n"
        text += f"\n[api]\nNodeId={node.tool_id}\nHostName={node.address}\n"
    return text


def connect_string(nodes: Sequence[Node]) -> str:
    """Where the management server is."""
    return f"{_manager(nodes).address}:{MANAGEMENT_PORT}"


def sql_options(*, memory: int, directory: str, tls: str, node: Node | None, manager: str) -> Mapping[str, str | int]:
    """The options of an SQL node; with no `node` those of the stand-alone server, whose InnoDB gets half the memory."""
    common: dict[str, str | int] = {
        "datadir": directory,
        "socket": "/run/gk-mysql/mysqld.sock",
        "pid_file": "/run/gk-mysql/mysqld.pid",
        "port": 3306,
        "bind_address": "127.0.0.1",
        "mysqlx": "OFF",
        **SERVER_OPTIONS,
        "secure_file_priv": "NULL",
        "performance_schema": "OFF",
        "skip_log_bin": "",
    }
    if node is None:
        return common | {"innodb_buffer_pool_size": f"{max(64, memory // 2 >> 20)}M"}
    return common | {
        "ndbcluster": "",
        "ndb_connectstring": manager,
        "ndb_nodeid": node.sql_id,
        "ndb_tls_search_path": tls,
        "ndb_mgm_tls": "strict",
        "default_storage_engine": "ndbcluster",
        "innodb_buffer_pool_size": "64M",
    }


def account_statements(accounts: Accounts, schemas: Iterable[str], *, stored: bool) -> list[str]:
    """What makes the application's accounts, or changes their passwords, with rights on the schemas; and own tables.

    `stored`: kept in the cluster, so that every SQL node knows them at once (NDB_STORED_USER). Raises ValueError for
    a schema's name that is not a plain one.
    """
    members = msgspec.structs.asdict(accounts)
    patterns = [grant_pattern(schema) for schema in schemas]
    statements = [*own_schema.table_statements("NDBCLUSTER" if stored else "InnoDB")]
    for name, grant in GRANTS.items():
        user = f"'{members[f'{name}_user']}'@'127.0.0.1'"
        by = f"IDENTIFIED BY '{members[f'{name}_password']}'"
        statements += [
            f"CREATE USER IF NOT EXISTS {user} {by}",
            f"ALTER USER {user} {by} WITH MAX_USER_CONNECTIONS {grant.connections}",
            f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {user}",
            *(f"GRANT {grant.rights} ON {pattern}.* TO {user}" for pattern in patterns if grant.rights),
            *own_schema.grant_statements(name, user),
            *([f"GRANT NDB_STORED_USER ON *.* TO {user}"] if stored else []),
        ]
    return statements


def checksum_statement(table: str, columns: Sequence[tuple[str, str]]) -> str:
    """Asks for a number that rows make whatever their order is. `columns`: quoted names and their data types.

    CHECKSUM TABLE is of no use here: after a redistribution with 9.7.2 four tables of the sample had another one with
    as many rows, all of them with columns that may be NULL (2026-11-28). Likely it takes what lies in the buffer where
    a NULL is, left over from the row before, so that it depends on the order in which rows come. Not MD5: MySQL 9.7 has
    it no longer, takes it for a stored function, and says "No database selected".
    """
    # As text a FLOAT would lose digits.
    values = [f"{name} + 0e0" if kind == "float" else name for name, kind in columns]
    row = ", ".join(f"COALESCE(SHA2({value}, 256), '-')" for value in values)
    digest = f"CAST(CONV(LEFT(SHA2(CONCAT({row}), 256), 15), 16, 10) AS UNSIGNED)"
    return f"SELECT COALESCE(SUM({digest}), 0) % {_CHECKSUM_MODULUS} FROM {table}"  # noqa: S608 - quoted names


def _manager(nodes: Sequence[Node]) -> Node:
    return next(node for node in nodes if not node.number)
