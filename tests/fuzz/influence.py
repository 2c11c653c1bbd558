"""Does what a statement shows or changes depend on the stored values of one column?

It runs in worlds that differ in that column alone, with the clock, the next key and chance held fast, each time rolled
back. What it shows (rows, or an error) and what it leaves in all other columns must be the same.
"""

from typing import Any, Final

import pymysql

from deploy.providers.servers import AdminConnection
from tests.fuzz import known
from tests.fuzz.world import COLUMNS

# Two other contents for each column, unlike each other and unlike the world's. Keys are not among them: that a row is
# there shows anyway (docs/security.md, "What is left").
_OTHERS: Final[dict[str, tuple[str, str]]] = {
    "name": ("'zzzzzzzzzzzz'", "''"),
    "notes": ("'zzzzzzzzzzzz'", "NULL"),
    "profile": ("'[1]'", "NULL"),
    "city": ("'zzzzzzzzzzzz'", "NULL"),
    "status": ("'zzzzzzzzzzzz'", "''"),
    "comment": ("'zzzzzzzzzzzz'", "NULL"),
    "created_at": ("'2001-02-03'", "'2030-01-01'"),
    **dict.fromkeys(("customer_id", "product_id", "qty", "total", "credit", "stock", "price"), ("77", "0")),
}
_HELD = "SET timestamp = 1700000000, insert_id = 1000, rand_seed1 = 1, rand_seed2 = 2"
_RELEASED = "SET timestamp = DEFAULT"

_Seen = tuple[Any, ...]


def depends(connection: AdminConnection, sql: str, table: str, column: str) -> bool:
    """Whether the statement's effect differs with the column's values.

    Of keys, and of statements that do not do the same twice (UUID() and the like), the text decides.
    """
    if column not in _OTHERS:
        return known.uses(sql, column)
    seen = _seen(connection, sql, table, column, None)
    if seen != _seen(connection, sql, table, column, None):
        return known.uses(sql, column)
    return any(seen != _seen(connection, sql, table, column, value) for value in _OTHERS[column])


def _seen(connection: AdminConnection, sql: str, table: str, column: str, value: str | None) -> _Seen:
    """What the statement shows and leaves where the column has this value in all rows; None: its own values."""
    with connection.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        try:
            if value is not None:
                cursor.execute(f"UPDATE shop.{table} SET {column} = {value}")
            cursor.execute(_HELD)
            return _shown(cursor, sql), *(_left(cursor, name, table, column) for name in sorted(COLUMNS))
        finally:
            connection.rollback()
            cursor.execute(_RELEASED)


def _shown(cursor: pymysql.cursors.Cursor, sql: str) -> _Seen:
    try:
        cursor.execute(sql)
        return cursor.fetchall()
    except pymysql.MySQLError as error:
        return error.args


def _left(cursor: pymysql.cursors.Cursor, name: str, table: str, column: str) -> _Seen:
    columns = [other for other in COLUMNS[name] if (name, other) != (table, column)]
    cursor.execute(f"SELECT {', '.join(columns)} FROM shop.{name} ORDER BY id")
    return cursor.fetchall()
