"""MariaDB Galera on machines, and the stand-alone MariaDB beside it, from the distribution's packages."""

import hashlib
import shlex
from collections.abc import Sequence
from typing import Final

from deploy import steps
from deploy.engines import mariadb
from deploy.engines.galera import Galera as Texts
from deploy.engines.galera import provider_options
from deploy.engines.interface import Position, Server, most_advanced
from deploy.engines.mariadb import Accounts
from deploy.host import Host
from deploy.roles import newer
from deploy.roles.engine import DUMP_OPTIONS, READ_ONLY, Drained, options_text, quoted, resources, wait_for
from deploy.site import Site, on_each

PACKAGES: Final = ("mariadb-server",)
NODE_PACKAGES: Final = ("galera-4", "rsync")
_UNIT: Final = "mariadb.service"
_OPTIONS: Final = "/etc/mysql/mariadb.conf.d/90-gatekeeper.cnf"
_DROP_IN: Final = "mariadb.service.d/gatekeeper.conf"
_LIMITS: Final = f"{steps.UNITS}/{_DROP_IN}"
_PROVIDER: Final = "/usr/lib/galera/libgalera_smm.so"
_START_TIMEOUT_S: Final = 900
_JOIN_TIMEOUT_S: Final = 600

# A full transfer takes as long as it takes to copy the data.
_LIMITS_TEXT: Final = f"[Service]\nTimeoutStartSec={_START_TIMEOUT_S}\nTimeoutStopSec=120\nLimitNOFILE=65536\n"
_CLIENT: Final = "mariadb --batch --skip-column-names"
_STATE = "SHOW GLOBAL STATUS WHERE Variable_name LIKE 'wsrep%' OR Variable_name = 'Uptime'"
_IS_READY = "mariadb -NBe \"SHOW GLOBAL STATUS LIKE 'wsrep_local_state_comment'\" 2>/dev/null | grep -q Synced"
_ANSWERS = "mariadb -NBe 'SELECT 1' >/dev/null 2>&1"


class Galera:
    """The engine `galera` on machines."""

    full_text = True

    def __init__(self) -> None:
        self._texts = Texts()

    def install(self, site: Site, drained: Drained) -> None:
        """Packages and options everywhere, then a running group; a changed option restarts node after node."""
        on_each(site.servers, lambda host: self._configure(site, host))
        on_each(site.of("standalone"), lambda host: self._run_standalone(site, host))
        self._form(site)
        for host in site.nodes:
            if steps.is_stale(host, _UNIT, [_OPTIONS, _LIMITS]):
                with drained(host):
                    self.restart(site, host)

    def sql(self, host: Host, script: str, *, timeout_s: float = 120.0) -> str:
        """Runs SQL as root@localhost, whom the server knows by the socket's peer."""
        return host.sudo(_CLIENT, given=script.encode(), timeout_s=timeout_s)

    def ask(self, host: Host, script: str) -> str:
        """The same for SQL that changes nothing, in a session that is READ ONLY."""
        return host.look(f"{_CLIENT} --init-command='{READ_ONLY}'", given=script.encode())

    def account_statements(self, host: Host, accounts: Accounts, schemas: Sequence[str]) -> list[str]:  # noqa: ARG002 (interface)
        """What makes the application's accounts, on any server."""
        return mariadb.account_statements(accounts, schemas)

    def state(self, host: Host) -> str:
        """Galera's word (`Synced`, `Donor/Desynced`, `non-Primary`); `Running` of the stand-alone; `stopped`."""
        told = host.look(f'mariadb -NBe "{_STATE}" || true', timeout_s=30)
        status = dict(line.split("\t", 1) for line in told.splitlines() if "\t" in line)
        if "Uptime" not in status:
            return "stopped"
        return "Running" if host.machine.role == "standalone" else self._texts.health(status).state

    def is_ready(self, state: str) -> bool:
        """Synced, or the stand-alone's Running."""
        return state in {"Synced", "Running"}

    def is_whole(self, state: str) -> bool:
        """Synced: each node tells for itself."""
        return self.is_ready(state)

    def units(self, role: str) -> tuple[str, ...]:  # noqa: ARG002 (interface)
        """The server's unit, on every machine."""
        return (_UNIT,)

    def dump(self, schemas: Sequence[str]) -> str:
        """mariadb-dump of one moment (InnoDB's snapshot), with routines, triggers and events."""
        return f"mariadb-dump {DUMP_OPTIONS} --databases {shlex.join(schemas)}"

    def checksum_statements(self, host: Host, tables: Sequence[tuple[str, str]]) -> list[str]:  # noqa: ARG002 (interface)
        """CHECKSUM TABLE."""
        return [f"CHECKSUM TABLE {quoted(*table)}" for table in tables]

    def load(self) -> str:
        """The client, as root."""
        return "mariadb"

    def upgrade(self, site: Site, drained: Drained) -> None:
        """The packages that the distribution has newer, on one machine after the other."""
        for host in site.nodes:
            names = newer.newer(host, (*PACKAGES, *NODE_PACKAGES))
            if names:
                with drained(host):
                    self._replace(host, names)
                    self._wait(host)
            site.report(host, "newer packages", names)
        for host in site.of("standalone"):
            if names := newer.newer(host, PACKAGES):
                self._replace(host, names)
            site.report(host, "newer packages", names)

    def rotate_certificates(self, site: Site, drained: Drained) -> None:
        """Nothing: the nodes have none."""

    def certificate_end(self, host: Host) -> None:
        """None: the nodes have no certificates."""

    def version(self, host: Host) -> str:
        """The server's version."""
        return self.ask(host, "SELECT VERSION()").strip()

    def restart(self, site: Site, host: Host) -> None:
        """One node, until it is in step; it asks the others for what it missed."""
        host.sudo(f"systemctl restart {_UNIT}", timeout_s=_START_TIMEOUT_S)
        self._wait(host)
        site.say(host.name, "restarted and in step")

    def _replace(self, host: Host, names: Sequence[str]) -> None:
        host.sudo(f"systemctl stop {_UNIT}", timeout_s=_START_TIMEOUT_S)
        newer.replace(host, names)
        host.sudo(f"systemctl start {_UNIT}", timeout_s=_START_TIMEOUT_S)

    def _configure(self, site: Site, host: Host) -> bool:
        in_group = host.machine.role != "standalone"
        packages = (*PACKAGES, *(NODE_PACKAGES if in_group else ()))
        site.report(host, "packages", steps.packages(host, packages))
        text = self._options(site, host)
        wanted: list[steps.Entry] = [
            steps.Directory("/var/lib/mysql-files", "0700", "mysql:mysql"),
            # The group's name lets in whoever knows it.
            steps.File(_OPTIONS, text.encode(), "0640", "root:mysql"),
        ]
        differing = steps.paths(host, wanted)
        return site.report(host, "options", (*differing, *steps.units(host, {_DROP_IN: _LIMITS_TEXT})))

    def _options(self, site: Site, host: Host) -> str:
        memory = resources(host).memory
        options = [*_common(memory)]
        if host.machine.role != "standalone":
            options += self._group_options(site, host)
        return options_text("mariadbd", options)

    def _group_options(self, site: Site, host: Host) -> list[tuple[str, str | int]]:
        nodes = site.nodes
        address = host.machine.private_ip_address
        data = "".join(f"{node.name}," for node in nodes if node.machine.role == "data")
        server = Server(name=host.name, role=host.machine.role, address=address, directory="")
        provider = provider_options(server, len(nodes))
        return [
            ("server_id", 1 + [node.name for node in nodes].index(host.name)),
            ("binlog_format", "ROW"),
            ("innodb_autoinc_lock_mode", 2),
            ("wsrep_on", "ON"),
            ("wsrep_provider", _PROVIDER),
            ("wsrep_cluster_name", _group_name(site)),
            ("wsrep_cluster_address", "gcomm://" + ",".join(node.machine.private_ip_address for node in nodes)),
            ("wsrep_node_name", host.name),
            ("wsrep_node_address", address),
            ("wsrep_node_incoming_address", f"{address}:0"),
            ("wsrep_sst_method", "rsync"),
            ("wsrep_sst_receive_address", f"{address}:4444"),
            # A donor of a full transfer takes no writes meanwhile, so the manager is the last to be asked.
            ("wsrep_sst_donor", f'"{data}"'),
            ("wsrep_slave_threads", 4),
            ("wsrep_provider_options", f'"{provider}"'),
        ]

    def _run_standalone(self, site: Site, host: Host) -> None:
        stale = steps.is_stale(host, _UNIT, [_OPTIONS, _LIMITS])
        site.report(host, "server", steps.service(host, _UNIT, changed=stale))
        wait_for(host, _ANSWERS, timeout_s=60, what="an answer", unit=_UNIT)

    def _form(self, site: Site) -> None:
        """Starts what does not run: the group by the node that got furthest, then the others, one at a time.

        Several that join at once were seen to fail while systemd called them started.
        """
        states = on_each(site.nodes, self.state)
        runs = any(state not in {"stopped", "non-Primary"} for state in states.values())
        first = None if runs else self._start_group(site)
        for host in site.nodes:
            if host is first:
                continue
            if not self.is_ready(self.state(host)):
                host.sudo(f"systemctl --quiet enable {_UNIT}; systemctl restart {_UNIT}", timeout_s=_START_TIMEOUT_S)
                self._wait(host)
                site.report(host, "server", ("joined",))
            else:
                site.report(host, "server", steps.service(host, _UNIT))

    def _start_group(self, site: Site) -> Host:
        positions = on_each(site.nodes, self._position)
        first = next(host for host in site.nodes if host.name == most_advanced(positions))
        first.sudo(
            "# start a group\n"
            f"systemctl --quiet enable {_UNIT}; systemctl stop {_UNIT}; state=/var/lib/mysql/grastate.dat;"
            " [ ! -e $state ] || sed -i 's/^safe_to_bootstrap:.*/safe_to_bootstrap: 1/' $state; galera_new_cluster",
            timeout_s=_START_TIMEOUT_S,
        )
        self._wait(first)
        site.report(first, "server", ("started a new group",))
        return first

    def _position(self, host: Host) -> Position | None:
        """How far a stopped node's data got; None for one that never was in a group."""
        printed = host.sudo(
            "# ask how far the data got\n"
            f"systemctl stop {_UNIT}; mariadbd --user=mysql {' '.join(self._texts.recovery_arguments())} 2>&1 || true",
            timeout_s=_START_TIMEOUT_S,
        )
        return self._texts.recovered_position(printed)

    def _wait(self, host: Host) -> None:
        wait_for(host, _IS_READY, timeout_s=_JOIN_TIMEOUT_S, what="in step with the others", unit=_UNIT)


def _group_name(site: Site) -> str:
    """A secret of the cluster, as the group's name: 32 characters are Galera's most (gcomm's types.hpp, String<32>)."""
    secret = (site.directory / "group-secret").read_bytes()
    return f"{site.name[:7]}-{hashlib.sha256(secret).hexdigest()[:24]}"


def _common(memory: int) -> list[tuple[str, str | int]]:
    """Options of every server. Half of the memory holds pages; commits are durable, as the manual's default has it."""
    return [
        ("bind_address", "127.0.0.1"),
        ("port", 3306),
        *mariadb.SERVER_OPTIONS.items(),
        ("secure_file_priv", "/var/lib/mysql-files"),
        ("symbolic_links", "OFF"),
        ("innodb_buffer_pool_size", f"{max(64, memory // 2 >> 20)}M"),
        ("innodb_log_file_size", f"{min(1024, max(48, memory // 8 >> 20))}M"),
        ("innodb_flush_log_at_trx_commit", 1),
    ]
