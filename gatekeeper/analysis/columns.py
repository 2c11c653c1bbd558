"""The grammar of a column's definition: its type and attributes. What both servers read the same way, and no more.

Sources: MySQL 9 manual, "CREATE TABLE Statement"; MariaDB documentation, "CREATE TABLE". A type that one of them lacks
is an error there. Left out are generated columns, defaults that are expressions (but for UUID()), inline REFERENCES,
invisible columns, and what places, compresses or versions them.
"""

from collections.abc import Callable
from typing import Final

from gatekeeper.analysis.conditions import condition, literal
from gatekeeper.analysis.cursor import Cursor
from gatekeeper.analysis.lexer import STRING
from gatekeeper.analysis.words import words

_INTEGERS: Final = words("TINYINT SMALLINT MEDIUMINT INT INTEGER BIGINT")
_DECIMALS: Final = words("DECIMAL DEC NUMERIC FLOAT DOUBLE REAL")
_TEXTS: Final = words("CHAR CHARACTER VARCHAR TINYTEXT TEXT MEDIUMTEXT LONGTEXT")
_SIZED: Final = words("BIT YEAR TIME DATETIME TIMESTAMP BINARY VARBINARY BLOB VECTOR")
_LISTS: Final = words("ENUM SET")
_BARE: Final = words(
    """
    BOOL BOOLEAN DATE TINYBLOB MEDIUMBLOB LONGBLOB JSON UUID INET4 INET6
    GEOMETRY POINT LINESTRING POLYGON MULTIPOINT MULTILINESTRING MULTIPOLYGON GEOMETRYCOLLECTION
    """
)
_NUMBER_WORDS: Final = words("UNSIGNED SIGNED ZEROFILL")
_CLOCK: Final = words("CURRENT_TIMESTAMP NOW LOCALTIME LOCALTIMESTAMP")


def column(cursor: Cursor) -> str:
    """A name and its definition; the name."""
    name = cursor.name()
    _definition(cursor)
    return name


def _definition(cursor: Cursor) -> None:
    """A type and its attributes."""
    _type(cursor)
    while take := _ATTRIBUTES.get(cursor.word):
        cursor.take(cursor.word)
        take(cursor)


def default(cursor: Cursor) -> None:
    """What stands after DEFAULT."""
    if cursor.word in _CLOCK:
        _clock(cursor)
    elif cursor.take("("):
        if cursor.word in _CLOCK:
            _clock(cursor)
        elif not cursor.take("UUID", "(", ")"):
            literal(cursor)
        cursor.expect(")")
    else:
        literal(cursor)


def character_set(cursor: Cursor) -> bool:
    """`CHARACTER SET utf8mb4`, with CHARSET for it and `=` or not; whether it stands there."""
    if not (cursor.take("CHARACTER", "SET") or cursor.take("CHARSET")):
        return False
    cursor.take("=")
    cursor.plain()
    return True


def _type(cursor: Cursor) -> None:
    if cursor.take_any(_INTEGERS):
        _size(cursor, most=1)
        _numeric(cursor)
    elif word := cursor.take_any(_DECIMALS):
        if word == "DOUBLE":
            cursor.take("PRECISION")
        _size(cursor, most=2)
        _numeric(cursor)
    elif cursor.take_any(_TEXTS):
        _size(cursor, most=1)
        character_set(cursor)
    elif cursor.take_any(_LISTS):
        cursor.listed(lambda inner: inner.one(STRING))
        character_set(cursor)
    elif cursor.take_any(_SIZED):
        _size(cursor, most=1)
    else:
        cursor.any_of(_BARE)


def _size(cursor: Cursor, most: int) -> None:
    if cursor.word == "(" and len(cursor.listed(Cursor.number)) > most:
        raise cursor.refusal()


def _numeric(cursor: Cursor) -> None:
    while cursor.take_any(_NUMBER_WORDS):
        pass


def _clock(cursor: Cursor) -> None:
    """CURRENT_TIMESTAMP, also with `()` or `(6)`; NOW only with them."""
    if cursor.any_of(_CLOCK) == "NOW" and cursor.word != "(":
        raise cursor.refusal()
    if cursor.take("(") and not cursor.take(")"):
        cursor.number()
        cursor.expect(")")


def _on(cursor: Cursor) -> None:
    cursor.expect("UPDATE")
    _clock(cursor)


def _nothing(cursor: Cursor) -> None:
    """The word says all."""


# By the word that begins them, which is taken already.
_ATTRIBUTES: Final[dict[str, Callable[[Cursor], object]]] = {
    "NOT": lambda cursor: cursor.expect("NULL"),
    "NULL": _nothing,
    "DEFAULT": default,
    "ON": _on,
    "AUTO_INCREMENT": _nothing,
    "PRIMARY": lambda cursor: cursor.expect("KEY"),
    "UNIQUE": lambda cursor: cursor.take("KEY"),
    "KEY": _nothing,
    "COMMENT": lambda cursor: cursor.one(STRING),
    "COLLATE": Cursor.plain,
    "CHECK": lambda cursor: cursor.nested(condition),
}
