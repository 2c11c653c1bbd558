"""The system's own ssh to a machine, for terminals and streams: strict about host keys, and with no key but ours."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from contract.inventory import SQL_ROLES, Machine
from deploy.deployment import Deployment
from deploy.host import CONNECT_TIMEOUT_S, Access
from deploy.providers.state import UnknownNode
from deploy.roles import service
from deploy.roles.engine import MachineEngine

_KEEPALIVE_S: Final = 15


def command(access: Access, machine: Machine, words: Sequence[str] = (), *, terminal: bool = False) -> list[str]:
    """The command that runs these words on the machine, or a shell; `terminal`: with one, so that Ctrl-C ends them.

    A vanished machine ends it within a minute. Nothing is read from the operator's own ssh configuration.
    """
    jump = access.jump
    address = machine.ssh_address if jump else machine.public_ip_address or machine.private_ip_address
    return [
        *_options(access, machine),
        *(["-o", f"ProxyCommand={_through(access, jump)}"] if jump else []),
        *(["-t"] if terminal else []),
        f"{machine.user_name}@{address}",
        *([shlex.join(words)] if words else []),
    ]


def to(deployment: Deployment, name: str, words: Sequence[str] = (), *, terminal: bool = False) -> list[str]:
    """The command for the machine of that name. Raises UnknownNode, ProviderError."""
    machines = deployment.provider.find()
    return command(deployment.access(machines), running(deployment, machines, name), words, terminal=terminal)


def running(deployment: Deployment, machines: Sequence[Machine], name: str) -> Machine:
    """The running machine of that name. Raises UnknownNode."""
    there = {machine.name: machine for machine in machines if machine.state == "running"}
    if name not in there:
        listed = ", ".join(there) or "none"
        raise UnknownNode(f"no machine {name!r} runs in cluster {deployment.name}; running are {listed}")
    return there[name]


def journal(engine: MachineEngine, machine_role: str, *, lines: int, follow: bool) -> list[str]:
    """The words that show the last lines of the machine's units, and with `follow` those to come."""
    units = engine.units(machine_role) if machine_role in SQL_ROLES else service.UNITS[machine_role]
    shown = ["sudo", "-n", "journalctl", "--no-pager", "--output", "short-iso", "--lines", str(lines)]
    return [*shown, *(f"--unit={unit}" for unit in units), *(["--follow"] if follow else [])]


def _options(access: Access, machine: Machine) -> list[str]:
    settings = (
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "StrictHostKeyChecking=yes",
        f'UserKnownHostsFile="{_literal(access.known_hosts)}"',
        "GlobalKnownHostsFile=none",
        "UpdateHostKeys=no",
        f"ConnectTimeout={CONNECT_TIMEOUT_S}",
        f"ServerAliveInterval={_KEEPALIVE_S}",
        "LogLevel=ERROR",
    )
    options = [part for setting in settings for part in ("-o", setting)]
    return ["ssh", "-F", "none", "-i", _literal(access.private_key), *options, "-p", str(machine.ssh_port)]


def _through(access: Access, jump: Machine) -> str:
    return f"{shlex.join(_options(access, jump)).replace('%', '%%')} -W [%h]:%p {_login(jump)}"


def _login(machine: Machine) -> str:
    return f"{machine.user_name}@{machine.public_ip_address or machine.private_ip_address}"


def _literal(path: Path) -> str:
    """The path where ssh_config(5) would see tokens in it."""
    return str(path).replace("%", "%%")
