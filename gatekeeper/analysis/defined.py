"""What a definition touches, collected while it is read; and the parts that several statements share."""

from typing import Final

from contract.errors import Forbidden
from gatekeeper.analysis.access import Access, Column
from gatekeeper.analysis.columns import character_set
from gatekeeper.analysis.cursor import Cursor
from gatekeeper.analysis.lexer import STRING
from gatekeeper.analysis.scopes import ALL_COLUMNS, MAX_SOURCES, TableName
from gatekeeper.analysis.words import words

# The others reach files, other tables or other hosts, or keep nothing.
_ENGINES: Final = words("INNODB NDB NDBCLUSTER")
_WAYS: Final = {
    "ALGORITHM": words("DEFAULT INSTANT INPLACE COPY NOCOPY"),
    "LOCK": words("DEFAULT NONE SHARED EXCLUSIVE"),
}


class Defined:
    """The tables that a statement defines, and the columns that it reads and writes."""

    def __init__(self) -> None:
        self.tables: set[TableName] = set()
        self.read: set[Column] = set()
        self._written: set[Column] = set()

    def table(self, name: TableName, *, read: bool = False, written: bool = False) -> TableName:
        """Notes a table that is defined, and whether all of it is read and written; its name.

        Raises Forbidden (rule limit) where there are too many.
        """
        self.tables.add(name)
        if len(self.tables) > MAX_SOURCES:
            raise Forbidden(f"the statement is too large: more than {MAX_SOURCES} tables", rule="limit")
        if read:
            self.read.add((*name, ALL_COLUMNS))
        if written:
            self._written.add((*name, ALL_COLUMNS))
        return name

    def moves(self) -> bool:
        """Whether tables of several schemas are defined."""
        return len({schema for schema, _ in self.tables}) > 1

    def refers(self) -> bool:
        """Whether a foreign key refers to columns."""
        return any(column != ALL_COLUMNS for _, _, column in self.read)

    def access(self) -> Access:
        """What is read and written."""
        return Access(
            reads=frozenset((schema, table) for schema, table, _ in self.read),
            writes=frozenset((schema, table) for schema, table, _ in self._written),
            columns_read=frozenset(self.read),
            columns_written=frozenset(self._written),
            has_where=False,
        )


def table_option(cursor: Cursor) -> bool:
    """One option of a table, whether one stands there."""
    if word := cursor.take_any(("ENGINE", "AUTO_INCREMENT", "COMMENT", "COLLATE")):
        _option(cursor, word)
    elif cursor.take("DEFAULT"):
        if cursor.take("COLLATE"):
            _option(cursor, "COLLATE")
        elif not character_set(cursor):
            raise cursor.refusal()
    else:
        return character_set(cursor)
    return True


def _option(cursor: Cursor, word: str) -> None:
    cursor.take("=")
    match word:
        case "ENGINE":
            cursor.any_of(_ENGINES)
        case "AUTO_INCREMENT":
            cursor.number()
        case "COMMENT":
            cursor.one(STRING)
        case _:
            cursor.plain()


def way(cursor: Cursor) -> bool:
    """How a definition is to be carried out, `ALGORITHM = INPLACE` or `LOCK = NONE`; whether one stands there."""
    word = cursor.take_any(_WAYS)
    if word:
        cursor.take("=")
        cursor.any_of(_WAYS[word])
    return bool(word)
