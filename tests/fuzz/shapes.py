"""The oracle for definitions: a server runs one, and the tables' forms and rows tell what it did.

Nothing rolls a definition back, so the world is made anew after each that changed it.
"""

import contextlib
import re
from typing import Any

import pymysql

from deploy.providers.servers import AdminConnection
from tests.fuzz import known
from tests.fuzz.corpus import script
from tests.fuzz.world import DEFINED, MADE, Dialect, Guest

_SCHEMAS = ("shop", "secret_db")
_COUNTED = re.compile(r"AUTO_INCREMENT=\d+ ?")  # which an INSERT moves on, also one that is rolled back
_DEFINABLE = frozenset(f"shop.{name}" for name in DEFINED)


class Shapes:
    """What all tables are like, seen and mended by an administrator."""

    def __init__(self, connection: AdminConnection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect
        self._before = self._all()
        self.times_mended = 0

    def judge(self, guest: Guest, errno: int, text: str) -> str | None:
        """What is wrong with a definition of the guest's that has just run, with this result. Mends what it changed."""
        now = self._all()
        changed = {name for name in now.keys() | self._before.keys() if now.get(name) != self._before.get(name)}
        wrong = sorted(changed - _DEFINABLE)
        finding = f"a definition of {guest.role} changed {', '.join(wrong)}" if wrong else None
        finding = finding or self._shown(guest, text)
        if changed:
            self._mend(whole=bool(wrong))
        if errno in known.MAY_NOT:
            finding = finding or f"the server says that {guest.role} may not: {errno} {text[:200]}"
        return finding

    def _shown(self, guest: Guest, text: str) -> str | None:
        """A canary in an error's text, or in a table that the guest may read."""
        for place, found in (("an error", text), *((query, self._rows(query)) for query in guest.readable)):
            if seen := [canary for canary in guest.canaries if canary in found]:
                return f"{guest.role} saw {', '.join(seen)} in {place} after a definition"
        return None

    def _rows(self, query: str) -> str:
        with contextlib.suppress(pymysql.ProgrammingError):  # the table is gone, or was never there
            return str(self._ask(query))
        return ""

    def _all(self) -> dict[str, Any]:
        """The form and the checksum of each table, and which schemas there are."""
        found: dict[str, Any] = {"schemas": self._ask("SHOW DATABASES")}
        for schema in _SCHEMAS:
            for name, kind in self._ask(f"SHOW FULL TABLES FROM {schema}"):
                form = _COUNTED.sub("", str(self._ask(f"SHOW CREATE TABLE `{schema}`.`{name}`")))
                rows = None if kind in {"VIEW", "SEQUENCE"} else self._ask(f"CHECKSUM TABLE `{schema}`.`{name}`")
                found[f"{schema}.{name}"] = (form, rows)
        return found

    def _mend(self, *, whole: bool) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute("SET foreign_key_checks = 0")
            if whole:
                for schema in _SCHEMAS:
                    cursor.execute(f"DROP DATABASE IF EXISTS {schema}")
            for statement in script(self._dialect.schema if whole else MADE):
                cursor.execute(statement)
            cursor.execute("SET foreign_key_checks = 1")
        self._before = self._all()
        self.times_mended += 1

    def _ask(self, query: str) -> tuple[tuple[Any, ...], ...]:
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()
