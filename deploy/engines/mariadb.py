"""What every engine made of MariaDB servers shares: the option file's common part, and the application's accounts."""

import hashlib
import re
import secrets
import tomllib
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from contract.messages import OWN_SCHEMA
from deploy.engines import own_schema
from deploy.engines.interface import Server

SERVER_PROGRAM = "/usr/sbin/mariadbd"
INSTALL_PROGRAM = "/usr/bin/mariadb-install-db"

# sshd connects from 127.0.0.1 to every address in 127.0.0.0/8: that is the loopback route's source address.
_HOST = "127.0.0.1"
MAX_CONNECTIONS = 200

# What every server has that the application asks, of MariaDB and MySQL, on machines and locally.
SERVER_OPTIONS: Mapping[str, str | int] = {
    "skip_name_resolve": "ON",
    "max_connections": MAX_CONNECTIONS,
    # What the gatekeeper's reading of a statement relies on: no ANSI_QUOTES, no NO_BACKSLASH_ESCAPES.
    "sql_mode": "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
    "character_set_server": "utf8mb4",
    "default_time_zone": "+00:00",
    # What a value, a row and a statement may have; a request's body is smaller than 1 MiB. With the servers' own limits
    # a statement of many REPEATs takes gigabytes of memory and runs on past its time limit (docs/security.md).
    "max_allowed_packet": "4M",
    # No way from SQL to files of the client; secure_file_priv, which each sets, closes that to the server's.
    "local_infile": "OFF",
    "event_scheduler": "OFF",
}

_SCHEMA = re.compile(r"[A-Za-z0-9_$-]{1,64}")


class Grant(msgspec.Struct, frozen=True):
    """What an account may do in the application's schemas, nothing where `rights` are empty, and its connections to a
    server. What it may do with the system's own tables stands beside them (own_schema.py).
    """

    rights: str
    connections: int


# An account for each effect of a statement, with what the effect needs on MariaDB 10.11.19 and nothing else; the names
# are those of the accounts file. Together they fill 180 of the 200 connections: the administrator and the engine's own
# always find a place. Two proxies with pools of the default size (proxy/node.py) find theirs within each.
#
# The caller has what a procedure needs that runs with its caller's rights (SQL SECURITY INVOKER). The builder has
# INSERT because RENAME asks for it on the new name; the proxy commits none of its rows (proxy/connection.py, `define`).
# It has no SELECT, so no CREATE TABLE ... LIKE, and can't make views, triggers or routines.
GRANTS: Mapping[str, Grant] = {
    "reader": Grant("SELECT", 70),
    "writer": Grant("SELECT, INSERT, UPDATE, DELETE", 70),
    "caller": Grant("SELECT, INSERT, UPDATE, DELETE, EXECUTE", 20),
    "builder": Grant("CREATE, ALTER, DROP, INDEX, REFERENCES, INSERT", 10),
    "queue": Grant("", 10),
}


class Accounts(msgspec.Struct, frozen=True):
    """The application's accounts, in the form of the accounts file that a proxy reads."""

    reader_user: str
    reader_password: str
    writer_user: str
    writer_password: str
    caller_user: str
    caller_password: str
    builder_user: str
    builder_password: str
    queue_user: str
    queue_password: str

    def __repr__(self) -> str:
        users = (getattr(self, f"{name}_user") for name in GRANTS)
        return f"Accounts({', '.join(users)}, hidden)"


def new_accounts() -> Accounts:
    """The accounts with new passwords: 192 random bits each, of characters that need no quoting anywhere."""
    return completed({})


def completed(known: Mapping[str, str]) -> Accounts:
    """The accounts that are known, as they are, and new ones for what is missing."""
    made: dict[str, str] = {}
    for name in GRANTS:
        made |= {f"{name}_user": f"gk_{name}", f"{name}_password": secrets.token_urlsafe(24)}
    return Accounts(**{member: known.get(member, value) for member, value in made.items()})


def accounts_file(accounts: Accounts) -> str:
    """The accounts as TOML; whoever writes it must see that only its owner can read it."""
    return "".join(f'{field} = "{value}"\n' for field, value in msgspec.structs.asdict(accounts).items())


def missing_accounts(text: str) -> Accounts | None:
    """What an accounts file of an earlier version should have; None when it lacks nothing."""
    known = tomllib.loads(text)
    accounts = completed(known)
    return None if known == msgspec.structs.asdict(accounts) else accounts


def account_statements(accounts: Accounts, schemas: Iterable[str]) -> list[str]:
    """The statements that create the accounts, or change their passwords, with rights on the schemas and no others.

    They make the system's own tables too, with the rights on them. A schema of the application need not exist yet.
    Raises ValueError for a name that is not a plain one.
    """
    patterns = [grant_pattern(schema) for schema in schemas]
    members = msgspec.structs.asdict(accounts)
    statements = [*own_schema.table_statements("InnoDB")]
    for name, grant in GRANTS.items():
        user = f"'{members[f'{name}_user']}'@'{_HOST}'"
        statements += _account(user, members[f"{name}_password"], grant, patterns)
        statements += own_schema.grant_statements(name, user)
    return statements


def _account(name: str, password: str, grant: Grant, patterns: Iterable[str]) -> Iterator[str]:
    # By its hash: Galera keeps statements in a file, for nodes that come back, and the server may log them.
    hashed = password_hash(password)
    limit = f"MAX_USER_CONNECTIONS {grant.connections}"
    yield f"CREATE OR REPLACE USER {name} IDENTIFIED BY PASSWORD '{hashed}' WITH {limit}"
    for pattern in patterns if grant.rights else ():
        yield f"GRANT {grant.rights} ON {pattern}.* TO {name}"


def password_hash(password: str) -> str:
    """What the server keeps of a password (mysql_native_password), as PASSWORD() gives it."""
    once = hashlib.sha1(password.encode()).digest()  # noqa: S324 it is the server's own way
    return "*" + hashlib.sha1(once).hexdigest().upper()  # noqa: S324


def grant_pattern(schema: str) -> str:
    """The schema's name as GRANT wants it: there `_` stands for any character unless it is escaped."""
    if not _SCHEMA.fullmatch(schema) or schema.lower() == OWN_SCHEMA:
        raise ValueError(
            f"{schema!r} can't be a schema of the application: letters, digits, _, $ and - only, and not {OWN_SCHEMA!r}"
        )
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
        **SERVER_OPTIONS,
        "secure_file_priv": f"{server.directory}/files",
        "symbolic_links": "OFF",
        "performance_schema": "OFF",
        "innodb_buffer_pool_size": "64M",
        "innodb_log_file_size": "32M",
        "innodb_use_native_aio": "OFF",
        # A local cluster is for demos, tests and comparison: after a power cut up to a second of commits may be lost.
        # A process that is killed loses none, because the log is with the kernel by then.
        "innodb_flush_log_at_trx_commit": 2,
    }
