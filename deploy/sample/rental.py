"""The sample database `rental`: a chain of film-rental stores, about 50,000 rows in 15 tables and 3 views.

The rows come from a seeded generator and from nothing else (no clock, no hash order), so that every load of every
machine has equal checksums. `staff.password` is there to be hidden by a policy.
"""

import hashlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pymysql

from deploy.sample import rental_films, rental_schema, rental_shops, rental_trade
from deploy.sample.rental_dice import Dice
from deploy.sample.rental_table import Table

SCHEMA = rental_schema.SCHEMA
SEED = 20_240_229

# Small enough for a write set of Galera (wsrep_max_ws_size) and for NDB's MaxNoOfConcurrentOperations (32,768), which
# counts every row with its entries in unique indexes and its foreign keys.
ROWS_A_TRANSACTION = 4000


def statements(*, full_text: bool = True) -> Iterator[str]:
    """The DDL in the order in which it can run, on a connection that may use the schema from then on.

    `full_text=False` leaves out the full text index, for an engine that has none (NDB).
    """
    yield rental_schema.CREATE_SCHEMA
    yield f"USE {SCHEMA}"
    yield from rental_schema.TABLES.values()
    yield from rental_schema.VIEWS
    if full_text:
        yield from rental_schema.FULL_TEXT


def rows() -> list[Table]:
    """All tables with their rows; a table stands after those that it refers to."""
    dice = Dice(SEED)
    films = rental_films.tables(dice)
    shops = rental_shops.tables(dice)
    made = {table.name: table for table in (*films, *shops)}
    trade = rental_trade.tables(dice, made["film"], made["inventory"])
    return [*films, *shops, *trade]


def load(connection: "pymysql.Connection[Any]", *, full_text: bool = True) -> int:
    """Create the schema, fill it, and return the number of rows.

    The connection's settings are changed (time zone, SQL mode, autocommit, default schema): use one for this alone.
    Foreign keys are checked by the server on the way. Raises pymysql.OperationalError 1050 when a table is there
    already: what exists is never overwritten.
    """
    connection.autocommit(False)
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE'")
        for statement in statements(full_text=full_text):
            cursor.execute(statement)
        return sum(_fill(connection, cursor, table) for table in rows())


def _fill(connection: "pymysql.Connection[Any]", cursor: pymysql.cursors.Cursor, table: Table) -> int:
    """Insert the table's rows, in multi-row statements (PyMySQL's executemany) and bounded transactions."""
    marks = ", ".join(["%s"] * len(table.columns))
    insert = f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({marks})"  # noqa: S608 - names of our own
    for start in range(0, len(table.rows), ROWS_A_TRANSACTION):
        cursor.executemany(insert, table.rows[start : start + ROWS_A_TRANSACTION])
        connection.commit()
    return len(table.rows)


def cache_key() -> str:
    """A hash of this sample's source, so that a data directory made from an older one is not used again."""
    sources = sorted(Path(__file__).parent.glob("rental*.py"))
    content = chain.from_iterable((path.name.encode(), path.read_bytes()) for path in sources)
    return hashlib.sha256(b"\0".join(content)).hexdigest()
