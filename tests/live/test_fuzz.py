"""A short run of the fuzzer (`python -m tests.fuzz` is the long one) on each server that is here; and its oracle finds
what is planted.

Debian's MariaDB is always here. MySQL is where GATEKEEPER_NDB_TARBALL names its tarball, or one lies beside the
repository; another MariaDB where GATEKEEPER_MARIADB_ROOT names the directory that its packages were unpacked into.
"""

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator

import pytest

from contract.errors import GatekeeperError
from contract.messages import Runnable
from gatekeeper.judge import Judge, Verdict
from gatekeeper.policy import parse
from tests.fuzz import programs
from tests.fuzz.__main__ import report
from tests.fuzz.run import Fuzzer
from tests.fuzz.server import Oracle, oracle
from tests.fuzz.world import GUESTS, MAKER, POLICY

# Some 3 s of a processor; the time is for a machine that does much else.
_STATEMENTS = 1_500
_MOST_SECONDS = 60
_OF_MARIADB = (" RETURNING ", "NEXTVAL", "SYSTEM_TIME")

SERVERS: dict[str, Callable[[], str | None]] = {
    "Debian's MariaDB": lambda: programs.INSTALLED,
    f"MySQL ({programs.TARBALL_SETTING})": programs.mysql_tarball,
    f"another MariaDB ({programs.ROOT_SETTING})": programs.mariadb_root,
}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Oracle]:
    where = SERVERS[request.param]()
    if where is None:
        pytest.skip(f"{request.param} names none")
    try:
        program = programs.find(where)
    except programs.CannotRun as error:
        pytest.skip(str(error))
    with oracle(program) as server:
        yield server


def wrong(label: Runnable, role: str, kind: str = "select") -> Verdict:
    """What a gatekeeper that sees nothing would say."""
    return Verdict(kind, label, "", "shop", parse(POLICY).role(role))


MISJUDGED: dict[str, tuple[str, Runnable, str]] = {
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
    "what a hidden value is like, carried by an INSERT": (
        "columns",
        "write",
        "INSERT INTO customers (id, name, email) VALUES (1, 'x', 'y') ON DUPLICATE KEY UPDATE credit = LENGTH(name)",
    ),
    "whether a hidden value is another, by an INSERT": (
        "columns",
        "write",
        "INSERT INTO customers (id, name, email) VALUES (1, 'x', 'y')"
        " ON DUPLICATE KEY UPDATE city = IF(name LIKE 'A%', 1, 2), name = 'x'",
    ),
    "a value of a table that may only be written, by an INSERT": (
        "apart",
        "write",
        "INSERT INTO orders (id, qty) VALUES (1, 2) ON DUPLICATE KEY UPDATE total = LENGTH(status), status = 'x'",
    ),
    "a column of a new row that is not listed, by a SELECT": (
        "part",
        "write",
        "INSERT INTO orders SELECT 9, 1, 1, 1, 1, 'x', NULL, NOW()",
    ),
    "an old row of a table": ("whole", "read", "SELECT status FROM orders FOR SYSTEM_TIME ALL"),
    "a table that is another's, removed": ("maker", "schema", "DROP TABLE ledger"),
    "another table in the place of its own": ("maker", "schema", "RENAME TABLE draft TO sketch, staff TO draft"),
    "a table filled from another": ("maker", "schema", "CREATE TABLE sketch SELECT * FROM staff"),
    "a table of which it may do nothing but make it": ("maker", "schema", "TRUNCATE TABLE archive"),
    "a foreign key to what it may not read": (
        "maker",
        "schema",
        "ALTER TABLE draft ADD FOREIGN KEY (parent) REFERENCES archive (id)",
    ),
    "a trigger": ("maker", "schema", "CREATE TRIGGER g AFTER INSERT ON draft FOR EACH ROW SET @a = 1"),
    "a hidden column after a modifier": ("columns", "read", "SELECT BINARY BINARY name FROM customers"),
    "a hidden key by its second name": ("columns", "read", "SELECT _rowid FROM products"),
    "a hidden key that an INSERT reads": (
        "columns",
        "write",
        "INSERT INTO products (id, sku) VALUES (9, 'SKU') ON DUPLICATE KEY UPDATE stock = id",
    ),
    "a procedure": ("whole", "call", "CALL p_leak()"),
    "a function in a procedure's arguments": ("whole", "call", "CALL p_count(1, leak())"),
    "an account": ("whole", "read", "SELECT user FROM mysql.user"),
    "a value that an error shows": ("columns", "read", "SELECT EXTRACTVALUE('<a/>', CONCAT('<', name)) FROM customers"),
}


@pytest.mark.parametrize(("role", "label", "statement"), MISJUDGED.values(), ids=MISJUDGED)
def test_the_server_tells_what_a_blind_gatekeeper_would_let_through(
    server: Oracle, role: str, label: Runnable, statement: str
) -> None:
    if server.program.family == "mysql" and any(word in statement for word in _OF_MARIADB):
        pytest.skip("of MariaDB alone")
    guest = next(guest for guest in (*GUESTS, MAKER) if guest.role == role)
    assert server.run(guest, wrong(label, role, statement.partition(" ")[0].lower()), statement).finding is not None


def test_the_server_finds_nothing_wrong_with_what_is_allowed(server: Oracle) -> None:
    for guest, sql in ((GUESTS[0], "SELECT name FROM customers"), (GUESTS[2], "SELECT notes FROM customers")):
        outcome = server.run(guest, wrong("read", guest.role), sql)
        assert (outcome.errno, outcome.finding) == (0, None)
    outcome = server.run(GUESTS[0], wrong("write", "whole"), "UPDATE customers SET city = name")
    assert (outcome.errno, outcome.finding) == (0, None)
    filled = (
        "INSERT INTO customers (id, name, email) VALUES (1, 'x', 'y') ON DUPLICATE KEY UPDATE name = 'z', city = 'z'"
    )
    assert server.run(GUESTS[1], wrong("write", "columns", "insert"), filled).finding is None
    new_row = "INSERT INTO orders (product_id, total) VALUES (status, 1) ON DUPLICATE KEY UPDATE product_id = status"
    assert server.run(GUESTS[3], wrong("write", "part", "insert"), new_row).finding is None
    of_new_row = "INSERT INTO orders (total) VALUES ((SELECT qty FROM customers LIMIT 1))"
    assert server.run(GUESTS[2], wrong("write", "apart", "insert"), of_new_row).finding is None
    of_another = "DELETE o FROM orders o JOIN customers c WHERE c.name = 'x'"
    assert server.run(GUESTS[2], wrong("write", "apart", "delete"), of_another).finding is None


def test_a_definition_of_a_roles_own_table_is_nothing_wrong_and_leaves_the_world_as_it_was(server: Oracle) -> None:
    for sql in ("ALTER TABLE draft ADD fresh INT", "ALTER TABLE draft ADD fresh INT", "RENAME TABLE draft TO sketch"):
        outcome = server.run(MAKER, wrong("schema", "maker", "alter_table"), sql)
        assert (outcome.errno, outcome.finding) == (0, None)
    outcome = server.run(GUESTS[0], wrong("read", "whole"), "SELECT name FROM customers")
    assert (outcome.errno, outcome.finding) == (0, None)


BEFORE_A_HIDDEN_COLUMN = (
    "SELECT {} name FROM customers",
    "SELECT {0} {0} name FROM customers",
    "SELECT DISTINCT {} name FROM customers",
    "SELECT MAX({} name) FROM customers",
)


@pytest.mark.parametrize("form", BEFORE_A_HIDDEN_COLUMN)
def test_no_keyword_of_a_server_makes_a_hidden_column_pass_for_an_alias(server: Oracle, form: str) -> None:
    judge, guest = Judge(parse(POLICY)), GUESTS[1]
    accepted = []
    for statement in map(form.format, server.keywords()):
        with contextlib.suppress(GatekeeperError):
            accepted.append((statement, judge.judge(guest.role, statement, None)))
    outcomes = {statement: server.run(guest, verdict, statement).finding for statement, verdict in accepted}
    assert {statement: finding for statement, finding in outcomes.items() if finding} == {}
    assert len(server.keywords()) > 500


def test_a_real_server_finds_nothing_wrong_with_what_the_gatekeeper_accepts(server: Oracle) -> None:
    seed = secrets.randbelow(2**32)
    counts = Fuzzer(seed, server).run(until=time.monotonic() + _MOST_SECONDS, statements=_STATEMENTS)
    told = f"seed {seed}\n{report(counts)}"
    assert counts.findings == [], told
    assert counts.accepted >= 100, told
    assert counts.ran >= 50, told
    assert counts.ran > counts.reads >= 25, told
    assert len(counts.refused) >= 10, told
