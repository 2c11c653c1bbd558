"""What is read and written. `t` stands for (s, t); the default schema is s."""

import pytest

from contract.errors import Forbidden, StatementUnparsable
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
    "a schema's name sees through it": ("WITH t AS (SELECT 1 x) SELECT 1 FROM s.t JOIN t AS u", "t"),
    "recursive, it knows itself": ("WITH RECURSIVE t AS (SELECT 1 n UNION SELECT n + 1 FROM t) SELECT n FROM t", ""),
    "it is known in both parts of a union": ("WITH t AS (SELECT 1 x) SELECT 1 UNION SELECT x FROM t", ""),
    "it is known in subqueries": ("WITH t AS (SELECT 1 x) SELECT (SELECT x FROM t), y FROM (SELECT x y FROM t) u", ""),
    "it is known to another's query": (
        "WITH t AS (SELECT 1) SELECT 1 FROM (WITH a AS (SELECT 1) SELECT 1 FROM a, t) x",
        "",
    ),
    "unqualified, the target is not read": ("INSERT INTO t (a) SELECT b FROM u", "u"),
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
    "delete after with": ("WITH x AS (SELECT 1 y) DELETE QUICK FROM t WHERE a IN (SELECT y FROM x)", "t"),
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
    "unqualified, of any table of the statement": ("SELECT 1 FROM (SELECT a FROM u) x JOIN t", {"u.a", "t.a"}),
    "qualified, of the one": ("SELECT 1 FROM (SELECT u.a FROM u) x JOIN t", {"u.a"}),
    "further out, past a table of that alias": ("SELECT (SELECT x.a FROM u x) FROM t x", {"u.a", "t.a"}),
    "further out, past a derived table": ("SELECT (SELECT x.a FROM (SELECT 1) x) FROM t x", {"t.a"}),
    "further out, past a common table expression": (
        "WITH x AS (SELECT 1) SELECT (SELECT x.a FROM x) FROM t x",
        {"t.a"},
    ),
    "further out, with a schema": ("SELECT (SELECT s.x.a FROM u x) FROM t x", {"u.a", "t.a"}),
    "further out, of what is changed": (
        "DELETE FROM t WHERE EXISTS (SELECT 1 FROM (SELECT 1 AS z) t WHERE t.a = 1)",
        {"t.a"},
    ),
    "an alias that a file system takes for the same": ("SELECT (SELECT i.a FROM t AS `İ`) FROM u AS i", {"t.a", "u.a"}),
    "an order behind a query in parentheses": (
        "SELECT ((SELECT b FROM t) ORDER BY a LIMIT 1) FROM u",
        {"t.b", "u.b", "t.a", "u.a"},
    ),
    "the same, qualified": (
        "SELECT ((SELECT f.b FROM t f) ORDER BY f.a LIMIT 1) FROM u f",
        {"t.b", "u.b", "t.a", "u.a"},
    ),
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
        {"u.b"},
    ),
    "on duplicate key, an alias of both": (
        "INSERT INTO t (a) SELECT 1 FROM u t ON DUPLICATE KEY UPDATE a = t.b",
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


AMBIGUOUS = {
    "it reads what it shadows": "WITH t AS (SELECT a FROM t) SELECT a FROM t",
    "it is unknown before its definition": "WITH a AS (SELECT x FROM t), t AS (SELECT 1 x) SELECT 1 FROM a, t",
    "recursive, it does not know the next": (
        "WITH RECURSIVE a AS (SELECT 1 n UNION SELECT n FROM t), t AS (SELECT 1) SELECT 1 FROM a, t"
    ),
    "it is unknown beside its query": "SELECT 1 FROM (WITH t AS (SELECT 1 x) SELECT x FROM t) z, t",
    "it is unknown after its parentheses": "(WITH t AS (SELECT 1 x) SELECT x FROM t) UNION SELECT a FROM t",
    "it is unknown to another's elements": (
        "WITH t AS (SELECT 1) SELECT 1 FROM t, (WITH a AS (SELECT 1 FROM t) SELECT 1 FROM a) x"
    ),
    "another case is another name": "WITH T AS (SELECT 1 x) SELECT 1 FROM t, T AS u",
}


@pytest.mark.parametrize("text", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_a_name_that_is_a_table_here_and_a_name_of_with_there_is_refused(text: str) -> None:
    """Servers differ in which it is, or crash."""
    with pytest.raises(Forbidden):
        analyse(text, "s")


UNUSED = {
    "nobody's": "WITH a AS (SELECT 1) SELECT 1",
    "in a subquery": "SELECT (WITH q AS (SELECT 1 FROM t) SELECT 1) FROM u",
    "known under another name": "WITH T AS (SELECT 1) SELECT 1 FROM t",
    "known but for a space": "WITH `t ` AS (SELECT 1 x) SELECT x FROM t",
    "of two the second": "WITH a AS (SELECT 1), b AS (SELECT 1 FROM a) SELECT 1 FROM a",
    "used by itself alone": "WITH RECURSIVE a AS (SELECT 1 FROM a) SELECT 1",
}


@pytest.mark.parametrize("text", UNUSED.values(), ids=UNUSED)
def test_what_with_defines_and_nothing_uses_is_refused(text: str) -> None:
    with pytest.raises(Forbidden):
        analyse(text, "s")


def doubling(elements: int) -> str:
    """A WITH whose elements use the one before them twice."""
    more = "".join(f", c{at} AS (SELECT x.n FROM c{at - 1} x, c{at - 1} y)" for at in range(1, elements))
    return f"WITH c0 AS (SELECT a AS n FROM t){more} SELECT 1 FROM c{elements - 1}"


def test_elements_of_with_that_multiply_are_refused() -> None:
    assert analyse(doubling(6), "s").reads == {("s", "t")}
    with pytest.raises(Forbidden, match="too many times") as refused:
        analyse(doubling(7), "s")
    assert refused.value.rule == "limit"


def test_elements_of_with_that_multiply_within_subqueries_are_refused_too() -> None:
    inner = doubling(6).replace("SELECT 1 FROM c5", "SELECT (SELECT 1 FROM c5), (SELECT 2 FROM c5 x, c5 y)")
    with pytest.raises(Forbidden, match="too many times"):
        analyse(inner, "s")


def test_elements_of_with_that_multiply_in_one_another_are_refused() -> None:
    """Each alone is within the limit."""
    inner = doubling(4)
    outer = doubling(5).replace("SELECT a AS n FROM t", f"SELECT 1 AS n FROM ({inner}) z")
    assert analyse(inner, "s").reads == analyse(doubling(5), "s").reads == {("s", "t")}
    with pytest.raises(Forbidden, match="too many times"):
        analyse(outer, "s")


RESOLVED = {
    "a recursion of many branches": "WITH RECURSIVE a AS (SELECT 1 n"
    + " UNION SELECT x.n + 1 FROM a x WHERE x.n < 2" * 5
    + ") SELECT 1 FROM a",
    "recursions in a chain": "WITH RECURSIVE a0 AS (SELECT 1 n UNION SELECT n FROM a0)"
    + "".join(f", a{at} AS (SELECT n FROM a{at - 1} UNION SELECT n FROM a{at})" for at in range(1, 5))
    + " SELECT 1 FROM a4",
    "a long element that is used often": "WITH a AS (SELECT 1 AS n FROM t WHERE "
    + " AND ".join(["EXISTS(SELECT 1 FROM t)"] * 60)
    + ") SELECT 1 FROM "
    + ", ".join(f"a x{at}" for at in range(60)),
    "a long list in an element that is used often": "WITH a AS (SELECT 1 AS n FROM t WHERE b IN ("
    + ", ".join("1" * 9000)
    + "))"
    " SELECT 1 FROM a, a b, a c",
}


@pytest.mark.parametrize("text", RESOLVED.values(), ids=RESOLVED)
def test_what_a_server_would_resolve_too_often_is_refused(text: str) -> None:
    with pytest.raises(Forbidden, match="too large"):
        analyse(text, "s")


UPDATING = {
    "on duplicate key": ("INSERT INTO t (a) VALUES (1) ON DUPLICATE KEY UPDATE a = 2", {"insert", "update"}),
    "insert": ("INSERT INTO t (a) VALUES (1)", {"insert"}),
    "replace": ("REPLACE INTO t (a) VALUES (1)", {"replace"}),
    "explained": (
        "EXPLAIN INSERT INTO t (a) VALUES (1) ON DUPLICATE KEY UPDATE a = 2",
        {"explain", "insert", "update"},
    ),
}


@pytest.mark.parametrize(("text", "kinds"), UPDATING.values(), ids=UPDATING)
def test_an_insert_that_changes_rows_is_an_update_too(text: str, kinds: set[str]) -> None:
    assert analyse(text, "s").kinds == kinds


def test_an_insert_that_changes_rows_has_no_set_operation() -> None:
    with pytest.raises(Forbidden):
        analyse("INSERT INTO t (a) SELECT 1 UNION SELECT 2 ON DUPLICATE KEY UPDATE a = 3", "s")


UNKNOWN = {
    "an unknown schema": ("SELECT a.x.b FROM t a JOIN u b ON 1", StatementUnparsable),
    "one of another case": ("SELECT S.t.a FROM t", StatementUnparsable),
    # MariaDB 10.11.19 crashes on these, whether table or column are unknown.
    "beside USING": ("SELECT s.t.a FROM t JOIN u USING (c)", Forbidden),
    "beside NATURAL": ("SELECT s.t.a FROM t NATURAL JOIN u", Forbidden),
}


@pytest.mark.parametrize(("text", "error"), UNKNOWN.values(), ids=UNKNOWN)
def test_a_schema_before_a_column_is_accepted_where_the_column_can_be_found(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        analyse(text, "s")


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


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        ("SELECT info FROM information_schema.processlist", "s"),
        ("SELECT info FROM Information_Schema.`PROCESSLIST` AS t", None),
        ("SELECT info FROM processlist", "INFORMATION_SCHEMA"),
        ("SELECT info FROM PROCESSLIST", None),
        ("DESCRIBE column_statistics", None),
        ("SELECT a FROM t WHERE a IN (SELECT info FROM performance_schema.processlist)", "s"),
        ("INSERT INTO t (a) SELECT info FROM information_schema.processlist", "s"),
        ("WITH processlist AS (SELECT 1) SELECT info FROM information_schema.processlist, processlist", "s"),
        ("EXPLAIN SELECT info FROM information_schema.processlist", "s"),
        ("TABLE information_schema.processlist", "s"),
        ("DESCRIBE information_schema.processlist", "s"),
        ("SELECT histogram FROM information_schema.column_statistics", "s"),
    ],
)
def test_what_tells_of_others_statements_and_values_is_shown_to_nobody_whatever_the_policy_says(
    text: str, schema: str | None
) -> None:
    with pytest.raises(Forbidden) as refused:
        analyse(text, schema)
    assert refused.value.rule == "server_table"


def test_a_table_of_the_applications_own_may_be_called_like_the_servers() -> None:
    assert analyse("SELECT a FROM processlist", "s").reads == {("s", "processlist")}
