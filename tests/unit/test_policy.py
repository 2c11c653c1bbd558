from pathlib import Path

import pytest
from msgspec import structs

from contract.errors import Forbidden
from gatekeeper.analysis import analyse
from gatekeeper.policy import Policy, Role, decide, load, parse

SAMPLE = Path(__file__).parents[2] / "deploy" / "sample" / "policy.toml"
MANUAL = Path(__file__).parents[2] / "docs" / "policy.md"

CLERK = Role(
    kinds=frozenset({"select", "insert", "update", "delete"}),
    read=("shop.orders", "shop.staff", "pub.*"),
    write=("shop.orders", "shop.staff"),
    hidden={"shop.staff": ("password", "pin")},
    functions=frozenset({"version"}),
)

ALLOWED = {
    "a table by name": "SELECT id FROM orders",
    "a schema's tables": "SELECT * FROM pub.anything JOIN pub.`another one` USING (id)",
    "a function of everybody": "SELECT UPPER('x')",
    "a function of the role": "SELECT VERSION()",
    "no table": "SELECT 1",
    "the other columns": "SELECT id, login FROM staff",
    "every column of another table": "SELECT o.* FROM orders o JOIN staff s ON s.id = o.id",
    "another table's column of that name": "SELECT o.pin FROM orders o JOIN staff s ON s.id = o.id",
    "writing a hidden column": "INSERT INTO staff (id, password) VALUES (1, 'x')",
    "changing a hidden column": "UPDATE staff SET password = 'x' WHERE id = 1",
    "a string of that name": "SELECT 'password' FROM staff",
    "an alias of that name": "SELECT login AS password FROM staff",
    "counting rows": "SELECT COUNT(*) FROM staff",
}


@pytest.mark.parametrize("text", ALLOWED.values(), ids=ALLOWED)
def test_what_the_role_grants_is_allowed(text: str) -> None:
    decide(CLERK, analyse(text, "shop"))


# Values that somebody thought of end the server: only whom a role names them for may call them.
CRASHING = {
    "MySQL 9.7: a pattern in a schema": "JSON_SCHEMA_VALID(?, ?)",
    "MariaDB 10.11: collections in one another": "ST_AsText(ST_GeomFromWKB(?))",
    "as a string": "ST_Union(?, ?)",
    "by their bounds": "MBRContains(?, ?)",
}


@pytest.mark.parametrize("call", CRASHING.values(), ids=CRASHING)
def test_a_function_whose_values_crash_a_server_is_not_for_everybody(call: str) -> None:
    found = analyse(f"SELECT {call}", "shop")
    with pytest.raises(Forbidden) as refused:
        decide(CLERK, found)
    assert refused.value.rule == "function"
    decide(structs.replace(CLERK, functions=found.functions), found)


REFUSED = {
    "another kind": ("REPLACE INTO orders (id) VALUES (1)", "kind"),
    "no data statement": ("SHOW TABLES", "kind"),
    "another table": ("SELECT id FROM secrets", "read"),
    "a table that differs by case": ("SELECT id FROM Orders", "read"),
    "another schema": ("SELECT id FROM mysql.user", "read"),
    "a table made up by the server": ("SELECT * FROM pub.seq_1_to_1000000000", "read"),
    "a table that may only be read": ("INSERT INTO pub.news (id) VALUES (1)", "write"),
    "one of two tables": ("DELETE o, n FROM orders o JOIN pub.news n ON n.id = o.id WHERE o.id = 1", "write"),
    "a function": ("SELECT SLEEP(1)", "function"),
    "a function without parentheses": ("SELECT CURRENT_USER", "function"),
    "a hidden column": ("SELECT password FROM staff", "column"),
    "a hidden column in another case": ("SELECT `PassWord` FROM staff", "column"),
    "a hidden column's look-alike": ("SELECT `pa\u017f\u017fword` FROM staff", "column"),
    "a hidden column in a condition": ("SELECT id FROM staff WHERE pin LIKE '1%'", "column"),
    "a hidden column that may be meant": ("SELECT pin FROM orders, staff", "column"),
    "a hidden column in an order": ("SELECT id FROM staff ORDER BY `pin`", "column"),
    "a hidden column of the outer query": ("SELECT (SELECT MAX(pin) FROM orders) FROM staff", "column"),
    "every column": ("SELECT * FROM staff", "column"),
    "every column of an alias": ("SELECT s.* FROM orders o JOIN staff s", "column"),
    "every column within": ("SELECT a FROM (SELECT * FROM staff) x (a, b)", "column"),
    "every column compared": ("SELECT 1 FROM orders NATURAL JOIN staff", "column"),
    "a hidden column joined by": ("SELECT 1 FROM orders JOIN staff USING (pin)", "column"),
    "a hidden column copied": ("UPDATE staff SET login = password WHERE id = 1", "column"),
    "a hidden column copied elsewhere": ("INSERT INTO orders (comment) SELECT password FROM staff", "column"),
    "a hidden column returned": ("DELETE FROM staff WHERE id = 1 RETURNING *", "column"),
    "no condition": ("DELETE FROM orders", "where_required"),
    "a condition that is none": ("UPDATE orders SET qty = 0 WHERE 1", "where_required"),
}


@pytest.mark.parametrize(("text", "rule"), REFUSED.values(), ids=REFUSED)
def test_what_the_role_does_not_grant_is_refused_by_its_rule(text: str, rule: str) -> None:
    with pytest.raises(Forbidden) as refusal:
        decide(CLERK, analyse(text, "shop"))
    assert refusal.value.rule == rule


PART = parse(
    """
    [roles.part]
    kinds = ["select", "insert", "replace", "update", "delete", "describe", "explain"]
    read = ["shop.*"]
    write = ["shop.*"]
    [roles.part.read_columns]
    "shop.staff" = ["id", "Login"]
    [roles.part.write_columns]
    "shop.staff" = ["login", "pin"]
    """
).roles["part"]

WITHIN = (
    "SELECT id, LOGIN FROM staff WHERE login = ?",
    "SELECT s.id, o.* FROM staff s JOIN orders o ON o.id = s.id",
    "SELECT COUNT(*) FROM staff",
    "UPDATE staff SET pin = ? WHERE id = ?",
    "INSERT INTO staff (login, pin) VALUES (?, ?)",
    "DELETE FROM orders WHERE id = 1",
    "REPLACE INTO orders (id) VALUES (1)",
)


@pytest.mark.parametrize("text", WITHIN)
def test_columns_that_are_named_may_be_read_and_written(text: str) -> None:
    decide(PART, analyse(text, "shop"))


BEYOND = (
    "SELECT pin FROM staff",
    "SELECT * FROM staff",
    "SELECT id FROM staff ORDER BY pin",
    "SELECT id FROM STAFF WHERE PIN = 1",
    "SELECT 1 FROM orders o JOIN staff s ON pin = o.id",
    "SELECT x.l FROM (SELECT pin AS l FROM staff) x",
    "DESCRIBE staff",
    "UPDATE staff SET salary = 1 WHERE id = 1",
    "UPDATE staff SET login = pin WHERE id = 1",
    "UPDATE staff s JOIN orders o ON o.id = s.id SET salary = 1 WHERE s.id = 1",
    "INSERT INTO staff VALUES (1, 2)",
    "INSERT INTO staff (login) VALUES (1) ON DUPLICATE KEY UPDATE salary = 2",
    "REPLACE INTO staff (login, pin) VALUES (1, 2)",
    "EXPLAIN REPLACE INTO staff (login, pin) VALUES (1, 2)",
    "DELETE FROM staff WHERE id = 1",
    "DELETE FROM STAFF WHERE id = 1",
)


@pytest.mark.parametrize("text", BEYOND)
def test_columns_beyond_those_named_are_refused(text: str) -> None:
    with pytest.raises(Forbidden) as refusal:
        decide(PART, analyse(text, "shop"))
    assert refusal.value.rule == "column"


def test_restrictions_of_tables_that_differ_by_case_hold_both() -> None:
    role = parse('[roles.r]\nkinds = ["select"]\nread = ["a.*"]\n[roles.r.hidden]\n"a.T" = ["x"]\n"a.t" = ["y"]').roles[
        "r"
    ]
    for column in ("x", "y"):
        with pytest.raises(Forbidden):
            decide(role, analyse(f"SELECT {column} FROM t", "a"))


def test_a_table_without_a_database_is_refused() -> None:
    with pytest.raises(Forbidden, match="name one") as refusal:
        decide(CLERK, analyse("SELECT id FROM orders", None))
    assert refusal.value.rule == "database"


NAMED = {
    "table": ("SELECT id FROM secrets", "shop.secrets"),
    "function": ("SELECT SLEEP(1)", "sleep"),
    "column": ("SELECT pin FROM staff", "staff.pin"),
    "kinds": ("REPLACE INTO orders (id) VALUES (1)", "delete, insert, select, update"),
}


@pytest.mark.parametrize(("text", "named"), NAMED.values(), ids=NAMED)
def test_a_refusal_names_what_it_is_about(text: str, named: str) -> None:
    with pytest.raises(Forbidden) as refusal:
        decide(CLERK, analyse(text, "shop"))
    assert named in refusal.value.detail


def test_a_role_that_grants_nothing_may_do_nothing() -> None:
    with pytest.raises(Forbidden):
        decide(Role(kinds=frozenset()), analyse("SELECT 1", None))


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(Forbidden) as refusal:
        Policy(roles={}).role("ghost")
    assert refusal.value.rule == "role"


def test_the_samples_demo_writes_and_its_reader_does_not() -> None:
    policy = load(SAMPLE)
    decide(policy.role("demo"), analyse("UPDATE staff SET password = ? WHERE staff_id = ?", "rental"))
    decide(policy.role("reader"), analyse("SELECT title FROM film WHERE film_id = ?", "rental"))
    for role, text in (
        ("demo", "SELECT password FROM staff"),
        ("demo", "SELECT * FROM staff"),
        ("demo", "SELECT * FROM mysql.user"),
        ("reader", "UPDATE film SET title = 'x' WHERE film_id = 1"),
        ("reader", "SELECT s.* FROM store JOIN staff s USING (store_id)"),
    ):
        with pytest.raises(Forbidden):
            decide(policy.role(role), analyse(text, "rental"))


def test_every_member_of_a_role_is_documented() -> None:
    manual = MANUAL.read_text(encoding="utf-8")
    assert [field for field in Role.__struct_fields__ if f"| `{field}` |" not in manual] == []
