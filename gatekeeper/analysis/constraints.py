"""The grammar of keys, indexes and constraints, and what defining them reads."""

from typing import Final

from gatekeeper.analysis.access import Column
from gatekeeper.analysis.conditions import condition
from gatekeeper.analysis.cursor import Cursor
from gatekeeper.analysis.lexer import STRING
from gatekeeper.analysis.scopes import TableName
from gatekeeper.analysis.words import words

_KEYS: Final = words("INDEX KEY")
_PREFIXED: Final = words("FULLTEXT SPATIAL")
_METHODS: Final = words("BTREE HASH")
_OPENING: Final = _KEYS | _PREFIXED | words("CONSTRAINT PRIMARY UNIQUE FOREIGN CHECK")


def is_constraint(cursor: Cursor) -> bool:
    """Whether a key, index or constraint begins here; all these words are reserved."""
    return cursor.word in _OPENING


def constraint(cursor: Cursor, table: TableName) -> list[Column]:
    """A key, index or constraint of the table. What a foreign key refers to: the parent's columns."""
    if cursor.take_any(_KEYS):
        _index(cursor)
    elif cursor.take_any(_PREFIXED):
        cursor.take_any(_KEYS)
        _index(cursor)
    else:
        if cursor.take("CONSTRAINT") and cursor.is_name():
            cursor.label()
        return _named(cursor, table)
    return []


def index_parts(cursor: Cursor) -> None:
    """`(column [(length)] [ASC | DESC], ...)` with USING before or after, and COMMENT."""
    _method(cursor)
    cursor.listed(_part)
    _method(cursor)
    if cursor.take("COMMENT"):
        cursor.one(STRING)


def _named(cursor: Cursor, table: TableName) -> list[Column]:
    if cursor.take("FOREIGN", "KEY"):
        return _foreign_key(cursor, table)
    if cursor.take("PRIMARY", "KEY"):
        index_parts(cursor)
    elif cursor.take("UNIQUE"):
        cursor.take_any(_KEYS)
        _index(cursor)
    else:
        cursor.expect("CHECK")
        cursor.nested(condition)
    return []


def _index(cursor: Cursor) -> None:
    if cursor.is_name():
        cursor.label()
    index_parts(cursor)


def _method(cursor: Cursor) -> None:
    if cursor.take("USING"):
        cursor.any_of(_METHODS)


def _part(cursor: Cursor) -> None:
    cursor.name()
    if cursor.take("("):
        cursor.number()
        cursor.expect(")")
    cursor.take_any(("ASC", "DESC"))


def _foreign_key(cursor: Cursor, table: TableName) -> list[Column]:
    """Defining it compares the child's values with the parent's, so it reads the parent's columns.

    An unqualified parent is in the child's schema for a server; where that is not the default one it must be qualified.
    """
    if cursor.is_name():
        cursor.label()
    cursor.listed(Cursor.name)
    cursor.expect("REFERENCES")
    parent = related(cursor, table)
    columns = cursor.listed(Cursor.name)
    while cursor.take("ON"):
        cursor.any_of(("DELETE", "UPDATE"))
        if not (cursor.take("SET", "NULL") or cursor.take("NO", "ACTION")):
            cursor.any_of(("RESTRICT", "CASCADE"))
    return [(*parent, column) for column in columns]


def related(cursor: Cursor, table: TableName) -> TableName:
    """The name of a table that a definition of another one mentions.

    Raises Forbidden where servers might look for an unqualified one in the other's schema or in the default one.
    """
    if table[0] != cursor.schema and not cursor.is_qualified():
        raise cursor.refusal()
    return cursor.table()
