"""The statements that are read without a parser: SHOW, DESCRIBE and CALL, each in a few closed forms.

A form is a pattern over the statement's shape: a word for each token. Words that a form does not name never stand for a
name, so no keyword of a server's longer form passes for a table's name. SHOW's WHERE may only compare the columns that
SHOW has with literals, so that it calls nothing and reads nothing else.
"""

import re
from collections.abc import Sequence
from typing import Final

from contract.errors import Forbidden
from gatekeeper.analysis.access import Access
from gatekeeper.analysis.conditions import condition
from gatekeeper.analysis.cursor import Cursor
from gatekeeper.analysis.lexer import NUMBER, PLACEHOLDER, QUOTED, STRING, WORD, Token
from gatekeeper.analysis.scopes import ALL_COLUMNS, TableName, table_name
from gatekeeper.analysis.words import STRUCTURAL, words

# EXTENDED, FORMAT and the like begin longer forms of EXPLAIN and SHOW on one server or the other.
_KEYWORDS = STRUCTURAL | words("ALL COLUMNS DESCRIBE EXTENDED FIELDS FORMAT FULL INDEX INDEXES KEYS PARTITIONS TABLES")
_KINDS = {WORD: "name", QUOTED: "name", STRING: "literal", NUMBER: "literal", PLACEHOLDER: "placeholder"}
_LITERAL_WORDS = frozenset({"NULL", "TRUE", "FALSE"})

_NAMED = r"(?P<named>name(?: \. name)?)"
_SCHEMA = r"(?: (?:FROM|IN) (?P<schema>name))?"
# What the proxy puts in a placeholder's place is one literal: where it is no string, the server refuses the text.
_PATTERN = r"(?:string|placeholder)"
_LIKE = rf"(?: LIKE {_PATTERN}| WHERE)?"
_VALUE = r"(?:sign )?(?:literal|string|placeholder)"
_FORMS: Final = {
    "show": (
        rf"SHOW (?:FULL )?TABLES{_SCHEMA}{_LIKE}",
        rf"SHOW (?:FULL )?(?:COLUMNS|FIELDS) (?:FROM|IN) {_NAMED}{_SCHEMA}{_LIKE}",
        rf"SHOW (?:INDEX|INDEXES|KEYS) (?:FROM|IN) {_NAMED}{_SCHEMA}(?: WHERE)?",
        rf"SHOW CREATE TABLE {_NAMED}",
    ),
    "describe": (rf"(?:DESCRIBE|DESC|EXPLAIN) {_NAMED}(?: (?:name|{_PATTERN}))?",),
    "call": (rf"CALL {_NAMED}(?: \( (?:{_VALUE}(?: , {_VALUE})* )?\))?",),
}
# The columns of what SHOW TABLES, COLUMNS and INDEX show, on either server.
_SHOWN = words(
    """
    COLLATION COMMENT DEFAULT EXTRA FIELD KEY NULL PRIVILEGES TABLE_TYPE TYPE
    CARDINALITY COLUMN_NAME EXPRESSION IGNORED INDEX_COMMENT INDEX_TYPE KEY_NAME NON_UNIQUE PACKED SEQ_IN_INDEX SUB_PART
    TABLE VISIBLE
    """
)
_TABLES_IN = "TABLES_IN_"
_PATTERNS = {kind: [re.compile(form) for form in forms] for kind, forms in _FORMS.items()}


def is_closed(kind: str) -> bool:
    """Whether statements of this kind are read here."""
    return kind in _PATTERNS


def read(kind: str, tokens: Sequence[Token], schema: str | None) -> tuple[Access, frozenset[TableName]]:
    """What the statement reads, and the procedures that it calls; unqualified names are in `schema`, or in "".

    SHOW TABLES reads all of its schema, the table "*"; the others read all columns of their table, though they show no
    row. Raises Forbidden for other forms (rule construct) and for names that are not accepted (table_name).
    """
    tokens = _without_condition(tokens) if kind == "show" else tokens
    shape = " ".join([_word(token) for token in tokens])
    found = next((match for pattern in _PATTERNS[kind] if (match := pattern.fullmatch(shape))), None)
    if found is None:
        raise Forbidden(f"this form of {kind.upper()} is not accepted", rule="construct")
    groups = {name: _names(tokens, shape, found, name) for name in found.re.groupindex}
    named, within = groups.get("named", []), groups.get("schema", [])
    if len(named) == 2 and within:
        raise Forbidden("the table's schema is given twice", rule="construct")
    where = [*within, *named[:-1]] or [schema or ""]
    if not named:
        return _access(reads={(where[0], ALL_COLUMNS)}, columns=()), frozenset()
    name = table_name(where[0], named[-1])
    if kind == "call":
        return _access(reads=(), columns=()), frozenset({name})
    return _access(reads={name}, columns={(*name, ALL_COLUMNS)}), frozenset()


def _without_condition(tokens: Sequence[Token]) -> Sequence[Token]:
    """The tokens up to WHERE. Raises Forbidden where what follows it is not accepted."""
    where = next((at for at, token in enumerate(tokens) if token.word == "WHERE"), None)
    if where is None:
        return tokens
    cursor = Cursor("SHOW", tokens[where + 1 :], None)
    condition(cursor)
    cursor.end()
    for name in cursor.names:
        if name.upper() not in _SHOWN and not name.upper().startswith(_TABLES_IN):
            raise Forbidden(f"{name[:64]} is no column that SHOW is known to have", rule="construct")
    return tokens[: where + 1]


def _access(reads: set[TableName] | tuple[()], columns: set[tuple[str, str, str]] | tuple[()]) -> Access:
    return Access(frozenset(reads), frozenset(), frozenset(columns), frozenset(), has_where=False)


def _word(token: Token) -> str:
    if token.word in _LITERAL_WORDS:
        return "literal"
    if token.word in _KEYWORDS:
        return token.word
    if token.kind == STRING and token.text[0] in "'\"":
        return "string"
    return "sign" if token.text in {"-", "+"} else _KINDS.get(token.kind, token.text)


def _names(tokens: Sequence[Token], shape: str, found: re.Match[str], group: str) -> list[str]:
    """The names in a group of the match: every word of the shape is one token."""
    if found.start(group) < 0:
        return []
    first = shape.count(" ", 0, found.start(group))
    last = shape.count(" ", 0, found.end(group))
    return [_unquoted(token) for token in tokens[first : last + 1] if token.kind in {WORD, QUOTED}]


def _unquoted(token: Token) -> str:
    return token.text[1:-1].replace("``", "`") if token.kind == QUOTED else token.text
