"""The systemd units of MySQL NDB Cluster."""

from typing import Final

from deploy import steps
from deploy.host import Host
from deploy.roles import ndb_tls, tarball

MANAGEMENT: Final = "gk-ndb-mgmd.service"
DATA_NODE: Final = "gk-ndbmtd.service"
SQL: Final = "gk-mysql.service"
_SETTINGS: Final = "/etc/mysql-cluster"
_DATA: Final = "/var/lib/mysql-cluster"

_UNIT = """\
[Unit]
Description={description}
After=network-online.target {after}
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type={type}
User=mysql
Group=mysql
ExecStart={command}
Restart=always
RestartSec=2
TimeoutStartSec=600
TimeoutStopSec=180
LimitNOFILE=65536
UMask=0077
RuntimeDirectory={runtime}
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ReadWritePaths={writable}
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
LockPersonality=yes

[Install]
WantedBy=multi-user.target
"""


def write(host: Host, manager: str) -> tuple[str, ...]:
    """Sees to the machine's units; returns the paths of those that were others."""
    texts = {SQL: sql()}
    if host.machine.role == "manager":
        texts[MANAGEMENT] = management(host.machine.private_ip_address)
    if host.machine.role == "data":
        texts[DATA_NODE] = data_node(manager)
    return steps.units(host, texts)


def management(address: str) -> str:
    """The management server's unit. It takes up a changed config.ini when it starts."""
    return _unit(
        "MySQL NDB Cluster: management server",
        f"ndb_mgmd --no-defaults --config-file={_SETTINGS}/config.ini --configdir={_DATA} --reload --nodaemon"
        f" --bind-address={address} {_tls()}",
        runtime="gk-ndb-mgmd",
    )


def data_node(manager: str) -> str:
    """A data node's unit; its node id is the one that config.ini gives its address."""
    return _unit(
        "MySQL NDB Cluster: data node",
        f"ndbmtd --no-defaults --ndb-connectstring={manager} --nodaemon {_tls()}",
        runtime="gk-ndbmtd",
    )


def sql() -> str:
    """The SQL server's unit."""
    return _unit(
        "MySQL",
        f"mysqld --defaults-file={_SETTINGS}/my.cnf",
        type_="notify",
        runtime="gk-mysql",
        writable="/var/lib/gk-mysql",
        after=f"{MANAGEMENT} {DATA_NODE}",
    )


def _tls() -> str:
    return f"--ndb-tls-search-path={ndb_tls.DIRECTORY} --ndb-mgm-tls=strict"


def _unit(
    description: str, command: str, *, runtime: str, type_: str = "simple", writable: str = _DATA, after: str = ""
) -> str:
    return _UNIT.format(
        description=description,
        command=f"{tarball.PROGRAMS}/{command}",
        type=type_,
        runtime=runtime,
        writable=writable,
        after=after,
    )
