"""A short run of the fuzzer (`python -m tests.fuzz` is the long one); and its oracle finds what is planted."""

import secrets
import time
from collections.abc import Iterator
from typing import Literal

import pytest

from gatekeeper.judge import Verdict
from gatekeeper.policy import parse
from tests.fuzz.__main__ import report
from tests.fuzz.run import Fuzzer
from tests.fuzz.server import Oracle, oracle
from tests.fuzz.world import GUESTS, POLICY

_SECONDS = 25
_MOST_STATEMENTS = 30_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    with oracle(tmp_path_factory.mktemp("fuzz")) as server:
        yield server


def wrong(label: Literal["read", "write"], role: str, kind: str = "select") -> Verdict:
    """What a gatekeeper that sees nothing would say."""
    return Verdict(kind, label, "", "shop", parse(POLICY).role(role))


MISJUDGED: dict[str, tuple[str, Literal["read", "write"], str]] = {
    "a table of another schema": ("whole", "read", "SELECT flag FROM secret_db.flags"),
    "a table that only decides": ("whole", "read", "SELECT id FROM customers WHERE EXISTS (SELECT 1 FROM staff)"),
    "a table that the role may only write": ("apart", "read", "SELECT status FROM orders"),
    "the same by a DELETE": ("apart", "write", "DELETE orders FROM orders WHERE status = 'new'"),
    "a hidden column": ("columns", "read", "SELECT notes FROM customers"),
    "a hidden column in a condition": ("columns", "read", "SELECT id FROM customers WHERE name LIKE 'm%'"),
    "a hidden column in RETURNING": (
        "columns",
        "write",
        "INSERT INTO customers (name, email) VALUES ('x', 'y') RETURNING name",
    ),
    "a column that is not listed": ("part", "read", "SELECT created_at FROM customers"),
    "a column that is not listed, written": ("part", "write", "UPDATE orders SET status = 'x'"),
    "the same by an INSERT that fills it": ("part", "write", "INSERT INTO orders (status) VALUES ('x')"),
    "the same where the key is there already": (
        "part",
        "write",
        "INSERT INTO orders (qty) VALUES (id) ON DUPLICATE KEY UPDATE status = 'x'",
    ),
    "a row removed where only columns are listed": ("part", "write", "DELETE FROM orders"),
    "a stored function": ("whole", "read", "SELECT leak()"),
    "a view": ("whole", "read", "SELECT * FROM v_secret"),
    "a number of a sequence": ("whole", "read", "SELECT NEXTVAL(seq)"),
    "a write of another table": ("whole", "write", "UPDATE staff SET login = 'x'"),
    "a write that is called a read": ("whole", "read", "UPDATE orders SET qty = 0"),
    "a file": ("whole", "read", "SELECT 1 INTO OUTFILE 'gatekeeper-must-not-write'"),
    "a list of tables": ("whole", "read", "SELECT table_name FROM information_schema.tables"),
    "a hidden value carried to where it shows": ("columns", "write", "UPDATE customers SET city = name"),
    "the same by an INSERT": (
        "columns",
        "write",
        "INSERT INTO customers (id, name, email) VALUES (1, 'x', 'y') ON DUPLICATE KEY UPDATE city = name",
    ),
}


@pytest.mark.parametrize(("role", "label", "statement"), MISJUDGED.values(), ids=MISJUDGED)
def test_the_server_tells_what_a_blind_gatekeeper_would_let_through(
    server: Oracle, role: str, label: Literal["read", "write"], statement: str
) -> None:
    guest = next(guest for guest in GUESTS if guest.role == role)
    assert server.run(guest, wrong(label, role, statement.partition(" ")[0].lower()), statement).finding is not None


def test_the_server_finds_nothing_wrong_with_what_is_allowed(server: Oracle) -> None:
    for guest, sql in ((GUESTS[0], "SELECT name FROM customers"), (GUESTS[2], "SELECT notes FROM customers")):
        outcome = server.run(guest, wrong("read", guest.role), sql)
        assert (outcome.errno, outcome.finding) == (0, None)
    outcome = server.run(GUESTS[0], wrong("write", "whole"), "UPDATE customers SET city = name")
    assert (outcome.errno, outcome.finding) == (0, None)
    new_row = "INSERT INTO orders (product_id, total) VALUES (status, 1) ON DUPLICATE KEY UPDATE product_id = status"
    assert server.run(GUESTS[3], wrong("write", "part", "insert"), new_row).finding is None
    of_another = "DELETE o FROM orders o JOIN customers c WHERE c.name = 'x'"
    assert server.run(GUESTS[2], wrong("write", "apart", "delete"), of_another).finding is None


def test_a_real_server_finds_nothing_wrong_with_what_the_gatekeeper_accepts(server: Oracle) -> None:
    seed = secrets.randbelow(2**32)
    counts = Fuzzer(seed, server).run(until=time.monotonic() + _SECONDS, statements=_MOST_STATEMENTS)
    told = f"seed {seed}\n{report(counts)}"
    assert counts.findings == [], told
    assert counts.accepted >= 500, told
    assert counts.ran >= 200, told
    assert counts.ran > counts.reads >= 100, told
    assert len(counts.refused) >= 10, told
