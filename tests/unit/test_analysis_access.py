"""What is read and written. `t` stands for (s, t); the default schema is s."""

import pytest

from contract.errors import StatementUnparsable
from gatekeeper.analysis import analyse

READS = {
    "from": ("SELECT a FROM t", "t"),
    "another schema": ("SELECT a FROM x . `t`", "x.t"),
    "joins": ("SELECT 1 FROM t JOIN (u, v) ON 1 NATURAL JOIN w STRAIGHT_JOIN x", "t u v w x"),
    "parentheses": ("SELECT(a)FROM(t)", "t"),
    "derived": ("SELECT a FROM (SELECT a FROM t) u", "t"),
    "everywhere": (
        "SELECT (SELECT 1 FROM a) FROM b WHERE 1 IN (SELECT 1 FROM c) GROUP BY (SELECT 1 FROM d) HAVING EXISTS"
        " (SELECT 1 FROM e) ORDER BY (SELECT 1 FROM f) LIMIT 1",
        "a b c d e f",
    ),
    "windows": ("SELECT SUM(x) OVER (ORDER BY (SELECT 1 FROM a)) FROM b", "a b"),
    "set operations": (
        "SELECT 1 FROM a UNION SELECT 1 FROM b EXCEPT (SELECT 1 FROM c) ORDER BY (SELECT 1 FROM d)",
        "a b c d",
    ),
    "dual": ("SELECT 1 FROM DUAL", ""),
    "a table called dual": ("SELECT 1 FROM `DUAL`", "DUAL"),
    "a common table expression": ("WITH t AS (SELECT 1 x) SELECT x FROM t", ""),
    "it reads what it shadows": ("WITH t AS (SELECT a FROM t) SELECT a FROM t", "t"),
    "a schema's name sees through it": ("WITH t AS (SELECT 1 x) SELECT x FROM s.t", "t"),
    "it is unknown before its definition": ("WITH a AS (SELECT x FROM t), t AS (SELECT 1 x) SELECT x FROM a", "t"),
    "recursive, it knows itself": ("WITH RECURSIVE t AS (SELECT 1 n UNION SELECT n + 1 FROM t) SELECT n FROM t", ""),
    "recursive, it does not know the next": (
        "WITH RECURSIVE a AS (SELECT 1 n UNION SELECT n FROM t), t AS (SELECT 1) SELECT n FROM a",
        "t",
    ),
    "it is unknown beside its query": ("SELECT 1 FROM (WITH t AS (SELECT 1 x) SELECT x FROM t) z, t", "t"),
    "it is unknown after its parentheses": ("(WITH t AS (SELECT 1 x) SELECT x FROM t) UNION SELECT a FROM t", "t"),
    "it is known in both parts of a union": ("WITH t AS (SELECT 1 x) SELECT 1 UNION SELECT x FROM t", ""),
    "it is known in subqueries": ("WITH t AS (SELECT 1 x) SELECT (SELECT x FROM t), y FROM (SELECT x y FROM t) u", ""),
    "another case is another name": ("WITH T AS (SELECT 1 x) SELECT x FROM t", "t"),
    "a space is another name": ("WITH `t ` AS (SELECT 1 x) SELECT x FROM t", "t"),
    "insert": ("INSERT INTO t SELECT a FROM u", "u"),
    "values": ("INSERT INTO t (a) VALUES ((SELECT a FROM u))", "u"),
    "on duplicate key": ("INSERT INTO t (a) VALUES (1) ON DUPLICATE KEY UPDATE a = (SELECT u.a FROM u)", "u"),
    "the row to be inserted is not read": ("INSERT INTO t (a) VALUES (1) ON DUPLICATE KEY UPDATE a = VALUES(a)", ""),
    "the stored row is": ("INSERT INTO t (a) VALUES (1) ON DUPLICATE KEY UPDATE a = a + 1", "t"),
    "returning": ("INSERT INTO t (a) VALUES (1) RETURNING a", "t"),
    "update": ("UPDATE t SET a = 1", ""),
    "update where": ("UPDATE t SET a = 1 WHERE b = 2", "t"),
    "update from a join": ("UPDATE t JOIN u SET t.a = 1", "u"),
    "update from itself": ("UPDATE t x JOIN t y SET x.a = 1", "t"),
    "delete": ("DELETE FROM t", ""),
    "delete where": ("DELETE FROM t WHERE a IN (SELECT a FROM u)", "t u"),
    "delete using": ("DELETE FROM t USING t JOIN u", "u"),
}


@pytest.mark.parametrize(("text", "tables"), READS.values(), ids=READS)
def test_the_tables_read_are_told(text: str, tables: str) -> None:
    assert analyse(text, "s").reads == _tables(tables)


WRITES = {
    "insert": ("INSERT INTO x.t VALUES (1)", "x.t"),
    "replace": ("REPLACE INTO t SELECT a FROM u", "t"),
    "update": ("UPDATE t AS u SET u.a = 1", "t"),
    "update of one of two": ("UPDATE t JOIN u ON t.a = u.a SET u.b = 1", "u"),
    "update of a column that may be of either": ("UPDATE t, u SET b = 1", "t u"),
    "update from a derived table": ("UPDATE t, (SELECT a FROM u) v SET b = v.a", "t"),
    "update after with": ("WITH t AS (SELECT 1 x) UPDATE LOW_PRIORITY u JOIN t SET u.a = t.x", "u"),
    "delete": ("DELETE FROM t WHERE a = 1", "t"),
    "delete by alias": ("DELETE u FROM t AS u", "t"),
    "delete of two": ("DELETE t.*, v.* FROM t, u AS v, w", "t u"),
    "delete using": ("DELETE FROM t, v USING t JOIN u AS v JOIN w", "t u"),
    "delete after with": ("WITH x AS (SELECT 1 y) DELETE QUICK FROM t", "t"),
    "select": ("SELECT a FROM t", ""),
}


@pytest.mark.parametrize(("text", "tables"), WRITES.values(), ids=WRITES)
def test_the_tables_written_are_told(text: str, tables: str) -> None:
    assert analyse(text, "s").writes == _tables(tables)


COLUMNS = {
    "named": ("SELECT a, `b` FROM t", {"t.a", "t.b"}),
    "qualified": ("SELECT x.a, u.b FROM t AS x JOIN u", {"t.a", "u.b"}),
    "qualified by a schema": ("SELECT s.t.a FROM t", {"t.a"}),
    "of either table": ("SELECT a FROM t, u", {"t.a", "u.a"}),
    "star": ("SELECT * FROM t, u", {"t.*", "u.*"}),
    "star of one": ("SELECT x.* FROM t x, u", {"t.*"}),
    "star of a derived table": ("SELECT * FROM (SELECT a FROM t) x", {"t.a"}),
    "count": ("SELECT COUNT(*) FROM t", set()),
    "natural join": ("SELECT 1 FROM t NATURAL JOIN u", {"t.*", "u.*"}),
    "using": ("SELECT 1 FROM t JOIN u USING (a)", {"t.a", "u.a"}),
    "conditions and order": ("SELECT 1 FROM t WHERE a GROUP BY b HAVING c ORDER BY d", {"t.a", "t.b", "t.c", "t.d"}),
    "full text": ("SELECT MATCH (a, b) AGAINST ('x') FROM t", {"t.a", "t.b"}),
    "outer scope": ("SELECT 1 FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.a = t.b)", {"u.a", "t.b"}),
    "maybe the outer scope's": ("SELECT (SELECT a FROM u) FROM t", {"u.a", "t.a"}),
    "not the neighbour's": ("SELECT 1 FROM (SELECT a FROM u) x JOIN t", {"u.a"}),
    "the neighbour's, laterally": ("SELECT 1 FROM t, LATERAL (SELECT t.a) x", {"t.a"}),
    "an unknown qualifier": ("SELECT z.a FROM t, u", {"t.a", "u.a"}),
    "an alias of another case": ("SELECT (SELECT X.a FROM (SELECT 1) x) FROM t AS X", {"t.a"}),
    "inside functions": (
        "SELECT CONCAT(a, CAST(b AS CHAR)), CASE WHEN c THEN d END FROM t",
        {"t.a", "t.b", "t.c", "t.d"},
    ),
    "values, where nothing is inserted": ("SELECT VALUES(a) FROM t", {"t.a"}),
    "an assignment's left side": ("UPDATE t SET a = b + 1, c = DEFAULT", {"t.b"}),
    "an insert's columns": ("INSERT INTO t (a, b) VALUES (1, DEFAULT)", set()),
    "on duplicate key, of the source": (
        "INSERT INTO t (a) SELECT 1 FROM u ON DUPLICATE KEY UPDATE a = u.b",
        {"t.b", "u.b"},
    ),
    "returning everything": ("DELETE FROM t RETURNING *", {"t.*"}),
}


@pytest.mark.parametrize(("text", "columns"), COLUMNS.values(), ids=COLUMNS)
def test_the_columns_read_are_told(text: str, columns: set[str]) -> None:
    found = analyse(text, "s").columns_read
    assert {f"{table}.{column}" for _, table, column in found} == columns


WRITTEN = {
    "insert": ("INSERT INTO t (a, b) VALUES (1, 2)", {"t.a", "t.b"}),
    "insert without columns": ("INSERT INTO t VALUES (1, 2)", {"t.*"}),
    "on duplicate key": ("INSERT INTO t (a) VALUES (1) ON DUPLICATE KEY UPDATE b = 1", {"t.a", "t.b"}),
    "update": ("UPDATE t, u SET t.a = 1, u.b = 2", {"t.a", "u.b"}),
    "delete": ("DELETE FROM t", {"t.*"}),
}


@pytest.mark.parametrize(("text", "columns"), WRITTEN.values(), ids=WRITTEN)
def test_the_columns_written_are_told(text: str, columns: set[str]) -> None:
    found = analyse(text, "s").columns_written
    assert {f"{table}.{column}" for _, table, column in found} == columns


def test_a_schema_that_the_statement_does_not_name_is_not_looked_for() -> None:
    with pytest.raises(StatementUnparsable):
        analyse("SELECT a.x.b FROM t a JOIN u b USING (c)", "s")


WHERE = {
    "none": ("DELETE FROM t", False),
    "a column": ("DELETE FROM t WHERE a = 1", True),
    "a constant": ("DELETE FROM t WHERE 1 = 1", False),
    "a limit": ("UPDATE t SET a = 1 LIMIT 1", False),
    "update": ("UPDATE t SET a = 1 WHERE b = ?", True),
}


@pytest.mark.parametrize(("text", "has_where"), WHERE.values(), ids=WHERE)
def test_a_where_counts_when_it_mentions_a_column(text: str, has_where: bool) -> None:
    assert analyse(text, "s").has_where is has_where


def test_a_table_without_any_schema_has_none() -> None:
    assert analyse("SELECT a FROM t", None).reads == {("", "t")}


def _tables(names: str) -> set[tuple[str, str]]:
    pairs = (name.rpartition(".") for name in names.split())
    return {(schema or "s", table) for schema, _, table in pairs}
