"""The tables of the application's schemas, as every SQL node of the cluster sees them: engine, copies, content."""

from typing import Final

from deploy.checks.failed import CheckFailed
from deploy.host import Host
from deploy.providers.interface import Say
from deploy.roles.engine import MachineEngine
from deploy.site import Site, on_each

_ENGINES: Final = {"ndb": "ndbcluster", "galera": "InnoDB"}
_TABLES: Final = (
    "SELECT table_schema, table_name, engine FROM information_schema.tables"
    " WHERE table_type = 'BASE TABLE' AND table_schema IN ({schemas}) ORDER BY 1, 2"
)
# Each partition's copies, as the data nodes have them:
# https://dev.mysql.com/doc/refman/9.7/en/mysql-cluster-ndbinfo-table-fragments.html
_COPIES: Final = (
    "SELECT DISTINCT f.num_alive_replicas FROM ndbinfo.dictionary_tables t"
    " JOIN ndbinfo.table_fragments f USING (table_id) WHERE t.database_name IN ({schemas})"
)
_COPIES_OF_GALERA: Final = (
    "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'wsrep_cluster_size'"
)
_CHECKSUM_TIMEOUT_S: Final = 300.0


def check(site: Site, engine: MachineEngine, say: Say) -> None:
    """Raises CheckFailed when a node sees other tables, rows, engines or numbers of copies than it should."""
    kind = site.cluster.engine
    copies = site.cluster.copies if kind == "ndb" else len(site.nodes)
    query = _COPIES if kind == "ndb" else _COPIES_OF_GALERA
    seen = on_each(site.nodes, lambda host: _checksums(site, engine, host))
    for host in site.nodes:
        there = engine.sql(host, query.format(schemas=_listed(site))).split()
        if there != [str(copies)]:
            raise CheckFailed(f"{host.name}: its tables have {' or '.join(there) or 'no'} copies, not {copies}")
        if seen[host.name] != seen[site.nodes[0].name]:
            raise CheckFailed(f"{host.name} sees other rows than {site.nodes[0].name}")
    tables = len(seen[site.nodes[0].name])
    say("tables", f"{tables} of {_ENGINES[kind]}, {copies} copies, equal checksums from {len(site.nodes)} SQL nodes")


def _checksums(site: Site, engine: MachineEngine, host: Host) -> list[str]:
    """A line for each table."""
    told = engine.sql(host, _TABLES.format(schemas=_listed(site)))
    rows = [line.split("\t") for line in told.splitlines() if line]
    wanted = _ENGINES[site.cluster.engine]
    if odd := [f"{schema}.{table} ({kind})" for schema, table, kind in rows if kind != wanted]:
        raise CheckFailed(f"{host.name}: of another engine than {wanted} are {', '.join(odd)}")
    if not rows:
        raise CheckFailed(f"{host.name} sees no table")
    names = ", ".join(f"`{schema}`.`{table}`" for schema, table, _ in rows)
    return engine.sql(host, f"CHECKSUM TABLE {names}", timeout_s=_CHECKSUM_TIMEOUT_S).splitlines()


def _listed(site: Site) -> str:
    return ", ".join(f"'{schema}'" for schema in site.cluster.schemas)
