"""The image that the fleet's machines start from, as a cloud's: made once with debootstrap, and kept in a cache.

Packages are the host's own choice of source, taken when the image is made. What a deployment will install lies in it
downloaded, not installed: a machine needs no way out, and `apt-get install` does there what it does anywhere.
"""

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from deploy import processes
from deploy.providers.fleet import commands
from deploy.providers.interface import ProviderError, Say
from deploy.providers.state import Busy, locked

_SCRIPT: Final = Path(__file__).with_name("image.sh")
_SPACE_BYTES: Final = 2 << 30
_LOCK_TIMEOUT_S: Final = 1800.0
_IMAGE: Final = "image"

# What Debian's own image for EC2 has of these: https://wiki.debian.org/Cloud/AmazonEC2Image
BASE: Final = (
    "systemd",
    "systemd-sysv",
    "libpam-systemd",
    "dbus",
    "openssh-server",
    "sudo",
    "python3",
    "ca-certificates",
    "iproute2",
    "iputils-ping",
    "procps",
    "curl",
)
# What the deployment installs on machines.
DOWNLOADED: Final = (
    "mariadb-server",
    "galera-4",
    "mariadb-backup",
    "rsync",
    "socat",
    "nginx-light",
    "python3-venv",
    "libaio1",
    "libnuma1",
    "libncurses6",
    "sysbench",
    "lsof",
)


class Recipe(msgspec.Struct, frozen=True):
    """What an image is made of: packages that are installed, and packages that are only downloaded."""

    installed: tuple[str, ...] = BASE
    downloaded: tuple[str, ...] = DOWNLOADED
    suite: str = "bookworm"

    @property
    def key(self) -> str:
        """The image's name in the cache: another one for other packages, or another way of making it."""
        parts = (self.suite, *sorted(self.installed), "/", *sorted(self.downloaded), _SCRIPT.read_text())
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


class _Stage(msgspec.Struct, frozen=True):
    name: str
    about: str
    words: tuple[str, ...]
    timeout_s: float


def root(recipe: Recipe, cache: Path) -> Path:
    """The image's root directory, which is there when the image has been made."""
    return cache / recipe.key


def ensure(recipe: Recipe, cache: Path, say: Say) -> Path:
    """The image's root directory; it is made if need be, which takes minutes. Raises ProviderError."""
    final = root(recipe, cache)
    if final.is_dir():
        return final
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with locked(cache / f"{final.name}.lock", timeout_s=_LOCK_TIMEOUT_S):
            if not final.is_dir():
                _build(recipe, final, say)
            return final
    except Busy as error:
        raise ProviderError(f"the image can't be made: {error}") from None


def _build(recipe: Recipe, final: Path, say: Say) -> None:
    _check_space(final.parent)
    for left in final.parent.glob(f".{final.name}.*"):
        shutil.rmtree(left)
    log = final.with_name(f"{final.name}.log")
    with _temporary_directory(final) as directory:
        # Whoever may read the image's own directory is let in by the cache's mode.
        unfinished = directory / _IMAGE
        unfinished.mkdir(mode=0o755)
        log.write_bytes(b"")
        for stage in _stages(recipe):
            say(_IMAGE, stage.about)
            _run(stage, unfinished, log)
        unfinished.replace(final)
    log.unlink()
    _prune(final)


def use(final: Path, machine: Path) -> None:
    """Takes note that the machine in that directory, which has a link `image` there, is made from the image."""
    users = _users(final)
    users.mkdir(mode=0o700, exist_ok=True)
    note = users / hashlib.sha256(str(machine).encode()).hexdigest()[:16]
    if not note.is_symlink():
        note.symlink_to(machine)


def _users(final: Path) -> Path:
    return final.with_name(f"{final.name}.users")


def _prune(newest: Path) -> None:
    """Removes the images whose machines are all gone. One that never had any may be about to be used, and stays."""
    for users in newest.parent.glob("*.users"):
        final = users.with_suffix("")
        notes = list(users.iterdir())
        if final != newest and notes and not any((note / _IMAGE).resolve() == final.resolve() for note in notes):
            shutil.rmtree(users)
            shutil.rmtree(final, ignore_errors=True)
            final.with_name(f"{final.name}.lock").unlink(missing_ok=True)


def _run(stage: _Stage, directory: Path, log: Path) -> None:
    own_namespace = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
    command = [*own_namespace, "bash", str(_SCRIPT), stage.name, str(directory), *stage.words]
    with log.open("ab") as output:
        try:
            commands.run_logged(command, log=output, timeout_s=stage.timeout_s)
        except ProviderError as error:
            last = processes.tail(log, lines=1)
            raise ProviderError(f"the image was not made: {stage.about}: {error} ({last}); see {log}") from None


def _stages(recipe: Recipe) -> Iterator[_Stage]:
    yield _Stage("bootstrap", f"fetching Debian {recipe.suite}", (recipe.suite,), 900.0)
    yield _Stage("sources", "fetching the lists of packages", (), 300.0)
    yield _Stage("install", f"installing {len(recipe.installed)} packages", recipe.installed, 900.0)
    if recipe.downloaded:
        yield _Stage("download", f"downloading {len(recipe.downloaded)} more for later", recipe.downloaded, 900.0)
    yield _Stage("finish", "finishing", (), 60.0)


def _check_space(directory: Path) -> None:
    free = shutil.disk_usage(directory).free
    if free < _SPACE_BYTES:
        raise ProviderError(f"the image needs {_SPACE_BYTES >> 20} MiB of disk, and {free >> 20} MiB are free")


@contextlib.contextmanager
def _temporary_directory(final: Path) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=final.parent))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)
