"""A real server as the judge of the judge: it runs what was accepted, and says what that read and changed.

Each statement runs twice, both times rolled back. First on an account with the role's own rights, for a read in a READ
ONLY transaction: an error about privileges or about writing means that the gatekeeper let through what its policy
forbids. Then on an account that may do everything: a canary in the rows, or a changed checksum, means the same. Nothing
rolls a definition back: shapes.py looks at those.
"""

import contextlib
import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import msgspec
import pymysql
from pymysql.constants import ER

from deploy.providers.servers import AdminConnection
from gatekeeper.judge import Verdict
from proxy.connection import SQL_MODE
from tests.fuzz import influence, instance, known
from tests.fuzz.corpus import script
from tests.fuzz.programs import Program
from tests.fuzz.shapes import Shapes
from tests.fuzz.world import ACCOUNTS, DIALECTS, GUESTS, Dialect, Guest, account_statements

_ANSWER_S = 10
_LOST = {2006, 2013}


class ServerEnded(RuntimeError):
    """The server does not answer any more; the message has the statement after which it was so."""


class Outcome(msgspec.Struct, frozen=True):
    """What came of a statement: the server's error number (0: none) and what is wrong with it (None: nothing)."""

    errno: int
    finding: str | None


class Oracle:
    """Accounts' connections to one server, which look at what statements do. `program`: the server's."""

    def __init__(self, program: Program, socket: str, passwords: Mapping[str, str]) -> None:
        self.program = program
        self._dialect = DIALECTS[program.family]
        self._socket = socket
        self._passwords = passwords
        self._numbers: dict[str, int] = {}
        self._connections = {name: self._connect(name) for name in passwords}
        self._administrator = instance.administrator(socket)
        self._shapes = Shapes(self._administrator, self._dialect)
        self._start_over()

    def close(self) -> None:
        """Closes all connections that are still open."""
        for connection in (self._administrator, *self._connections.values()):
            if connection.open:
                connection.close()

    def keywords(self) -> list[str]:
        """The server's own keywords that are words."""
        words = [str(word) for (word,) in self._ask("SELECT word FROM information_schema.keywords")]
        return [word for word in words if word.replace("_", "").isalnum()]

    def run(self, guest: Guest, verdict: Verdict, sql: str) -> Outcome:
        """Runs a statement that the gatekeeper accepted with this verdict. Raises ServerEnded."""
        if verdict.effect == "schema":
            return self._define(guest, sql)
        own = self._with_own_rights(guest, verdict, sql)
        if own.finding:
            return own
        return self._with_all_rights(guest, verdict, sql, own.errno)

    def _define(self, guest: Guest, sql: str) -> Outcome:
        """Runs a definition with the guest's own rights, then with all; nothing but the guest's tables may change."""
        outcome = Outcome(0, None)
        mended = self._shapes.times_mended
        for account in (guest.role, "witness"):
            errno, text = self._execute(account, sql, read_only=False)
            self._roll_back(account)
            outcome = Outcome(outcome.errno or errno, outcome.finding or self._shapes.judge(guest, errno, text))
            if outcome.finding:
                break
        if self._shapes.times_mended > mended:
            self._start_over()
        return outcome

    def _start_over(self) -> None:
        """What the world is like before the next statement; its tables may be new ones."""
        for connection in self._connections.values():
            connection.select_db("shop")
        self._tables = self._table_names()
        self._before = self._checksums()
        self._kept = {guest.role: self._ask(guest.kept[0]) for guest in GUESTS if guest.kept}
        self._roll_back("witness")

    def _with_own_rights(self, guest: Guest, verdict: Verdict, sql: str) -> Outcome:
        errno, text = self._execute(guest.role, sql, read_only=verdict.effect == "read")
        self._roll_back(guest.role)
        if errno in known.MAY_NOT and not self._is_known(guest, errno, text, verdict.kind, sql):
            return Outcome(errno, f"the server says that {guest.role} may not: {errno} {text[:200]}")
        return Outcome(errno, _canary(guest, text))

    def _is_known(self, guest: Guest, errno: int, text: str, kind: str, sql: str) -> bool:
        kind, sql = known.bare(kind, sql)
        if guest.role == "apart" and kind == "delete" and errno == ER.TABLEACCESS_DENIED_ERROR:
            return self._reads_no_target(sql)
        if known.may_lack(errno) and self._lacks_a_column(sql):
            return True
        if filled := known.only_filled(errno, text, kind, sql):
            return not self._depends(sql, *filled)
        return known.is_known(errno, text, kind, sql)

    def _lacks_a_column(self, sql: str) -> bool:
        """Whether the statement runs for nobody, because a column that it names is not there."""
        errno, _ = self._execute("witness", sql, read_only=False)
        self._roll_back("witness")
        return errno == ER.BAD_FIELD_ERROR

    def _depends(self, sql: str, table: str, column: str) -> bool:
        try:
            return influence.depends(self._connections["witness"], sql, table, column)
        except pymysql.MySQLError:  # one that runs too long can't be shown to be harmless
            self._renew("witness", sql)
            return True

    def _reads_no_target(self, sql: str) -> bool:
        selecting = known.as_select(sql)
        if selecting is None:
            return False
        errno, _ = self._execute("deleter", selecting, read_only=True)
        self._roll_back("deleter")
        return errno not in known.MAY_NOT | {ER.PARSE_ERROR}

    def _with_all_rights(self, guest: Guest, verdict: Verdict, sql: str, own_errno: int) -> Outcome:
        errno, text = self._execute("witness", sql, read_only=False)
        finding = _canary(guest, text) or self._changes(guest, verdict)
        if verdict.effect == "write":
            finding = finding or self._carried(guest) or self._written_beside(guest)
        self._roll_back("witness")
        return Outcome(errno or own_errno, finding)

    def _carried(self, guest: Guest) -> str | None:
        """A canary that a write put where the guest may read it."""
        for query in guest.readable:
            if seen := _canary(guest, str(self._ask(query))):
                return f"{seen} in what {query} gives after the write"
        return None

    def _written_beside(self, guest: Guest) -> str | None:
        """Whether columns that the guest may not write are others, or a new row has in them what no default gave."""
        if guest.kept is None:
            return None
        query, default = guest.kept
        before: dict[Any, tuple[Any, ...]] = {row[0]: row[1:] for row in self._kept[guest.role]}
        rows = {row[0]: row[1:] for row in self._ask(query)}
        wrong = [key for key, row in rows.items() if row != before.get(key, default)]
        wrong += [key for key in before if key not in rows]
        return f"{guest.role} wrote columns beside its own, in rows {wrong}" if wrong else None

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
                self._renew(account, sql)
            return number, str(error.args[1:])

    def _renew(self, account: str, sql: str) -> None:
        """Ends what the lost connection may still run, and connects again."""
        lost = self._connections[account]
        if lost.open:
            lost.close()
        try:
            with (
                self._administrator.cursor() as cursor,
                contextlib.suppress(pymysql.OperationalError),  # 1094: it is gone by itself
            ):
                cursor.execute(f"KILL {self._numbers[account]}")
            self._connections[account] = self._connect(account)
        except pymysql.MySQLError as error:
            raise ServerEnded(f"the server is gone ({error}) after {sql!r}") from None

    def _roll_back(self, account: str) -> None:
        self._connections[account].rollback()

    def _ask(self, query: str) -> tuple[tuple[Any, ...], ...]:
        with self._connections["witness"].cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    def _checksums(self) -> dict[str, Any]:
        found: dict[str, Any] = dict(self._ask(f"CHECKSUM TABLE {', '.join(self._tables)}"))
        return {**found, "the server's own": self._ask(self._dialect.unchanging)}

    def _table_names(self) -> tuple[str, ...]:
        rows = self._ask(
            "SELECT CONCAT(table_schema, '.', table_name) FROM information_schema.tables"
            " WHERE table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') AND table_schema IN ('shop', 'secret_db')"
        )
        return (*(name for (name,) in rows), *self._dialect.system_tables)

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
            cursor.execute(f"SET sql_mode = '{SQL_MODE}', time_zone = '+00:00', lock_wait_timeout = 5")
            cursor.execute(f"SET {self._dialect.time_limit}")
            cursor.execute("SELECT CONNECTION_ID()")
            ((self._numbers[account],),) = cursor.fetchall()
        return connection


@contextmanager
def oracle(program: Program) -> Iterator[Oracle]:
    """A server with the fuzzed world; always stopped. Raises what `instance.running` raises."""
    passwords = {name: secrets.token_urlsafe(24) for name in ACCOUNTS}
    with instance.running(program) as socket:
        _load(socket, DIALECTS[program.family], passwords)
        with closing(Oracle(program, socket, passwords)) as found:
            yield found


def _load(socket: str, dialect: Dialect, passwords: dict[str, str]) -> None:
    with instance.administrator(socket) as connection, connection.cursor() as cursor:
        for statement in (*script(dialect.schema), *account_statements(passwords)):
            cursor.execute(statement)


def _canary(guest: Guest, text: str) -> str | None:
    seen = [canary for canary in guest.canaries if canary in text]
    return f"{guest.role} saw {', '.join(seen)}" if seen else None
