"""The value that a generated table is, and the moment at which the sample's books are closed."""

from datetime import datetime
from typing import Any

import msgspec

# int, str, bytes, Decimal, date, datetime, time or None, as PyMySQL binds them.
Row = tuple[Any, ...]

CLOSING = datetime(2024, 12, 31, 23, 59, 59)  # UTC: nothing in the sample happens later


class Table(msgspec.Struct, frozen=True):
    """A table's name, the columns that are filled, and its rows, each in the columns' order."""

    name: str
    columns: tuple[str, ...]
    rows: list[Row]

    def column(self, name: str) -> list[Any]:
        """The values of one column. Raises ValueError when there is none of that name."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]
