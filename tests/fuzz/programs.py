"""The database servers that the fuzzer can run: Debian's MariaDB, and others from a tarball or an unpacked directory.

A directory is either MySQL's generic layout (`bin/mysqld`) or a root that Debian's packages were unpacked into
(`usr/sbin/mariadbd`), which runs with the libraries and the loader that lie in it.
"""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final, Literal

import msgspec

from deploy import processes
from deploy.engines.mariadb import SERVER_PROGRAM
from deploy.providers import state

Family = Literal["mariadb", "mysql"]

INSTALLED: Final = "mariadb"
TARBALL_SETTING: Final = "GATEKEEPER_NDB_TARBALL"
ROOT_SETTING: Final = "GATEKEEPER_MARIADB_ROOT"
_BESIDE = Path(__file__).parents[3] / "shared" / "ndb"
CACHE = Path(__file__).parents[2] / "var" / "cache"
# Of MySQL's tarball: the server, what it shows errors with, its libraries.
_NEEDED = ("*/bin/mysqld", "*/lib", "*/share")
_UNPACK_TIMEOUT_S = 300.0
_PROBE_TIMEOUT_S = 20.0


class CannotRun(RuntimeError):
    """A server can't be run here; the message says what is missing."""


class Program(msgspec.Struct, frozen=True):
    """A server's program: `command` starts it, `share` has its messages and scripts, `version` is what it says."""

    family: Family
    command: tuple[str, ...]
    share: Path
    version: str


def find(where: str) -> Program:
    """The server that is meant: `mariadb` for Debian's, else a tarball or a directory. Raises CannotRun."""
    if where == INSTALLED:
        return _program("mariadb", (SERVER_PROGRAM,), Path("/usr/share/mysql"))
    path = Path(where).absolute()
    if path.is_file():
        path = _unpacked(path)
    if (path / "bin/mysqld").is_file():
        return _program("mysql", (str(path / "bin/mysqld"),), path / "share")
    if (path / "usr/sbin/mariadbd").is_file():
        return _program("mariadb", _within(path), path / "usr/share/mariadb")
    raise CannotRun(f"{where} is no tarball and has neither bin/mysqld nor usr/sbin/mariadbd")


def mysql_tarball() -> str | None:
    """MySQL's tarball: the one that GATEKEEPER_NDB_TARBALL names, else one beside the repository, else None."""
    named = os.environ.get(TARBALL_SETTING)
    return named or next((str(path) for path in sorted(_BESIDE.glob("mysql-cluster-*.tar.xz"))), None)


def mariadb_root() -> str | None:
    """The root of another MariaDB, as GATEKEEPER_MARIADB_ROOT names it, or None."""
    return os.environ.get(ROOT_SETTING) or None


def _within(root: Path) -> tuple[str, ...]:
    """The command that runs a root's MariaDB with that root's own libraries."""
    loader = next(root.glob("usr/lib*/ld-linux-*.so.*"), None) or next(root.glob("usr/lib/*/ld-linux-*.so.*"), None)
    libraries = [str(path.parent) for path in root.glob("usr/lib/*/libc.so.6")]
    if loader is None or not libraries:
        raise CannotRun(f"{root} has a mariadbd and not the C library that it needs")
    return str(loader), "--library-path", ":".join(libraries), str(root / "usr/sbin/mariadbd")


def _program(family: Family, command: tuple[str, ...], share: Path) -> Program:
    """The program, if it starts at all. Raises CannotRun with what its loader misses."""
    try:
        done = subprocess.run(
            [*command, "--no-defaults", "--version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_PROBE_TIMEOUT_S,
        )
    except OSError as error:
        raise CannotRun(f"{command[-1]} can't be run: {error}") from None
    if done.returncode:
        missing = re.findall(r"([\w.+-]+\.so[\w.]*): cannot open", done.stderr)
        reason = f"needs {', '.join(missing)}" if missing else f"does not run: {done.stderr.strip()[-200:]}"
        raise CannotRun(f"{command[-1]} {reason}")
    version = re.search(r"Ver (\S+)", done.stdout)
    return Program(family, command, share, version[1] if version else "unknown")


def _unpacked(tarball: Path) -> Path:
    """What is needed of a tarball, in the cache by its SHA-256: unpacked once, whole or not at all."""
    with tarball.open("rb") as file:
        kept = CACHE / f"mysql-{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"
    if not kept.exists():
        CACHE.mkdir(mode=0o700, parents=True, exist_ok=True)
        with state.locked(kept.with_suffix(".lock"), timeout_s=_UNPACK_TIMEOUT_S):
            if not kept.exists():
                _unpack(tarball, kept)
    return kept


def _unpack(tarball: Path, kept: Path) -> None:
    """By tar(1): Debian 12's Python can't refuse links that lead out of the directory, tar does."""
    unfinished = kept.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    command = ["tar", "-xf", str(tarball), "-C", str(unfinished), "--no-same-owner", "--strip-components=1"]
    try:
        processes.run(
            [*command, "--wildcards", *_NEEDED],
            runs_as=processes.own_account(),
            directory=unfinished,
            timeout_s=_UNPACK_TIMEOUT_S,
        )
    except processes.CommandFailed as error:
        shutil.rmtree(unfinished)
        raise CannotRun(f"{tarball} can't be unpacked: {error}") from None
    unfinished.rename(kept)
