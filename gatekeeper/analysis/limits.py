"""What a statement may weigh, checked on its tokens before a parser sees it.

sqlglot's parser can't be interrupted, and some small texts make it try the same tokens again and again: joins that wait
for their ON (twice as long with each), calls named like a type (`CHAR(`, `DATE(`: twice with each level; BINARY four
times), LATERAL. Measured with sqlglot 30.30 over every keyword and function name, in eleven patterns, nested 4, 9 and
11 times: these are all. So a token weighs 1, doubled for each of these that stands open around it, and the statement
weighs the sum. A weight of 3,000 costs 20 to 35 ms of processor time in all (`python -m benchmark.judge`). Long lists
of literals are cut before (parse.shorten), so that bulk inserts weigh little.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from sqlglot.dialects.mysql import MySQL

from contract.errors import Forbidden
from gatekeeper.analysis.lexer import NUMBER, Token

MAX_WEIGHT: Final = 3_000
MAX_DEPTH: Final = 40
MAX_PREFIXES: Final = 8
MAX_SET_OPERATORS: Final = 50
MAX_FRAME_DIGITS: Final = 9
# What is within these is parsed in the worker's own process; it is most of what applications send. A parse that doubles
# with something that is not known here would need more of it to take long.
SIMPLE_WEIGHT: Final = 400
SIMPLE_DEPTH: Final = 8

_TYPE_NAMES = frozenset(word for word, kind in MySQL.Tokenizer.KEYWORDS.items() if kind in MySQL.Parser.TYPE_TOKENS)
_DOUBLINGS = {**dict.fromkeys(_TYPE_NAMES, 1), "LATERAL": 1, "BINARY": 2, "VARBINARY": 2}
_JOINS = frozenset({"JOIN", "STRAIGHT_JOIN"})
_JOINED = frozenset({"ON", "USING"})
_SET_OPERATORS = frozenset({"UNION", "EXCEPT", "INTERSECT"})
_PREFIXES = frozenset({"NOT", "BINARY", "INTERVAL", "DISTINCT", "ALL"})
_FRAME_ENDS = frozenset({"PRECEDING", "FOLLOWING"})


class Load(NamedTuple):
    """How heavy a statement is, and how deeply nested."""

    weight: int
    depth: int

    def is_simple(self) -> bool:
        """Whether the parser is sure to deal with it at once."""
        return self.weight <= SIMPLE_WEIGHT and self.depth <= SIMPLE_DEPTH


class _Level:
    """An open parenthesis (or the whole statement): the doublings it brings, and the joins that wait in it."""

    __slots__ = ("doublings", "waiting")

    def __init__(self, doublings: int) -> None:
        self.doublings = doublings
        self.waiting = 0


def check(tokens: Sequence[Token]) -> Load:
    """The statement's load. Raises Forbidden (rule limit; frame for a window that never ends) where it is too much."""
    if len(tokens) > MAX_WEIGHT:
        raise _limit(f"more than {MAX_WEIGHT} tokens besides lists of literals")
    if sum(token.word in _SET_OPERATORS for token in tokens) > MAX_SET_OPERATORS:
        raise _limit(f"more than {MAX_SET_OPERATORS} set operators")
    _check_prefixes(tokens)
    _check_frames(tokens)
    return _weigh(tokens)


def _weigh(tokens: Sequence[Token]) -> Load:
    levels = [_Level(0)]
    cases = weight = exponent = depth = 0
    before = ""
    for token in tokens:
        weight += 1 << exponent
        if token.kind == "(":
            levels.append(_Level(_DOUBLINGS.get(before, 0)))
            exponent += levels[-1].doublings
        elif token.kind == ")" and len(levels) > 1:
            closed = levels.pop()
            exponent -= closed.doublings + closed.waiting
        elif token.word in _JOINS:
            levels[-1].waiting += 1
            exponent += 1
        elif token.word in _JOINED and levels[-1].waiting:
            levels[-1].waiting -= 1
            exponent -= 1
        cases += (token.word == "CASE") - (token.word == "END")
        depth = max(depth, len(levels) + cases)
        if weight > MAX_WEIGHT or depth > MAX_DEPTH:
            raise _limit("nested too deeply, or too many joins without a condition")
        before = token.word
    return Load(weight, depth)


def _check_prefixes(tokens: Sequence[Token]) -> None:
    """`NOT NOT NOT ...` and `- - - ...` recurse once a sign, in the parser and in the server."""
    run = 0
    for token in tokens:
        run = run + 1 if token.kind == "o" or token.word in _PREFIXES else 0
        if run > MAX_PREFIXES:
            raise _limit(f"more than {MAX_PREFIXES} operators in a row")


def _check_frames(tokens: Sequence[Token]) -> None:
    """A window frame of 9223372036854775807 rows ran past max_statement_time and KILL on MariaDB 10.11.

    What precedes PRECEDING is a number, UNBOUNDED or an interval's unit; a placeholder could hide any number.
    """
    for here, following in pairwise(tokens):
        if following.word not in _FRAME_ENDS or here.kind in "wq":
            continue
        if here.kind != NUMBER or not here.text.isdigit() or len(here.text) > MAX_FRAME_DIGITS:
            raise Forbidden(
                f"a window's frame is bounded by a plain number of at most {MAX_FRAME_DIGITS} digits", rule="frame"
            )


def _limit(detail: str) -> Forbidden:
    return Forbidden(f"the statement is too large: {detail}", rule="limit")
