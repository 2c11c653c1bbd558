"""The server's own view of definitions: it takes what the judge accepts, and touches no table that the judge missed.

The servers are those of the fuzzer (tests/fuzz/programs.py): Debian's MariaDB always, MySQL and another MariaDB where
they are found.
"""

import contextlib
import random
import re
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import pymysql
import pytest

from contract.errors import GatekeeperError
from deploy.providers.servers import AdminConnection
from gatekeeper.analysis import TableName, analyse
from gatekeeper.analysis.words import words
from proxy.connection import SQL_MODE
from tests.fuzz import programs
from tests.fuzz.instance import administrator, running
from tests.unit.ddl_forms import ALTERATIONS, OTHERS, START, TABLES, columns, is_known, statements

_SECONDS: Final = 10
_MOST_RUN: Final = 400

WORLD = (
    *START,
    "CREATE TABLE secrets (id INT UNSIGNED PRIMARY KEY, pin INT UNSIGNED UNIQUE)",
    "CREATE TABLE u.parent (id INT UNSIGNED PRIMARY KEY)",
    "CREATE TABLE u.v (id INT)",
    "CREATE VIEW shown AS SELECT pin FROM secrets",
    "INSERT INTO parent VALUES (1, 1)",
    "INSERT INTO secrets VALUES (1, 1)",
    "INSERT INTO t (a, b, c) VALUES (1, 1, 'x')",
)
SERVERS = {
    "mariadb": lambda: programs.INSTALLED,
    "mysql": programs.mysql_tarball,
    "another mariadb": programs.mariadb_root,
}
_TABLES = (
    "SELECT table_schema, table_name, table_type FROM information_schema.tables"
    " WHERE table_schema NOT IN ('information_schema', 'performance_schema')"
)
_PARENTS = "SELECT unique_constraint_schema, referenced_table_name FROM information_schema.referential_constraints"


class Database:
    """A server with two schemas, and what can be seen to have changed in it."""

    def __init__(self, connection: AdminConnection, family: programs.Family) -> None:
        self._connection = connection
        self._family = family
        self._seen: dict[TableName, tuple[str, ...]] = {}
        self._parents: Counter[tuple[Any, ...]] = Counter()

    def make_anew(self) -> None:
        """The world as it is at first."""
        self.run("SET foreign_key_checks = 0")
        for schema in ("u", "s"):
            self.run(f"DROP DATABASE IF EXISTS {schema}")
            self.run(f"CREATE DATABASE {schema} CHARACTER SET utf8mb4")
        for statement in (f"SET foreign_key_checks = 1, sql_mode = '{SQL_MODE}'", "USE s", *WORLD):
            self.run(statement)
        self.changed()
        self.new_parents()

    def run(self, text: str) -> tuple[tuple[Any, ...], ...]:
        """Runs a statement; its rows."""
        with self._connection.cursor() as cursor:
            cursor.execute(text)
            return tuple(cursor.fetchall())

    def takes(self, text: str) -> bool:
        """Whether the statement is one of this server's family."""
        return is_known(text, self._family)

    def changed(self) -> set[TableName]:
        """The tables that are new, gone or different since this was asked last."""
        before, self._seen = self._seen, self._look()
        return {name for name in before.keys() | self._seen.keys() if before.get(name) != self._seen.get(name)}

    def new_parents(self) -> set[TableName]:
        """The tables that more foreign keys refer to than when this was asked last."""
        before, self._parents = self._parents, Counter(self.run(_PARENTS))
        return {(schema, name) for schema, name in self._parents - before}

    def _look(self) -> dict[TableName, tuple[str, ...]]:
        """Every table; of the application's, the definition and checksum. What a foreign key refers to is left out: the
        server writes it anew when the parent is renamed."""
        found: dict[TableName, tuple[str, ...]] = {}
        mine = []
        for schema, name, kind in self.run(_TABLES):
            found[schema, name] = ()
            if schema in {"s", "u"} and kind == "BASE TABLE":
                mine.append((schema, name))
        sums = self.run("CHECKSUM TABLE " + ", ".join(f"`{schema}`.`{name}`" for schema, name in mine))
        for (schema, name), (_, checksum) in zip(mine, sums, strict=True):
            definition = self.run(f"SHOW CREATE TABLE `{schema}`.`{name}`")[0][1]
            found[schema, name] = (re.sub(r"REFERENCES \S+", "", definition), str(checksum))
        return found


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Database]:
    where = SERVERS[request.param]()
    if where is None:
        pytest.skip("no such server is named or found")
    try:
        program = programs.find(where)
    except programs.CannotRun as error:
        pytest.skip(str(error))
    with running(program) as socket, administrator(socket) as connection:
        yield Database(connection, program.family)


def missed(server: Database, text: str) -> str | None:
    """What the statement, which has just run, touched without the judge's knowledge."""
    found = analyse(text, "s")
    if unnamed := server.changed() - found.defines:
        return f"{text} changed {unnamed}"
    if unread := server.new_parents() - found.reads - found.defines:
        return f"{text} refers to {unread}"
    return None


def test_a_server_takes_every_column_that_is_listed(server: Database) -> None:
    server.make_anew()
    texts = [text for text in columns() if server.takes(text)]
    for text in texts:
        server.run(text)
    assert server.changed() == {table for text in texts for table in analyse(text, "s").defines}


def test_a_server_takes_every_form_that_is_listed_and_changes_the_named_tables_only(server: Database) -> None:
    server.make_anew()
    server.run("DELETE FROM t")  # no row is to be in a definition's way
    server.changed()
    for text in filter(server.takes, statements()):
        server.run(text)
        assert missed(server, text) is None


SHOWN = (
    "SHOW FULL TABLES WHERE Table_type = 'BASE TABLE' AND Tables_in_s LIKE 't%'",
    "SHOW FULL COLUMNS FROM t WHERE Field IN ('a', 'b') OR (`Key` IS NOT NULL AND Extra NOT LIKE 'auto%')",
    "SHOW INDEX FROM t WHERE Key_name = 'PRIMARY' AND Seq_in_index BETWEEN 1 AND 3 AND `Table` <=> 't'",
)


@pytest.mark.parametrize("text", SHOWN)
def test_a_server_takes_the_conditions_of_show(server: Database, text: str) -> None:
    server.make_anew()
    assert analyse(text, "s").effect == "read"
    assert server.run(text)


_BASES = (
    *(text.format("fresh", "fresh") for text in TABLES),
    *(f"ALTER TABLE t {text}" for text in ALTERATIONS),
    *(text.replace("u.t6", "u.v").replace("t3", "t") for text in OTHERS),
)
_ELSEWHERE = sorted(
    words(
        """
    secrets s.secrets u.v u.parent parent t `secrets` mysql.user shown fresh u s . , ( ) (id) = ; TO AS RENAME TABLE IF
    EXISTS NOT TEMPORARY OR REPLACE LIKE SELECT WAIT NOWAIT 5 IGNORE FROM ADD DROP COLUMN INDEX KEY REFERENCES FOREIGN
    CONSTRAINT PRIMARY UNIQUE ON CASCADE RESTRICT UNION ENGINE MyISAM MEMORY PARTITION DATA DIRECTORY '/tmp' DEFAULT
    ORDER BY CONVERT EXCHANGE WITH FORCE FIRST AFTER CHECK COMMENT 'x' NULL INT VARCHAR(5) SEQUENCE VIEW USING TRUNCATE
    ALTER
    """
    )
)
_PIECES = re.compile(r"'[^']*'|`[^`]*`|\w+(?:\.\w+)?|\S")


def mutated(dice: random.Random) -> str:
    """A base with a few pieces taken out, put in, or exchanged for those of another."""
    pieces = _PIECES.findall(dice.choice(_BASES))
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(pieces))
        other = _PIECES.findall(dice.choice(_BASES))
        start = dice.randrange(len(other))
        put = dice.choice(([], [dice.choice(_ELSEWHERE)], other[start : start + dice.randint(1, 5)]))
        pieces[at : at + dice.randint(0, 2)] = put
        pieces = pieces or ["DROP"]
    return " ".join(pieces)


def accepted(dice: random.Random) -> str | None:
    """A mutated statement that the judge accepts as a definition of tables, or None where this one is not."""
    text = mutated(dice)
    with contextlib.suppress(GatekeeperError):
        return text if analyse(text, "s").defines else None
    return None


def test_no_mutation_that_is_accepted_touches_another_table(server: Database) -> None:
    seed = secrets.randbelow(2**32)
    dice = random.Random(seed)
    server.make_anew()
    tried = ran = taken = 0
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until and ran < _MOST_RUN:
        tried += 1
        if (text := accepted(dice)) is None:
            continue
        ran += 1
        with contextlib.suppress(pymysql.MySQLError):  # which may have done a part all the same
            server.run(text)
            taken += 1
        assert missed(server, text) is None, f"seed {seed}"
        if ran % 8 == 0:
            server.make_anew()
    told = f"seed {seed}: {tried} tried, {ran} accepted, {taken} taken by the server"
    assert ran >= 20, told
    assert taken >= 5, told
