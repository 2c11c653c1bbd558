"""Definitions of tables and indexes, read by a closed grammar: what they define, and what that reads and writes.

Everything here means the same to MySQL 9 and MariaDB 10.11 to 11.8, as far as they know it. What is not listed is
refused: TEMPORARY tables, CREATE ... SELECT and LIKE, other engines than InnoDB and NDB (FEDERATED, CONNECT, SPIDER and
MERGE reach other tables or hosts), directories, tablespaces, partitions, generated columns, IMPORT and EXCHANGE.

Whatever looks at the rows that are there counts as a read of the whole table: a new UNIQUE key or a narrower type names
values in its error texts. Whatever changes or removes rows, or hinders changing them, counts as a write of it.
"""

from collections.abc import Callable, Sequence
from typing import Final

from contract.errors import Forbidden
from gatekeeper.analysis.access import Access
from gatekeeper.analysis.alter import action
from gatekeeper.analysis.columns import column
from gatekeeper.analysis.constraints import constraint, index_parts, is_constraint
from gatekeeper.analysis.cursor import Cursor
from gatekeeper.analysis.defined import Defined, table_option, way
from gatekeeper.analysis.lexer import PLACEHOLDER, Token
from gatekeeper.analysis.scopes import TableName

# A table of 1,000 columns has some 8,000. Definitions are read in the worker, whoever sends them: 30,000 took 160 ms.
MAX_DEFINITION_TOKENS: Final = 10_000


def is_definition(kind: str) -> bool:
    """Whether statements of this kind are read here."""
    return kind in _STATEMENTS


def read(kind: str, tokens: Sequence[Token], schema: str | None) -> tuple[Access, frozenset[TableName]]:
    """What the statement reads and writes, and the tables that it defines; unqualified ones are in `schema`, or in "".

    Raises Forbidden for other forms (rule construct), for names that are not accepted (table_name), and for what is too
    large (limit).
    """
    if len(tokens) > MAX_DEFINITION_TOKENS:
        raise Forbidden(f"the definition is too large: more than {MAX_DEFINITION_TOKENS} tokens", rule="limit")
    cursor = Cursor(kind.replace("_", " ").upper(), tokens, schema)
    if any(token.kind == PLACEHOLDER for token in tokens):
        raise cursor.refusal()  # neither server takes them in definitions
    defined = Defined()
    _STATEMENTS[kind](cursor, defined)
    cursor.end()
    return defined.access(), frozenset(defined.tables)


def _create_table(cursor: Cursor, defined: Defined) -> None:
    cursor.expect("CREATE", "TABLE")
    cursor.take("IF", "NOT", "EXISTS")
    table = defined.table(cursor.table())

    def element(inner: Cursor) -> None:
        if is_constraint(inner):
            defined.read.update(constraint(inner, table))
        else:
            column(inner)

    cursor.listed(element)
    while table_option(cursor):
        pass


def _alter_table(cursor: Cursor, defined: Defined) -> None:
    cursor.expect("ALTER", "TABLE")
    table = defined.table(cursor.table(), read=True, written=True)
    cursor.several(lambda inner: action(inner, table, defined))
    if defined.moves() and defined.refers():
        raise cursor.refusal()  # an unqualified parent might be looked for in either schema


def _drop_table(cursor: Cursor, defined: Defined) -> None:
    cursor.expect("DROP", "TABLE")
    cursor.take("IF", "EXISTS")
    cursor.several(lambda inner: defined.table(inner.table(), written=True))
    cursor.take_any(("RESTRICT", "CASCADE"))  # which do nothing


def _truncate(cursor: Cursor, defined: Defined) -> None:
    cursor.expect("TRUNCATE")
    cursor.take("TABLE")
    defined.table(cursor.table(), written=True)


def _rename_table(cursor: Cursor, defined: Defined) -> None:
    cursor.expect("RENAME", "TABLE")

    def renamed(inner: Cursor) -> None:
        defined.table(inner.table(), read=True, written=True)
        inner.expect("TO")
        defined.table(inner.table(), read=True, written=True)

    cursor.several(renamed)


def _create_index(cursor: Cursor, defined: Defined) -> None:
    cursor.expect("CREATE")
    cursor.take_any(("UNIQUE", "FULLTEXT", "SPATIAL"))
    cursor.expect("INDEX")
    cursor.take("IF", "NOT", "EXISTS")
    cursor.label()
    if cursor.take("USING"):
        cursor.any_of(("BTREE", "HASH"))
    cursor.expect("ON")
    defined.table(cursor.table(), read=True, written=True)
    index_parts(cursor)
    _ways(cursor)


def _drop_index(cursor: Cursor, defined: Defined) -> None:
    cursor.expect("DROP", "INDEX")
    cursor.take("IF", "EXISTS")
    cursor.label()
    cursor.expect("ON")
    defined.table(cursor.table(), written=True)
    _ways(cursor)


def _ways(cursor: Cursor) -> None:
    while way(cursor):
        pass


_STATEMENTS: Final[dict[str, Callable[[Cursor, Defined], None]]] = {
    "create_table": _create_table,
    "alter_table": _alter_table,
    "drop_table": _drop_table,
    "truncate": _truncate,
    "rename_table": _rename_table,
    "create_index": _create_index,
    "drop_index": _drop_index,
}
