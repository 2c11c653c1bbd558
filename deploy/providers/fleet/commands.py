"""The system's programs, each run with a timeout and with none of the caller's environment."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from deploy import processes
from deploy.providers.fleet import cgroups
from deploy.providers.interface import ProviderError

# Program -> the Debian package that brings it.
_NEEDED = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "nft": "nftables",
    "ip": "iproute2",
    "unshare": "util-linux",
}


def missing() -> list[str]:
    """Why no fleet can be made on this host, a phrase each; none when it can."""
    if os.geteuid():
        return ["it takes root"]
    path = processes.environment(Path("/"))["PATH"]
    found = [
        f"{program} is missing (Debian's package {package})"
        for program, package in _NEEDED.items()
        if not shutil.which(program, path=path)
    ]
    if not found and not succeeds(["unshare", "--net", "--mount", "--pid", "--fork", "true"]):
        found.append("it may not make namespaces, as in a container without rights of its own")
    if not found and not cgroups.writable():
        found.append("it has no control groups that can be written to")
    return found


def run(command: Sequence[str], *, given: str = "", timeout_s: float = 20.0) -> str:
    """Run a command to its end, with `given` as its standard input; what it printed. Raises ProviderError."""
    done = _run(command, given=given, timeout_s=timeout_s)
    if done.returncode:
        text = " ".join(done.stderr.split())[-500:]
        raise ProviderError(f"{' '.join(command[:4])} ended with status {done.returncode}: {text}")
    return done.stdout


def succeeds(command: Sequence[str], *, timeout_s: float = 20.0) -> bool:
    """Whether the command ends with status 0. Raises ProviderError when it can't be run, or does not end."""
    return _run(command, given="", timeout_s=timeout_s).returncode == 0


def run_logged(command: Sequence[str], *, log: IO[bytes], timeout_s: float) -> None:
    """Run a command whose output goes to the log. It ends with this process. Raises ProviderError."""
    try:
        done = subprocess.run(
            ["setpriv", "--pdeathsig", "KILL", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=processes.environment(Path("/root")),
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ProviderError(f"it did not end within {timeout_s:g} s") from None
    if done.returncode:
        raise ProviderError(f"it ended with status {done.returncode}")


def _run(command: Sequence[str], *, given: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            env=processes.environment(Path("/root")),
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ProviderError(f"{' '.join(command[:4])} did not end within {timeout_s:g} s") from None
    except FileNotFoundError:
        raise ProviderError(f"{command[0]} is not installed") from None
