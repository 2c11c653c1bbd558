"""Placeholders: the proxy puts a literal in the place of each, of a kind and value that the judge can't know."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from contract.errors import Forbidden, GatekeeperError, InvalidParameters
from gatekeeper.analysis import analyse
from gatekeeper.analysis.lexer import PLACEHOLDER, lex
from proxy.placeholders import bind, template
from proxy.values import literal

ACCEPTED = (
    "SELECT JSON_OBJECT(?, a) FROM t",
    "SELECT JSON_OBJECT(:k, a, :l, ?) FROM t",
    "SELECT JSON_OBJECT('k', JSON_OBJECT(?, ?))",
    "SELECT JSON_OBJECTAGG(?, a) FROM t",
    "SELECT JSON_ARRAYAGG(JSON_OBJECT(?, a, ?, b)) FROM t",
    "SELECT a -> ?, a ->> ? FROM t",
    "SELECT a FROM t WHERE ? MEMBER OF (a -> '$.x')",
    "SELECT JSON_VALUE(a, ?), JSON_SET(a, ?, CAST(? AS JSON)) FROM t",
    "SELECT a FROM t LIMIT ?, ?",
    "TABLE t ORDER BY a LIMIT ? OFFSET ?",
    "VALUES ROW(?, ?), ROW(?, ?)",
    "SELECT a + INTERVAL ? DAY, DATE_ADD(a, INTERVAL :n SECOND) FROM t",
    "SELECT a FROM t WHERE MATCH (a, b) AGAINST (? IN BOOLEAN MODE)",
    "SELECT SUBSTRING(a FROM ? FOR ?), TRIM(LEADING ? FROM a), POSITION(? IN a) FROM t",
    "SELECT GROUP_CONCAT(DISTINCT a ORDER BY b DESC SEPARATOR ?) FROM t",
    "SELECT NTILE(?) OVER (ORDER BY a), LAG(a, ?, ?) OVER (PARTITION BY ? ORDER BY b) FROM t",
    "SELECT SUM(a) OVER (ORDER BY b ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) FROM t WHERE c = ?",
    "SELECT a FROM t WHERE (a, b) IN ((?, ?), (?, ?)) AND c LIKE ? ESCAPE ?",
    "SELECT CASE ? WHEN a THEN ? ELSE ? END AS x, CONVERT(? USING utf8mb4), CAST(? AS DECIMAL(10, 2)) FROM t",
    "SELECT a FROM t GROUP BY ? HAVING COUNT(*) > ? ORDER BY FIELD(a, ?, ?), a = ? DESC",
    "WITH RECURSIVE c (n) AS (SELECT ? UNION ALL SELECT n + ? FROM c WHERE n < ?) SELECT n FROM c",
    "INSERT INTO t (a, b) VALUES (_binary ?, ?) ON DUPLICATE KEY UPDATE a = VALUES(a), b = ?",
    "INSERT INTO t (a, b) VALUES (?, ?) AS new ON DUPLICATE KEY UPDATE a = new.a",
    "INSERT INTO t (a) VALUES (_utf8mb4 ?)",
    "UPDATE t SET a = _binary :a WHERE b = _binary :b ORDER BY c LIMIT ?",
    "DELETE FROM t WHERE a < ? ORDER BY a LIMIT ?",
    "SHOW TABLES LIKE ?",
    "DESCRIBE t ?",
)


@pytest.mark.parametrize("text", ACCEPTED)
def test_a_placeholder_stands_where_applications_send_it(text: str) -> None:
    assert analyse(text, "s").effect in {"read", "write"}


# A frame's bound: 9223372036854775807 for a placeholder would run past every limit (limits.py).
REFUSED = (
    "SELECT SUM(a) OVER (ORDER BY b ROWS ? PRECEDING) FROM t",
    "SELECT SUM(a) OVER (ORDER BY b ROWS BETWEEN 1 PRECEDING AND :n FOLLOWING) FROM t",
    "SELECT JSON_OBJECT(?) FROM (SELECT 1 INTO OUTFILE 'x') y",
    "SELECT a FROM ?",
    "SELECT ? FROM t FOR UPDATE",
    "INSERT INTO ? (a) VALUES (1)",
    "SELECT a FROM t WHERE a = _latin1 ?",
    "SELECT t.? FROM t",
    "CALL ?",
    "CREATE TABLE t (a INT DEFAULT ?)",
    "ALTER TABLE t COMMENT ?",
    "SHOW COLUMNS FROM ? LIKE 'a'",
    "EXPLAIN ?",
)


@pytest.mark.parametrize("text", REFUSED)
def test_a_placeholder_stands_for_nothing_but_a_literal_whose_value_does_not_matter(text: str) -> None:
    with pytest.raises(GatekeeperError):
        analyse(text, "s")


# What comments, strings, names and numbers begin and end with.
PIECES = (
    "?",
    "?",
    "?",
    "-",
    "--",
    "/",
    "*",
    "/*",
    "*/",
    "#",
    "\n",
    " ",
    "'",
    '"',
    "`",
    "\\",
    "x",
    "N",
    "1",
    "e",
    ".",
    "(",
    ")",
    ",",
)
VALUES = (1, -1, 2**63, 1.5, -1e300, "", "x", "'", "--", "*/", None, True, {"$bytes": "JyM="}, {"$json": {"a": "'"}})


@settings(max_examples=300, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    st.lists(st.sampled_from(PIECES), min_size=2, max_size=12),
    st.lists(st.sampled_from(VALUES), min_size=12, max_size=12),
)
def test_whatever_is_bound_the_text_around_it_is_read_as_it_was_judged(pieces: list[str], values: list[Any]) -> None:
    text = "".join(pieces)
    try:
        judged = lex(text)
        bound = bind(text, values[: len(template(text).names)])
    except (Forbidden, InvalidParameters):
        reject()
    literals = iter(values)
    expected = [
        read.text
        for token in judged
        for read in (lex(literal(next(literals))) if token.kind == PLACEHOLDER else (token,))
    ]
    assert [token.text for token in lex(bound)] == expected


def test_a_key_that_is_a_placeholder_hides_nothing_of_what_is_read() -> None:
    found = analyse("SELECT JSON_OBJECT(?, a, ?, (SELECT b FROM u)) FROM t", "s")
    assert found.reads == {("s", "t"), ("s", "u")}
    assert ("s", "t", "a") in found.columns_read
    assert ("s", "u", "b") in found.columns_read
