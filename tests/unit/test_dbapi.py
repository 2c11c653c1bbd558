"""The DB-API module against a real HTTP server on loopback that answers as the test says."""

import time
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from client import Client, connect, dbapi
from client.paramstyles import from_format
from contract import errors
from contract.messages import Answer, Column
from tests.unit.test_client import ANSWER, KEY, REQUEST_ID, Gateway, serving

WRITTEN = Answer(REQUEST_ID, "manager", "direct_hit", 1, 0.5, [], [], 2, 17, False)
NUMBERS = Answer(
    REQUEST_ID, "data1", "random_hit", 1, 0.5, [Column("n", "INT UNSIGNED")], [[1], [2], [3]], 0, None, False
)


@pytest.fixture(name="gateway")
def _gateway() -> Iterator[Gateway]:
    with Gateway() as gateway, serving(gateway):
        yield gateway


@pytest.fixture(name="connection")
def _connection(gateway: Gateway) -> Iterator[dbapi.Connection]:
    with connect(gateway.url, KEY, database="rental") as connection:
        yield connection


def test_the_module_says_what_it_is() -> None:
    assert (dbapi.apilevel, dbapi.threadsafety, dbapi.paramstyle) == ("2.0", 2, "qmark")
    assert {name for name in dbapi.__all__ if not hasattr(dbapi, name)} == set()


def test_a_statement_goes_with_its_parameters_and_the_connections_database(
    gateway: Gateway, connection: dbapi.Connection
) -> None:
    connection.cursor().execute("SELECT title FROM film WHERE film_id = ?", (42,))
    (body,) = gateway.bodies()
    assert (body["query"], body["params"], body["database"]) == (
        "SELECT title FROM film WHERE film_id = ?", [42], "rental"
    )  # fmt: skip


def test_rows_have_python_values_and_a_description(connection: dbapi.Connection) -> None:
    cursor = connection.cursor().execute("SELECT 1")
    assert cursor.description == tuple(
        (name, code, None, None, None, None, None)
        for name, code in (("title", "VARCHAR"), ("rental_rate", "DECIMAL"), ("picture", "BLOB"))
    )
    assert cursor.rowcount == 2
    assert cursor.fetchall() == (("FROZEN MERIDIAN", Decimal("2.90"), b"\x00\xff"), ('A, "B"', None, None))


def test_rows_are_fetched_once_and_in_order(gateway: Gateway, connection: dbapi.Connection) -> None:
    gateway.answers(NUMBERS)
    cursor = connection.cursor().execute("SELECT n")
    assert cursor.fetchone() == (1,)
    assert cursor.fetchmany() == ((2,),)
    assert cursor.fetchmany(5) == ((3,),)
    assert (cursor.fetchone(), cursor.fetchmany(2), cursor.fetchall()) == (None, (), ())
    assert list(cursor.execute("SELECT n")) == [(1,), (2,), (3,)]


def test_a_write_gives_counts_and_no_rows(gateway: Gateway, connection: dbapi.Connection) -> None:
    gateway.answers(WRITTEN)
    cursor = connection.cursor().execute("INSERT INTO t VALUES (1), (2)")
    assert (cursor.rowcount, cursor.lastrowid, cursor.description) == (2, 17, None)
    with pytest.raises(dbapi.ProgrammingError, match="no rows to fetch"):
        cursor.fetchall()


def test_executemany_sends_each_and_adds_the_counts(gateway: Gateway, connection: dbapi.Connection) -> None:
    gateway.answers(WRITTEN)
    cursor = connection.cursor().executemany("INSERT INTO t VALUES (?)", [(1,), (2,)])
    assert [body["params"] for body in gateway.bodies()] == [[1], [2]]
    assert cursor.rowcount == 4


def test_rows_that_were_cut_off_are_warned_of(gateway: Gateway, connection: dbapi.Connection) -> None:
    gateway.answers(Answer(REQUEST_ID, "data1", "random_hit", 1, 0.5, [Column("n", "INT")], [[1]], 0, None, True))
    cursor = connection.cursor()
    with pytest.warns(dbapi.Warning, match="first 1 rows"):
        cursor.execute("SELECT n")
    assert cursor.truncated


def test_rollback_does_nothing_unless_rows_were_changed(gateway: Gateway, connection: dbapi.Connection) -> None:
    connection.cursor().execute("SELECT 1")
    connection.rollback()
    gateway.answers(WRITTEN)
    connection.cursor().execute("DELETE FROM t WHERE a = 1")
    with pytest.raises(dbapi.NotSupportedError, match="nothing was rolled back"):
        connection.rollback()
    connection.rollback()


def test_after_commit_there_is_nothing_to_roll_back(gateway: Gateway, connection: dbapi.Connection) -> None:
    gateway.answers(WRITTEN)
    connection.cursor().execute("DELETE FROM t WHERE a = 1")
    connection.commit()
    connection.rollback()


def test_autocommit_is_always_on(connection: dbapi.Connection) -> None:
    connection.autocommit = True
    assert connection.autocommit
    with pytest.raises(dbapi.NotSupportedError, match="autocommit"):
        connection.autocommit = False


def database(errno: int, sqlstate: str) -> errors.DatabaseRefused:
    return errors.DatabaseRefused("its text", mysql_errno=errno, sqlstate=sqlstate, outcome="rolled_back")


# What the gateway answers, and the exception that it becomes.
ERRORS: dict[str, tuple[errors.GatekeeperError, type[dbapi.Error]]] = {
    "duplicate key": (database(1062, "23000"), dbapi.IntegrityError),
    "row is referenced": (database(1451, "23000"), dbapi.IntegrityError),
    "no referenced row": (database(1452, "23000"), dbapi.IntegrityError),
    "null": (database(1048, "23000"), dbapi.IntegrityError),
    "no default": (database(1364, "HY000"), dbapi.IntegrityError),
    "check of MySQL": (database(3819, "HY000"), dbapi.IntegrityError),
    "check of MariaDB": (database(4025, "23000"), dbapi.IntegrityError),
    "syntax": (database(1064, "42000"), dbapi.ProgrammingError),
    "no table": (database(1146, "42S02"), dbapi.ProgrammingError),
    "no column": (database(1054, "42S22"), dbapi.ProgrammingError),
    "column count": (database(1136, "21S01"), dbapi.ProgrammingError),
    "too long": (database(1406, "22001"), dbapi.DataError),
    "incorrect value": (database(1366, "HY000"), dbapi.DataError),
    "not supported": (database(1235, "42000"), dbapi.NotSupportedError),
    "deadlock": (database(1213, "40001"), dbapi.OperationalError),
    "lock wait": (database(1205, "HY000"), dbapi.OperationalError),
    "policy": (errors.Forbidden("no", rule="read"), dbapi.ProgrammingError),
    "unparsable": (errors.StatementUnparsable("no"), dbapi.ProgrammingError),
    "parameters": (errors.InvalidParameters("no"), dbapi.ProgrammingError),
    "key": (errors.Unauthenticated("no"), dbapi.OperationalError),
    "rate": (errors.RateLimited("no"), dbapi.OperationalError),
    "fault": (errors.GatekeeperError("no"), dbapi.InternalError),
    "node": (errors.UpstreamFailed("no", outcome="unknown"), dbapi.OperationalError),
    "unavailable": (errors.Unavailable("no"), dbapi.OperationalError),
    "deadline": (errors.DeadlineExceeded("no", outcome="rolled_back"), dbapi.OperationalError),
}


@pytest.mark.parametrize(("error", "expected"), ERRORS.values(), ids=ERRORS.keys())
def test_an_error_of_the_gateway_has_its_place_in_the_tree(
    gateway: Gateway, connection: dbapi.Connection, error: errors.GatekeeperError, expected: type[dbapi.Error]
) -> None:
    gateway.refuses(error)
    with pytest.raises(dbapi.DatabaseError) as caught:
        connection.cursor().execute("SELECT 1")
    raised = caught.value
    assert type(raised) is expected
    assert (raised.mysql_errno, raised.sqlstate, raised.rule) == (error.mysql_errno, error.sqlstate, error.rule)
    assert (raised.outcome, raised.retryable, raised.request_id) == (error.outcome, error.retryable, REQUEST_ID)
    assert raised.args == ((error.mysql_errno, error.detail) if error.mysql_errno else (error.detail,))
    assert isinstance(raised.__cause__, type(error))


def test_the_exceptions_are_members_of_a_connection() -> None:
    names = [name for name in dbapi.__all__ if name.endswith("Error")]
    assert len(names) == 9
    assert all(getattr(dbapi.Connection, name) is getattr(dbapi, name) for name in [*names, "Warning"])


def test_what_is_closed_is_not_used(gateway: Gateway) -> None:
    connection = connect(gateway.url, KEY)
    cursor, other = connection.cursor(), connection.cursor()
    cursor.close()
    connection.close()
    connection.close()
    for use in (cursor.fetchall, lambda: other.execute("SELECT 1"), connection.cursor, connection.commit):
        with pytest.raises(dbapi.InterfaceError, match="is closed"):
            use()
    assert gateway.seen == []


@pytest.mark.parametrize("members", [{"url": "nonsense"}, {"key": "two\nlines"}, {"paramstyle": "numeric"}])
def test_what_cannot_connect_is_an_interface_error(members: dict[str, Any]) -> None:
    with pytest.raises(dbapi.InterfaceError):
        connect(**{"url": "http://127.0.0.1:1", "key": KEY, **members})


# A statement in format or pyformat, and what is sent.
FORMATS: dict[str, tuple[str, str]] = {
    "format": ("SELECT %s, a FROM t WHERE b = %s", "SELECT ?, a FROM t WHERE b = ?"),
    "pyformat": ("SELECT %(one)s + %(two)s", "SELECT :one + :two"),
    "percent": ("SELECT a %% %s", "SELECT a % ?"),
    "percent in a string": ("SELECT 'a%%', %s", "SELECT 'a%', ?"),
    "escaped placeholder": ("SELECT '%%s' = %s", "SELECT '%s' = ?"),
    "quote in a string": (r"SELECT 'it''s \' %%' = %s", r"SELECT 'it''s \' %' = ?"),
    "quoted name": ("SELECT `a%%b` = %s", "SELECT `a%b` = ?"),
    "comment": ("SELECT %s -- 100%%\n, %s /* %% */ # %%", "SELECT ? -- 100%\n, ? /* % */ # %"),
    "no comment": ("SELECT 1--%s", "SELECT 1--?"),
    "none": ("SELECT 'a' = \"b\"", "SELECT 'a' = \"b\""),
}


@pytest.mark.parametrize(("statement", "sent"), FORMATS.values(), ids=FORMATS.keys())
def test_format_becomes_placeholders(statement: str, sent: str) -> None:
    assert from_format(statement) == sent


@pytest.mark.parametrize("statement", ["SELECT '%s'", "SELECT 1 /* %s */", "SELECT a % b", "SELECT `%s`", "SELECT %d"])
def test_a_percent_that_is_no_parameter_is_refused_and_not_sent(gateway: Gateway, statement: str) -> None:
    with (
        connect(gateway.url, KEY, paramstyle="format") as connection,
        pytest.raises(dbapi.ProgrammingError, match="must be written %%"),
    ):
        connection.cursor().execute(statement, (1,))
    assert gateway.seen == []


def test_a_statement_without_parameters_is_sent_as_it_is(gateway: Gateway) -> None:
    with connect(gateway.url, KEY, paramstyle="format") as connection:
        connection.cursor().execute("SELECT '100%s'")
        connection.cursor().execute("SELECT '100%%'", ())
    assert [body["query"] for body in gateway.bodies()] == ["SELECT '100%s'", "SELECT '100%'"]


def test_type_objects_are_equal_to_their_codes() -> None:
    cases = {"VARCHAR": dbapi.STRING, "BLOB": dbapi.BINARY, "INT UNSIGNED": dbapi.NUMBER, "TIME": dbapi.DATETIME}
    kinds = (dbapi.STRING, dbapi.BINARY, dbapi.NUMBER, dbapi.DATETIME, dbapi.ROWID)
    assert {code: [kind for kind in kinds if kind == code] for code in cases} == {
        code: [kind] for code, kind in cases.items()
    }


def test_constructors_make_pythons_own_values() -> None:
    assert (dbapi.Date(2025, 5, 1), dbapi.Binary(b"x")) == (date(2025, 5, 1), b"x")
    ticks = time.mktime((2025, 5, 1, 12, 30, 5, 0, 0, -1))
    moment = datetime(2025, 5, 1, 12, 30, 5)
    assert dbapi.TimestampFromTicks(ticks) == moment
    assert (dbapi.DateFromTicks(ticks), dbapi.TimeFromTicks(ticks)) == (moment.date(), moment.time())


def test_a_connection_shows_no_key(gateway: Gateway) -> None:
    connection = dbapi.Connection(Client(gateway.url, KEY), database=None, implementation=None, paramstyle="qmark")
    assert KEY not in repr(connection)
    connection.close()


def test_the_answer_of_the_client_is_the_same(gateway: Gateway, connection: dbapi.Connection) -> None:
    gateway.answers(ANSWER)
    with Client(gateway.url, KEY) as client:
        assert connection.cursor().execute("SELECT 1").fetchall() == client.query("SELECT 1").rows
