"""Words of the grammar that servers do not reserve: each is one only in its place, and a name anywhere else.

`year` after SELECT is a column; after `AS` in a CAST it is a type. A parser may take it for a type, an option or a unit
in more places than servers do, and leave no name in its tree. So outside of its place such a word must be found there.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gatekeeper.analysis.lexer import NUMBER, PLACEHOLDER, STRING, Token
from gatekeeper.analysis.words import words

InPlace = Callable[[Sequence[Token], int], bool]

_VALUES = frozenset({STRING, PLACEHOLDER})
_COMPARING = frozenset({"=", "<", ">", "<=", ">=", "<>", "!=", "<=>"})


def is_placed(tokens: Sequence[Token], at: int) -> bool:
    """Whether the word there stands where the grammar has it. Words that are always reserved are."""
    rule = _PLACES.get(tokens[at].word)
    return rule is None or rule(tokens, at)


def _word(tokens: Sequence[Token], at: int) -> str:
    return tokens[at].word if 0 <= at < len(tokens) else ""


def _kind(tokens: Sequence[Token], at: int) -> str:
    return tokens[at].kind if 0 <= at < len(tokens) else ""


def _after(*before: str) -> InPlace:
    return lambda tokens, at: _word(tokens, at - 1) in before


def _before(*after: str) -> InPlace:
    return lambda tokens, at: _word(tokens, at + 1) in after


def _before_value(tokens: Sequence[Token], at: int) -> bool:
    return _kind(tokens, at + 1) in _VALUES


def _after_bound(tokens: Sequence[Token], at: int) -> bool:
    return _kind(tokens, at - 1) in {NUMBER, PLACEHOLDER} or _word(tokens, at - 1) == "UNBOUNDED"


def _quantifies(tokens: Sequence[Token], at: int) -> bool:
    return at > 0 and tokens[at - 1].text in _COMPARING and _kind(tokens, at + 1) == "("


def _is_type(tokens: Sequence[Token], at: int) -> bool:
    """The last or next to last word of `CAST(x AS ...)`, `CONVERT(x, ...)` or `JSON_VALUE(x, p RETURNING ...)`."""
    while at >= 0 and _word(tokens, at) in _TYPE_WORDS:
        at -= 1
    before = _word(tokens, at)
    if before in {"AS", "RETURNING"}:
        return _opened_by(tokens, at) in {"CAST", "JSON_VALUE"}
    return _kind(tokens, at) == "," and _opened_by(tokens, at) == "CONVERT"


def _opened_by(tokens: Sequence[Token], at: int) -> str:
    """The word before the innermost parenthesis that is open there."""
    depth = 0
    while at >= 0:
        kind = tokens[at].kind
        depth += (kind == ")") - (kind == "(")
        if depth < 0:
            return _word(tokens, at - 1)
        at -= 1
    return ""


def _ends_case(tokens: Sequence[Token], at: int) -> bool:
    """An END for which a CASE is open, in the same parentheses."""
    depth = open_ends = 0
    for token in reversed(tokens[:at]):
        depth += (token.kind == ")") - (token.kind == "(")
        if depth < 0:
            return False
        if depth == 0 and token.word == "END":
            open_ends += 1
        if depth == 0 and token.word == "CASE":
            if not open_ends:
                return True
            open_ends -= 1
    return False


def _is_option(tokens: Sequence[Token], at: int) -> bool:
    """Behind SELECT, with other options between at most."""
    while _word(tokens, at - 1) in _OPTIONS:
        at -= 1
    return _word(tokens, at - 1) == "SELECT"


_TYPE_WORDS = words(
    """
    BINARY BIT BOOLEAN CHAR CHARACTER CHARSET DATE DATETIME DEC DECIMAL DOUBLE FLOAT INT INTEGER JSON NCHAR NUMERIC
    PRECISION REAL SIGNED TIME TIMESTAMP UNSIGNED VARBINARY VARCHAR YEAR
    """
)
_OPTIONS = words("ALL DISTINCT DISTINCTROW HIGH_PRIORITY STRAIGHT_JOIN") | words(
    "SQL_SMALL_RESULT SQL_BIG_RESULT SQL_BUFFER_RESULT SQL_NO_CACHE SQL_CALC_FOUND_ROWS"
)


def _literal_or_type(tokens: Sequence[Token], at: int) -> bool:
    return _before_value(tokens, at) or _is_type(tokens, at)


_PLACES: Final[Mapping[str, InPlace]] = {
    **dict.fromkeys(("DATE", "TIME", "TIMESTAMP"), _literal_or_type),
    **dict.fromkeys(("BIT", "CHARSET", "DATETIME", "JSON", "NCHAR", "SIGNED", "UNSIGNED", "YEAR"), _is_type),
    **dict.fromkeys(("ANY", "SOME"), _quantifies),
    **dict.fromkeys(("FOLLOWING", "PRECEDING"), _after_bound),
    **dict.fromkeys(("SQL_BUFFER_RESULT", "SQL_NO_CACHE"), _is_option),
    **dict.fromkeys(("_BINARY", "_UTF8MB4"), _before_value),
    "BOOLEAN": lambda tokens, at: (
        _is_type(tokens, at) or (_word(tokens, at - 1), _word(tokens, at + 1)) == ("IN", "MODE")
    ),
    "CURRENT": _before("ROW"),
    "DUPLICATE": lambda tokens, at: (_word(tokens, at - 1), _word(tokens, at + 1)) == ("ON", "KEY"),
    "END": _ends_case,
    "ESCAPE": _before_value,
    "EXPANSION": _after("QUERY"),
    "LANGUAGE": lambda tokens, at: (_word(tokens, at - 1), _word(tokens, at + 1)) == ("NATURAL", "MODE"),
    "MEMBER": _before("OF"),
    "MODE": _after("BOOLEAN", "LANGUAGE"),
    "OF": _after("MEMBER"),
    "OFFSET": lambda tokens, at: _kind(tokens, at - 1) in {NUMBER, PLACEHOLDER},
    "QUERY": _before("EXPANSION"),
    "QUICK": _after("DELETE", "LOW_PRIORITY", "IGNORE"),
    "ROLLUP": _after("WITH"),
    "ROW": _after("CURRENT"),
    "SOUNDS": _before("LIKE"),
    "UNBOUNDED": _before("PRECEDING", "FOLLOWING"),
    "UNKNOWN": lambda tokens, at: _word(tokens, at - 1) == "IS" or _word(tokens, at - 2) == "IS",
    "VALUE": lambda _tokens, _at: False,
    "WINDOW": lambda tokens, at: _word(tokens, at + 2) == "AS",
}
