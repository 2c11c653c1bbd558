"""One server with empty system tables, in a directory of its own, reached by a socket only; always stopped.

Started by root it gives up its rights: it runs as the account that Debian's package made. Whoever can reach the socket
is the administrator: it lies where only that account and root can go.
"""

import hashlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql

from deploy import processes
from deploy.processes import Account, Process
from deploy.providers import servers, state
from deploy.providers.servers import AdminConnection
from proxy.connection import SQL_MODE
from tests.fuzz.programs import CACHE, CannotRun, Program

_INSTALL_TIMEOUT_S = 120.0
_START_TIMEOUT_S = 60.0
_ANSWER_TIMEOUT_S = 60.0
_ADMINISTRATOR = "root"

_OPTIONS = (
    "--skip-networking",
    "--character-set-server=utf8mb4",
    "--default-time-zone=+00:00",
    f"--sql-mode={SQL_MODE}",
    "--local-infile=OFF",
    "--event-scheduler=OFF",
    "--performance-schema=OFF",
    "--innodb-buffer-pool-size=64M",
    "--innodb-flush-log-at-trx-commit=0",
)
# MySQL's NULL: no file at all. It is not given to MariaDB, where the directory is an empty one.
_OF_MYSQL = ("--mysqlx=OFF", "--disable-log-bin", "--innodb-redo-log-capacity=32M", "--secure-file-priv=NULL")
_OF_MARIADB = ("--innodb-log-file-size=32M", "--innodb-use-native-aio=OFF")


@contextmanager
def running(program: Program) -> Iterator[str]:
    """The socket of a new server; it and its data are gone in the end.

    Raises CannotRun, CommandFailed, TimeoutError.
    """
    home = state.reachable_directory()
    directory = home / "server"
    process = None
    try:
        runs_as = _account()
        _prepare(directory, runs_as)
        _install(program, directory, runs_as)
        process = processes.spawn(
            _command(program, directory, runs_as),
            runs_as=processes.own_account(),
            directory=directory,
            log=directory / "log",
        )
        path = directory / "socket"
        _wait_ready(process, path, directory / "log")
        yield str(path)
    finally:
        processes.kill([process] if process else [])
        shutil.rmtree(home)


def administrator(path: str) -> AdminConnection:
    """A connection that may do everything. Raises pymysql's errors."""
    return pymysql.connect(
        unix_socket=path, user=_ADMINISTRATOR, charset="utf8mb4", read_timeout=_ANSWER_TIMEOUT_S, autocommit=True
    )


def _account() -> Account:
    own = processes.own_account()
    try:
        return processes.account("mysql") if own.uid == 0 else own
    except KeyError:
        raise CannotRun("the account mysql is missing; is mariadb-server installed?") from None


def _prepare(directory: Path, runs_as: Account) -> None:
    directory.mkdir(mode=0o700)
    for name in ("data/mysql", "temporary", "files"):
        (directory / name).mkdir(parents=True)
    servers.give(directory, runs_as)


def _command(program: Program, directory: Path, runs_as: Account) -> list[str]:
    return [
        *program.command,
        "--no-defaults",
        f"--user={runs_as.name}",
        f"--datadir={directory}/data",
        f"--tmpdir={directory}/temporary",
        f"--socket={directory}/socket",
        f"--pid-file={directory}/pid",
        f"--lc-messages-dir={program.share}",
        f"--character-sets-dir={program.share}/charsets",
        *_OPTIONS,
        *(_OF_MYSQL if program.family == "mysql" else (*_OF_MARIADB, f"--secure-file-priv={directory}/files")),
    ]


def _install(program: Program, directory: Path, runs_as: Account) -> None:
    """Put the system tables there, with an administrator who has no password. Raises CommandFailed.

    MySQL takes 4 s of processor time to make its own, so they are kept.
    """
    if program.family == "mariadb":
        _run([*_command(program, directory, runs_as), "--bootstrap"], directory, _system_tables(program.share))
        return
    data = directory / "data"
    shutil.rmtree(data)
    kept = CACHE / f"data-{hashlib.sha256(repr(program).encode()).hexdigest()[:16]}"
    with state.locked(kept.with_suffix(".lock"), timeout_s=_INSTALL_TIMEOUT_S):
        if not kept.exists():
            _run([*_command(program, directory, runs_as), "--initialize-insecure"], directory, "")
            unfinished = kept.with_suffix(".part")
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(data, unfinished)
            unfinished.rename(kept)
            return
    shutil.copytree(kept, data)
    servers.give(data, runs_as)


def _system_tables(share: Path) -> str:
    """What mariadb-install-db runs, without the accounts of this machine's name."""
    text = ["USE mysql;"]
    for name in ("system_tables", "performance_tables", "system_tables_data"):
        (script,) = share.glob(f"m*_{name}.sql")
        text += [line for line in script.read_text().splitlines() if "@current_hostname" not in line]
    return "\n".join(text) + "\n"


def _run(command: list[str], directory: Path, text: str) -> None:
    try:
        done = subprocess.run(
            command,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=directory,
            env=processes.environment(directory),
            timeout=_INSTALL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise processes.CommandFailed(f"{command[0]} did not end within {_INSTALL_TIMEOUT_S:g} s") from None
    if done.returncode:
        raise processes.CommandFailed(f"{command[0]} ended with status {done.returncode}: {done.stdout[-2000:]}")


def _wait_ready(process: Process, path: Path, log: Path) -> None:
    def ready() -> bool:
        if not processes.alive(process):
            raise processes.CommandFailed(f"the server ended while it was starting:\n{processes.tail(log)}")
        return _answers(path)

    processes.wait_until(ready, timeout_s=_START_TIMEOUT_S, what="the fuzzed server")


def _answers(path: Path) -> bool:
    """PyMySQL would leave a socket that it can't connect to the garbage collector, so it is tried without."""
    with socket.socket(socket.AF_UNIX) as channel:
        try:
            channel.connect(os.fspath(path))
        except OSError:
            return False
    administrator(os.fspath(path)).close()
    return True
