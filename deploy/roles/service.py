"""A service on a machine: its releases, its account, its hardened unit, and the switch from one release to the next.

    /opt/gatekeeper/releases/VERSION/   the package, contract/, and a virtual environment made from the lock
    /opt/gatekeeper/current             -> releases/VERSION, switched in one step
    /etc/gatekeeper/                    settings, certificate, secrets: 0600, the service account's

A release is put beside the running one, so that it can be switched to, and back, without waiting for a download.
"""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from deploy import steps, toml
from deploy.certificates import Credentials
from deploy.host import Host
from deploy.release import Release, Service, Target, wheels

ROOT: Final = "/opt/gatekeeper"
SETTINGS: Final = "/etc/gatekeeper"
STATE: Final = "/var/lib/gatekeeper"
RUNTIME: Final = "/run/gatekeeper"
_KEPT_RELEASES: Final = 3
# On a busy machine of two cores it was seen to take longer than 300 s.
_BUILD_TIMEOUT_S: Final = 900.0

PACKAGES: Final = ("python3", "python3-venv")
# The units of a service's machine, by its role.
UNITS: Final[Mapping[str, tuple[str, ...]]] = {
    "gatekeeper": ("gk-gatekeeper", "nginx"),
    "orchestrator": ("gk-orchestrator",),
    "proxy": ("gk-proxy",),
}


def account(service: Service) -> str:
    """The system account that the service runs as."""
    return f"gk-{service}"


def unit_name(service: Service) -> str:
    """The systemd unit's name."""
    return f"gk-{service}.service"


def put(host: Host, release: Release, cache: Path) -> bool:
    """Puts the release on the machine, if it is not there, without switching to it. Returns whether it was put."""
    directory = f"{ROOT}/releases/{release.version}"
    if host.look(f"test -e {directory}/complete && echo y || true").strip():
        return False
    if host.is_dry:
        return True
    python, architecture = host.sudo(
        "python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'; uname -m"
    ).split()
    host.sudo(
        f"# put the release\nrm -rf {directory}; mkdir -p {directory}; tar -x -C {directory}", given=release.archive
    )
    with wheels(release, Target(python, architecture), cache).open("rb") as archive:
        host.sudo(f"# put the release's wheels\nmkdir {directory}/wheels; tar -x -C {directory}/wheels", given=archive)
    host.sudo(
        f"# install the release\ncd {directory}; python3 -m venv venv;"
        " venv/bin/pip --quiet --disable-pip-version-check install --no-index --find-links wheels --no-deps"
        " --require-hashes --requirement requirements.lock; rm -r wheels;"
        f" venv/bin/python -m compileall -q contract {release.service}; touch complete",
        timeout_s=_BUILD_TIMEOUT_S,
    )
    return True


def switch(host: Host, version: str) -> bool:
    """Makes a release that is on the machine the current one, and removes the oldest beyond those that are kept."""
    if not steps.link(host, f"{ROOT}/current", f"{ROOT}/releases/{version}"):
        return False
    host.sudo(f"touch {ROOT}/releases/{version}/complete")
    for old in versions(host)[_KEPT_RELEASES:]:
        host.sudo(f"rm -rf -- {shlex.quote(f'{ROOT}/releases/{old}')}")
    return True


def versions(host: Host) -> list[str]:
    """The complete releases on the machine, the one that was switched to last first."""
    return host.look(f"cd {ROOT}/releases 2>/dev/null && ls -1t */complete 2>/dev/null | cut -d/ -f1 || true").split()


def current(host: Host) -> str | None:
    """The version that is switched to; None before the first."""
    return Path(host.look(f"readlink {ROOT}/current || true").strip()).name or None


def directories(service: Service) -> list[steps.Entry]:
    """The service's directories."""
    owner = f"{account(service)}:{account(service)}"
    return [
        steps.Directory(ROOT),
        steps.Directory(SETTINGS, "0750", f"root:{account(service)}"),
        steps.Directory(STATE, "0700", owner),
    ]


def secret(path: str, content: bytes, service: Service) -> steps.File:
    """A file of the service that only its account may read."""
    return steps.File(path, content, "0600", f"{account(service)}:{account(service)}")


def tls_members() -> dict[str, toml.Value]:
    """The settings' table `tls`."""
    return {part: f"{SETTINGS}/{part}.pem" for part in ("certificate", "key", "authority")}


def credentials(service: Service, of: Credentials) -> list[steps.Entry]:
    """The service's certificate and key, and the authority's certificate."""
    parts = {"certificate": of.certificate, "key": of.key, "authority": of.authority}
    return [secret(f"{SETTINGS}/{part}.pem", path.read_bytes(), service) for part, path in parts.items()]


def unit(service: Service) -> str:
    """The unit's text. See systemd.exec(5); `systemd-analyze security` says what is left open.

    A reload puts a new master process, of the release that is current then, beside the old one, which ends when the
    new one serves (gunicorn's SIGUSR2). PWD keeps the link's path, through which the new master finds its release.
    """
    variable = f"{service.upper()}_CONFIG"
    program = f"{ROOT}/current/venv/bin"
    return f"""\
[Unit]
Description=Gatekeeper for MySQL Cluster: the {service}
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=all
User={account(service)}
Group={account(service)}
WorkingDirectory={ROOT}/current
Environment={variable}={SETTINGS}/{service}.toml PWD={ROOT}/current PYTHONPATH={ROOT}/current PYTHONDONTWRITEBYTECODE=1
ExecStart={program}/python {program}/gunicorn --no-control-socket --config python:{service}.gunicorn_conf \
{service}.app:create_app()
ExecReload=/bin/kill -USR2 $MAINPID
KillMode=mixed
TimeoutStartSec=60
TimeoutStopSec=60
Restart=always
RestartSec=1
UMask=0077
LimitNOFILE=65536
RuntimeDirectory=gatekeeper
RuntimeDirectoryMode=0700
StateDirectory=gatekeeper
StateDirectoryMode=0700

NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
ProcSubset=pid
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
LockPersonality=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
# setpriv(1), which ties ssh to its proxy's life, sets the capabilities that it has: none.
SystemCallFilter=capset
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def run(host: Host, service: Service, read: Iterable[str]) -> tuple[str, ...]:
    """Sees to it that the service runs, with its current release and with these files as they are; what was done.

    Certificates don't count: each handshake looks at them. A running service is succeeded by a new process, which takes
    over the same socket, so that no request is refused.
    """
    name = unit_name(service)
    if steps.units(host, {name: unit(service)}):
        return ("restarted",) if steps.service(host, name, changed=True) else ()
    if steps.service(host, name):
        return ("started",)
    files = [path for path in read if not path.endswith(".pem")]
    if not steps.is_stale(host, name, [f"{ROOT}/current", *files]):
        return ()
    succeed(host, service)
    return ("succeeded by a new process",)


def succeed(host: Host, service: Service) -> None:
    """Puts a new process in the running one's place, and waits until the old one has ended. Raises HostError."""
    name = unit_name(service)
    host.sudo(
        f"# succeed {name} by a new process\n"
        f"old=$(systemctl show --property MainPID --value {name}); systemctl reload {name}; end=$((SECONDS + 90))\n"
        f'while [ "$(systemctl show --property MainPID --value {name})" = "$old" ] || kill -0 "$old" 2>/dev/null; do\n'
        f"    if [ $SECONDS -ge $end ]; then echo 'the new process did not take over within 90 s' >&2;"
        f" journalctl --no-pager --lines 15 --output cat --unit {name} >&2; exit 1; fi\n"
        "    sleep 0.2\ndone",
        timeout_s=120,
    )
