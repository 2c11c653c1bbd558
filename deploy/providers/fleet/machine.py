"""One machine: systemd-nspawn on an overlay over the image, in a network namespace and a control group of its own.

The overlay is mounted in a private mount namespace, which goes with the machine. What a machine is, is in its
directory, its namespace and its group; so every later command finds it again.
"""

import contextlib
import os
import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec

from deploy import processes
from deploy.processes import Process
from deploy.providers import sshd
from deploy.providers.fleet import cgroups, guard, network
from deploy.providers.fleet import image as images
from deploy.providers.fleet.cgroups import Group
from deploy.providers.fleet.network import Network
from deploy.providers.fleet.state import Place, Record
from deploy.providers.interface import ProviderError

USER: Final = "admin"
SSH_PORT: Final = 22
_USER_ID: Final = 1000  # as image.sh makes it
_SCRIPT: Final = Path(__file__).with_name("machine.sh")
_TOLD_LINES: Final = 5
_ANSWER_TIMEOUT_S: Final = 60.0
_OFF_FOR_S: Final = 2.0
_STOP_TIMEOUT_S: Final = 60.0
_CONNECT_TIMEOUT_S: Final = 1.0
# What tells a machine's manager to reboot; see systemd(1), SIGNALS. SIGRTMIN+5 starts reboot.target.
_REBOOT: Final = signal.SIGRTMIN + 5


class Box(msgspec.Struct, frozen=True):
    """A machine and all that is needed to work on it."""

    place: Place
    network: Network
    record: Record

    @property
    def name(self) -> str:
        """The machine's name."""
        return self.record.name

    @property
    def address(self) -> str:
        """Its only address."""
        return self.network.address(self.record.host)

    @property
    def namespace(self) -> str:
        """Its network namespace."""
        return self.network.cable(self.record.host)

    @property
    def group(self) -> Group:
        """Its control group."""
        return Group(f"{self.place.key}/{self.name}")

    @property
    def directory(self) -> Path:
        """Its files: `upper` has what differs from the image."""
        return self.place.machine(self.name)

    @property
    def exists(self) -> bool:
        """Whether it has been made."""
        return self.directory.is_dir()

    @property
    def runs(self) -> bool:
        """Whether any process of it runs."""
        return any(_is_alive(pid) for pid in self.group.pids())

    @property
    def host_key(self) -> str:
        """Its public host key, as it was made; what the machine itself says doesn't count."""
        return (self.directory / "host_key.pub").read_text().strip()


def make(box: Box, image: Path, operator_key: str) -> None:
    """Make the machine's files, all or none of them."""
    box.place.machines.mkdir(mode=0o700, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=".new-", dir=box.place.machines))
    try:
        for part in ("work", "root"):
            (directory / part).mkdir()
        (directory / "image").symlink_to(image.resolve())
        _write_identity(box, directory, operator_key)
        images.use(image, box.directory)
        directory.rename(box.directory)
    except BaseException:
        shutil.rmtree(directory)
        raise


def start(box: Box) -> None:
    """Turn the machine on, its cable plugged in; does not wait for it. It has its network, and its rules, before."""
    if not (box.directory / "image").exists():
        raise ProviderError(f"the image that {box.name} was made from is gone; remove the machine")
    network.plug(box.network, box.record.host, into_bridge=True)
    box.group.create(cgroups.parse_size(box.record.size))
    names = [f"{box.place.key}-{box.name}", box.name, box.record.uuid, box.namespace, box.group.name]
    processes.spawn(
        ["unshare", "--mount", "--propagation", "private", "bash", str(_SCRIPT), str(box.directory), *names],
        runs_as=processes.own_account(),
        directory=box.directory,
        log=_log(box),
    )


def wait_answers(box: Box, timeout_s: float = _ANSWER_TIMEOUT_S) -> None:
    """Return when the machine's SSH server greets. Raises ProviderError when it does not, or the machine is off."""
    seen_at = time.monotonic()

    def greets() -> bool:
        nonlocal seen_at
        if _launchers(box) or box.runs:
            seen_at = time.monotonic()
        # A launcher that is just becoming another program has no arguments for a moment, and can't be known by them.
        elif time.monotonic() > seen_at + _OFF_FOR_S:
            raise ProviderError(
                f"{box.name} went off while it was starting: {_why(processes.tail(_log(box), _TOLD_LINES))}"
            )
        return _greets(box.address)

    try:
        processes.wait_until(greets, timeout_s=timeout_s, what=f"{box.name} answering at port {SSH_PORT}")
    except TimeoutError as error:
        raise ProviderError(f"{error}; its console is in {_log(box)}") from None


def _why(console: str) -> str:
    """The console's last lines, or what they mean where systemd's own words are no help."""
    if "inotify" in console and "Too many open files" in console:
        return (
            "too many machines run on this host for its fs.inotify.max_user_instances (sysctl); stop some, or raise it"
        )
    return console


def stop(box: Box) -> None:
    """Shut the machine down as its power button would; one that doesn't go in time is turned off."""
    box.group.freeze(frozen=False)
    supervisors = _supervisors(box)
    for supervisor in supervisors:
        _signal(supervisor, signal.SIGTERM)
    if supervisors:
        with contextlib.suppress(TimeoutError):
            processes.wait_until(lambda: not box.runs, timeout_s=_STOP_TIMEOUT_S, what="the machine's end")
    # Nothing is left, unless it was too slow, or its supervisor was killed before.
    box.group.kill()


def reboot(box: Box) -> None:
    """Reboot the machine, and wait until it has begun anew. Raises ProviderError when it is off."""
    before = set(_supervisors(box))
    os.kill(leader(box), _REBOOT)
    try:
        processes.wait_until(
            lambda: not before & set(_supervisors(box)), timeout_s=_STOP_TIMEOUT_S, what=f"{box.name} going down"
        )
    except TimeoutError as error:
        raise ProviderError(str(error)) from None


def leader(box: Box) -> int:
    """The machine's first process, as this host numbers it. Raises ProviderError when the machine is off."""
    depths = {pid: _pids_in_namespaces(pid) for pid in box.group.pids()}
    first = [pid for pid, seen in depths.items() if len(seen) > 1 and seen[-1] == "1"]
    if not first:
        raise ProviderError(f"{box.name} is not running")
    # The machine may have pid namespaces of its own, further in.
    return min(first, key=lambda pid: len(depths[pid]))


def remove(box: Box) -> None:
    """Turn the machine off, and remove everything of it, as far as it is there."""
    box.group.kill()
    # A launcher that was only just started is not yet in the group, and has started nothing.
    for launcher in _launchers(box):
        _signal(launcher, signal.SIGKILL)
    box.group.kill()
    network.disconnect(box.network, box.record.host)
    box.group.remove()
    if box.exists:
        # A machine of which only a part is left must not look like one.
        gone = box.directory.with_name(f".gone-{box.record.uuid}")
        box.directory.rename(gone)
        shutil.rmtree(gone)


def guarded_as(box: Box) -> str:
    """The rules that are in force for the machine; empty when it has no network."""
    return guard.listed(box.namespace) if box.namespace in network.namespaces() else ""


def _write_identity(box: Box, directory: Path, operator_key: str) -> None:
    key = sshd.new_key_pair()
    (directory / "host_key.pub").write_text(f"{key.public}\n")
    # The modes of these directories hide those of the image's.
    for part in ("", "etc", "etc/ssh", "home"):
        _directory(directory / "upper" / part, 0o755)
    etc = directory / "upper" / "etc"
    _file(etc / "hostname", f"{box.name}\n", 0o644)
    _file(etc / "machine-id", f"{box.record.uuid}\n", 0o444)
    _file(etc / "hosts", f"127.0.0.1 localhost\n{box.address} {box.name}\n", 0o644)
    _file(etc / "ssh" / "ssh_host_ed25519_key", key.private, 0o600)
    _file(etc / "ssh" / "ssh_host_ed25519_key.pub", f"{key.public}\n", 0o644)
    home = directory / "upper" / "home" / USER
    for path in (home, home / ".ssh"):
        _directory(path, 0o700)
    _file(home / ".ssh" / "authorized_keys", f"{operator_key.strip()}\n", 0o600)
    for path in (home, home / ".ssh", home / ".ssh" / "authorized_keys"):
        os.chown(path, _USER_ID, _USER_ID)


def _directory(path: Path, mode: int) -> None:
    path.mkdir()
    path.chmod(mode)


def _file(path: Path, text: str, mode: int) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
    path.chmod(mode)


def _log(box: Box) -> Path:
    return box.directory / "console.log"


def _launchers(box: Box) -> list[Process]:
    # In the order in which one becomes the other, so that it can't slip through.
    return processes.find("unshare", box.record.uuid) + processes.find("bash", box.record.uuid)


def _supervisors(box: Box) -> list[Process]:
    return processes.find("systemd-nspawn", f"--uuid={box.record.uuid}")


# Machines are worked on by several threads, and `processes.stop` and `kill` are for one.
def _signal(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)


def _greets(address: str) -> bool:
    try:
        with socket.create_connection((address, SSH_PORT), timeout=_CONNECT_TIMEOUT_S) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _status(pid: int) -> dict[str, str]:
    """The members of /proc/PID/status; none when there is no such process."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _is_alive(pid: int) -> bool:
    return _status(pid).get("State", "Z")[0] not in "ZX"


def _pids_in_namespaces(pid: int) -> list[str]:
    """Its numbers, from this pid namespace to its own; see NSpid in proc(5)."""
    return _status(pid).get("NSpid", "").split()
