"""Several statements as one transaction, or one that may have to be undone. What is known of it when it fails, is said.

Until COMMIT is sent nothing can stay: a connection that is lost before has no effect.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec
import pymysql

from contract.errors import DeadlineExceeded, Forbidden
from proxy import ledger, openings
from proxy.connection import Connection, Rows
from proxy.ledger import Claim, Undecided

# What gives back the rows that it changes where it says RETURNING, instead of their number.
_CHANGES = frozenset({"INSERT", "REPLACE", "UPDATE", "DELETE"})


class Uncommitted(pymysql.Error):
    """A transaction failed with this error before its COMMIT was sent."""


@contextmanager
def before_commit() -> Iterator[None]:
    """For what is done before COMMIT is sent: whatever the driver raises, nothing stays. Raises Uncommitted."""
    try:
        yield
    except (pymysql.MySQLError, OSError) as error:
        raise Uncommitted(*error.args, sqlstate=getattr(error, "sqlstate", None)) from None


class Bounds(msgspec.Struct, frozen=True):
    """What a transaction may give and change, all of it together. `deadline`: by the monotonic clock."""

    max_rows: int
    max_bytes: int
    max_affected_rows: int | None
    deadline: float
    grow: Callable[[int], None]


def transact(connection: Connection, statements: Sequence[str], bounds: Bounds) -> list[Rows]:
    """Runs the statements, all or none.

    Raises Uncommitted, Forbidden, DeadlineExceeded, and pymysql.MySQLError where it is COMMIT that failed.
    """
    results = _run(connection, lambda: _start(connection), statements, bounds)
    connection.query("COMMIT", 1, 1)
    return results


def transact_once(
    connection: Connection,
    claim: Claim,
    statements: Sequence[str],
    bounds: Bounds,
    keeping: Callable[[list[Rows]], str],
) -> list[Rows]:
    """The same with the key's row in it; `keeping` gives the statement that keeps the answer in the row.

    Raises what `ledger.begin` does besides, and Undecided where COMMIT was answered, but not what keeps the answer.
    """
    results = _run(connection, lambda: ledger.begin(connection, claim), statements, bounds)
    kept, committed = connection.send_all(keeping(results), "COMMIT")
    if isinstance(committed, pymysql.MySQLError):
        raise committed
    if isinstance(kept, pymysql.MySQLError):
        raise Undecided("the answer was not kept")
    return results


def _run(connection: Connection, begin: Callable[[], None], statements: Sequence[str], bounds: Bounds) -> list[Rows]:
    """The results of all statements; COMMIT is still to be sent."""
    results: list[Rows] = []
    room = _Room(bounds)
    with before_commit():
        begin()
        for statement in statements:
            _keep_to_the_deadline(connection, bounds)
            # All rows are read: those that are left over would come in the next statement's way.
            rows = connection.query(statement, room.rows, max(0, room.size), to_the_end=True, grow=room.take)
            room.rows -= len(rows.rows)
            results.append(rows)
            _require_few(connection, statements, results, bounds.max_affected_rows)
        _keep_to_the_deadline(connection, bounds)
    return results


class _Room:
    """What is left of the bounds on rows and bytes."""

    def __init__(self, bounds: Bounds) -> None:
        self.rows, self.size = bounds.max_rows, bounds.max_bytes
        self._grow = bounds.grow

    def take(self, size: int) -> None:
        self._grow(size)
        self.size -= size


def _start(connection: Connection) -> None:
    connection.query("START TRANSACTION", 1, 1)


def _keep_to_the_deadline(connection: Connection, bounds: Bounds) -> None:
    left_s = bounds.deadline - time.monotonic()
    if left_s <= 0:
        raise DeadlineExceeded("the time passed before the last statement; nothing stays", outcome="rolled_back")
    connection.hurry(left_s)


def _require_few(
    connection: Connection, statements: Sequence[str], results: Sequence[Rows], max_affected_rows: int | None
) -> None:
    if max_affected_rows is None or sum(map(changed, statements, results)) <= max_affected_rows:
        return
    connection.query("ROLLBACK", 1, 1)
    what = "statement changes" if len(statements) == 1 else "statements change"
    raise Forbidden(
        f"the {what} more than {max_affected_rows} rows; it was rolled back",
        rule="max_affected_rows",
        outcome="rolled_back",
    )


def changed(statement: str, rows: Rows) -> int:
    """How many rows it changed. With RETURNING the server does not count: those that come back were changed."""
    if rows.columns:
        return rows.returned_rows if openings.first_word(statement) in _CHANGES else 0
    return rows.affected_rows
