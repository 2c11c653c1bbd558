"""The data directory that every node of a new cluster starts from: made once, kept in a cache.

With the same data and the same position in the same history on all nodes, none needs a full transfer.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from deploy import processes
from deploy.engines.interface import Engine, Server
from deploy.engines.mariadb import INSTALL_PROGRAM, SERVER_PROGRAM
from deploy.processes import Account
from deploy.providers import addresses, servers, state
from deploy.providers.servers import AdminConnection

_NAME = "seed"
_KEPT = 4
_INSTALL_TIMEOUT_S = 120.0
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 60.0
_OTHER_MAKER_TIMEOUT_S = 300.0


def _nothing(_connection: AdminConnection) -> None:
    """Prepares nothing."""


class Seed(msgspec.Struct, frozen=True):
    """What a new cluster holds. `prepare` loads it, through an administrator's connection, and must commit.

    `key` must change when what `prepare` loads changes: it decides whether a cached seed fits.
    """

    key: str = ""
    prepare: Callable[[AdminConnection], None] = _nothing


def ensure(seed: Seed, engine: Engine, runs_as: Account, cache: Path) -> Path:
    """The seed's data directory in the cache, made when it is not there yet."""
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = cache / f"seed-{_digest(seed, engine, runs_as)}"
    if not data.exists():
        with state.locked(cache / f"{data.name}.lock", timeout_s=_OTHER_MAKER_TIMEOUT_S):
            if not data.exists():
                _make(seed, engine, runs_as, data)
                _prune(cache)
    os.utime(data)  # when it was last used
    return data


def _prune(cache: Path) -> None:
    """Removes the seeds that were not used for longest; one that is being copied is among the last used."""
    made = [path for path in cache.glob("seed-*") if path.is_dir() and not path.suffix]
    for old in sorted(made, key=lambda path: path.stat().st_mtime, reverse=True)[_KEPT:]:
        shutil.rmtree(old)
        old.with_name(f"{old.name}.lock").unlink(missing_ok=True)


def _digest(seed: Seed, engine: Engine, runs_as: Account) -> str:
    """What the content depends on: the server's version, its options, the administrator's name, what is loaded."""
    version = processes.run([SERVER_PROGRAM, "--version"], runs_as=runs_as, directory=Path("/"), timeout_s=10)
    server = Server(name=_NAME, role="standalone", address="", directory="")
    options = engine.configuration(server, [server], "")
    parts = (version, options, processes.own_account().name, seed.key)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _make(seed: Seed, engine: Engine, runs_as: Account, data: Path) -> None:
    home = state.reachable_directory()
    try:
        with addresses.reserved(data.name, 1) as block:
            server = Server(
                name=_NAME,
                role="standalone",
                address=block.addresses[0],
                directory=str(home / _NAME),
                mysql_port=block.mysql_port,
                group_port=block.group_port,
                transfer_port=block.transfer_port,
                snapshot_port=block.snapshot_port,
            )
            servers.prepare_directory(server, engine.configuration(server, [server], data.name))
            servers.give(Path(server.directory), runs_as)
            _install(server, runs_as)
            _fill(seed, engine, server, runs_as)
        _keep(Path(server.data), data, engine)
    finally:
        # The installation's own server, when the installation was interrupted.
        processes.kill(processes.find(Path(SERVER_PROGRAM).name, f"--datadir={home / _NAME / 'data'}"))
        shutil.rmtree(home)


def _install(server: Server, runs_as: Account) -> None:
    """Make the system tables: no anonymous users, no test database, an administrator known by the caller's own uid."""
    command = [
        INSTALL_PROGRAM,
        "--no-defaults",
        f"--datadir={server.data}",
        "--auth-root-authentication-method=socket",
        f"--auth-root-socket-user={processes.own_account().name}",
        "--skip-test-db",
        "--skip-name-resolve",
    ]
    processes.run(command, runs_as=runs_as, directory=Path(server.directory), timeout_s=_INSTALL_TIMEOUT_S)


def _fill(seed: Seed, engine: Engine, server: Server, runs_as: Account) -> None:
    process = servers.launch(engine, server, runs_as, first=True, position=None)
    try:
        servers.wait_ready(engine, server, process, size=1, timeout_s=_START_TIMEOUT_S)
        with servers.connect(server) as connection:
            seed.prepare(connection)
        processes.stop([process], timeout_s=_STOP_TIMEOUT_S)
    finally:
        processes.kill([process])


def _keep(made: Path, data: Path, engine: Engine) -> None:
    """Move it into the cache: there it is whole, or not at all."""
    unfinished = data.with_name(data.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    servers.copy_data(made, unfinished, engine)
    unfinished.chmod(0o700)
    unfinished.rename(data)
