"""CALL: what a procedure does is one transaction, as far as the procedure lets it be one.

By itself each statement of a procedure commits on its own, and one that fails in the middle leaves half of the work.
So the proxy opens a transaction and sets a savepoint in it. A procedure that commits, rolls back or runs DDL ends both:
that the savepoint is gone (error 1305) tells that what was done may stay.
"""

import pymysql

from contract.errors import Forbidden
from proxy.connection import Connection, Rows

_SAVEPOINT = "gatekeeper_call"


class NotUndone(pymysql.Error):
    """A call failed with this error, and what it did before may stay."""


def call(connection: Connection, sql: str, max_rows: int, max_bytes: int, max_affected_rows: int | None) -> Rows:
    """Runs a CALL: the rows of its first result set, and the server's count of all rows that it changed.

    Raises pymysql.MySQLError when nothing has stayed, NotUndone when something may have, and Forbidden for more changed
    rows than allowed; its `outcome` tells the same.
    """
    _run(connection, "START TRANSACTION")
    _run(connection, f"SAVEPOINT {_SAVEPOINT}")
    try:
        rows = _results(connection, sql, max_rows, max_bytes)
    except pymysql.MySQLError as error:
        raise _told(error, undone=_succeeds(connection, f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")) from None
    whole = _succeeds(connection, f"RELEASE SAVEPOINT {_SAVEPOINT}")
    _require_few(connection, rows, max_affected_rows, whole=whole)
    try:
        _run(connection, "COMMIT")
    except pymysql.MySQLError as error:
        raise _told(error, undone=whole) from None
    return rows


def _results(connection: Connection, sql: str, max_rows: int, max_bytes: int) -> Rows:
    """The first result set with the last result's counts. All results are read: the call ends with the last one."""
    found: Rows | None = None
    answering = connection.start(sql)
    while True:
        rows = answering.collect(0 if found else max_rows, max_bytes, to_the_end=True)
        if rows.columns and found is None:
            found = rows
        if (following := answering.following()) is None:
            break
        answering = following
    if found is None:
        return rows
    return Rows(
        found.columns, found.rows, rows.affected_rows, rows.last_insert_id, found.truncated, found.returned_rows
    )


def _require_few(connection: Connection, rows: Rows, max_affected_rows: int | None, *, whole: bool) -> None:
    if max_affected_rows is None or rows.affected_rows <= max_affected_rows:
        return
    _run(connection, "ROLLBACK")
    said = "it was rolled back" if whole else "the procedure has committed some of it by itself"
    raise Forbidden(
        f"the procedure changes more than {max_affected_rows} rows; {said}",
        rule="max_affected_rows",
        outcome="rolled_back" if whole else "unknown",
    )


def _told(error: pymysql.MySQLError, *, undone: bool) -> pymysql.MySQLError:
    return error if undone else NotUndone(*error.args, sqlstate=getattr(error, "sqlstate", None))


def _succeeds(connection: Connection, statement: str) -> bool:
    try:
        _run(connection, statement)
    except pymysql.MySQLError:
        return False
    return True


def _run(connection: Connection, statement: str) -> None:
    connection.query(statement, 1, 1)
