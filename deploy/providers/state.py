"""What a local cluster is made of, kept in a file for later commands; and the lock that commands take."""

import contextlib
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from deploy import processes
from deploy.engines.interface import Server
from deploy.processes import Account

# struct sockaddr_un has 108 bytes for the path, with the closing zero; see unix(7).
_SOCKET_PATH_BYTES = 107
_LONGEST_SOCKET = "standalone/sql.sock"
_HOME_PREFIX = "gk-"
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")
_SHARED_TEMPORARY = Path("/var/tmp")  # noqa: S108 (a fresh directory of ours is made in it)


class NoCluster(RuntimeError):
    """There is no such local cluster."""


class UnknownNode(ValueError):
    """The cluster has no node of that name; the message lists its nodes."""


class Busy(RuntimeError):
    """Another command is at work on the same cluster."""


class Cluster(msgspec.Struct, frozen=True):
    """A local cluster. `home` holds the nodes' directories; `group` is its name among its servers, hard to guess.

    `ready`: it was started whole once; without it, a start was cut off and what is there can only be removed.
    """

    name: str
    engine: str
    account: Account
    home: str
    group: str
    ssh_port: int
    nodes: tuple[Server, ...]
    ready: bool = False

    def node(self, name: str) -> Server:
        """The node of that name. Raises UnknownNode."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise UnknownNode(f"unknown node {name!r}; known are {', '.join(node.name for node in self.nodes)}")


class Place(msgspec.Struct, frozen=True):
    """The directory of a local cluster, and what lies where in it."""

    directory: Path

    @property
    def cluster_file(self) -> Path:
        """The cluster's description, JSON."""
        return self.directory / "cluster.json"

    @property
    def nodes(self) -> Path:
        """The nodes' directories, or a link to them."""
        return self.directory / "nodes"

    @property
    def private_key(self) -> Path:
        """The SSH key that opens the tunnels."""
        return self.directory / "ssh" / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The nodes' SSH host keys."""
        return self.directory / "ssh" / "known_hosts"

    @property
    def accounts(self) -> Path:
        """The application's database accounts, TOML."""
        return self.directory / "accounts.toml"

    @property
    def lock(self) -> Path:
        """The file that a command locks while it changes the cluster."""
        return self.directory.with_name(self.directory.name + ".lock")

    def is_ours(self) -> bool:
        """Whether a cluster, or the begin of one, lies in the directory, so that it may be removed whole."""
        marks = (self.cluster_file, self.nodes)
        return any(os.path.lexists(mark) for mark in marks) or not any(self.directory.iterdir())

    def load(self) -> Cluster:
        """The cluster. Raises NoCluster."""
        try:
            return msgspec.json.decode(self.cluster_file.read_bytes(), type=Cluster)
        except FileNotFoundError:
            raise NoCluster(f"there is no local cluster {self.directory.name!r}; start it first") from None
        except msgspec.DecodeError as error:
            raise NoCluster(f"{self.cluster_file.name} is damaged ({error}); take the cluster down") from None

    def save(self, cluster: Cluster) -> None:
        """Keep the cluster's description; a reader sees the old or the new one."""
        text = msgspec.json.format(msgspec.json.encode(cluster), indent=2)
        write_private(self.cluster_file, text.decode())


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, at once: a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    Path(temporary).replace(path)


def fresh_home(place: Place, runs_as: Account) -> Path:
    """An empty directory for the nodes, which their account can reach, also found at `place.nodes`.

    For another account it lies in the shared temporary directory: the project may have been cloned where only its
    owner can go. So too where a path would be too long for a socket, or has characters that option files quote.
    """
    longest = str(place.nodes / _LONGEST_SOCKET)
    if not runs_as.is_another and len(longest) <= _SOCKET_PATH_BYTES and _PLAIN_PATH.fullmatch(longest):
        place.nodes.mkdir(mode=0o700)
        return place.nodes
    home = reachable_directory()
    place.nodes.symlink_to(home)
    return home


def home_of(place: Place) -> Path | None:
    """The directory of the nodes, if there is one. A link that leads where no home of ours can be is not followed."""
    home = place.nodes
    if home.is_symlink():
        home = home.readlink()
        if home.parent != _SHARED_TEMPORARY or not home.name.startswith(_HOME_PREFIX):
            raise NoCluster(f"{place.nodes.name} links to what is no home of nodes; remove the link by hand")
    return home if home.is_dir() else None


def reachable_directory() -> Path:
    """A new directory of the caller's that every account can pass through, but not list."""
    home = Path(tempfile.mkdtemp(prefix=_HOME_PREFIX, dir=_SHARED_TEMPORARY))
    home.chmod(0o711)
    return home


@contextlib.contextmanager
def locked(path: Path, *, timeout_s: float) -> Iterator[None]:
    """Hold the lock file; it is removed in the end. Raises Busy when another process keeps it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = processes.wait_until(lambda: _lock(path), timeout_s=timeout_s, what="a lock")
    except TimeoutError:
        raise Busy(f"another command is at work ({path.name} is locked); try again when it is done") from None
    with lock:
        try:
            yield
        finally:
            path.unlink()


def _lock(path: Path) -> IO[str] | None:
    file = path.open("a", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held it may have removed the file in between: then this lock is on a file that nobody else sees.
        if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    file.close()
    return None
