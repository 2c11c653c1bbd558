"""MariaDB Galera: every node has all the data and takes writes; a commit is certified by all.

See: https://galeracluster.com/library/documentation/galera-parameters.html
"""

import re
from collections.abc import Mapping, Sequence

import msgspec

from contract.inventory import MachineRole
from deploy.engines import mariadb
from deploy.engines.interface import Health, Position, Server

_PROVIDER = "/usr/lib/galera/libgalera_smm.so"
_NO_HISTORY = "00000000-0000-0000-0000-000000000000"
_POSITION = re.compile(r"Recovered position: ([0-9a-f-]{36}):(-?\d+)")
# A dead node holds up writes until the others agree that it is gone: 6 to 8 s by default, less with a shorter
# suspect_timeout. The other two must not be short: with 3 s, three live nodes on a busy machine did not agree in time,
# in one of some ten kills, and left the primary component together for 10 s (2 cores, load 5, 2026-11-23). They can't
# be set together at run time (error 1210), so they stand in the file.
_QUICK_FAILOVER = {
    "evs.keepalive_period": "PT0.3S",
    "evs.inactive_check_period": "PT0.3S",
    "evs.suspect_timeout": "PT2S",
    "evs.inactive_timeout": "PT15S",
    "evs.install_timeout": "PT10S",
}


class Galera(msgspec.Struct, frozen=True):
    """The engine `galera`."""

    name: str = "galera"
    packages: tuple[str, ...] = ("mariadb-server", "galera-4", "rsync", "openssh-client", "openssh-server")
    layout: tuple[tuple[str, MachineRole], ...] = (
        ("manager", "manager"),
        ("data1", "data"),
        ("data2", "data"),
        ("data3", "data"),
    )
    status_statement: str = "SHOW GLOBAL STATUS LIKE 'wsrep%'"
    regroup_statement: str | None = "SET GLOBAL wsrep_provider_options = 'pc.bootstrap=YES'"
    state_file: str | None = "grastate.dat"
    leave_out: tuple[str, ...] = ("galera.cache", "gvwstate.dat")

    def configuration(self, server: Server, peers: Sequence[Server], group: str) -> str:
        """The text of the server's option file."""
        return mariadb.option_file(
            server,
            {
                "server_id": 1 + [peer.name for peer in peers].index(server.name),
                "binlog_format": "ROW",
                "innodb_autoinc_lock_mode": 2,
                "wsrep_on": "ON",
                "wsrep_provider": _PROVIDER,
                "wsrep_cluster_name": group,
                "wsrep_cluster_address": "gcomm://" + ",".join(f"{peer.address}:{peer.group_port}" for peer in peers),
                "wsrep_node_name": server.name,
                "wsrep_node_address": server.address,
                "wsrep_node_incoming_address": f"{server.address}:{server.mysql_port}",
                "wsrep_sst_method": "rsync",
                "wsrep_sst_receive_address": f"{server.address}:{server.snapshot_port}",
                # A donor of a full transfer takes no writes meanwhile, so the manager is the last to be asked.
                "wsrep_sst_donor": '"' + "".join(f"{peer.name}," for peer in peers if peer.role == "data") + '"',
                "wsrep_slave_threads": 4,
                "wsrep_provider_options": f'"{provider_options(server, len(peers))}"',
            },
        )

    def start_arguments(self, *, first: bool, position: Position | None) -> tuple[str, ...]:
        """The first server makes a new group; a position allows the others an incremental transfer."""
        start = ("--wsrep-new-cluster",) if first else ()
        at = (f"--wsrep_start_position={position.history}:{position.number}",) if position else ()
        return start + at

    def health(self, status: Mapping[str, str]) -> Health:
        """Ready is Synced in the primary component; a node that lost the majority says so."""
        state = status.get("wsrep_local_state_comment", "Unknown")
        primary = status.get("wsrep_cluster_status") == "Primary"
        return Health(
            ready=primary and state == "Synced" and status.get("wsrep_ready") == "ON",
            state=state if primary else "non-Primary",
            size=int(status.get("wsrep_cluster_size") or 0) if primary else 0,
        )

    def recovery_arguments(self) -> tuple[str, ...]:
        """The server reads its tables' logs, prints the last transaction's position, and ends."""
        return ("--wsrep-recover", "--disable-log-error")

    def recovered_position(self, printed: str) -> Position | None:
        """The last position printed; None after a full transfer that was cut off, which must be done again."""
        found = _POSITION.findall(printed)
        if not found or found[-1][0] == _NO_HISTORY:
            return None
        return Position(found[-1][0], int(found[-1][1]))

    def may_start_cluster(self, state: str) -> str:
        """grastate.dat, saying that this node was the last to leave."""
        return re.sub(r"(?m)^safe_to_bootstrap:.*$", "safe_to_bootstrap: 1", state)


def provider_options(server: Server, nodes: int) -> str:
    """The replication provider's options, as wsrep_provider_options takes them, of one server of a group of `nodes`.

    Of an even number the manager counts twice, so that a split in two halves leaves one with a majority. Of an odd one
    it must not: of three, the other two would have half of the votes when its machine is lost, and stop.
    """
    options = {
        "gcache.size": "64M",
        "gmcast.listen_addr": f"tcp://{server.address}:{server.group_port}",
        "ist.recv_addr": f"{server.address}:{server.transfer_port}",
        "base_host": server.address,
        "pc.weight": "2" if server.role == "manager" and nodes % 2 == 0 else "1",
        # After a crash of all nodes it is deploy that finds the most advanced one: a node must not wait for the others.
        "pc.recovery": "FALSE",
        **_QUICK_FAILOVER,
    }
    return ";".join(f"{name}={value}" for name, value in options.items())
