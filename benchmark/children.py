"""Programs that live as long as the benchmark: they end with it, also when it is killed."""

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmark.errors import LoadFailed
from deploy import processes

_STOP_TIMEOUT_S = 30.0
_READY_TIMEOUT_S = 30.0
# Whose parent died before it asked for the signal never gets it.
_UNLESS_ORPHANED = '[ "$PPID" = "$0" ] && exec "$@"'


@contextlib.contextmanager
def running(
    command: Sequence[str], *, directory: Path, log: Path | None, environment: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Runs the command with its workers in a process group of its own; without a log, what it prints is lost."""
    with log.open("ab") if log else open(os.devnull, "wb") as out:  # noqa: PTH123 a device
        child = subprocess.Popen(
            # The kernel ends the program when this process dies; its group is no part of Ctrl-C's.
            ["setpriv", "--pdeathsig", "TERM", "sh", "-c", _UNLESS_ORPHANED, str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env={**processes.environment(directory), "PATH": os.environ.get("PATH", os.defpath), **(environment or {})},
            start_new_session=True,
        )
    try:
        yield child
    finally:
        _stop(child)


def wait_listening(child: "subprocess.Popen[bytes]", port: int, log: Path | None) -> None:
    """Returns when 127.0.0.1:PORT takes connections. Raises LoadFailed with the end of the log."""

    def listens() -> bool:
        if child.poll() is not None:
            raise LoadFailed(f"ended while it was starting: {_last_line(log)}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        processes.wait_until(listens, timeout_s=_READY_TIMEOUT_S, what="listening")
    except TimeoutError:
        raise LoadFailed(f"does not listen: {_last_line(log)}") from None


def _stop(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_STOP_TIMEOUT_S)
    with contextlib.suppress(ProcessLookupError):  # what is left of its group, which has no other members
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _last_line(log: Path | None) -> str:
    return processes.tail(log, 1) if log else "no log"
