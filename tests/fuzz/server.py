"""A real server as the judge of the judge: it runs what was accepted, and says what that read and changed.

Each statement runs twice, both times rolled back. First on an account with the role's own rights, for a read in a READ
ONLY transaction: an error about privileges or about writing means that the gatekeeper let through what its policy
forbids. Then on an account that may do everything: a canary in the rows, or a changed checksum, means the same.
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pymysql
from pymysql.constants import ER

from deploy.providers import loopback
from deploy.providers.seed import Seed
from deploy.providers.servers import AdminConnection
from deploy.providers.state import Place
from gatekeeper.analysis import ALLOWED_FUNCTIONS
from gatekeeper.judge import Verdict
from proxy.connection import SQL_MODE
from tests.fuzz.corpus import script
from tests.fuzz.world import ACCOUNTS, COLUMNS, FILLED, SCHEMA, Guest, account_statements

_CACHE = Path(__file__).parents[2] / "var" / "cache"
_NODE = "standalone"
_STATEMENT_S = 1
_ANSWER_S = 10
_LOST = {2006, 2013}

# Errors that say: you may not. 1792 is "cannot execute statement in a READ ONLY transaction", 1290 an option that
# forbids it (files), 1148 and 4166 LOCAL INFILE, 1227 an administrator's privilege, 1410 GRANT, 1370 and 1304 routines.
_MAY_NOT = {
    ER.TABLEACCESS_DENIED_ERROR,
    ER.COLUMNACCESS_DENIED_ERROR,
    ER.DBACCESS_DENIED_ERROR,
    ER.ACCESS_DENIED_ERROR,
    ER.SPECIFIC_ACCESS_DENIED_ERROR,
    ER.PROCACCESS_DENIED_ERROR,
    ER.NONEXISTING_GRANT,
    1148,
    1290,
    1410,
    1792,
    4166,
}
_VALUES = re.compile(r"\b(?:VALUES?|SELECT)\b", re.IGNORECASE)
_DUPLICATE = re.compile(r"\bDUPLICATE\s+KEY\s+UPDATE\b", re.IGNORECASE)
_ANY_COLUMN = {column for columns in COLUMNS.values() for column in columns}
# `DELETE t FROM`, or `DELETE FROM t USING` where that is no JOIN's.
_DELETE_FROM = re.compile(r"\bDELETE\b.*?\bFROM\b(?:[^()]*?\bUSING\b(?!\s*\())?", re.IGNORECASE | re.DOTALL)


class Outcome(msgspec.Struct, frozen=True):
    """What came of a statement: the server's error number (0: none) and what is wrong with it (None: nothing)."""

    errno: int
    finding: str | None


class Oracle:
    """Accounts' connections to one server, which look at what statements do."""

    def __init__(self, socket: str, passwords: Mapping[str, str]) -> None:
        self._socket = socket
        self._passwords = passwords
        self._connections = {name: self._connect(name) for name in passwords}
        self._tables = self._table_names()
        self._before = self._checksums()

    def close(self) -> None:
        """Closes all connections."""
        for connection in self._connections.values():
            connection.close()

    def run(self, guest: Guest, verdict: Verdict, sql: str) -> Outcome:
        """Runs a statement that the gatekeeper accepted with this verdict."""
        own = self._with_own_rights(guest, verdict, sql)
        if own.finding:
            return own
        return self._with_all_rights(guest, verdict, sql, own.errno)

    def _with_own_rights(self, guest: Guest, verdict: Verdict, sql: str) -> Outcome:
        errno, text = self._execute(guest.role, sql, read_only=verdict.effect == "read")
        self._roll_back(guest.role)
        if errno in _MAY_NOT and not self._is_known(guest, errno, text, verdict.kind, sql):
            return Outcome(errno, f"the server says that {guest.role} may not: {errno} {text[:200]}")
        return Outcome(errno, _canary(guest, text))

    def _is_known(self, guest: Guest, errno: int, text: str, kind: str, sql: str) -> bool:
        if guest.role == "apart" and kind == "delete" and errno == ER.TABLEACCESS_DENIED_ERROR:
            selecting, replaced = _DELETE_FROM.subn("SELECT 1 FROM", sql, count=1)
            again, _ = self._execute("deleter", selecting, read_only=True)
            self._roll_back("deleter")
            return bool(replaced) and again not in _MAY_NOT | {ER.PARSE_ERROR}
        return _is_known(errno, text, kind, sql)

    def _with_all_rights(self, guest: Guest, verdict: Verdict, sql: str, own_errno: int) -> Outcome:
        errno, text = self._execute("witness", sql, read_only=False)
        finding = _canary(guest, text) or self._changes(guest, verdict)
        if verdict.effect == "write":
            finding = finding or self._carried(guest)
        self._roll_back("witness")
        return Outcome(errno or own_errno, finding)

    def _carried(self, guest: Guest) -> str | None:
        """A canary that a write put where the guest may read it."""
        for query in guest.readable:
            with self._connections["witness"].cursor() as cursor:
                cursor.execute(query)
                if seen := _canary(guest, str(cursor.fetchall())):
                    return f"{seen} in what {query} gives after the write"
        return None

    def _changes(self, guest: Guest, verdict: Verdict) -> str | None:
        """What has another checksum, inside the statement's own transaction, that may not have one."""
        now = self._checksums()
        may_change = guest.writable if verdict.effect == "write" else frozenset()
        changed = sorted(name for name, value in now.items() if value != self._before.get(name))
        wrong = [name for name in changed if name not in may_change]
        return f"a {verdict.effect} of {guest.role} changed {', '.join(wrong)}" if wrong else None

    def _execute(self, account: str, sql: str, *, read_only: bool) -> tuple[int, str]:
        """The error's number and text, or 0 and the rows as text. A lost connection is made anew."""
        try:
            with self._connections[account].cursor() as cursor:
                cursor.execute("START TRANSACTION READ ONLY" if read_only else "START TRANSACTION")
                cursor.execute(sql)
                return 0, str(cursor.fetchall())
        except pymysql.MySQLError as error:
            number = error.args[0] if error.args and isinstance(error.args[0], int) else 2013
            if number in _LOST or not self._connections[account].open:
                self._connections[account].close()
                self._connections[account] = self._connect(account)
            return number, str(error.args[1:])

    def _roll_back(self, account: str) -> None:
        self._connections[account].rollback()

    def _checksums(self) -> dict[str, Any]:
        with self._connections["witness"].cursor() as cursor:
            cursor.execute(f"CHECKSUM TABLE {', '.join(self._tables)}")
            found: dict[str, Any] = dict(cursor.fetchall())
            cursor.execute("SELECT next_not_cached_value, cycle_count FROM shop.seq")
            found["shop.seq"] = cursor.fetchone()
        return found

    def _table_names(self) -> tuple[str, ...]:
        with self._connections["witness"].cursor() as cursor:
            cursor.execute(
                "SELECT CONCAT(table_schema, '.', table_name) FROM information_schema.tables"
                " WHERE table_type = 'BASE TABLE' AND (table_schema IN ('shop', 'secret_db')"
                " OR (table_schema = 'mysql' AND table_name IN ('global_priv', 'proc', 'db', 'tables_priv')))"
            )
            return tuple(name for (name,) in cursor.fetchall())

    def _connect(self, account: str) -> AdminConnection:
        connection = pymysql.connect(
            unix_socket=self._socket,
            user=account,
            password=self._passwords[account],
            database="shop",
            charset="utf8mb4",
            read_timeout=_ANSWER_S,
        )
        with connection.cursor() as cursor:
            cursor.execute(f"SET sql_mode = '{SQL_MODE}', time_zone = '+00:00', max_statement_time = {_STATEMENT_S}")
        return connection


@contextmanager
def oracle(directory: Path) -> Iterator[Oracle]:
    """A stand-alone MariaDB with the fuzzed world, under a directory that must be there; always stopped."""
    settings = loopback.Settings(
        directory / "fuzz", _CACHE, engine="standalone", schemas=("shop",), seed=Seed(SCHEMA, _load)
    )
    loopback.up(settings)
    try:
        passwords = {name: secrets.token_urlsafe(24) for name in ACCOUNTS}
        with loopback.connect(settings.directory, _NODE) as connection, connection.cursor() as cursor:
            for statement in account_statements(passwords):
                cursor.execute(statement)
        socket = Place(settings.directory).load().node(_NODE).socket
        with closing(Oracle(socket, passwords)) as found:
            yield found
    finally:
        loopback.down(settings.directory)


def _load(connection: AdminConnection) -> None:
    with connection.cursor() as cursor:
        for statement in script(SCHEMA):
            cursor.execute(statement)
    connection.commit()


def _canary(guest: Guest, text: str) -> str | None:
    seen = [canary for canary in guest.canaries if canary in text]
    return f"{guest.role} saw {', '.join(seen)}" if seen else None


def _is_known(errno: int, text: str, kind: str, sql: str) -> bool:
    """What the server refuses and the policy rightly does not; each of these was looked at.

    A function of the list that this server lacks is looked for among the stored ones (docs/policy.md says so). MariaDB
    tells who has rights on some columns 1143 for one that is not there. With RETURNING or ON DUPLICATE KEY UPDATE it
    wants SELECT on the columns that an INSERT fills, whatever it reads; what it then really shows, `_carried` sees. And
    it wants INSERT on columns of the new row that VALUES reads, though none but those that are listed is filled.
    """
    if errno == ER.PROCACCESS_DENIED_ERROR:
        routine = re.search(r"routine '\w+\.([^']*)'", text)
        return bool(routine and routine[1].lower() in ALLOWED_FUNCTIONS)
    denied = re.search(r"([A-Z, ]+) command denied .* column '([^']*)' in table '([^']*)'", text)
    if errno != ER.COLUMNACCESS_DENIED_ERROR or not denied:
        return False
    right, column, table = denied.groups()
    if kind in {"insert", "replace"} and right == "SELECT":
        return not any("*" in part or _has(part, column) for part in re.split(r"(?i)\bRETURNING\b", sql)[1:])
    if kind in {"insert", "replace"} and "INSERT" in right:
        return not any(_filled(sql, name) for name in COLUMNS.get(table.lower(), ()) if name not in FILLED.split(", "))
    return column.lower() not in COLUMNS.get(table.lower(), _ANY_COLUMN)


def _filled(sql: str, column: str) -> bool:
    """Whether an INSERT names the column before its values, or gives it another one where the key is there already."""
    given = _DUPLICATE.split(sql)[1:]
    assigned = rf"\b{re.escape(column)}`?\s*="
    return _has(_VALUES.split(sql)[0], column) or any(re.search(assigned, part, re.IGNORECASE) for part in given)


def _has(text: str, word: str) -> bool:
    return re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) is not None
