"""What judging a statement costs: `python -m benchmark.judge [--soups N] [--seed SEED]`.

Prints the median of a statement seen before, of a new point SELECT and of a new join (wall time), and the worst of N
generated token soups (processor time, so that neighbours do not count; all of it in this process, none in a child).
"""

import argparse
import contextlib
import random
import statistics
import time
from collections.abc import Callable, Sequence

from contract.errors import Forbidden, StatementUnparsable
from gatekeeper.analysis import ALLOWED_FUNCTIONS, analyse
from gatekeeper.analysis.words import GRAMMAR, STRUCTURAL
from gatekeeper.judge import Judge
from gatekeeper.policy import parse

SOUPS = 2_000
SEED = 20_261_123
REPEATS = 2_000

_POLICY = parse(
    """
    [roles.bench]
    kinds = ["select", "insert", "update", "delete", "explain", "table", "values", "show", "call"]
    read = ["rental.*"]
    write = ["rental.*"]
    default_database = "rental"
    """
)
_POINT = "SELECT title, rating FROM film WHERE film_id = {}"
_JOIN = """
SELECT f.title, c.name, COUNT(*) FROM film f JOIN film_category fc ON fc.film_id = f.film_id
JOIN category c ON c.category_id = fc.category_id WHERE f.length > {} GROUP BY f.title, c.name ORDER BY 3 DESC LIMIT 10
"""

# What a soup is made of: words, and pieces that nest or join, which is where parsers try again and again.
_PIECES = (
    *sorted(GRAMMAR | STRUCTURAL),
    *(f"{name}(" for name in sorted(ALLOWED_FUNCTIONS)),
    *("(", ")", "(", ")", ",", ",", "*", ".", "a", "b", "t", "1", "'x'", "?", "=", "-", "+"),
    *("(SELECT", "LATERAL (SELECT", "UNION SELECT", "JOIN a", "JOIN b ON", "JOIN (b", "WITH a AS (", "EXISTS ("),
    *("IN (", "CAST(a AS", "CONVERT(", "CHAR(", "DATE(", "BINARY(", "CASE WHEN", "END", "a.b", "`q`", "OVER ("),
)
_OPENINGS = (
    *("SELECT ", "SELECT a FROM t ", "SELECT a FROM t WHERE ", "INSERT INTO t ", "INSERT INTO t VALUES ("),
    *("UPDATE t SET a = ", "DELETE FROM t WHERE ", "WITH x AS ("),
    *("EXPLAIN SELECT ", "TABLE t ORDER BY ", "VALUES ROW(", "SHOW COLUMNS FROM t ", "CALL p("),
)
_LENGTHS = (10, 30, 100, 400, 2_000, 5_000)
_VOCABULARIES = (1, 2, 3, 5, 20, 60)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    options = _parser().parse_args(arguments)
    judge = Judge(_POLICY, analyse)
    print(f"a statement seen before  {median_us(judge, _POINT, new=False):8.1f} us (median)")
    print(f"a new point SELECT       {median_us(judge, _POINT, new=True):8.1f} us (median)")
    print(f"a new join               {median_us(judge, _JOIN, new=True):8.1f} us (median)")
    cost, text = worst(options.soups, options.seed)
    print(f"the worst of {options.soups} soups {cost * 1000:10.1f} ms of processor time (seed {options.seed})")
    print(f"  {len(text)} characters: {text[:100]}")


def median_us(judge: Judge, template: str, *, new: bool) -> float:
    """The median of judging the statement, microseconds; `new`: with another literal each time."""
    return (
        statistics.median(
            _spent(time.perf_counter, judge, template.format(number if new else 0)) for number in range(REPEATS)
        )
        * 1_000_000
    )


def seen_before_us() -> float:
    """The median of judging a point SELECT that was seen before, microseconds: what a repeated statement costs."""
    return median_us(Judge(_POLICY, analyse), _POINT, new=False)


def worst(soups: int, seed: int) -> tuple[float, str]:
    """The most that a soup costs, in seconds of processor time, and that soup; what looks bad is measured twice."""
    source = random.Random(seed)
    judge = Judge(_POLICY, analyse)
    judge.judge("bench", "SELECT 1", None)  # imports and first calls are not a soup's
    found = (0.0, "")
    for _ in range(soups):
        text = soup(source)
        cost = _spent(time.process_time, judge, text)
        if cost > found[0]:
            found = max(found, (min(cost, _spent(time.process_time, Judge(_POLICY, analyse), text)), text))
    return found


def soup(source: random.Random) -> str:
    """A statement's beginning and then anything: a few different pieces many times, or many different ones."""
    pieces = source.sample(_PIECES, source.choice(_VOCABULARIES))
    body = " ".join(source.choices(pieces, k=source.choice(_LENGTHS)))
    closing = ")" * (body.count("(") - body.count(")")) if source.random() < 0.5 else ""
    return source.choice(_OPENINGS) + body + closing


def _spent(clock: Callable[[], float], judge: Judge, text: str) -> float:
    begin = clock()
    with contextlib.suppress(Forbidden, StatementUnparsable):  # a refusal costs as much as a verdict
        judge.judge("bench", text, None)
    return clock() - begin


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmark.judge", description=main.__doc__)
    parser.add_argument("--soups", type=int, default=SOUPS, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="of the soups (default: %(default)s)")
    return parser


if __name__ == "__main__":
    main()
