"""What may reach a node, by its first word."""

import pytest

from contract.errors import Forbidden
from contract.messages import Runnable
from proxy.openings import check

ACCEPTED: list[tuple[str, Runnable]] = [
    ("SELECT 1", "read"),
    ("select(1)", "read"),
    ("\n /* why */ -- so\n # and so\n ((SELECT 1))", "read"),
    ("WITH a AS (SELECT 1) SELECT * FROM a", "read"),
    ("SHOW TABLES", "read"),
    ("EXPLAIN INSERT INTO t VALUES (1)", "write"),
    ("INSERT INTO t VALUES (1)", "write"),
    ("SELECT 1", "write"),
    ("WITH a AS (SELECT 1) DELETE FROM t", "write"),
    ("/**/DELETE FROM t", "write"),
    ("CALL p(1)", "call"),
    ("CREATE TABLE t (a INT)", "schema"),
    ("create /* so */ unique -- and\n index i ON t (a)", "schema"),
    ("TRUNCATE t", "schema"),
    ("DROP INDEX i ON t", "schema"),
    ("RENAME TABLE a TO b", "schema"),
    ("CREATE TABLE `select` (a INT COMMENT 'VALUES and SELECT') /* SELECT */", "schema"),
]


@pytest.mark.parametrize(("sql", "effect"), ACCEPTED, ids=[sql for sql, _ in ACCEPTED])
def test_a_statement_may_begin_as_its_effect_does(sql: str, effect: Runnable) -> None:
    check(sql, effect)


REFUSED: list[tuple[str, Runnable]] = [
    ("SET PASSWORD = '*00'", "write"),
    ("SET STATEMENT tx_read_only=0 FOR SET PASSWORD = '*00'", "read"),
    ("BEGIN NOT ATOMIC SET SESSION tx_read_only=0; END", "read"),
    ("USE mysql", "read"),
    ("KILL USER gk_reader", "read"),
    ("OPTIMIZE TABLE t", "write"),
    ("ANALYZE SELECT 1", "read"),
    ("PREPARE a FROM 'USE mysql'", "write"),
    ("EXECUTE IMMEDIATE 'USE mysql'", "write"),
    ("DO GET_LOCK('a', 1)", "read"),
    ("LOCK TABLES t WRITE", "write"),
    ("FLUSH TABLES", "write"),
    ("HANDLER t OPEN", "read"),
    ("DELETE FROM t", "read"),
    ("DROP TABLE t", "write"),
    ("SELECT 1", "call"),
    ("INSERT INTO t VALUES (1)", "schema"),
    ("CALL p()", "write"),
    ("ALTER USER USER() IDENTIFIED BY 'evil'", "schema"),
    ("ALTER /* TABLE */ USER CURRENT_USER() IDENTIFIED BY RANDOM PASSWORD", "schema"),
    ("ALTER DATABASE rental READ ONLY = 1", "schema"),
    ("ALTER/*M!TABLE*/USER USER() IDENTIFIED BY 'evil'", "schema"),
    ("CREATE TABLE z2 AS /*!50000SELECT SLEEP(1) AS a*/", "schema"),
    ("CREATE TABLE z1 MAX_ROWS=1.5SELECT SLEEP(1) AS a", "schema"),
    ("DROP DATABASE rental", "schema"),
    ("DROP `TABLE` t", "schema"),
    ("CREATE OR REPLACE TABLE t (a INT)", "schema"),
    ("CREATE TEMPORARY TABLE t (a INT)", "schema"),
    ("CREATE FUNCTION f() RETURNS INT RETURN 1", "schema"),
    ("RENAME USER a TO b", "schema"),
    ("CREATE TABLE t AS SELECT SLEEP(3000)", "schema"),
    ("CREATE TABLE t(SELECT 1)", "schema"),
    ("CREATE TABLE t AS VALUES (SLEEP(3000))", "schema"),
    ("CREATE TABLE t AS WITH x AS (SELECT 1) SELECT * FROM x", "schema"),
    ("/*! SET PASSWORD = '*00' */ SELECT 1", "read"),
    ("/*M! USE mysql */ SELECT 1", "read"),
    ("/*!99999 SELECT */ USE mysql", "read"),
    ("--SELECT 1\nUSE mysql", "read"),
    ("SELECTED", "read"),
    ("select_1", "read"),
    ("selecté", "read"),
    ("a: SELECT 1", "read"),
    ("/* SELECT", "read"),
    (";SELECT 1", "read"),
    ("\ufeffSELECT 1", "read"),
    ("\u00a0SELECT 1", "read"),
    ("", "read"),
]


@pytest.mark.parametrize(("sql", "effect"), REFUSED, ids=[sql for sql, _ in REFUSED])
def test_whatever_begins_otherwise_is_refused(sql: str, effect: Runnable) -> None:
    with pytest.raises(Forbidden) as refused:
        check(sql, effect)
    assert refused.value.rule == "opening"


LONG = {
    "open comments": "/*" * 100_000,
    "comments": "/**/" * 100_000,
    "parentheses": "(" * 400_000,
    "lines": "-- \n" * 100_000,
    "stars": "/*" + "*" * 400_000,
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_a_long_text_is_looked_through_once(text: str) -> None:
    """A square of the length would take hours."""
    with pytest.raises(Forbidden):
        check(text, "read")
