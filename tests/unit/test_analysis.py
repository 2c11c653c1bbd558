import pytest

from contract.errors import Forbidden, StatementUnparsable
from gatekeeper.analysis import analyse

KINDS = {
    "select": ("SELECT 1", "select", "read"),
    "select in parentheses": ("(SELECT 1) UNION (SELECT 2)", "select", "read"),
    "with": ("WITH a AS (SELECT 1 x) SELECT x FROM a", "select", "read"),
    "with, then update": ("WITH a AS (SELECT 1 x) UPDATE t, a SET t.y = a.x", "update", "write"),
    "insert": ("INSERT INTO t VALUES (1)", "insert", "write"),
    "insert without into": ("insert t set a = 1", "insert", "write"),
    "insert with modifiers": ("INSERT LOW_PRIORITY IGNORE INTO t (a) VALUES (1)", "insert", "write"),
    "replace": ("REPLACE t (a) VALUES (1)", "replace", "write"),
    "update": ("UPDATE LOW_PRIORITY IGNORE t SET a = 1", "update", "write"),
    "delete": ("DELETE LOW_PRIORITY QUICK IGNORE FROM t", "delete", "write"),
    "ddl": ("DROP DATABASE t", "ddl", "schema"),
    "a table's definition": ("CREATE TABLE t (a INT)", "create_table", "schema"),
    "an index's definition": ("CREATE UNIQUE INDEX i ON t (a)", "create_index", "schema"),
    "truncate": ("TRUNCATE t", "truncate", "schema"),
    "set": ("SET sql_mode = ''", "set", "session"),
    "transaction": ("START SLAVE", "transaction", "session"),
    "show": ("SHOW TABLES", "show", "read"),
    "describe": ("DESC t", "describe", "read"),
    "explain": ("EXPLAIN SELECT 1", "explain", "read"),
    "call": ("CALL p()", "call", "call"),
    "table": ("TABLE t", "table", "read"),
    "administration": ("KILL 1", "other", "unknown"),
}


@pytest.mark.parametrize(("text", "kind", "effect"), KINDS.values(), ids=KINDS)
def test_the_kind_and_effect_of_a_statement_are_told(text: str, kind: str, effect: str) -> None:
    analysis = analyse(text, "s")
    assert (analysis.kind, analysis.effect) == (kind, effect)


REFUSED = {
    "locking read": ("SELECT a FROM t FOR UPDATE", "locking_read"),
    "shared lock": ("SELECT a FROM t LOCK IN SHARE MODE", "locking_read"),
    "lock in a subquery": ("SELECT a FROM t WHERE a IN (SELECT b FROM u FOR SHARE)", "locking_read"),
    "file": ("SELECT a FROM t INTO OUTFILE '/tmp/x'", "into"),
    "file before from": ("SELECT a INTO DUMPFILE '/tmp/x' FROM t", "into"),
    "a second into": ("INSERT INTO INTO t VALUES (1)", "into"),
    "procedure": ("SELECT a FROM t PROCEDURE ANALYSE()", "construct"),
    "table as a query": ("SELECT * FROM (TABLE t) x", "construct"),
    "sequence": ("SELECT NEXT VALUE FOR s", "construct"),
    "history": ("SELECT a FROM t FOR SYSTEM_TIME ALL", "construct"),
    "stored function": ("SELECT s.f()", "qualified_function"),
    "stored function behind a built-in's name": ("SELECT s.upper('x')", "qualified_function"),
    "quoted function": ("SELECT `left`('x', 1)", "quoted_function"),
    "endless frame": (
        "SELECT SUM(a) OVER (ROWS BETWEEN 9223372036854775807 FOLLOWING AND UNBOUNDED FOLLOWING) FROM t",
        "frame",
    ),
    "frame of a placeholder": ("SELECT SUM(a) OVER (ROWS ? PRECEDING) FROM t", "frame"),
    "tables in another's place": ("SELECT a FROM `#mysql50#t`", "table_name"),
    "table of another directory": ("SELECT a FROM `../mysql/user`", "table_name"),
    "three parts": ("SELECT a FROM x.y.z", "table_name"),
}


@pytest.mark.parametrize(("text", "rule"), REFUSED.values(), ids=REFUSED)
def test_what_no_policy_can_allow_is_refused_by_its_rule(text: str, rule: str) -> None:
    with pytest.raises(Forbidden) as refusal:
        analyse(text, "s")
    assert refusal.value.rule == rule


UNPARSABLE = {
    "empty": "",
    "a comment": "/* nothing */",
    "a semicolon": ";",
    "no statement": "FROBNICATE t",
    "half a statement": "SELECT FROM",
    "no table to delete from": "DELETE x FROM t",
    "an alias for tables in parentheses": "SELECT a FROM (t) AS x",
    "an assignment to an expression": "UPDATE t SET a + 1 = 2",
}


@pytest.mark.parametrize("text", UNPARSABLE.values(), ids=UNPARSABLE)
def test_what_is_not_understood_is_unparsable(text: str) -> None:
    with pytest.raises((StatementUnparsable, Forbidden)) as refusal:
        analyse(text, "s")
    assert refusal.type is StatementUnparsable


HEAVY = {
    "joins that wait for their condition": "SELECT 1 FROM t0" + "".join(f" JOIN t{i}" for i in range(1, 25)),
    "joins with their conditions at the end": "SELECT 1 FROM a" + " JOIN b" * 20 + " ON 1" * 20,
    "joins within derived tables": "SELECT 1 FROM a" + " JOIN b" * 9 + " JOIN (SELECT 1 FROM c" + " JOIN d" * 9 + ") e",
    "calls named like types": "SELECT " + "CHAR(" * 20 + "1" + ")" * 20,
    "binary": "SELECT " + "BINARY(" * 10 + "1" + ")" * 10,
    "signs": "SELECT " + "NOT " * 9 + "1",
    "minuses": "SELECT " + "- " * 9 + "1",
    "parentheses": "SELECT " + "(" * 41 + "1" + ")" * 41,
    "cases": "SELECT " + "CASE WHEN 1 THEN " * 41 + "1" + " END" * 41,
    "unions": "SELECT 1" + " UNION SELECT 1" * 51,
    "tokens": "SELECT a" + " + a" * 2500,
    "tokens to read at all": "SELECT " + "1," * 20_000 + "1",
    "tables": "SELECT 1 FROM t" + ", t" * 200,
    "columns of many tables": f"SELECT {', '.join(f'c{i}' for i in range(200))} FROM t0"
    + "".join(f", t{i}" for i in range(1, 100)),
}


@pytest.mark.parametrize("text", HEAVY.values(), ids=HEAVY)
def test_a_statement_that_weighs_too_much_is_refused(text: str) -> None:
    with pytest.raises(Forbidden) as refusal:
        analyse(text, "s")
    assert refusal.value.rule == "limit"


FUNCTIONS = {
    "calls": ("SELECT UPPER(a), COUNT(*) FROM t", {"upper", "count"}),
    "with a space": ("SELECT sleep /* x */ (1)", {"sleep"}),
    "nested": ("SELECT IF(1, benchmark(1, 1), 2)", {"if", "benchmark"}),
    "bare": ("SELECT CURRENT_USER, CURRENT_DATE", {"current_user", "current_date"}),
    "the inserted table is none": ("INSERT INTO s.leak (a) VALUES (f(1))", {"f"}),
    "the inserted table without into": ("REPLACE leak (a) VALUES (1)", set()),
    "a common table expression is none": ("WITH x (a, b) AS (SELECT 1, 2) SELECT a FROM x", set()),
    "a derived table is none": ("SELECT a FROM (SELECT 1) AS x (a)", set()),
    "a type is none": ("SELECT CAST(a AS DATETIME(6)) FROM t", {"cast"}),
    "match is none": ("SELECT MATCH (a) AGAINST ('x') FROM t", set()),
    "against is one elsewhere": ("SELECT 1 - AGAINST ('x')", {"against"}),
    "a column after a dot is none": ("SELECT t.`current_user` FROM t", set()),
}


@pytest.mark.parametrize(("text", "functions"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_the_functions_of_a_statement_are_told(text: str, functions: set[str]) -> None:
    assert analyse(text, "s").functions == functions


SAME_DIGEST = {
    "literals": ("SELECT a FROM t WHERE b = 1", "select a from t where b = 'x'"),
    "placeholders": ("SELECT a FROM t WHERE b = ?", "SELECT a FROM t WHERE b = :b"),
    "white space and comments": ("SELECT a  FROM t", "SELECT/**/a\nFROM t -- x"),
    "lists": ("SELECT a FROM t WHERE b IN (1, 2)", "SELECT a FROM t WHERE b IN (1, 2, 3)"),
    "rows": ("INSERT INTO t VALUES (1, 2)", "INSERT INTO t VALUES (3, 4), (5, 6)"),
}


@pytest.mark.parametrize(("left", "right"), SAME_DIGEST.values(), ids=SAME_DIGEST)
def test_statements_that_differ_in_values_only_have_one_digest(left: str, right: str) -> None:
    assert analyse(left, "s").digest == analyse(right, "s").digest


def test_statements_on_other_names_have_other_digests() -> None:
    digests = {analyse(f"SELECT {what}", "s").digest for what in ("a FROM t", "b FROM t", "a FROM T", "a FROM u", "1")}
    assert len(digests) == 5


def test_a_bulk_insert_of_a_thousand_rows_is_understood() -> None:
    rows = ", ".join(f"({number}, 'x', NULL, -1.5)" for number in range(1000))
    analysis = analyse(f"INSERT INTO t (a, b, c, d) VALUES {rows}", "s")
    assert analysis.writes == {("s", "t")}
    assert analysis.columns_written == {("s", "t", column) for column in "abcd"}
