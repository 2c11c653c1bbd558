"""What a result depends on besides the code: the machine and the versions. No names of hosts."""

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

from benchmark import commands
from deploy.engines.mariadb import SERVER_PROGRAM

_TIMEOUT_S = 10
_PACKAGES = ("gunicorn", "gevent", "flask", "pymysql", "requests", "sqlglot", "sshtunnel", "paramiko")
_PROGRAMS = {
    "MariaDB": (SERVER_PROGRAM, "--version"),
    "OpenSSH": ("ssh", "-V"),
    "Node": ("node", "--version"),
    "wrk": ("wrk", "--version"),
}
_MANIFEST = Path(__file__).with_name("package.json")


class Machine(msgspec.Struct, frozen=True):
    """The machine. `load_average`: of the minute before the run, so caused by others."""

    date: str
    cores: int
    cpu: str
    memory_gib: float
    kernel: str
    load_average: float
    versions: dict[str, str]


def describe() -> Machine:
    """This machine, now."""
    return Machine(
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        cores=len(os.sched_getaffinity(0)),
        cpu=_field("/proc/cpuinfo", "model name"),
        memory_gib=round(int(_field("/proc/meminfo", "MemTotal").split()[0]) / 2**20, 1),
        kernel=platform.release(),
        load_average=round(os.getloadavg()[0], 2),
        versions=_versions(),
    )


def version_in(text: str) -> str:
    """The first version number in what a program printed; `missing` when there is none."""
    found = re.search(r"\d+(?:\.\d+)+(?:p\d+)?", text)
    return found.group() if found else "missing"


def _versions() -> dict[str, str]:
    programs = {name: version_in(_printed(command)) for name, command in _PROGRAMS.items()}
    packages = {name: version(name) for name in _PACKAGES}
    peers: dict[str, str] = msgspec.json.decode(_MANIFEST.read_bytes())["dependencies"]
    npm = {f"{name} (npm)": number for name, number in peers.items()}
    return {"Python": platform.python_version(), **programs, **packages, **npm}


def _printed(command: tuple[str, ...]) -> str:
    try:
        done = commands.run(command, _TIMEOUT_S)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _field(path: str, name: str) -> str:
    """The value of the first `name: value` line; `unknown` when there is none."""
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"
