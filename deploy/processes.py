"""Processes that outlive the command which started them: start, find, wait for, end. Always one by one, by pid.

A pid alone may be reused, so a process is its pid and the moment it started (/proc/PID/stat, see proc(5)).
"""

import contextlib
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypedDict, TypeVar

import msgspec

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_POLL_S = 0.02

Found = TypeVar("Found")

# Children of this process: polled, so that they don't stay zombies.
_children: dict[int, subprocess.Popen[bytes]] = {}


class CommandFailed(RuntimeError):
    """A command ended with a status other than 0, or not in time; the message has the end of what it printed."""


class Account(msgspec.Struct, frozen=True):
    """A system account that processes run as."""

    name: str
    uid: int
    gid: int

    @property
    def is_another(self) -> bool:
        """True when it takes root's rights to run as this account."""
        return self.uid != os.geteuid()


class Process(msgspec.Struct, frozen=True):
    """A process. `started_ticks`: clock ticks after the machine's boot."""

    pid: int
    started_ticks: int


class _Stat(msgspec.Struct, frozen=True):
    state: str
    parent: int
    threads: int
    started_ticks: int

    @property
    def has_ended(self) -> bool:
        """A zombie, unless it is just the first thread of a process whose other threads are still ending."""
        return self.state == "Z" and self.threads <= 1


class _Identity(TypedDict):
    umask: int
    user: int | None
    group: int | None
    extra_groups: tuple[int, ...] | None


def account(name: str) -> Account:
    """The account of that name. Raises KeyError when the system has none."""
    entry = pwd.getpwnam(name)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def own_account() -> Account:
    """The account that this process runs as. Raises KeyError when its uid has no name."""
    return account(pwd.getpwuid(os.geteuid()).pw_name)


def spawn(command: Sequence[str], *, runs_as: Account, directory: Path, log: Path) -> Process:
    """Start a daemon in a session of its own, so that Ctrl-C at the terminal doesn't reach it; output goes to `log`."""
    with log.open("ab") as out:
        if runs_as.is_another:
            os.fchown(out.fileno(), runs_as.uid, runs_as.gid)
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=environment(directory),
            start_new_session=True,
            **_identity(runs_as),
        )
    _children[child.pid] = child
    stat = _stat(child.pid)
    if stat is None:
        raise CommandFailed(f"{command[0]} ended at once with status {child.wait()}")
    return Process(child.pid, stat.started_ticks)


def run(command: Sequence[str], *, runs_as: Account, directory: Path, timeout_s: float) -> str:
    """Run a command to its end and return what it printed, errors too. Raises CommandFailed."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=environment(directory),
            timeout=timeout_s,
            check=False,
            **_identity(runs_as),
        )
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"{command[0]} did not end within {timeout_s:g} s") from None
    except FileNotFoundError:
        raise CommandFailed(f"{command[0]} is not installed") from None
    text = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise CommandFailed(f"{command[0]} ended with status {done.returncode}: {text[-2000:].strip()}")
    return text


def environment(home: Path) -> dict[str, str]:
    """The environment of a daemon: nothing of the caller's, whose variables may hold secrets."""
    return {"PATH": _PATH, "LANG": "C.UTF-8", "HOME": str(home)}


def find(program: str, argument: str) -> list[Process]:
    """The running processes of that name (as /proc/PID/comm has it) with `argument` as a word of its command line.

    Also finds what a killed command started and could not note down. An `argument` that is a path of one daemon's own
    leaves no doubt whose process it is.
    """
    found = []
    for pid in _pids():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().rstrip("\n") != program:
                continue
            words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").split()
            stat = _stat(pid)
            if os.fsencode(argument) in words and stat and not stat.has_ended:
                found.append(Process(pid, stat.started_ticks))
    return found


def alive(process: Process) -> bool:
    """Whether it still runs. A zombie, which PID 1 may reap late, does not."""
    stat = _stat(process.pid)
    if stat is None or stat.has_ended or stat.started_ticks != process.started_ticks:
        child = _children.get(process.pid)
        if child is not None and child.poll() is not None:
            del _children[process.pid]
        return False
    return True


def stop(processes: Iterable[Process], *, timeout_s: float) -> None:
    """SIGTERM to each, and wait until all are gone. Raises TimeoutError, naming the pids that are still there."""
    ending = list(processes)
    for process in ending:
        _signal(process, signal.SIGTERM)
    _wait_gone(ending, timeout_s)


def kill(processes: Iterable[Process], *, timeout_s: float = 10.0) -> None:
    """SIGKILL to each and to all their descendants, and wait until they are gone.

    A parent is stopped before its children are looked up, so that none is born meanwhile and gets away.
    """
    ending: list[Process] = []
    for process in filter(alive, processes):
        _signal(process, signal.SIGSTOP)
        ending += [process, *_descendants(process)]
    for process in ending:
        _signal(process, signal.SIGKILL)
    _wait_gone(ending, timeout_s)


def wait_until(probe: Callable[[], Found | None], *, timeout_s: float, what: str) -> Found:
    """Ask until the answer is true, and return it. Raises TimeoutError, saying what was waited for."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        time.sleep(_POLL_S)


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log; empty when there is none."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def _identity(runs_as: Account) -> _Identity:
    """What subprocess needs to run as the account; files made by it are its alone."""
    if not runs_as.is_another:
        return {"umask": 0o077, "user": None, "group": None, "extra_groups": None}
    return {"umask": 0o077, "user": runs_as.uid, "group": runs_as.gid, "extra_groups": ()}


def _signal(process: Process, number: signal.Signals) -> None:
    if alive(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _wait_gone(processes: Iterable[Process], timeout_s: float) -> None:
    left = list(processes)

    def gone() -> bool:
        left[:] = [process for process in left if alive(process)]
        return not left

    try:
        wait_until(gone, timeout_s=timeout_s, what="the end of processes")
    except TimeoutError as error:
        pids = ", ".join(str(process.pid) for process in left)
        raise TimeoutError(f"{error}; still there: {pids}") from None
    _reap()


def _reap() -> None:
    """Take note of children that ended, whoever ended them."""
    for pid, child in list(_children.items()):
        if child.poll() is not None:
            del _children[pid]


def _descendants(root: Process) -> list[Process]:
    born: dict[int, list[Process]] = {}
    for pid in _pids():
        stat = _stat(pid)
        if stat:
            born.setdefault(stat.parent, []).append(Process(pid, stat.started_ticks))
    found, generation = [], [root]
    while generation:
        generation = [child for parent in generation for child in born.get(parent.pid, ())]
        found += generation
    return found


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name stands in parentheses and may hold any character, so the fields are counted from the last one.
    fields = text[text.rindex(")") + 2 :].split()
    return _Stat(state=fields[0], parent=int(fields[1]), threads=int(fields[17]), started_ticks=int(fields[19]))
