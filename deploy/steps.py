"""Steps on a machine: each looks first, changes what differs, and tells whether it changed anything.

A step is safe to repeat: one that was cut off is completed by the next run. Scripts are bash, run as root.
"""

import hashlib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from deploy.host import Host, HostError

_INSTALL_TIMEOUT_S: Final = 900.0
_SERVICE_TIMEOUT_S: Final = 180.0
_LOCKED_TIMEOUT_S: Final = 300
UNITS: Final = "/etc/systemd/system"


class File(msgspec.Struct, frozen=True):
    """A file with exactly this content, mode and owner. It appears whole or not at all."""

    path: str
    content: bytes
    mode: str = "0644"
    owner: str = "root:root"

    @property
    def hash(self) -> str:
        """SHA-256 of the content, in hex."""
        return hashlib.sha256(self.content).hexdigest()


class Directory(msgspec.Struct, frozen=True):
    """A directory with this mode and owner. What is in it is not looked at."""

    path: str
    mode: str = "0755"
    owner: str = "root:root"


Entry: TypeAlias = File | Directory


def paths(host: Host, wanted: Sequence[Entry]) -> tuple[str, ...]:
    """Sees to it that the directories and files are as wanted, in this order; returns the paths that differed."""
    quoted = " ".join(shlex.quote(entry.path) for entry in wanted)
    text = host.look(
        f'for path in {quoted}; do stat -c "%F|%04a|%U:%G" -- "$path" 2>/dev/null || echo absent;'
        ' { [ -f "$path" ] && sha256sum <"$path" | cut -c -64; } || echo -; done',
        new="absent\n-\n" * len(wanted),
    )
    lines = text.splitlines()
    there = [tuple(lines[at : at + 2]) for at in range(0, len(lines), 2)]
    differing = [entry for entry, found in zip(wanted, there, strict=True) if found != _as_found(entry)]
    for entry in differing:
        _put(host, entry)
    return tuple(entry.path for entry in differing)


def _as_found(entry: Entry) -> tuple[str, str]:
    if isinstance(entry, Directory):
        return f"directory|{entry.mode}|{entry.owner}", "-"
    kind = "regular file" if entry.content else "regular empty file"
    return f"{kind}|{entry.mode}|{entry.owner}", entry.hash


def _put(host: Host, entry: Entry) -> None:
    if host.is_dry:
        host.unwritten.add(entry.path)
        return
    path, owner = shlex.quote(entry.path), shlex.quote(entry.owner)
    if isinstance(entry, Directory):
        host.sudo(f"mkdir -p -- {path}; chown {owner} -- {path}; chmod {entry.mode} -- {path}")
        return
    temporary = shlex.quote(f"{entry.path}.new")
    host.sudo(
        f"umask 077; set -o noclobber; rm -f -- {temporary}; cat >{temporary}; chown -h {owner} -- {temporary};"
        f" chmod {entry.mode} -- {temporary}; sync -- {temporary}; mv -fT -- {temporary} {path}",
        given=entry.content,
    )


def link(host: Host, path: str, target: str) -> bool:
    """Sees to it that the symbolic link points there, switched in one step; whether it did not before."""
    quoted, to, temporary = shlex.quote(path), shlex.quote(target), shlex.quote(f"{path}.new")
    if host.look(f"readlink -- {quoted} || true").strip() == target:
        return False
    if host.is_dry:
        host.unwritten.add(path)
        return True
    host.sudo(f"ln -sfn -- {to} {temporary}; mv -fT -- {temporary} {quoted}")
    return True


def packages(host: Host, names: Iterable[str]) -> tuple[str, ...]:
    """Installs the Debian packages that are missing, without starting their daemons; returns those.

    policy-rc.d (invoke-rc.d(8)) keeps a daemon from running before it is configured.
    """
    wanted = sorted(set(names))
    quoted = " ".join(map(shlex.quote, wanted))
    there = host.look(f"dpkg-query -W -f='${{Package}} ${{db:Status-Status}}\\n' -- {quoted} 2>/dev/null || true")
    installed = {
        name for name, _, state in (line.partition(" ") for line in there.splitlines()) if state == "installed"
    }
    missing = tuple(name for name in wanted if name not in installed)
    if missing:
        host.sudo(_installation(missing), timeout_s=_INSTALL_TIMEOUT_S)
    return missing


def _installation(names: Sequence[str]) -> str:
    return f"""\
# install packages
policy=/usr/sbin/policy-rc.d
trap 'rm -f $policy' EXIT
printf '#!/bin/sh\\nexit 101\\n' >$policy; chmod 755 $policy
export DEBIAN_FRONTEND=noninteractive
wait=-oDPkg::Lock::Timeout={_LOCKED_TIMEOUT_S}
dpkg --force-confold --configure -a
apt-get -qq $wait update </dev/null >&2 || echo 'the package lists could not be refreshed' >&2
apt-get -qq $wait -oDpkg::Options::=--force-confold install --yes --no-install-recommends \
 {" ".join(map(shlex.quote, names))} </dev/null >/dev/null
"""


def account(host: Host, name: str, *, home: str, shell: str = "/usr/sbin/nologin") -> bool:
    """Sees to it that there is a system account, with a group of its name, that nobody can log in to by password."""
    if host.look(f"getent passwd {shlex.quote(name)} || true").strip():
        return False
    host.sudo(
        f"useradd --system --user-group --home-dir {shlex.quote(home)} --no-create-home"
        f" --shell {shlex.quote(shell)} -- {shlex.quote(name)}"
    )
    return True


def is_stale(host: Host, unit: str, read: Sequence[str]) -> bool:
    """Whether the unit's running process started before one of these files, which it reads, was written or switched.

    So a run that was cut off between a file and the restart is made up for by the next. False when nothing runs.
    """
    quoted = " ".join(map(shlex.quote, read))
    told = host.look(
        f"started=$(systemctl show --property ExecMainStartTimestamp --value {shlex.quote(unit)});"
        f' systemctl is-active --quiet {shlex.quote(unit)} && [ -n "$started" ] || exit 0;'
        f' echo runs; started=$(date --date "$started" +%s);'
        f' for path in {quoted}; do [ ! -e "$path" ] || [ "$(stat -c %Y -- "$path")" -le "$started" ] || echo y; done'
    )
    found = told.split()
    return "y" in found or ("runs" in found and not host.unwritten.isdisjoint(read))


def units(host: Host, texts: Mapping[str, str]) -> tuple[str, ...]:
    """Sees to it that systemd knows these units, or drop-ins of units, by this text; returns the paths that differed.

    What runs goes on as it was started, until it is restarted.
    """
    drop_ins = sorted({name.rpartition("/")[0] for name in texts if "/" in name})
    wanted: list[Entry] = [Directory(f"{UNITS}/{name}") for name in drop_ins]
    wanted += [File(f"{UNITS}/{name}", text.encode()) for name, text in texts.items()]
    differing = paths(host, wanted)
    if differing:
        host.sudo("systemctl daemon-reload")
    return differing


def service(host: Host, name: str, *, changed: bool = False) -> bool:
    """Sees to it that the unit is enabled and active; restarts it when `changed`. Raises HostError with its log."""
    quoted = shlex.quote(name)
    state = host.look(f"systemctl is-enabled {quoted} || true; systemctl is-active {quoted} || true").split()
    if state == ["enabled", "active"] and not changed:
        return False
    verb = "restart" if changed else "start"
    done = host.attempt(
        f"systemctl --quiet enable {quoted} && systemctl {verb} {quoted} ||"
        f" {{ journalctl --no-pager --lines 15 --output cat --unit {quoted} >&2; exit 1; }}",
        timeout_s=_SERVICE_TIMEOUT_S,
    )
    if done.status != 0:
        raise HostError(f"{host.name}: {name} did not start: {done.errors.strip()[-1500:]}")
    return True
