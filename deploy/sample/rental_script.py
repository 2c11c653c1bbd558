"""The sample database as a script for a MySQL client: the statements that `rental.load` runs, as text."""

from collections.abc import Iterator

from pymysql.converters import escape_item

from deploy.sample import rental
from deploy.sample.rental_table import Row, Table

_ROWS_A_STATEMENT = 500


def script(*, full_text: bool = True) -> Iterator[str]:
    """The script, in pieces that end with a new line."""
    yield "SET time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE', autocommit = 0;\n"
    for statement in rental.statements(full_text=full_text):
        yield f"{statement};\n"
    for table in rental.rows():
        yield from _inserts(table)


def _inserts(table: Table) -> Iterator[str]:
    for start in range(0, len(table.rows), rental.ROWS_A_TRANSACTION):
        rows = table.rows[start : start + rental.ROWS_A_TRANSACTION]
        for at in range(0, len(rows), _ROWS_A_STATEMENT):
            values = ", ".join(_literals(row) for row in rows[at : at + _ROWS_A_STATEMENT])
            yield f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES {values};\n"  # noqa: S608 - our own
        yield "COMMIT;\n"


def _literals(row: Row) -> str:
    return "(" + ", ".join(str(escape_item(value, "utf8mb4")) for value in row) + ")"
