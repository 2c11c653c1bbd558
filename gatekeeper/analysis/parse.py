"""From tokens to a syntax tree, by sqlglot.

sqlglot never sees the original text. It parses a copy written from the strict lexer's tokens, one space apart: comments
are gone, every literal stands for itself (`'$'`, `1`), every placeholder is `?` (or a literal, where sqlglot knows no
placeholder), every quoted name is in backticks. So no string, comment or number can end elsewhere for sqlglot than for
the lexer. The copy also spares sqlglot what it misreads: REPLACE becomes INSERT, and the modifiers of the verb
(LOW_PRIORITY, IGNORE ...) are left out.
"""

import logging
import re
from collections.abc import Sequence

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError

from contract.errors import StatementUnparsable
from gatekeeper.analysis.lexer import NUMBER, PLACEHOLDER, STRING, Token

# sqlglot logs what it does not understand, with the statement's text.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

_WRITTEN = {NUMBER: "1", STRING: "'$'", PLACEHOLDER: "?"}
_INTRODUCERS = frozenset({"_BINARY", "_UTF8MB4"})
_JSON_OBJECTS = frozenset({"JSON_OBJECT", "JSON_OBJECTAGG"})
_MODIFIERS = {
    "INSERT": frozenset({"LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO"}),
    "REPLACE": frozenset({"LOW_PRIORITY", "DELAYED", "INTO"}),
    "UPDATE": frozenset({"LOW_PRIORITY", "IGNORE"}),
    "DELETE": frozenset({"LOW_PRIORITY", "QUICK", "IGNORE"}),
}
_VERBS = {"INSERT": "INSERT INTO", "REPLACE": "INSERT INTO"}
# Bulk inserts and long IN lists are made of literals; beyond the first few they say nothing new and are not parsed.
_LITERAL = "o?[nsp]"
_ROW = rf"\({_LITERAL}(?:,{_LITERAL})*\)"
_FURTHER_ROWS = re.compile(rf"{_ROW}(?:,{_ROW}){{7}}((?:,{_ROW})+)")
_FURTHER_LITERALS = re.compile(rf"(?<=[(,]){_LITERAL}(?:,{_LITERAL}){{31}}((?:,{_LITERAL})+)(?=[,)])")
_LITERAL_WORDS = dict.fromkeys(("NULL", "DEFAULT", "TRUE", "FALSE"), NUMBER)


def parse(tokens: Sequence[Token]) -> exp.Expr:
    """The tree of one statement. Raises StatementUnparsable for whatever sqlglot does with what it does not know."""
    try:
        return sqlglot.parse_one(copy(tokens), read="mysql")
    except ParseError as error:
        near = error.errors[0].get("highlight") if error.errors else None
        raise StatementUnparsable(f"not understood{f' near {near[:64]}' if near else ''}") from None
    except Exception as error:
        # sqlglot is not ours and its input is an attacker's: RecursionError, TokenError, but also AttributeError.
        raise StatementUnparsable("not understood") from error


def copy(tokens: Sequence[Token]) -> str:
    """The text that is parsed in the statement's place."""
    verb = _changing_verb(tokens)
    if verb is None:
        return _write(tokens)
    word = tokens[verb].word
    after = verb + 1
    while after < len(tokens) and tokens[after].word in _MODIFIERS[word]:
        after += 1
    rest = _bare_targets(tokens[after:]) if word == "DELETE" else tokens[after:]
    return f"{_write(tokens[:verb])} {_VERBS.get(word, word)} {_write(rest)}"


def _bare_targets(tokens: Sequence[Token]) -> Sequence[Token]:
    """`DELETE a.*, b.* FROM` is another way to write `DELETE a, b FROM`."""
    end = next((at for at, token in enumerate(tokens) if token.word == "FROM"), 0)
    stars = {at for at in range(1, end) if tokens[at].kind == "*" and tokens[at - 1].kind == "."}
    return [token for at, token in enumerate(tokens) if at not in stars and at + 1 not in stars]


def _changing_verb(tokens: Sequence[Token]) -> int | None:
    """Where INSERT, REPLACE, UPDATE or DELETE stands as the statement's verb: first, or after `WITH ...` in MySQL."""
    if tokens[0].word in _MODIFIERS:
        return 0
    depth = 0
    for at, token in enumerate(tokens if tokens[0].word == "WITH" else ()):
        depth += (token.kind == "(") - (token.kind == ")")
        if depth == 0 and (token.word in _MODIFIERS or token.word == "SELECT"):
            return None if token.word == "SELECT" else at
    return None


def shorten(tokens: Sequence[Token]) -> Sequence[Token]:
    """The tokens without the further rows and members of long lists of literals."""
    for pattern in (_FURTHER_ROWS, _FURTHER_LITERALS):
        tokens = _without(pattern, tokens)
    return tokens


def _write(tokens: Sequence[Token]) -> str:
    return " ".join([_WRITTEN.get(_kind(tokens, at), token.text) for at, token in enumerate(tokens)])


def _kind(tokens: Sequence[Token], at: int) -> str:
    """The kind of a token; a placeholder counts as a string in two places, whatever literal the proxy puts there.

    `_binary ?` is what Django sends for bytes (a server refuses it before other literals than strings and octets), and
    sqlglot takes no placeholder for the first key of JSON_OBJECT.
    """
    kind = tokens[at].kind
    if kind != PLACEHOLDER or not at:
        return kind
    before = tokens[at - 1]
    is_key = before.kind == "(" and at > 1 and tokens[at - 2].word in _JSON_OBJECTS
    return STRING if is_key or before.word in _INTRODUCERS else kind


def _without(pattern: re.Pattern[str], tokens: Sequence[Token]) -> Sequence[Token]:
    """The tokens without those in the pattern's group; the pattern is one of token kinds, a letter a token."""
    kinds = "".join([_LITERAL_WORDS.get(token.word, token.kind) for token in tokens])
    kept: list[Token] = []
    begin = 0
    for match in pattern.finditer(kinds):
        kept.extend(tokens[begin : match.start(1)])
        begin = match.end(1)
    return [*kept, *tokens[begin:]] if begin else tokens
