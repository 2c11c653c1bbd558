"""What the fuzzer and those who wrote it found: statements that crash a server, and columns that hide."""

import pytest

from contract.errors import Forbidden
from gatekeeper.analysis import analyse

CRASHES = {
    "MariaDB 11.8.9: a window in RETURNING": "DELETE FROM orders RETURNING SUM(qty) OVER ()",
    "the same in a larger expression": "DELETE FROM orders RETURNING 1 + LAG(qty) OVER (ORDER BY id)",
    "MariaDB 11.8.9: an aggregate in the order of a DELETE": "DELETE FROM orders ORDER BY AVG('') LIMIT 1",
    "in the order of an UPDATE": "UPDATE orders SET qty = 1 ORDER BY COUNT(*)",
    **{
        f"{name} in the order of a DELETE": f"DELETE FROM orders ORDER BY {name}(id) LIMIT 1"
        for name in ("BIT_OR", "GROUP_CONCAT", "JSON_ARRAYAGG", "MEDIAN", "STD", "STDDEV_SAMP", "SUM", "VAR_POP")
    },
    "of keys and values": "DELETE FROM orders ORDER BY JSON_OBJECTAGG(id, qty) LIMIT 1",
    "a row with an aggregate": "SELECT (1, MAX(id)) = (SELECT orders.qty, 1) FROM orders",
    "of rows that is named": "SELECT ROW(1, COUNT(*)) <=> (SELECT orders.qty, 1) FROM orders",
    "in an array": "SELECT (1, JSON_ARRAYAGG(id)) <> (SELECT orders.qty, 1) FROM orders",
    "a row with a window": "SELECT (1, SUM(id) OVER ()) > (SELECT 1, SUM(orders.qty) OVER ()) FROM orders",
    "behind its query": "SELECT ((SELECT orders.qty, 1)) = (1, MAX(id)) FROM orders",
    "in a query's row": "SELECT (SELECT 1, 2 ORDER BY MAX(orders.id)) = (SELECT orders.qty, 1) FROM orders",
    "in a union": "SELECT (1, MAX(id)) = (SELECT 1, 2 UNION SELECT 1, orders.qty) FROM orders",
    "in a list": "SELECT (1, MAX(id)) IN ((1, 2), (SELECT orders.qty, 1)) FROM orders",
    "of all columns": "SELECT (1, MAX(id)) = (SELECT * FROM items WHERE items.id = orders.qty) FROM orders",
    "in an order": "SELECT id FROM orders ORDER BY (1, MAX(id)) = (SELECT 1, orders.qty)",
}
HARMLESS = {
    "a window of a query": "SELECT SUM(qty) OVER () FROM orders",
    "in the order of a union": "SELECT id FROM orders UNION SELECT id FROM orders ORDER BY ROW_NUMBER() OVER ()",
    "of a query that RETURNING holds": "DELETE FROM orders RETURNING (SELECT SUM(1) OVER ())",
    "an aggregate of a query in the order": "DELETE FROM orders ORDER BY (SELECT MAX(id) FROM orders) LIMIT 1",
    "one value with a query's": "SELECT MAX(id) = (SELECT orders.qty) FROM orders",
    "rows in a query": "SELECT (qty, MAX(id)) IN (SELECT qty, id FROM orders o) FROM orders GROUP BY qty",
    "rows without": "SELECT (qty, id) = (SELECT qty, id FROM orders o LIMIT 1) FROM orders",
    "of a query whose rows are inserted": "INSERT INTO orders (qty) SELECT SUM(qty) OVER () FROM orders",
}


@pytest.mark.parametrize("text", CRASHES.values(), ids=CRASHES)
def test_a_statement_that_crashes_a_server_is_refused(text: str) -> None:
    with pytest.raises(Forbidden) as refused:
        analyse(text, "shop")
    assert refused.value.rule == "construct"


@pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS)
def test_what_looks_like_it_and_is_harmless_is_accepted(text: str) -> None:
    found = analyse(text, "shop")
    assert found.reads | found.writes == {("shop", "orders")}


MODIFIERS = {
    "MariaDB's SQL_CACHE": "SELECT SQL_CACHE name FROM customers",
    "after another one": "SELECT DISTINCT SQL_CACHE name FROM customers",
    "BINARY twice": "SELECT BINARY BINARY name FROM customers",
    "in an operation": "SELECT 1 + BINARY BINARY name FROM customers",
}


@pytest.mark.parametrize("text", MODIFIERS.values(), ids=MODIFIERS)
def test_a_word_before_a_column_does_not_make_it_an_alias(text: str) -> None:
    with pytest.raises(Forbidden) as refused:
        analyse(text, "shop")
    assert refused.value.rule == "reserved_word"


@pytest.mark.parametrize("text", ["SELECT BINARY name FROM customers", "SELECT SQL_NO_CACHE name FROM customers"])
def test_the_same_word_once_is_an_operator(text: str) -> None:
    assert analyse(text, "shop").columns_read == {("shop", "customers", "name")}


ROW_IDS = {
    "alone": "SELECT _rowid FROM orders",
    "of a table": "SELECT id FROM orders o ORDER BY o._ROWID",
    "quoted": "SELECT `_rowid` FROM orders",
    "as MySQL folds it": "SELECT `_row\u0130d` FROM orders",
    "as MariaDB 11.8 folds it": "SELECT `_row\u0131d` FROM orders",
    "written": "UPDATE orders SET _rowid = 7 WHERE id = 1",
    "inserted": "INSERT INTO orders (_rowid) VALUES (7)",
}


@pytest.mark.parametrize("text", ROW_IDS.values(), ids=ROW_IDS)
def test_a_key_is_not_reached_by_its_second_name(text: str) -> None:
    with pytest.raises(Forbidden) as refused:
        analyse(text, "shop")
    assert refused.value.rule == "construct"
