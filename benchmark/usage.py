"""What processes take: processor time and memory, from /proc (proc(5)), by role.

A role is a set of processes and all their descendants; what is called `ssh` among them is a role of its own. Time of
children that ended is their parents' (cutime), so that a tunnel which lives for one request is counted, too. The clock
has 100 ticks a second: a figure is good to about 10 ms divided by the requests of a run.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TypeAlias

import msgspec

SSH = "ssh"
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MIB = 1 << 20

Roots: TypeAlias = Mapping[str, Sequence[int]]
"""The pids at the root of each role."""


class Usage(msgspec.Struct, frozen=True):
    """By role: seconds of processor time (of what, the holder says), and MiB of resident memory.

    Memory that processes share is counted in each of them.
    """

    cpu_s: dict[str, float] = {}
    memory_mib: dict[str, float] = {}

    @property
    def total_cpu_s(self) -> float:
        """Of all roles."""
        return sum(self.cpu_s.values())


class Stat(msgspec.Struct, frozen=True):
    """What is used of /proc/PID/stat."""

    pid: int
    name: str
    parent: int
    ticks: int
    pages: int


def snapshot(roots: Roots) -> Usage:
    """What each role has taken since its processes began, and the memory that it has now."""
    members = assigned(roots, list(_stats()))
    return Usage(
        {role: sum(stat.ticks for stat in stats) / _TICKS for role, stats in members.items()},
        {role: sum(stat.pages for stat in stats) * _PAGE_BYTES / _MIB for role, stats in members.items()},
    )


def pids(roots: Roots) -> dict[str, list[int]]:
    """All processes of each role, now."""
    return {role: [stat.pid for stat in stats] for role, stats in assigned(roots, list(_stats())).items()}


def children_named(parent: int, name: str) -> list[int]:
    """The children of a process that have this name."""
    return [stat.pid for stat in _stats() if stat.parent == parent and stat.name == name]


def assigned(roots: Roots, stats: Sequence[Stat]) -> dict[str, list[Stat]]:
    """The processes of each role: its roots and their descendants, but for those called ssh and what is another's root.

    Pure.
    """
    by_pid = {stat.pid: stat for stat in stats}
    children: dict[int, list[int]] = {}
    for stat in stats:
        children.setdefault(stat.parent, []).append(stat.pid)
    role_of = {pid: role for role, pids in roots.items() for pid in pids}
    found: dict[str, list[Stat]] = {role: [] for role in roots}
    todo = list(role_of.items())
    while todo:
        pid, role = todo.pop()
        if pid not in by_pid:
            continue
        role = SSH if by_pid[pid].name == SSH else role
        found.setdefault(role, []).append(by_pid[pid])
        todo += [(child, role) for child in children.get(pid, ()) if child not in role_of]
    return found


def per_thousand(before: Usage, after: Usage, requests: int, idle_s: Mapping[str, float]) -> Usage:
    """What 1,000 requests took, less what the roles would have taken without them. Empty when none was answered."""
    if not requests:
        return Usage({}, after.memory_mib)
    spent = {
        role: max(0.0, seconds - before.cpu_s.get(role, 0.0) - idle_s.get(role, 0.0)) * 1000 / requests
        for role, seconds in after.cpu_s.items()
    }
    return Usage(spent, after.memory_mib)


def per_second(before: Usage, after: Usage, seconds: float) -> dict[str, float]:
    """The processor time of each role in a second."""
    return {role: (spent - before.cpu_s.get(role, 0.0)) / seconds for role, spent in after.cpu_s.items()}


def median_usage(usages: Sequence[Usage]) -> Usage:
    """The median of each figure over those that have it."""
    return Usage(
        _medians([usage.cpu_s for usage in usages]),
        _medians([usage.memory_mib for usage in usages]),
    )


def forget_peaks(of: Mapping[str, Sequence[int]]) -> None:
    """Lets the peaks of the processes begin anew (clear_refs, proc(5)); those of ended or foreign ones stay."""
    for pid in (pid for group in of.values() for pid in group):
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/clear_refs").write_text("5")


def peaks_mib(of: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """The most memory that each process had since then, summed by role."""
    return {role: round(sum(map(_peak_mib, pids)), 1) for role, pids in of.items()}


def _peak_mib(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _medians(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = {name: None for figure in figures for name in figure}
    return {name: median(figure[name] for figure in figures if name in figure) for name in names}


def _stats() -> Iterator[Stat]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                yield stat_of((entry / "stat").read_text())


def stat_of(text: str) -> Stat:
    """The line of /proc/PID/stat. The name stands in parentheses and may hold any character, also those."""
    name = text[text.index("(") + 1 : text.rindex(")")]
    fields = text[text.rindex(")") + 2 :].split()
    ticks = sum(int(field) for field in fields[11:15])
    return Stat(int(text.split(" ", 1)[0]), name, int(fields[1]), ticks, int(fields[21]))
