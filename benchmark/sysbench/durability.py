"""What a commit outlives, from the servers' own settings, side by side. Pure.

Sources: MySQL's and MariaDB's manuals on innodb_flush_log_at_trx_commit, sync_binlog and log_bin; Galera's
documentation on certification; MySQL's manual, "Defining NDB Cluster Data Nodes", TimeBetweenGlobalCheckpoints.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

# The variables that are recorded, of every server; those that a server does not have are left out by it.
VARIABLES: Final = (
    "version",
    "version_comment",
    "character_set_database",
    "default_storage_engine",
    "innodb_buffer_pool_size",
    "innodb_doublewrite",
    "innodb_flush_log_at_trx_commit",
    "innodb_flush_method",
    "innodb_io_capacity",
    "innodb_log_file_size",
    "innodb_redo_log_capacity",
    "innodb_use_native_aio",
    "log_bin",
    "max_connections",
    "ndb_cluster_connection_pool",
    "ndb_read_backup",
    "ndb_use_transactions",
    "performance_schema",
    "query_cache_type",
    "sync_binlog",
    "thread_handling",
    "transaction_isolation",
    "tx_isolation",
    "wsrep_on",
    "wsrep_slave_threads",
    "wsrep_sync_wait",
)
NDB_PARAMETERS: Final = (
    *("NoOfReplicas", "DataMemory", "TimeBetweenGlobalCheckpoints", "TimeBetweenEpochs", "Diskless", "RedoBuffer"),
    *("MaxNoOfExecutionThreads", "NoOfFragmentLogFiles", "FragmentLogFileSize", "RequireTls"),
)


class Durability(msgspec.Struct, frozen=True):
    """`level`: what two are compared by. `text`: what a commit outlives once the client knows of it."""

    level: str
    text: str


_INNODB: Final[Mapping[str, Durability]] = {
    "1": Durability("disk", "the log is on the server's disk: it outlives a power cut of that server"),
    "2": Durability("kernel", "the log is with the server's kernel: a power cut loses up to a second of commits"),
    "0": Durability("process", "the log is in the server's memory: a crash loses up to a second of commits"),
}


def of(variables: Mapping[str, str], ndb: Mapping[str, str] | None = None) -> Durability:
    """What a commit on a server with these settings outlives. `ndb`: the data nodes' parameters, for NDB's tables."""
    if ndb is not None:
        return _of_ndb(ndb)
    logged = _INNODB.get(variables.get("innodb_flush_log_at_trx_commit", ""))
    if logged is None:
        return Durability("unknown", "innodb_flush_log_at_trx_commit was not told")
    if variables.get("wsrep_on") == "ON":
        return Durability(
            f"{logged.level}, and the group",
            f"{logged.text}; every other node has received the transaction, in memory, and will apply it",
        )
    return logged


def _of_ndb(ndb: Mapping[str, str]) -> Durability:
    copies, milliseconds = ndb.get("NoOfReplicas", "?"), ndb.get("TimeBetweenGlobalCheckpoints", "?")
    return Durability(
        "memory of replicas",
        f"it is in the memory of {copies} data nodes and outlives the loss of all of these but one; when they are all"
        f" lost at once, what came after the last global checkpoint is gone (every {milliseconds} ms), because the"
        " redo log is flushed with it and not with the commit",
    )


def label(standalone: Durability, cluster: Durability) -> str:
    """What must stand with every comparison of the two."""
    if standalone.level == cluster.level:
        return f"Same durability: {standalone.text}."
    return (
        f"DIFFERENT DURABILITY. Stand-alone: {standalone.text}. Cluster: {cluster.text}."
        " Writes are compared as the products are set up here, not at the same promise."
    )
