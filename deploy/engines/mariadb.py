"""What every engine made of MariaDB servers shares: the option file's common part, and the application's accounts."""

import re
import secrets
from collections.abc import Iterable, Mapping

import msgspec

from deploy.engines.interface import Server

SERVER_PROGRAM = "/usr/sbin/mariadbd"
INSTALL_PROGRAM = "/usr/bin/mariadb-install-db"

READER = "gk_reader"
WRITER = "gk_writer"
# sshd connects from 127.0.0.1 to every address in 127.0.0.0/8: that is the loopback route's source address.
_HOST = "127.0.0.1"
_RIGHTS = {READER: "SELECT", WRITER: "SELECT, INSERT, UPDATE, DELETE"}
MAX_CONNECTIONS = 200
# Two accounts fill 180 of 200: the administrator and the engine's own connections always find a place.
_MAX_USER_CONNECTIONS = 90

_SCHEMA = re.compile(r"[A-Za-z0-9_$-]{1,64}")


class Accounts(msgspec.Struct, frozen=True):
    """The application's two accounts, in the form of the accounts file that a proxy reads."""

    reader_user: str
    reader_password: str
    writer_user: str
    writer_password: str

    def __repr__(self) -> str:
        return f"Accounts({self.reader_user}, {self.writer_user}, passwords hidden)"


def new_accounts() -> Accounts:
    """The accounts with new passwords: 192 random bits each, of characters that need no quoting anywhere."""
    return Accounts(READER, secrets.token_urlsafe(24), WRITER, secrets.token_urlsafe(24))


def accounts_file(accounts: Accounts) -> str:
    """The accounts as TOML; whoever writes it must see that only its owner can read it."""
    return "".join(f'{field} = "{value}"\n' for field, value in msgspec.structs.asdict(accounts).items())


def account_statements(accounts: Accounts, schemas: Iterable[str]) -> list[str]:
    """The statements that create the accounts, or change their passwords, with rights on the schemas and no others.

    A schema need not exist yet. Raises ValueError for a name that is not a plain one.
    """
    patterns = [_grant_pattern(schema) for schema in schemas]
    statements = []
    passwords = {accounts.reader_user: accounts.reader_password, accounts.writer_user: accounts.writer_password}
    for user, rights in ((accounts.reader_user, _RIGHTS[READER]), (accounts.writer_user, _RIGHTS[WRITER])):
        name = f"'{user}'@'{_HOST}'"
        statements.append(
            f"CREATE OR REPLACE USER {name} IDENTIFIED BY '{passwords[user]}'"
            f" WITH MAX_USER_CONNECTIONS {_MAX_USER_CONNECTIONS}"
        )
        statements += [f"GRANT {rights} ON {pattern}.* TO {name}" for pattern in patterns]
    return statements


def _grant_pattern(schema: str) -> str:
    """The schema's name as GRANT wants it: there `_` stands for any character unless it is escaped."""
    if not _SCHEMA.fullmatch(schema):
        raise ValueError(f"{schema!r} can't be a schema of the application: letters, digits, _, $ and - only")
    return "`" + schema.replace("_", r"\_") + "`"


def option_file(server: Server, more: Mapping[str, str | int] | None = None) -> str:
    """The text of an option file: the common options and an engine's own."""
    options = {**_common(server), **(more or {})}
    return "[mariadbd]\n" + "".join(f"{name} = {value}\n" for name, value in options.items())


def _common(server: Server) -> dict[str, str | int]:
    return {
        "datadir": server.data,
        "tmpdir": f"{server.directory}/temporary",
        "socket": server.socket,
        "pid_file": f"{server.directory}/mariadbd.pid",
        "log_error": server.error_log,
        "port": server.mysql_port,
        "bind_address": server.address,
        "skip_name_resolve": "ON",
        "max_connections": MAX_CONNECTIONS,
        # What the gatekeeper's reading of a statement relies on: no ANSI_QUOTES, no NO_BACKSLASH_ESCAPES.
        "sql_mode": "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
        "character_set_server": "utf8mb4",
        "default_time_zone": "+00:00",
        # No way from SQL to files, of the server or of the client.
        "local_infile": "OFF",
        "secure_file_priv": f"{server.directory}/files",
        "symbolic_links": "OFF",
        "event_scheduler": "OFF",
        "performance_schema": "OFF",
        "innodb_buffer_pool_size": "64M",
        "innodb_log_file_size": "32M",
        "innodb_use_native_aio": "OFF",
        # A local cluster is for demos, tests and comparison: after a power cut up to a second of commits may be lost.
        # A process that is killed loses none, because the log is with the kernel by then.
        "innodb_flush_log_at_trx_commit": 2,
    }
