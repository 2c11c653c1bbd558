"""Conditions that compare names with literals and call nothing: SHOW's WHERE, and CHECK in a table's definition."""

from typing import Final

from gatekeeper.analysis.cursor import Cursor
from gatekeeper.analysis.lexer import NUMBER, PLACEHOLDER, STRING
from gatekeeper.analysis.words import words

_COMPARISONS: Final = words("= <=> <> != < <= > >=")
_LITERAL_WORDS: Final = words("NULL TRUE FALSE")
_JUNCTIONS: Final = words("AND OR")
_SIGNS: Final = words("+ -")


def condition(cursor: Cursor) -> None:
    """Tests joined by AND and OR, in parentheses or not."""
    _test(cursor)
    while cursor.take_any(_JUNCTIONS):
        _test(cursor)


def literal(cursor: Cursor) -> None:
    """A string, a number, also with a sign, NULL, TRUE or FALSE; or a placeholder, which becomes one of them."""
    if cursor.take_any(_SIGNS):
        cursor.one(NUMBER)
    elif not (cursor.take_kind(STRING) or cursor.take_kind(NUMBER) or cursor.take_kind(PLACEHOLDER)):
        cursor.any_of(_LITERAL_WORDS)


def _test(cursor: Cursor) -> None:
    cursor.take("NOT")
    if cursor.word == "(":
        cursor.nested(condition)
    elif cursor.take("JSON_VALID", "("):  # what MariaDB's JSON type stands for, and ORMs write out
        cursor.name()
        cursor.expect(")")
    else:
        _operand(cursor)
        _comparison(cursor)


def _comparison(cursor: Cursor) -> None:
    if cursor.take_any(_COMPARISONS):
        if cursor.word == "(":
            cursor.nested(_operand)
        else:
            _operand(cursor)
    elif cursor.take("IS"):
        cursor.take("NOT")
        cursor.any_of(_LITERAL_WORDS)
    else:
        _predicate(cursor)


def _predicate(cursor: Cursor) -> None:
    cursor.take("NOT")
    if cursor.take("BETWEEN"):
        literal(cursor)
        cursor.expect("AND")
        literal(cursor)
    elif cursor.take("IN"):
        cursor.listed(literal)
    else:
        cursor.expect("LIKE")
        literal(cursor)


def _operand(cursor: Cursor) -> None:
    if cursor.is_name():
        cursor.name()
    else:
        literal(cursor)
