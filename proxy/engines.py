"""What differs between the engines, seen from the proxy: how a node is asked for its state, and what errors mean."""

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

ErrorClass = Literal["temporary", "timeout", "lost", "permanent"]


class Engine(msgspec.Struct, frozen=True):
    """`state_query` gives name and value rows; a node serves when each of `serving` has its value.

    `counted`: the names of two values; a node serves while the first is not 0, and its state is `first of second`.
    `plugin`: how its accounts prove who they are. `several_writers`: writes may go to any node when the preferred
    one is down. `ends_schema_changes`: DDL that takes too long may be ended. `temporary`: errors after which the
    statement had no effect and may be run again; all others are permanent. `catch_up`: the setting with which a session
    waits until its node has what others have committed; None where it always has. It is for a new session.
    """

    state_query: str | None
    serving: Mapping[str, str]
    several_writers: bool
    ends_schema_changes: bool
    temporary: frozenset[int]
    counted: tuple[str, str] | None = None
    plugin: str = "mysql_native_password"
    catch_up: str | None = None

    def judge(self, status: Mapping[str, str]) -> tuple[bool, str]:
        """Whether a node with this status may be used, and its state in the engine's own words."""
        if self.counted:
            ready, known = (status.get(name, "0") for name in self.counted)
            return ready.isdigit() and int(ready) > 0, f"{ready} of {known} data nodes"
        if not self.serving:
            return True, "running"
        unmet = [f"{name}={status.get(name, '?')}" for name, value in self.serving.items() if status.get(name) != value]
        return not unmet, ", ".join(unmet) or status.get("wsrep_local_state_comment", "running")


# InnoDB (MySQL 9 manual, 17.20.5, and MariaDB's error list): 1205 lock wait timeout, 1213 deadlock or, with Galera,
# certification failure: in autocommit the statement had no effect. 1020: record changed since last read, which
# MariaDB 10.11's innodb_snapshot_isolation answers (MDEV-35124).
_INNODB = frozenset({1020, 1205, 1213})
# 1047 (Galera): the node is not ready or not in the primary component, the statement was not begun.
_GALERA = _INNODB | {1047}

# NDB's own errors (storage/ndb/src/ndbapi/ndberror.cpp): 1297 has the temporary ones, resources and node failures
# alike; the transaction is aborted.
_NDB = frozenset({1205, 1213, 1297})
# In 1296, those after which nobody knows whether the transaction was committed.
_NDB_UNKNOWN = frozenset({4008, 4009, 4012, 4115})
_NDB_ERROR = 1296
_NDB_CODE = re.compile(r"error (\d+)")

# The statement ran into its time limit and was rolled back: 1969 (MariaDB, max_statement_time), 3024 (MySQL,
# max_execution_time), 1317 (KILL QUERY).
TIMEOUTS = frozenset({1317, 1969, 3024})

# The server ends the connection, and what became of the statement is not said: 1053 shutdown in progress, 1180 error
# during COMMIT (Galera: the node left the primary component while it committed), 1927 connection killed (MariaDB).
LOST = frozenset({1053, 1180, 1927})

ENGINES: dict[str, Engine] = {
    "galera": Engine(
        state_query=(
            "SHOW GLOBAL STATUS WHERE Variable_name IN"
            " ('wsrep_ready', 'wsrep_cluster_status', 'wsrep_local_state_comment')"
        ),
        serving={"wsrep_ready": "ON", "wsrep_cluster_status": "Primary", "wsrep_local_state_comment": "Synced"},
        several_writers=True,
        # Galera sends DDL to all nodes before it begins (total order isolation). Ended on the node that got it, by its
        # time limit, it goes on at the others: measured with MariaDB 10.11.19, a column on three nodes of four.
        ends_schema_changes=False,
        temporary=_GALERA,
        # Before reads (1), UPDATE and DELETE (2), INSERT and REPLACE (4). It has no effect in a session that was reset:
        # MariaDB 10.11.19, tried; https://github.com/mariadb-corporation/galera/issues/613 has it of COM_CHANGE_USER.
        catch_up="SESSION wsrep_sync_wait = 7",
    ),
    "ndb": Engine(
        state_query=(
            "SHOW GLOBAL STATUS WHERE Variable_name IN ('Ndb_number_of_ready_data_nodes', 'Ndb_number_of_data_nodes')"
        ),
        serving={},
        several_writers=True,
        # A schema change goes to all SQL nodes, and holds the cluster's schema lock: it is left to end by itself.
        ends_schema_changes=False,
        temporary=_NDB,
        plugin="caching_sha2_password",
        counted=("Ndb_number_of_ready_data_nodes", "Ndb_number_of_data_nodes"),
    ),
    "standalone": Engine(
        state_query=None, serving={}, several_writers=False, ends_schema_changes=True, temporary=_INNODB
    ),
}


def error_class(engine: Engine, errno: int, text: str = "") -> ErrorClass:
    """What an error of the server, with its text, means for the statement that got it."""
    if errno == _NDB_ERROR and (code := _NDB_CODE.search(text)) and int(code[1]) in _NDB_UNKNOWN:
        return "lost"
    if errno in TIMEOUTS:
        return "timeout"
    if errno in LOST:
        return "lost"
    return "temporary" if errno in engine.temporary else "permanent"
