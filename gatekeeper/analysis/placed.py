"""Words of the grammar that servers do not reserve: each is one only in its place, and a name anywhere else.

`year` after SELECT is a column; after `AS` in a CAST it is a type. A parser may take it for a type, an option or a unit
in more places than servers do, and leave no name in its tree. So outside of its place such a word must be found there.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gatekeeper.analysis.lexer import NUMBER, PLACEHOLDER, STRING, Token
from gatekeeper.analysis.words import words


class Places:
    """The tokens of a statement, looked through once: what each word needs to know of those far from it."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.opened_by: list[str] = []  # for each token the word before the innermost parenthesis that is open there
        self.ends: set[int] = set()  # the ENDs for which a CASE is open, in the same parentheses
        self.options: set[int] = set()  # the words behind SELECT with other options between at most
        self._look()

    def is_placed(self, at: int) -> bool:
        """Whether the word there stands where the grammar has it. Words that are always reserved are."""
        rule = _PLACES.get(self.tokens[at].word)
        return rule is None or rule(self, at)

    def word(self, at: int) -> str:
        """The word there; nothing beyond the ends."""
        return self.tokens[at].word if 0 <= at < len(self.tokens) else ""

    def kind(self, at: int) -> str:
        """The kind of the token there; nothing beyond the ends."""
        return self.tokens[at].kind if 0 <= at < len(self.tokens) else ""

    def _look(self) -> None:
        openers, cases = [""], [0]
        for at, token in enumerate(self.tokens):
            before = self.word(at - 1)
            if before == "SELECT" or (at - 1 in self.options and before in _OPTIONS):
                self.options.add(at)
            self.opened_by.append(openers[-1])
            if token.kind == "(":
                openers.append(before)
                cases.append(0)
            elif token.kind == ")" and len(openers) > 1:
                openers.pop()
                cases.pop()
            elif token.word == "CASE":
                cases[-1] += 1
            elif token.word == "END" and cases[-1]:
                cases[-1] -= 1
                self.ends.add(at)


InPlace = Callable[[Places, int], bool]

_VALUES = frozenset({STRING, PLACEHOLDER})
_COMPARING = frozenset({"=", "<", ">", "<=", ">=", "<>", "!=", "<=>"})


def _after(*before: str) -> InPlace:
    return lambda places, at: places.word(at - 1) in before


def _before(*after: str) -> InPlace:
    return lambda places, at: places.word(at + 1) in after


def _between(before: str, after: str) -> InPlace:
    return lambda places, at: (places.word(at - 1), places.word(at + 1)) == (before, after)


def _before_value(places: Places, at: int) -> bool:
    return places.kind(at + 1) in _VALUES


def _after_bound(places: Places, at: int) -> bool:
    return places.kind(at - 1) in {NUMBER, PLACEHOLDER} or places.word(at - 1) == "UNBOUNDED"


def _quantifies(places: Places, at: int) -> bool:
    return at > 0 and places.tokens[at - 1].text in _COMPARING and places.kind(at + 1) == "("


def _is_type(places: Places, at: int) -> bool:
    """One of the last words of `CAST(x AS ...)`, `CONVERT(x, ...)` or `JSON_VALUE(x, p RETURNING ...)`."""
    for before in range(at - 1, max(-1, at - 1 - _MOST_TYPE_WORDS), -1):
        if places.word(before) in {"AS", "RETURNING"}:
            return places.opened_by[before] in {"CAST", "JSON_VALUE"}
        if places.kind(before) == ",":
            return places.opened_by[before] == "CONVERT"
        if places.word(before) not in _TYPE_WORDS:
            return False
    return False


_TYPE_WORDS = words(
    """
    BINARY BIT BOOLEAN CHAR CHARACTER CHARSET DATE DATETIME DEC DECIMAL DOUBLE FLOAT INT INTEGER JSON NCHAR NUMERIC
    PRECISION REAL SIGNED TIME TIMESTAMP UNSIGNED VARBINARY VARCHAR YEAR
    """
)
_OPTIONS = words("ALL DISTINCT DISTINCTROW HIGH_PRIORITY STRAIGHT_JOIN") | words(
    "SQL_SMALL_RESULT SQL_BIG_RESULT SQL_BUFFER_RESULT SQL_NO_CACHE SQL_CALC_FOUND_ROWS"
)


_MOST_TYPE_WORDS = 4


def _literal_or_type(places: Places, at: int) -> bool:
    return _before_value(places, at) or _is_type(places, at)


_PLACES: Final[Mapping[str, InPlace]] = {
    **dict.fromkeys(("DATE", "TIME", "TIMESTAMP"), _literal_or_type),
    **dict.fromkeys(("BIT", "CHARSET", "DATETIME", "JSON", "NCHAR", "SIGNED", "UNSIGNED", "YEAR"), _is_type),
    **dict.fromkeys(("ANY", "SOME"), _quantifies),
    **dict.fromkeys(("FOLLOWING", "PRECEDING"), _after_bound),
    **dict.fromkeys(("SQL_BUFFER_RESULT", "SQL_NO_CACHE"), lambda places, at: at in places.options),
    **dict.fromkeys(("_BINARY", "_UTF8MB4"), _before_value),
    "BOOLEAN": lambda places, at: _is_type(places, at) or _between("IN", "MODE")(places, at),
    "CURRENT": _before("ROW"),
    "DUPLICATE": _between("ON", "KEY"),
    "END": lambda places, at: at in places.ends,
    "ESCAPE": _before_value,
    "EXPANSION": _after("QUERY"),
    "LANGUAGE": _between("NATURAL", "MODE"),
    "MEMBER": _before("OF"),
    "MODE": _after("BOOLEAN", "LANGUAGE"),
    "OF": _after("MEMBER"),
    "OFFSET": lambda places, at: places.kind(at - 1) in {NUMBER, PLACEHOLDER},
    "QUERY": _before("EXPANSION"),
    "QUICK": _after("DELETE", "LOW_PRIORITY", "IGNORE"),
    "ROLLUP": _after("WITH"),
    "ROW": _after("CURRENT"),
    "SOUNDS": _before("LIKE"),
    "UNBOUNDED": _before("PRECEDING", "FOLLOWING"),
    "UNKNOWN": lambda places, at: "IS" in {places.word(at - 1), places.word(at - 2)},
    "VALUE": lambda _places, _at: False,
    "WINDOW": lambda places, at: places.word(at + 2) == "AS",
}
