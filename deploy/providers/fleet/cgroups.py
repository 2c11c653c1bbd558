"""Control groups: a machine's limits, its processes, and its pause. See cgroups(7).

Works with version 1 (a hierarchy for each controller) and version 2 (one for all).
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from deploy.providers.interface import ProviderError

ROOT: Final = Path("/sys/fs/cgroup")
_PERIOD_US: Final = 100_000
_END_TIMEOUT_S: Final = 20.0
_POLL_S: Final = 0.02


class Size(msgspec.Struct, frozen=True):
    """A machine's memory in MiB and its cores; 0 cores: as many as the host has."""

    memory_mib: int = 2048
    cores: float = 0.0

    def __str__(self) -> str:
        return f"{self.memory_mib} MiB" + (f" and {self.cores:g} cores" if self.cores else "")


class Group(msgspec.Struct, frozen=True):
    """A control group. `name`: its path below each hierarchy's root, KEY/MACHINE."""

    name: str
    root: Path = ROOT

    def create(self, size: Size) -> None:
        """Make the group, or change its limits. Raises ProviderError when the host gives no such limits."""
        try:
            for hierarchy in _hierarchies(self.root):
                self._create_in(hierarchy)
            self._limit(size)
        except OSError as error:
            raise ProviderError(f"this host gives no control group for machines: {error}") from None

    def pids(self) -> list[int]:
        """The processes in the group and those below it."""
        found: set[int] = set()
        for directory in self._directories():
            with contextlib.suppress(OSError):
                found.update(int(word) for word in (directory / "cgroup.procs").read_text().split())
        # A process that this pid namespace can't see is 0.
        return sorted(found - {0})

    def kill(self) -> None:
        """End all processes of the group at once, and wait until they are gone. Raises ProviderError."""
        self.freeze(frozen=False)
        deadline = time.monotonic() + _END_TIMEOUT_S
        while pids := self.pids():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise ProviderError(f"these processes can't be ended: {', '.join(map(str, pids))}")
            time.sleep(_POLL_S)

    def freeze(self, *, frozen: bool) -> None:
        """Stop the group's processes where they are, or let them go on."""
        for hierarchy in _hierarchies(self.root):
            directory = hierarchy / self.name
            _write_if_there(directory / "freezer.state", "FROZEN" if frozen else "THAWED")
            _write_if_there(directory / "cgroup.freeze", "1" if frozen else "0")

    def remove(self) -> None:
        """Remove the group, whose processes have ended, and the cluster's with its last one. Raises ProviderError."""
        deadline = time.monotonic() + _END_TIMEOUT_S
        while left := [directory for directory in self._directories() if not _removed(directory)]:
            if time.monotonic() > deadline:
                raise ProviderError(f"the control group {left[0]} can't be removed")
            time.sleep(_POLL_S)
        for hierarchy in _hierarchies(self.root):
            _removed((hierarchy / self.name).parent)

    def _create_in(self, hierarchy: Path) -> None:
        directory = hierarchy
        for part in Path(self.name).parts:
            controllers = directory / "cgroup.subtree_control"
            if (directory / "cgroup.controllers").exists() and "memory" in _words(directory / "cgroup.controllers"):
                controllers.write_text("+memory +cpu")
            directory /= part
            directory.mkdir(exist_ok=True)
            # A new group of cpuset has neither, and takes no process; see cpuset(7).
            for name in ("cpuset.cpus", "cpuset.mems"):
                if (directory / name).exists() and not _words(directory / name):
                    (directory / name).write_text((directory.parent / name).read_text())

    def _limit(self, size: Size) -> None:
        limit, quota = size.memory_mib << 20, round(size.cores * _PERIOD_US)
        limited = False
        for hierarchy in _hierarchies(self.root):
            directory = hierarchy / self.name
            limited |= _write_if_there(directory / "memory.limit_in_bytes", str(limit))
            limited |= _write_if_there(directory / "memory.max", str(limit))
            _write_if_there(directory / "cpu.cfs_quota_us", str(quota or -1))
            _write_if_there(directory / "cpu.max", f"{quota or 'max'} {_PERIOD_US}")
        if not limited:
            raise ProviderError("this host has no control group for memory")

    def _directories(self) -> list[Path]:
        """The group's directories in all hierarchies, those below first."""
        return [directory for hierarchy in _hierarchies(self.root) for directory in _tree(hierarchy / self.name)]


def writable(root: Path = ROOT) -> bool:
    """Whether groups can be made; root, too, can't on a file system that is mounted read-only."""
    try:
        hierarchies = _hierarchies(root)
    except OSError:
        return False
    return bool(hierarchies) and all(os.access(hierarchy, os.W_OK) for hierarchy in hierarchies)


def parse_size(text: str) -> Size:
    """The size that "MEMORY_MiB" or "MEMORY_MiB/CORES" says; the default one for "". Raises ProviderError."""
    if not text:
        return Size()
    memory, _, cores = text.partition("/")
    try:
        size = Size(int(memory), float(cores or 0))
    except ValueError:
        size = Size(0)
    if size.memory_mib < 128 or not 0 <= size.cores < 1024:
        raise ProviderError(f"a machine's size is MEMORY_MiB or MEMORY_MiB/CORES with 128 MiB or more, not {text!r}")
    return size


def _hierarchies(root: Path) -> list[Path]:
    if (root / "cgroup.procs").exists():
        return [root]
    return sorted(path for path in root.iterdir() if not path.is_symlink() and (path / "cgroup.procs").exists())


def _tree(top: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        for path in sorted(top.iterdir()):
            if path.is_dir():
                yield from _tree(path)
    if top.is_dir():
        yield top


def _words(path: Path) -> list[str]:
    return path.read_text().split()


def _write_if_there(path: Path, text: str) -> bool:
    if not path.exists():
        return False
    path.write_text(text)
    return True


def _removed(directory: Path) -> bool:
    """Whether the directory is gone, or could be removed now."""
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
