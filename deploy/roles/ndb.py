"""MySQL NDB Cluster on machines: a management server and an SQL node on the manager, a data node and an SQL node each.

The stand-alone server is the same mysqld with InnoDB. All of it runs as the account `mysql`, from the vendor's archive.
"""

import hashlib
import re
import shlex
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from deploy import steps
from deploy.cluster import ClusterError
from deploy.engines import ndb
from deploy.engines.mariadb import Accounts
from deploy.host import Host
from deploy.roles import ndb_growth, ndb_nodes, ndb_tls, ndb_units, tarball
from deploy.roles.engine import DUMP_OPTIONS, READ_ONLY, Drained, options_text, quoted, resources, unhex, wait_for
from deploy.site import Site, on_each

_ACCOUNT: Final = "mysql"
SETTINGS: Final = "/etc/mysql-cluster"
DATA: Final = "/var/lib/mysql-cluster"
SQL_DATA: Final = "/var/lib/gk-mysql"
_CONFIG: Final = f"{SETTINGS}/config.ini"
_OPTIONS: Final = f"{SETTINGS}/my.cnf"
_ADMINISTRATOR: Final = f"{SETTINGS}/root.cnf"
# Left to itself, the client takes names that are not ASCII for latin1.
_CLIENT: Final = f"{tarball.PROGRAMS}/mysql --defaults-file={_ADMINISTRATOR} --default-character-set=utf8mb4"
_ROWS: Final = "--batch --skip-column-names"
_COLUMNS: Final = (
    "SELECT HEX(table_schema), HEX(table_name), HEX(column_name), HEX(data_type) FROM information_schema.columns"
    " ORDER BY table_schema, table_name, ordinal_position"
)
_READY: Final = "SHOW GLOBAL STATUS LIKE 'Ndb_number_of%data_nodes'"
_ASKING: Final = f'{tarball.PROGRAMS}/mysql --defaults-file={_ADMINISTRATOR} -NBe "{_READY}"'


class Ndb:
    """The engine `ndb` on machines."""

    full_text = False

    def install(self, site: Site, drained: Drained) -> None:
        """The archive, certificates and options everywhere; then management server, data nodes and SQL nodes run."""
        assert site.cluster.ndb is not None, "cluster.checked() asks for it"
        tarball.check(site.cluster.ndb)
        _check_copies(site)
        on_each(site.servers, lambda host: self._software(site, host))
        on_each(site.servers, lambda host: self._files(site, host))
        ndb_tls.install(site)
        on_each(site.servers, lambda host: self._options(site, host))
        self._run(site, drained)
        manager = site.of("manager")[0]
        if self._is_silent(manager) or (manager.is_dry and not ndb_nodes.is_answering(site)):
            site.report(manager, "node groups and redistribution", ("what is missing when the servers run",))
        else:
            ndb_growth.fill(site, self.sql, self.ask)

    def sql(self, host: Host, script: str, *, timeout_s: float = 120.0) -> str:
        """Runs SQL as root, whose password is the server's own and root's alone on the machine."""
        return host.sudo(f"{_CLIENT} {_ROWS}", given=script.encode(), timeout_s=timeout_s)

    def ask(self, host: Host, script: str) -> str:
        """The same for SQL that changes nothing, in a session that is READ ONLY."""
        return host.look(f"{_CLIENT} {_ROWS} --init-command='{READ_ONLY}'", given=script.encode())

    def account_statements(self, host: Host, accounts: Accounts, schemas: Sequence[str]) -> list[str]:
        """What makes the application's accounts, which the cluster keeps for all its SQL nodes."""
        return ndb.account_statements(accounts, schemas, stored=host.machine.role != "standalone")

    def state(self, host: Host) -> str:
        """How many data nodes this SQL node sees, as `3 of 3 data nodes`; `Running` of the stand-alone; `stopped`."""
        told = host.look(f"{_ASKING} || echo stopped", new="stopped", timeout_s=30)
        if "stopped" in told.split():
            return "stopped"
        if host.machine.role == "standalone":
            return "Running"
        status = dict(line.split("\t", 1) for line in told.splitlines() if "\t" in line)
        ready, known = status.get("Ndb_number_of_ready_data_nodes", "0"), status.get("Ndb_number_of_data_nodes", "0")
        return f"{ready} of {known} data nodes"

    def is_ready(self, state: str) -> bool:
        """Whether the SQL node sees a data node that is ready."""
        return state == "Running" or bool(re.match(r"[1-9]\d* of ", state))

    def is_whole(self, state: str) -> bool:
        """Whether the SQL node sees all data nodes ready."""
        seen = re.match(r"([1-9]\d*) of (\d+) ", state)
        return state == "Running" or bool(seen and seen[1] == seen[2])

    def units(self, role: str) -> tuple[str, ...]:
        """The SQL node's unit, and that of the data node or management server beside it."""
        beside = {"manager": (ndb_units.MANAGEMENT,), "data": (ndb_units.DATA_NODE,)}
        return (ndb_units.SQL, *beside.get(role, ()))

    def dump(self, schemas: Sequence[str]) -> str:
        """mysqldump: NDB has no snapshot for it, so each table is of its own moment. Routines, triggers, events too."""
        return (
            f"{tarball.PROGRAMS}/mysqldump --defaults-file={_ADMINISTRATOR} {DUMP_OPTIONS}"
            f" --no-tablespaces --set-gtid-purged=OFF --databases {shlex.join(schemas)}"
        )

    def checksum_statements(self, host: Host, tables: Sequence[tuple[str, str]]) -> list[str]:
        """A sum over the rows' digests: CHECKSUM TABLE depends on the order of NDB's rows."""
        columns: dict[tuple[str, str], list[tuple[str, str]]] = {table: [] for table in tables}
        for schema, table, column, kind in map(unhex, self.sql(host, _COLUMNS).splitlines()):
            if (schema, table) in columns:
                columns[schema, table].append((quoted(column), kind))
        return [ndb.checksum_statement(quoted(*table), found) for table, found in columns.items()]

    def load(self) -> str:
        """The client, as root."""
        return _CLIENT

    def rotate_certificates(self, site: Site, drained: Drained) -> None:
        """New ones for all nodes, taken up by restarts, one after the other. What was cut off, `install` completes."""
        ndb_tls.renew(site)
        self._run(site, drained)

    def certificate_end(self, host: Host) -> datetime | None:
        """When the first of the machine's certificates for the traffic among nodes ends."""
        return ndb_tls.end(host)

    def upgrade(self, site: Site, drained: Drained) -> None:
        """Nothing beyond `install`, which switches to the archive that is described, one node at a time."""

    def version(self, host: Host) -> str:
        """The server's version."""
        return self.ask(host, "SELECT VERSION()").strip()

    def restart(self, site: Site, host: Host) -> None:
        """The data node, then the SQL node; the manager's management server first."""
        if host.machine.role == "manager":
            host.sudo(f"systemctl restart {ndb_units.MANAGEMENT}", timeout_s=ndb_nodes.START_TIMEOUT_S)
            ndb_nodes.wait_for_management(site)
        if host.machine.role == "data":
            self._restart_data_node(site, host)
        self._restart_sql(host)
        site.say(host.name, "restarted and in step")

    def _software(self, site: Site, host: Host) -> None:
        archive = site.cluster.ndb
        assert archive is not None
        site.report(host, "packages", steps.packages(host, tarball.PACKAGES))
        steps.account(host, _ACCOUNT, home="/nonexistent")
        site.report(host, "archive", (archive.sha256[:16],) if tarball.put(host, archive) else ())
        tarball.switch(host, archive)

    def _files(self, site: Site, host: Host) -> None:
        """Directories, and the administrator's password: the machine's own, derived from the cluster's secret."""
        password = _password(site, host)
        mine = f"{_ACCOUNT}:{_ACCOUNT}"
        wanted: list[steps.Entry] = [
            steps.Directory(SETTINGS, "0750", f"root:{_ACCOUNT}"),
            steps.Directory(SQL_DATA, "0700", mine),
            steps.Directory(DATA, "0700", mine),
            steps.File(
                _ADMINISTRATOR,
                f"[client]\nuser=root\npassword={password}\nsocket=/run/gk-mysql/mysqld.sock\n".encode(),
                "0600",
            ),
        ]
        site.report(host, "files", steps.paths(host, wanted))

    def _options(self, site: Site, host: Host) -> None:
        """my.cnf everywhere, config.ini on every node: where the cluster's is newer than a process, it is restarted."""
        nodes = ndb_nodes.nodes(site)
        size = resources(host)
        node = ndb_nodes.node(host) if host.machine.role != "standalone" else None
        manager = ndb.connect_string(nodes) if node else ""
        options = ndb.sql_options(
            memory=size.memory, directory=SQL_DATA, tls=ndb_tls.DIRECTORY, node=node, manager=manager
        )
        wanted: list[steps.Entry] = [
            steps.File(_OPTIONS, options_text("mysqld", list(options.items())).encode(), "0640", f"root:{_ACCOUNT}")
        ]
        if node:
            smallest = [resources(other) for other in site.of("data")]
            text = ndb.config_ini(
                nodes,
                copies=site.cluster.copies,
                memory=min(each.memory for each in smallest),
                cores=min(each.cores for each in smallest),
                directory=DATA,
            )
            wanted.append(steps.File(_CONFIG, text.encode(), "0640", f"root:{_ACCOUNT}"))
        units = ndb_units.write(host, manager)
        site.report(host, "options", (*units, *steps.paths(host, wanted)))

    def _run(self, site: Site, drained: Drained) -> None:
        """Starts what does not run, and restarts in turn what runs with other options, certificates or programs.

        Data nodes that those which run do not know yet can join when all others have been told of them: the last.
        """
        self._management(site)
        new = ndb_nodes.unknown(site)
        self._data_nodes(site, [host for host in site.of("data") if host not in new])
        self._sql_nodes(site, drained, running=len(site.of("data")) - len(new))
        self._data_nodes(site, new)

    def _management(self, site: Site) -> None:
        host = site.of("manager")[0]
        stale = _is_stale(host, ndb_units.MANAGEMENT, _CONFIG)
        site.report(host, "management server", steps.service(host, ndb_units.MANAGEMENT, changed=stale))
        ndb_nodes.wait_for_management(site)

    def _data_nodes(self, site: Site, hosts: Sequence[Host]) -> None:
        """Starts those that do not run, all at once; then restarts in turn those that are stale."""
        started = on_each(hosts, lambda host: steps.service(host, ndb_units.DATA_NODE))
        for host in self._cut_off(site, hosts):
            self._restart_data_node(site, host)
        for host in hosts:
            ndb_nodes.wait_for_data_node(site, host)
        for host in hosts:
            stale = _is_stale(host, ndb_units.DATA_NODE, _CONFIG)
            if stale:
                self._restart_data_node(site, host)
            site.report(host, "data node", started[host.name] or stale)

    def _cut_off(self, site: Site, hosts: Sequence[Host]) -> list[Host]:
        """Those that look for a management server that is lost, and so are unknown to the one in its place."""
        stale = [host for host in hosts if _is_stale(host, ndb_units.DATA_NODE, _CONFIG)]
        return [host for host in stale if not ndb_nodes.is_seen(site, host)]

    def _sql_nodes(self, site: Site, drained: Drained, running: int) -> None:
        """Starts those that do not run; then restarts in turn those that are stale, or do not see what runs."""
        on_each(site.servers, lambda host: self._first_time(site, host))
        started = on_each(site.servers, lambda host: steps.service(host, ndb_units.SQL))
        on_each(site.servers, self._wait_for_sql)
        for host in site.servers:
            stale = _is_stale(host, ndb_units.SQL, _OPTIONS) or not self._knows_all(site, host, running)
            if stale:
                with drained(host):
                    self._restart_sql(host)
            site.report(host, "sql node", started[host.name] or stale)

    def _knows_all(self, site: Site, host: Host, running: int) -> bool:
        """Whether the SQL node was started since the last data node came into the configuration, or got a new address.

        One that connects just now has some seconds.
        """
        if host.machine.role == "standalone":
            return True
        if self._is_silent(host):
            return False
        known = self.ask(host, "SHOW GLOBAL STATUS LIKE 'Ndb_number_of_data_nodes'").split()[-1:]
        return known == [str(len(site.of("data")))] and ndb_nodes.sees(host, _ASKING, running)

    def _is_silent(self, host: Host) -> bool:
        """Whether this is a dry run, which started nothing, and the SQL node can't be asked yet."""
        return host.is_dry and not self.is_ready(self.state(host))

    def _first_time(self, site: Site, host: Host) -> None:
        """Makes the data directory, with a root that has its password from the first moment on."""
        script = f"ALTER USER root@localhost IDENTIFIED BY '{_password(site, host)}';\n"
        host.sudo(
            f"[ ! -e {SQL_DATA}/mysql ] || exit 0; umask 077; cat >{SETTINGS}/first.sql;"
            f" trap 'rm -f {SETTINGS}/first.sql' EXIT; chown {_ACCOUNT} {SETTINGS}/first.sql;"
            f" rm -rf {SQL_DATA}/*; {tarball.PROGRAMS}/mysqld --defaults-file=/dev/null --initialize"
            f" --user={_ACCOUNT} --datadir={SQL_DATA} --init-file={SETTINGS}/first.sql --log-error-verbosity=1",
            given=script.encode(),
            timeout_s=ndb_nodes.START_TIMEOUT_S,
        )

    def _restart_data_node(self, site: Site, host: Host) -> None:
        host.sudo(f"systemctl restart {ndb_units.DATA_NODE}", timeout_s=ndb_nodes.START_TIMEOUT_S)
        ndb_nodes.wait_for_data_node(site, host)

    def _restart_sql(self, host: Host) -> None:
        host.sudo(f"systemctl restart {ndb_units.SQL}", timeout_s=ndb_nodes.START_TIMEOUT_S)
        self._wait_for_sql(host)

    def _wait_for_sql(self, host: Host) -> None:
        asking = f"{tarball.PROGRAMS}/mysql --defaults-file={_ADMINISTRATOR} -NBe '{_CONDITION[host.machine.role]}'"
        wait_for(host, f"{asking} 2>/dev/null | grep -q [1-9]", timeout_s=180, what="an answer", unit=ndb_units.SQL)


# What an SQL node that can serve answers with a digit other than 0.
_SEES = 'SHOW GLOBAL STATUS LIKE "Ndb_number_of_ready_data_nodes"'
_CONDITION: Final = {"standalone": "SELECT 1", "manager": _SEES, "data": _SEES}


def _check_copies(site: Site) -> None:
    """Raises ClusterError where the cluster runs with another number of copies than the one described."""
    told = site.of("manager")[0].look(f"grep '^NoOfReplicas=' {_CONFIG} 2>/dev/null || true").partition("=")[2]
    if told.strip() not in {"", str(site.cluster.copies)}:
        raise ClusterError(
            f"replicas can't become {site.cluster.copies} where the cluster has {told.strip()}: describe it with that,"
            " or fab backup, fab destroy, fab deploy, fab restore"
        )


def _is_stale(host: Host, unit: str, options: str) -> bool:
    read = [options, f"/etc/systemd/system/{unit}", f"{tarball.ROOT}/current"]
    return steps.is_stale(host, unit, [*read, *([ndb_tls.DIRECTORY] if host.machine.role != "standalone" else [])])


def _password(site: Site, host: Host) -> str:
    secret = (site.directory / "group-secret").read_bytes()
    return hashlib.blake2b(f"administrator of {host.name}".encode(), key=secret, digest_size=24).hexdigest()
