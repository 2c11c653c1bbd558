"""Data nodes that came to a running NDB cluster: a node group for them, and then their share of every table's rows.

See: https://dev.mysql.com/doc/refman/9.7/en/mysql-cluster-online-add-node.html
"""

from collections.abc import Callable
from typing import Final, Protocol

from deploy.host import Host, HostError
from deploy.roles import ndb_nodes
from deploy.roles.engine import quoted, unhex
from deploy.site import Site

_GROUP_TIMEOUT_S: Final = 120
# All rows of a table are looked at, and some are copied.
_MOVE_TIMEOUT_S: Final = 12 * 3600
# On how many data nodes each table has rows. In hexadecimal, because a name may have a tab or a line end.
_SPREAD: Final = (
    "SELECT HEX(fq_name), HEX(CONCAT(COUNT(DISTINCT node_id))) FROM ndbinfo.memory_per_fragment"
    " WHERE type = 'User table' GROUP BY fq_name"
)
# Tables whose partitions their maker gave are left as they were made.
_TABLES: Final = (
    "SELECT HEX(table_schema), HEX(table_name) FROM information_schema.tables WHERE engine = 'ndbcluster'"
    " AND table_schema != 'mysql' AND create_options NOT LIKE '%partitioned%' ORDER BY table_schema, table_name"
)


Ask = Callable[[Host, str], str]


class Sql(Protocol):
    """Runs SQL on a machine as its administrator."""

    def __call__(self, host: Host, script: str, *, timeout_s: float = ...) -> str:
        """The rows, tab-separated."""


def fill(site: Site, sql: Sql, ask: Ask) -> None:
    """Gives data nodes that have none a node group, and each of the tables its share on every group.

    `ask` is for SQL that changes nothing.

    Both look first, so that what was cut off is gone on with. Reads and writes go on; other DDL waits. Raises
    HostError.
    """
    manager = site.of("manager")[0]
    site.report(manager, "node groups", _group(site))
    moved = uneven(ask, manager, len(site.of("data")))
    for table in moved:
        site.say(manager.name, f"redistribution: {table}")
        # The room of rows that have left is given back for other tables' use.
        sql(manager, f"ALTER TABLE {table} ALGORITHM=INPLACE, REORGANIZE PARTITION", timeout_s=_MOVE_TIMEOUT_S)
        sql(manager, f"OPTIMIZE TABLE {table}", timeout_s=_MOVE_TIMEOUT_S)
    site.report(manager, "redistribution", (f"{len(moved)} tables",) if moved else ())


def uneven(ask: Ask, host: Host, nodes: int) -> list[str]:
    """The tables, quoted, that have rows on fewer than so many data nodes. Raises HostError."""
    spread = {name: int(count) for name, count in map(unhex, ask(host, _SPREAD).splitlines())}
    listed = map(unhex, ask(host, _TABLES).splitlines())
    return [quoted(schema, table) for schema, table in listed if spread.get(f"{schema}/def/{table}", nodes) < nodes]


def _group(site: Site) -> list[str]:
    """The node groups that were made, as the numbers of their nodes."""
    alone, size = ndb_nodes.without_group(site), site.cluster.copies
    made = [",".join(map(str, alone[at : at + size])) for at in range(0, len(alone), size)]
    for group in made:
        ndb_nodes.management(site, f"CREATE NODEGROUP {group}", timeout_s=_GROUP_TIMEOUT_S)
    if made and not site.of("manager")[0].is_dry and (left := ndb_nodes.without_group(site)):
        raise HostError(f"data nodes {', '.join(map(str, left))} have no node group, and none could be made for them")
    return made
