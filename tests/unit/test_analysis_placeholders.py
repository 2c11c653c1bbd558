"""Placeholders: the proxy puts a literal in the place of each, of a kind and value that the judge can't know."""

import pytest

from contract.errors import GatekeeperError
from gatekeeper.analysis import analyse

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


def test_a_key_that_is_a_placeholder_hides_nothing_of_what_is_read() -> None:
    found = analyse("SELECT JSON_OBJECT(?, a, ?, (SELECT b FROM u)) FROM t", "s")
    assert found.reads == {("s", "t"), ("s", "u")}
    assert ("s", "t", "a") in found.columns_read
    assert ("s", "u", "b") in found.columns_read
