"""One SQL server as a local process: its directory, its start, its recovery, its state."""

import os
import shutil
import socket
import time
from pathlib import Path
from typing import TypeAlias

import pymysql
from pymysql.constants.CR import CR_CONNECTION_ERROR

from deploy import processes
from deploy.engines.interface import OPTION_FILE, Engine, Health, Position, Server
from deploy.engines.mariadb import SERVER_PROGRAM
from deploy.processes import Account, Process

_RECOVERY_TIMEOUT_S = 60.0
_CONNECT_TIMEOUT_S = 5
# A server that is stopped accepts connections and says nothing.
_ANSWER_TIMEOUT_S = 5.0
_SUBDIRECTORIES = ("temporary", "files")

# Text, because only its stub takes a parameter.
AdminConnection: TypeAlias = "pymysql.Connection[pymysql.cursors.Cursor]"


class ServerDied(RuntimeError):
    """A server ended while it was waited for; the message has the end of its log."""


def give(directory: Path, owner: Account) -> None:
    """Make a directory and all in it the account's own, and closed to others."""
    directory.chmod(0o700)
    if owner.is_another:
        for path in (directory, *directory.rglob("*")):
            os.chown(path, owner.uid, owner.gid)


def copy_data(source: Path, target: Path, engine: Engine) -> None:
    """Copy a stopped server's data directory, without what belongs to that server's life."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*engine.leave_out), copy_function=shutil.copyfile)


def prepare_directory(server: Server, option_file: str) -> None:
    """Make the server's directory, with its option file and without data."""
    directory = Path(server.directory)
    directory.mkdir(mode=0o700)
    for name in _SUBDIRECTORIES:
        (directory / name).mkdir()
    Path(server.configuration_file).write_text(option_file)


def launch(engine: Engine, server: Server, runs_as: Account, *, first: bool, position: Position | None) -> Process:
    """Start the server; it is not ready yet. `first`: nobody else of its cluster runs."""
    state = Path(server.data, engine.state_file) if engine.state_file else None
    if first and state and state.exists():
        state.write_text(engine.may_start_cluster(state.read_text()))
    arguments = engine.start_arguments(first=first, position=position)
    return processes.spawn(
        [SERVER_PROGRAM, _defaults(server), *arguments],
        runs_as=runs_as,
        directory=Path(server.directory),
        log=Path(server.error_log),
    )


def recover(engine: Engine, server: Server, runs_as: Account) -> Position | None:
    """How far a stopped server's data got. Raises CommandFailed."""
    if not engine.recovery_arguments():
        return None
    printed = processes.run(
        [SERVER_PROGRAM, _defaults(server), *engine.recovery_arguments()],
        runs_as=runs_as,
        directory=Path(server.directory),
        timeout_s=_RECOVERY_TIMEOUT_S,
    )
    return engine.recovered_position(printed)


def processes_in(directory: Path) -> list[Process]:
    """The database server that runs in the node's directory; none or one."""
    return processes.find(Path(SERVER_PROGRAM).name, f"--defaults-file={directory / OPTION_FILE}")


def connect(server: Server, *, answer_within_s: float | None = None) -> AdminConnection:
    """A connection as the administrator, through the socket: the server asks the kernel who calls, so no password.

    `answer_within_s`: how long any answer may take; None for no limit.
    """
    connection = pymysql.connect(
        user=processes.own_account().name, charset="utf8mb4", read_timeout=answer_within_s, defer_connect=True
    )
    connection.connect(_channel(server.socket))
    return connection


def _channel(path: str) -> socket.socket:
    """A connected Unix socket. PyMySQL would leave one that it can't connect to the garbage collector."""
    channel = socket.socket(socket.AF_UNIX)
    try:
        channel.settimeout(_CONNECT_TIMEOUT_S)
        channel.connect(path)
    except OSError as error:
        channel.close()
        raise pymysql.OperationalError(CR_CONNECTION_ERROR, f"{path}: {error}") from None
    return channel


def health(engine: Engine, server: Server) -> Health | None:
    """How the server sees itself; None while it doesn't answer."""
    try:
        with connect(server, answer_within_s=_ANSWER_TIMEOUT_S) as connection, connection.cursor() as cursor:
            cursor.execute(engine.status_statement)
            return engine.health(dict(cursor.fetchall()))
    except pymysql.MySQLError:
        return None


def wait_ready(engine: Engine, server: Server, process: Process, *, size: int, timeout_s: float) -> None:
    """Wait until the server is ready and sees at least `size` nodes. Raises ServerDied or TimeoutError."""

    def ready() -> bool:
        _check_alive(server, process)
        found = health(engine, server)
        return found is not None and found.ready and found.size >= size

    processes.wait_until(ready, timeout_s=timeout_s, what=f"{server.name} ready among {size}")


def wait_member(
    engine: Engine, server: Server, process: Process, *, seen_by: Server, size: int, timeout_s: float
) -> None:
    """Wait until another server sees `size` nodes, the starting one among them. Raises ServerDied or TimeoutError."""

    def member() -> bool:
        _check_alive(server, process)
        found = health(engine, seen_by)
        return found is not None and found.size >= size

    processes.wait_until(member, timeout_s=timeout_s, what=f"{server.name} seen among {size} by {seen_by.name}")


def _check_alive(server: Server, process: Process) -> None:
    if not processes.alive(process):
        raise ServerDied(f"{server.name} ended while it was starting:\n{processes.tail(Path(server.error_log))}")


def ping_ms(server: Server) -> float | None:
    """The time of a SELECT 1 on an open connection, in milliseconds; None when it fails."""
    try:
        with connect(server, answer_within_s=_ANSWER_TIMEOUT_S) as connection, connection.cursor() as cursor:
            started = time.perf_counter()
            cursor.execute("SELECT 1")
            return round((time.perf_counter() - started) * 1000, 3)
    except pymysql.MySQLError:
        return None


def _defaults(server: Server) -> str:
    return f"--defaults-file={server.configuration_file}"
