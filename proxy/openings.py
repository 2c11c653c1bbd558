"""What a statement may begin with, by its effect: the last look at a text before it reaches a node.

The gatekeeper judges statements; this holds where it was taken over. An account's rights and READ ONLY are no wall
against what an account may always do: SET PASSWORD for itself, KILL of its own statements, USE, SET STATEMENT ... FOR,
or a compound statement (BEGIN NOT ATOMIC) that begins by taking READ ONLY away. Nothing of that kind begins with these
words.
"""

import re
from collections.abc import Mapping
from typing import Final

from contract.errors import Forbidden
from contract.messages import Runnable
from proxy.placeholders import has_executable, unquoted

# White space, comments and parentheses before the first word. Executable comments and hints are no comments.
_BEFORE = re.compile(
    r"(?:[ \t\n\v\f\r(]|/\*(?![!+M])(?:[^*]|\*(?!/))*\*/|--[ \t\n\v\f\r][^\n]*(?:\n|\Z)|#[^\n]*(?:\n|\Z))*"
)
_WORD = re.compile(r"[A-Za-z]+(?![A-Za-z0-9_$.\u0080-\uffff])")

_READS = frozenset({"SELECT", "WITH", "TABLE", "VALUES", "EXPLAIN", "DESC", "DESCRIBE", "SHOW"})
_OPENINGS: Final[Mapping[Runnable, frozenset[str]]] = {
    "read": _READS,
    "write": _READS | {"INSERT", "REPLACE", "UPDATE", "DELETE"},
    "queue": frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"}),
    "call": frozenset({"CALL"}),
    "schema": frozenset({"CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME"}),
}
# What is defined: tables and indexes alone. ALTER USER is open to every account of MySQL for itself, and ALTER DATABASE
# can make a whole schema read only.
_DEFINED = re.compile(
    r"""\s* (?: CREATE \s+ TABLE | CREATE \s+ (?:(?:UNIQUE|FULLTEXT|SPATIAL) \s+)? INDEX | ALTER \s+ TABLE
            | DROP \s+ (?:TABLE|INDEX) | RENAME \s+ TABLE | TRUNCATE (?:\s+ TABLE)? ) \b""",
    re.IGNORECASE | re.VERBOSE | re.ASCII,
)


# A definition with a query in it (CREATE TABLE ... AS SELECT) runs what nothing ends: DDL has no limit at the server.
_QUERY = re.compile(r"(?<![A-Za-z_$\u0080-\U0010ffff])(?:SELECT|VALUES)(?![A-Za-z0-9_$])", re.IGNORECASE)


def check(sql: str, effect: Runnable) -> None:
    """Raises Forbidden (rule opening) for a statement that begins as none of its effect does."""
    if first_word(sql) not in _OPENINGS[effect]:
        raise Forbidden(f"a statement of the effect {effect} does not begin like this", rule="opening")
    if effect == "schema":
        _check_definition(sql)


def first_word(sql: str) -> str:
    """The word that the statement begins with, in capitals; empty where it begins with none."""
    before = _BEFORE.match(sql)
    word = _WORD.match(sql, before.end() if before else 0)
    return word[0].upper() if word else ""


def _check_definition(sql: str) -> None:
    if has_executable(sql):
        raise Forbidden("a definition can't have a comment that some server executes", rule="opening")
    text = unquoted(sql)
    if not _DEFINED.match(text):
        raise Forbidden("only tables and indexes can be defined", rule="opening")
    if _QUERY.search(text):
        raise Forbidden("a definition can't have a query in it", rule="opening")
