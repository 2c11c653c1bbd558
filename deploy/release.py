"""A release of a service: its package and `contract/`, what it needs of the lock, and the wheels for a machine.

A machine installs from wheels that came with the release, so that it needs no package index, and nothing that the lock
does not pin by hash.
"""

import hashlib
import io
import re
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from deploy.processes import CommandFailed
from deploy.secrets import WORLD_READABLE, private_directory, write_file

Service = Literal["gatekeeper", "orchestrator", "proxy"]

# What each service and contract/ import; a test holds it. `setuptools` and the tasks' libraries stay with the operator.
# gunicorn asks for `packaging` where its workers are gevent's.
_COMMON: Final = ("flask", "gevent", "gunicorn", "httptools", "msgspec", "packaging", "prometheus-client", "structlog")
REQUIREMENTS: Final[Mapping[Service, tuple[str, ...]]] = {
    "gatekeeper": (*_COMMON, "sqlglot"),
    "orchestrator": _COMMON,
    "proxy": (*_COMMON, "cryptography", "paramiko", "pymysql", "sshtunnel"),
}
_DOWNLOAD_TIMEOUT_S: Final = 600
# Modules, and the files of the console's page.
_RELEASED: Final = frozenset({".py", ".html", ".css", ".js", ".svg"})
_PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)==", re.IGNORECASE)
_VIA = re.compile(r"^\s+#(?: via)?\s+([a-z0-9][a-z0-9._-]*)(?:\[[a-z0-9,]+\])?\s*$", re.IGNORECASE)
# glibc 2.28 and older: every system that is not older than 2018. See PEP 600.
_PLATFORMS: Final = ("manylinux_2_28", "manylinux_2_17", "manylinux2014", "manylinux_2_5", "manylinux1")


class Target(msgspec.Struct, frozen=True):
    """What wheels are for: Python's version, as "3.11", and the machine's architecture, as `uname -m` has it."""

    python: str
    architecture: str


class Release(msgspec.Struct, frozen=True):
    """A service's files as a tar archive, and its part of the lock. The version tells both by their hash."""

    service: Service
    version: str
    archive: bytes
    lock: str


def build(root: Path, service: Service) -> Release:
    """The release of what is in the project's directory. The same files give the same bytes."""
    lock = lock_of((root / "requirements.lock").read_text(encoding="utf-8"), REQUIREMENTS[service])
    archive = _archive(root, ("contract", service), lock)
    number = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return Release(service, f"{number}-{hashlib.sha256(archive).hexdigest()[:12]}", archive, lock)


def lock_of(lock: str, roots: Iterable[str]) -> str:
    """The part of the lock that these packages need, themselves included.

    uv notes below each pin which packages asked for it: that is the graph, read backwards. Raises KeyError for a root
    that is not pinned.
    """
    pins = dict(_pins(lock))
    needed = {root: pins[root] for root in roots}
    while more := {
        name: pin for name, pin in pins.items() if name not in needed and not needed.keys().isdisjoint(_asked_by(pin))
    }:
        needed |= more
    return "".join(_without_comments(needed[name]) for name in sorted(needed))


def wheels(release: Release, target: Target, cache: Path) -> Path:
    """A tar archive with the wheels of the release's lock for that target; downloaded when the cache has it not.

    Raises CommandFailed.
    """
    key = hashlib.sha256(f"{release.lock}{target}".encode()).hexdigest()[:16]
    kept = private_directory(cache / "wheels") / f"{release.service}-{key}.tar"
    if not kept.exists():
        directory = private_directory(kept.with_suffix(".partly"))
        (directory / "requirements.lock").write_text(release.lock, encoding="utf-8")
        _download(directory, target)
        write_file(kept, _tar(sorted(directory.glob("*.whl")), directory), WORLD_READABLE)
        for path in directory.iterdir():
            path.unlink()
        directory.rmdir()
    return kept


def _pins(lock: str) -> Iterator[tuple[str, str]]:
    """Each pin's name and its lines."""
    name, lines = "", [""]
    for line in lock.splitlines(keepends=True):
        if found := _PINNED.match(line):
            if name:
                yield name, "".join(lines)
            name, lines = found[1].lower(), []
        lines.append(line)
    if name:
        yield name, "".join(lines)


def _without_comments(pin: str) -> str:
    return "".join(line for line in pin.splitlines(keepends=True) if not line.lstrip().startswith("#"))


def _asked_by(pin: str) -> set[str]:
    return {found[1].lower() for line in pin.splitlines() if (found := _VIA.match(line))}


def _download(directory: Path, target: Target) -> None:
    command = [
        *(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"),
        *("--require-hashes", "--only-binary", ":all:", "--no-deps", "--implementation", "cp"),
        *("--python-version", target.python, "--dest", str(directory)),
        *(f"--platform={platform}_{target.architecture}" for platform in _PLATFORMS),
        *("--requirement", str(directory / "requirements.lock")),
    ]
    try:
        subprocess.run(command, check=True, timeout=_DOWNLOAD_TIMEOUT_S, stdin=subprocess.DEVNULL, capture_output=True)
    except subprocess.CalledProcessError as error:
        raise CommandFailed(f"the wheels could not be downloaded: {error.stderr.decode()[-2000:].strip()}") from None
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"the wheels could not be downloaded within {_DOWNLOAD_TIMEOUT_S} s") from None


def _archive(root: Path, packages: Iterable[str], lock: str) -> bytes:
    files = [path for package in packages for path in sorted((root / package).rglob("*")) if path.suffix in _RELEASED]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path in files:
            _add(tar, str(path.relative_to(root)), path.read_bytes())
        _add(tar, "requirements.lock", lock.encode())
    return out.getvalue()


def _tar(files: Iterable[Path], directory: Path) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path in files:
            _add(tar, str(path.relative_to(directory)), path.read_bytes())
    return out.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Adds a file with nothing of this machine: no times, no owners."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    tar.addfile(entry, io.BytesIO(content))
