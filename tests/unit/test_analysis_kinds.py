"""The other kinds than SELECT, INSERT, REPLACE, UPDATE and DELETE: what they read, and which forms are refused."""

import pytest

from contract.errors import Forbidden, GatekeeperError
from gatekeeper.analysis import Column, TableName, analyse
from gatekeeper.policy import Role, decide, parse

T = ("s", "t")
ALL_OF_T = (*T, "*")

# text: kind, effect, tables read, columns read
READS: dict[str, tuple[str, str, set[TableName], set[Column]]] = {
    "SHOW TABLES": ("show", "read", {("s", "*")}, set()),
    "show full tables in `u` like 'a%'": ("show", "read", {("u", "*")}, set()),
    "SHOW COLUMNS FROM t": ("show", "read", {T}, {ALL_OF_T}),
    "SHOW FULL FIELDS IN u.t LIKE 'a'": ("show", "read", {("u", "t")}, {("u", "t", "*")}),
    "SHOW COLUMNS FROM t FROM u": ("show", "read", {("u", "t")}, {("u", "t", "*")}),
    "SHOW TABLES LIKE ?": ("show", "read", {("s", "*")}, set()),
    "SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'": ("show", "read", {("s", "*")}, set()),
    "SHOW FULL TABLES FROM u WHERE Tables_in_u LIKE ? AND NOT `Table_type` <> 'VIEW'": (
        "show",
        "read",
        {("u", "*")},
        set(),
    ),
    "SHOW COLUMNS FROM t LIKE :pattern": ("show", "read", {T}, {ALL_OF_T}),
    "SHOW FULL COLUMNS FROM t WHERE Field IN ('a', ?) OR (`Key` IS NOT NULL AND Extra NOT LIKE 'auto%')": (
        "show",
        "read",
        {T},
        {ALL_OF_T},
    ),
    "SHOW INDEX FROM t WHERE Key_name = 'PRIMARY' AND Seq_in_index BETWEEN 1 AND 3": ("show", "read", {T}, {ALL_OF_T}),
    "SHOW CREATE TABLE `t`": ("show", "read", {T}, {ALL_OF_T}),
    "SHOW INDEX FROM t": ("show", "read", {T}, {ALL_OF_T}),
    "SHOW INDEXES IN t IN s": ("show", "read", {T}, {ALL_OF_T}),
    "SHOW KEYS FROM s.t": ("show", "read", {T}, {ALL_OF_T}),
    "DESCRIBE t": ("describe", "read", {T}, {ALL_OF_T}),
    "DESC s.t a": ("describe", "read", {T}, {ALL_OF_T}),
    "DESC t ?": ("describe", "read", {T}, {ALL_OF_T}),
    "EXPLAIN t 'a%'": ("describe", "read", {T}, {ALL_OF_T}),
    "EXPLAIN SELECT a FROM t": ("explain", "read", {T}, {(*T, "a")}),
    "DESC (SELECT a FROM t)": ("explain", "read", {T}, {(*T, "a")}),
    "EXPLAIN FORMAT=JSON WITH x AS (SELECT a FROM t) SELECT a FROM x": ("explain", "read", {T}, {(*T, "a")}),
    "EXPLAIN TABLE t": ("explain", "read", {T}, {ALL_OF_T}),
    "EXPLAIN FORMAT=TREE TABLE u.t ORDER BY a": ("explain", "read", {("u", "t")}, {("u", "t", "*"), ("u", "t", "a")}),
    "DESC VALUES ROW(1), ROW((SELECT a FROM t))": ("explain", "read", {T}, {(*T, "a")}),
    "EXPLAIN DELETE FROM t WHERE a = 1": ("explain", "write", {T}, {(*T, "a")}),
    "TABLE t": ("table", "read", {T}, {ALL_OF_T}),
    "TABLE s.t ORDER BY a LIMIT 3 OFFSET 1": ("table", "read", {T}, {ALL_OF_T, (*T, "a")}),
    "TABLE t ORDER BY (SELECT b FROM u)": (
        "table",
        "read",
        {T, ("s", "u")},
        {ALL_OF_T, (*T, "b"), ("s", "u", "b")},
    ),
    "VALUES ROW(1, 'a'), ROW(?, NOW()) ORDER BY 1 LIMIT 1": ("values", "read", set(), set()),
    "VALUES (1, 2), (3, 4)": ("values", "read", set(), set()),
    "VALUES ROW((SELECT a FROM t))": ("values", "read", {T}, {(*T, "a")}),
}


@pytest.mark.parametrize("text", READS)
def test_what_the_other_kinds_read_is_told(text: str) -> None:
    found = analyse(text, "s")
    kind, effect, tables, columns = READS[text]
    assert (found.kind, found.effect) == (kind, effect)
    assert (set(found.reads), set(found.columns_read)) == (tables, columns)


CALLS = ("CALL p", "CALL p()", "call s.p(1, 'x', NULL, ?, -1.5, 0x41)", "CALL `s`.`p`(:a, TRUE)")


@pytest.mark.parametrize("text", CALLS)
def test_a_call_names_its_procedure_and_has_an_effect_of_its_own(text: str) -> None:
    found = analyse(text, "s")
    assert (found.kind, found.effect) == ("call", "call")
    assert found.procedures == {("s", "p")}


OTHER_FORMS = (
    "SHOW TABLES WHERE sleep(1)",
    "SHOW COLUMNS FROM t WHERE sleep(1)",
    "SHOW TABLES WHERE Tables_in_s = (SELECT password FROM staff)",
    "SHOW TABLES WHERE EXISTS (TABLE staff)",
    "SHOW TABLES WHERE Tables_in_s IN (SELECT 1)",
    "SHOW TABLES WHERE Tables_in_s = USER()",
    "SHOW TABLES WHERE Tables_in_s = CURRENT_USER",
    "SHOW TABLES WHERE Table_rows > 5",
    "SHOW TABLES WHERE t.Table_type = 'x'",
    "SHOW TABLES WHERE s.f(1) = 1",
    "SHOW TABLES WHERE 1",
    "SHOW TABLES WHERE",
    "SHOW TABLES LIKE 'a' WHERE Table_type = 'x'",
    "SHOW TABLES WHERE Table_type = 'x' INTO OUTFILE '/tmp/x'",
    "SHOW TABLES WHERE Table_type REGEXP '(((a'",
    "SHOW COLUMNS FROM t WHERE Field = 'a' ORDER BY Field",
    "SHOW COLUMNS FROM t WHERE `TABLE_SCHEMA` = 'u'",
    "SHOW CREATE TABLE t WHERE `Table` = 't'",
    "DESCRIBE t WHERE Field = 'a'",
    "SHOW GRANTS WHERE Field = 'a'",
    "SHOW TABLES LIKE CONCAT('a', 'b')",
    "SHOW TABLES LIKE CONCAT('a', ?)",
    "SHOW TABLES FROM ?",
    "SHOW COLUMNS FROM ?",
    "SHOW COLUMNS FROM s.t FROM u",
    "SHOW EXTENDED COLUMNS FROM t",
    "SHOW CREATE USER root",
    "SHOW CREATE VIEW v",
    "SHOW CREATE PROCEDURE p",
    "SHOW GRANTS",
    "SHOW DATABASES",
    "SHOW VARIABLES LIKE 'a'",
    "SHOW PROCESSLIST",
    "SHOW BINLOG EVENTS",
    "SHOW TABLE STATUS",
    "SHOW INDEX FROM `#mysql50#t`",
    "SHOW COLUMNS FROM select",
    "EXPLAIN ANALYZE SELECT 1",
    "EXPLAIN ANALYZE FORMAT=TREE SELECT 1",
    "EXPLAIN FOR CONNECTION 5",
    "EXPLAIN EXTENDED SELECT 1",
    "EXPLAIN FORMAT=JSON INTO @a SELECT 1",
    "EXPLAIN FORMAT=JSON FOR SCHEMA u SELECT a FROM t",
    "DESC EXTENDED t",
    "EXPLAIN TABLE t INTO OUTFILE '/tmp/x'",
    "EXPLAIN (TABLE t)",
    "EXPLAIN ANALYZE TABLE t",
    "EXPLAIN DROP TABLE t",
    "EXPLAIN CREATE TABLE t (a INT)",
    "EXPLAIN UPDATE t SET a = (SELECT b FROM u FOR UPDATE)",
    "TABLE t WHERE a = 1",
    "TABLE t, u",
    "TABLE t UNION TABLE u",
    "TABLE t INTO OUTFILE '/tmp/x'",
    "TABLE t ORDER BY a INTO OUTFILE '/tmp/x'",
    "TABLE",
    "(TABLE t)",
    "(VALUES ROW(1))",
    "VALUES 1",
    "VALUES ROW(1) INTO @a",
    "SELECT a FROM (TABLE t) x",
    "CALL p((SELECT a FROM t))",
    "CALL p(sleep(1))",
    "CALL p(a)",
    "CALL a.b.p()",
    "CALL p() x",
    "CALL",
)


@pytest.mark.parametrize("text", OTHER_FORMS)
def test_other_forms_are_refused_under_every_policy(text: str) -> None:
    with pytest.raises(GatekeeperError):
        analyse(text, "s")


ROLE = parse(
    """
    [roles.r]
    kinds = ["select", "update", "table", "values", "explain", "describe", "show", "call"]
    read = ["s.t", "s.staff", "u.*"]
    write = ["s.t"]
    procedures = ["s.close_day"]
    [roles.r.hidden]
    "s.staff" = ["password"]
    """
).roles["r"]

ALLOWED = (
    "SHOW TABLES FROM u",
    "SHOW COLUMNS FROM t",
    "DESC u.anything",
    "EXPLAIN UPDATE t SET a = 1 WHERE b = 2",
    "EXPLAIN TABLE t",
    "TABLE t",
    "VALUES ROW(1)",
    "CALL close_day(1)",
)


@pytest.mark.parametrize("text", ALLOWED)
def test_what_the_policy_names_is_allowed_and_nothing_of_it_without_its_kind(text: str) -> None:
    found = analyse(text, "s")
    decide(ROLE, found)
    with pytest.raises(Forbidden) as refusal:
        decide(Role(kinds=ROLE.kinds - {found.kind}, read=ROLE.read, write=ROLE.write), found)
    assert refusal.value.rule == "kind"


REFUSED = {
    "SHOW TABLES": "read",
    "SHOW CREATE TABLE secrets": "read",
    "SHOW COLUMNS FROM staff": "column",
    "DESCRIBE staff login": "column",
    "TABLE staff": "column",
    "DESC mysql.user": "read",
    "EXPLAIN SELECT a FROM secrets": "read",
    "EXPLAIN SELECT password FROM staff": "column",
    "EXPLAIN SELECT sleep(1)": "function",
    "EXPLAIN DELETE FROM t WHERE a = 1": "kind",
    "EXPLAIN TABLE secrets": "read",
    "EXPLAIN TABLE staff": "column",
    "EXPLAIN UPDATE t SET a = 1": "where_required",
    "TABLE secrets": "read",
    "VALUES ROW((SELECT a FROM secrets))": "read",
    "CALL open_day()": "procedure",
    "CALL u.close_day()": "procedure",
    "CALL Close_Day()": "procedure",
    "DROP TABLE t": "kind",
    "SET autocommit = 0": "kind",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_the_policy_does_not_name_is_refused_by_its_rule(text: str) -> None:
    with pytest.raises(Forbidden) as refusal:
        decide(ROLE, analyse(text, "s"))
    assert refusal.value.rule == REFUSED[text]


@pytest.mark.parametrize("text", ["SHOW TABLES", "SHOW COLUMNS FROM t", "CALL p()"])
def test_without_a_database_a_bare_name_is_refused(text: str) -> None:
    with pytest.raises(Forbidden) as refusal:
        decide(ROLE, analyse(text, None))
    assert refusal.value.rule == "database"
