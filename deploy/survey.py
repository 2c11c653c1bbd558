"""How a cluster is: its machines, their services, the engine, versions, certificates' ends, disks. Only looks."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from contract.inventory import SQL_ROLES, Machine
from deploy.deployment import Deployment
from deploy.host import Host, HostError
from deploy.roles import service
from deploy.roles.engine import MachineEngine
from deploy.site import on_each

_CERTIFICATES: Final[Mapping[str, tuple[str, ...]]] = {
    "gatekeeper": (f"{service.SETTINGS}/certificate.pem", "/etc/nginx/edge.pem"),
    "orchestrator": (f"{service.SETTINGS}/certificate.pem",),
    "proxy": (f"{service.SETTINGS}/certificate.pem",),
}
_ENDED: Final = "a certificate has ended"
# From here on there is little time left: where a disk is full, servers stop and statements are refused.
_FULL_PERCENT: Final = 90
_LOOK: Final = """\
for unit in {units}; do echo "unit $unit $(systemctl is-active $unit || true)"; done
echo "release $(basename "$(readlink {root}/current || true)")"
for file in {certificates}; do [ ! -e $file ] || echo "ends $(date --utc --iso-8601=seconds --date \
 "$(openssl x509 -in $file -noout -enddate | cut -d= -f2)")"; done
echo "disk $(df --output=pcent / | tail -1)"
"""


class Row(msgspec.Struct, frozen=True):
    """One machine. `services`: unit and systemd's word; `certificate_ends`: the first of its certificates, in UTC.

    `disk_used`: percent of the root file system. `problem`: why it could not be asked, or what is wrong.
    """

    name: str
    role: str
    address: str
    state: str
    services: dict[str, str] = {}
    version: str = ""
    engine_state: str = ""
    certificate_ends: str = ""
    disk_used: int | None = None
    problem: str = ""


def rows(deployment: Deployment) -> list[Row]:
    """A row for every machine that exists or should, whether it answers or not. Raises ProviderError."""
    machines = deployment.provider.find()
    missing = {wanted.name: wanted.role for wanted in deployment.cluster.wanted()}
    for machine in machines:
        missing.pop(machine.name, None)
    site = deployment.site()
    asked = on_each(site.hosts.values(), lambda host: _asked(deployment.engine, host))
    return [
        *(asked.get(machine.name) or _row(machine) for machine in machines),
        *(Row(name, role, "", "missing", problem="the machine is missing") for name, role in missing.items()),
    ]


def _row(machine: Machine) -> Row:
    address = machine.public_ip_address or machine.private_ip_address
    problem = "" if machine.state == "running" else f"the machine is {machine.state}"
    return Row(machine.name, machine.role, address, machine.state, problem=problem)


def _asked(engine: MachineEngine, host: Host) -> Row:
    row = _row(host.machine)
    try:
        if host.machine.role in SQL_ROLES:
            return _server(engine, host, row)
        return _service(host, row)
    except HostError as error:
        return msgspec.structs.replace(row, problem=str(error))


def _server(engine: MachineEngine, host: Host, row: Row) -> Row:
    state = engine.state(host)
    ready = engine.is_ready(state)
    end = engine.certificate_end(host)
    problems = [] if engine.is_whole(state) else ["a data node is missing" if ready else "the server is not ready"]
    if end and end <= datetime.now(UTC):
        problems.append(_ENDED)
    disk = int(host.look("df --output=pcent / | tail -1").strip(" %\n"))
    problems += _disk_problem(disk)
    return msgspec.structs.replace(
        row,
        engine_state=state,
        version=engine.version(host) if ready else "",
        certificate_ends=end.isoformat() if end else "",
        disk_used=disk,
        problem=", ".join(problems),
    )


def _service(host: Host, row: Row) -> Row:
    units, certificates = service.UNITS[host.machine.role], _CERTIFICATES[host.machine.role]
    told = host.look(_LOOK.format(units=" ".join(units), root=service.ROOT, certificates=" ".join(certificates)))
    lines = [line.split() for line in told.splitlines()]
    services = {words[1]: words[2] for words in lines if words[0] == "unit"}
    ends = min((words[1] for words in lines if words[0] == "ends"), default="")
    down = [unit for unit, state in services.items() if state != "active"]
    disk = next(int(words[1].rstrip("%")) for words in lines if words[0] == "disk")
    if ends and datetime.fromisoformat(ends) <= datetime.now(UTC):
        down.append(_ENDED)
    return msgspec.structs.replace(
        row,
        services=services,
        version=next((words[1] for words in lines if words[0] == "release" and len(words) > 1), ""),
        certificate_ends=ends,
        disk_used=disk,
        problem=", ".join([*down, *_disk_problem(disk)]),
    )


def _disk_problem(used: int) -> list[str]:
    return [f"the disk is {used} % full"] if used >= _FULL_PERCENT else []
