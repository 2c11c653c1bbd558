"""The type objects and constructors of PEP 249.

See: https://peps.python.org/pep-0249/#type-objects-and-constructors
"""

import time as clock
from datetime import date, datetime, time
from typing import Final

import msgspec


class TypeObject(msgspec.Struct, frozen=True, eq=False):
    """Equal to the type codes in a cursor's description that are of its kind; the codes are docs/api.md's names."""

    names: frozenset[str]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TypeObject):
            return self.names == other.names
        return isinstance(other, str) and other.removesuffix(" UNSIGNED") in self.names

    def __hash__(self) -> int:
        return hash(self.names)


STRING: Final = TypeObject(
    frozenset({"CHAR", "VARCHAR", "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT", "ENUM", "SET", "JSON"})
)
BINARY: Final = TypeObject(
    frozenset({"BINARY", "VARBINARY", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB", "GEOMETRY", "VECTOR"})
)
NUMBER: Final = TypeObject(
    frozenset(
        {"TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT", "YEAR", "BIT", "DECIMAL", "FLOAT", "DOUBLE"}
    )
)  # fmt: skip
DATETIME: Final = TypeObject(frozenset({"DATE", "TIME", "DATETIME", "TIMESTAMP"}))
ROWID: Final = TypeObject(frozenset())  # MySQL has none

# The constructors of PEP 249 are Python's own types; ticks are seconds since the epoch, in the local time zone.
Date = date
Time = time
Timestamp = datetime
Binary = bytes


def DateFromTicks(ticks: float) -> date:  # noqa: N802 - the name that PEP 249 asks for
    """The local date of a number of seconds since the epoch."""
    return date.fromtimestamp(ticks)


def TimeFromTicks(ticks: float) -> time:  # noqa: N802 - the name that PEP 249 asks for
    """The local time of day of a number of seconds since the epoch, in whole seconds."""
    return time(*clock.localtime(ticks)[3:6])


def TimestampFromTicks(ticks: float) -> datetime:  # noqa: N802 - the name that PEP 249 asks for
    """The local time of a number of seconds since the epoch."""
    return datetime.fromtimestamp(ticks)
