"""The grammar of ALTER TABLE: a list of actions, each in a closed form."""

from collections.abc import Callable
from typing import Final

from gatekeeper.analysis.columns import character_set, column, default
from gatekeeper.analysis.constraints import constraint, is_constraint, related
from gatekeeper.analysis.cursor import Cursor
from gatekeeper.analysis.defined import Defined, table_option, way
from gatekeeper.analysis.scopes import TableName


def action(cursor: Cursor, table: TableName, defined: Defined) -> None:
    """One action of ALTER TABLE."""
    if cursor.take("ADD"):
        _add(cursor, table, defined)
    elif cursor.take("RENAME"):
        _rename(cursor, table, defined)
    elif take := _ACTIONS.get(cursor.word):
        cursor.take(cursor.word)
        take(cursor)
    elif not way(cursor):
        _options(cursor)


def _options(cursor: Cursor) -> None:
    if not table_option(cursor):
        raise cursor.refusal()
    while table_option(cursor):
        pass


def _add(cursor: Cursor, table: TableName, defined: Defined) -> None:
    if is_constraint(cursor):
        defined.read.update(constraint(cursor, table))
        return
    cursor.take("COLUMN")
    cursor.take("IF", "NOT", "EXISTS")
    if cursor.word == "(":
        cursor.listed(column)
    else:
        column(cursor)
        _position(cursor)


def _drop(cursor: Cursor) -> None:
    if cursor.take("PRIMARY", "KEY"):
        return
    if cursor.take("FOREIGN", "KEY") or cursor.take_any(("INDEX", "KEY", "CONSTRAINT", "CHECK")):
        cursor.take("IF", "EXISTS")
        cursor.label()
        return
    cursor.take("COLUMN")
    cursor.take("IF", "EXISTS")
    cursor.name()


def _modify(cursor: Cursor) -> None:
    cursor.take("COLUMN")
    column(cursor)
    _position(cursor)


def _change(cursor: Cursor) -> None:
    cursor.take("COLUMN")
    cursor.name()
    column(cursor)
    _position(cursor)


def _rename(cursor: Cursor, table: TableName, defined: Defined) -> None:
    if cursor.take("COLUMN"):
        cursor.name()
        cursor.expect("TO")
        cursor.name()
    elif cursor.take_any(("INDEX", "KEY")):
        cursor.label()
        cursor.expect("TO")
        cursor.label()
    else:
        cursor.any_of(("TO", "AS"))
        defined.table(related(cursor, table), read=True, written=True)


def _alter(cursor: Cursor) -> None:
    cursor.take("COLUMN")
    cursor.name()
    if cursor.take("SET", "DEFAULT"):
        default(cursor)
    else:
        cursor.expect("DROP", "DEFAULT")


def _convert(cursor: Cursor) -> None:
    cursor.expect("TO")
    if not character_set(cursor):
        raise cursor.refusal()
    if cursor.take("COLLATE"):
        cursor.plain()


def _position(cursor: Cursor) -> None:
    if cursor.take("AFTER"):
        cursor.name()
    else:
        cursor.take("FIRST")


_ACTIONS: Final[dict[str, Callable[[Cursor], None]]] = {
    "DROP": _drop,
    "MODIFY": _modify,
    "CHANGE": _change,
    "ALTER": _alter,
    "CONVERT": _convert,
}
