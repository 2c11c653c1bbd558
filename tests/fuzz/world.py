"""What the fuzzed server holds: an ordinary shop, canaries in all that the roles must not see, accounts, the policy.

The names are those of the shared corpus, so that its statements make sense here. No value of a canary stands in any
statement: one that comes back was read.
"""

from collections.abc import Iterator
from typing import Any, get_args

import msgspec

from gatekeeper.policy.model import Kind
from tests.fuzz.programs import Family

SECRET = "kestrel7731"  # no role may see it
UNREADABLE = "osprey5290"  # in orders and products, which the third role may not read
HIDDEN = "merlin4482"  # in the columns that are hidden from the second role

# Every kind that a policy knows: whatever is new there is fuzzed, too.
_KINDS = ", ".join(f'"{kind}"' for kind in get_args(Kind))

POLICY = f"""
[roles.whole]
kinds = [{_KINDS}]
procedures = ["shop.p_count"]
read = ["shop.customers", "shop.orders", "shop.products"]
write = ["shop.customers", "shop.orders", "shop.products"]
where_required = false
default_database = "shop"

[roles.columns]
kinds = [{_KINDS}]
read = ["shop.customers", "shop.orders", "shop.products"]
write = ["shop.customers", "shop.orders", "shop.products"]
where_required = false
default_database = "shop"
[roles.columns.hidden]
"shop.customers" = ["name", "notes"]
"shop.products" = ["id"]

[roles.apart]
kinds = [{_KINDS}]
read = ["shop.customers"]
write = ["shop.orders"]
where_required = false
default_database = "shop"

[roles.part]
kinds = [{_KINDS}]
read = ["shop.customers", "shop.orders"]
write = ["shop.orders"]
where_required = false
default_database = "shop"
[roles.part.read_columns]
"shop.customers" = ["id", "email", "city"]
[roles.part.write_columns]
"shop.orders" = ["customer_id", "product_id", "qty", "total"]

[roles.maker]
kinds = [{_KINDS}]
read = ["shop.draft", "shop.sketch", "shop.ledger"]
write = ["shop.draft", "shop.sketch", "shop.ledger"]
define = ["shop.draft", "shop.sketch", "shop.archive"]
where_required = false
default_database = "shop"
"""


class Guest(msgspec.Struct, frozen=True):
    """A role of the policy, in the server's words: what its account may do, and which canaries it must not see.

    `rights` has pairs of a privilege list and a table, as GRANT takes them; `readable` has queries for all that the
    role may read. `kept`: a query for columns that the role may not write, an id first, and what a new row has there.
    """

    role: str
    canaries: tuple[str, ...]
    rights: tuple[tuple[str, str], ...]
    writable: frozenset[str]
    readable: tuple[str, ...]
    kept: tuple[str, tuple[Any, ...]] | None = None


_CHANGE = "INSERT, UPDATE, DELETE"
_SHOP = frozenset({"shop.customers", "shop.orders", "shop.products"})
_VISIBLE = "id, email, city, profile, credit, created_at"
_BESIDE_ID = "sku, title, description, price, stock, tags, updated_at"
# What the role `part` may write of orders.
FILLED = "customer_id, product_id, qty, total"
_ALL_ROWS = tuple(f"SELECT * FROM {table}" for table in sorted(_SHOP))
_VISIBLE_ROWS = (f"SELECT {_VISIBLE} FROM shop.customers", "SELECT * FROM shop.orders", "SELECT * FROM shop.products")

GUESTS = (
    Guest(
        "whole",
        (SECRET,),
        (("EXECUTE", "PROCEDURE shop.p_count"), *((f"SELECT, {_CHANGE}", table) for table in sorted(_SHOP))),
        _SHOP,
        _ALL_ROWS,
    ),
    Guest(
        "columns",
        (SECRET, HIDDEN),
        (
            (f"SELECT ({_VISIBLE}), {_CHANGE}", "shop.customers"),
            (f"SELECT, {_CHANGE}", "shop.orders"),
            (f"SELECT ({_BESIDE_ID}), {_CHANGE}", "shop.products"),
        ),
        _SHOP,
        _VISIBLE_ROWS,
    ),
    Guest(
        "apart",
        (SECRET, UNREADABLE),
        (("SELECT", "shop.customers"), (_CHANGE, "shop.orders")),
        frozenset({"shop.orders"}),
        ("SELECT * FROM shop.customers",),
    ),
    Guest(
        "part",
        (SECRET, HIDDEN),
        (
            ("SELECT (id, email, city)", "shop.customers"),
            (f"SELECT, INSERT ({FILLED}), UPDATE ({FILLED})", "shop.orders"),
        ),
        frozenset({"shop.orders"}),
        ("SELECT id, email, city FROM shop.customers", "SELECT * FROM shop.orders"),
        ("SELECT id, status, comment, spare FROM shop.orders", ("new", None, None)),
    ),
)

# Defines tables, two of which it may also read and write; the other guests define none.
_DEFINE = "CREATE, ALTER, DROP, INDEX"
MAKER = Guest(
    "maker",
    (SECRET, UNREADABLE, HIDDEN),
    (
        (f"SELECT, {_CHANGE}, {_DEFINE}, REFERENCES", "shop.draft"),
        (f"SELECT, {_CHANGE}, {_DEFINE}, REFERENCES", "shop.sketch"),
        (f"SELECT, {_CHANGE}, REFERENCES", "shop.ledger"),
        ("CREATE, INDEX", "shop.archive"),
    ),
    frozenset({"shop.draft", "shop.sketch", "shop.ledger"}),
    ("SELECT * FROM shop.draft", "SELECT * FROM shop.sketch", "SELECT * FROM shop.ledger"),
)
DEFINED = ("draft", "sketch", "archive")
UNDEFINED = ("ledger", "orders", "customers", "staff", "v_secret", "secret_db.flags", "mysql.user", "elsewhere")
# What MAKER works on, made anew after each statement that changed it. There is no `sketch` at first.
MADE = f"""
DROP TABLE IF EXISTS shop.draft, shop.sketch, shop.ledger, shop.archive;
CREATE TABLE shop.draft (id INT PRIMARY KEY AUTO_INCREMENT, label VARCHAR(40), amount INT, parent INT);
CREATE TABLE shop.ledger (id INT PRIMARY KEY, label VARCHAR(40));
CREATE TABLE shop.archive (id INT PRIMARY KEY, label VARCHAR(40));
INSERT INTO shop.draft VALUES (1, 'a', 1, 1), (2, 'b', 1, 1);
INSERT INTO shop.ledger VALUES (1, 'x');
INSERT INTO shop.archive VALUES (1, '{UNREADABLE}');
"""

# The columns of the tables that some role may use; the grammar draws from them.
COLUMNS = {
    "customers": ("id", "name", "email", "city", "notes", "profile", "credit", "created_at"),
    "orders": ("id", "customer_id", "product_id", "qty", "total", "status", "comment", "created_at"),
    "products": ("id", "sku", "title", "description", "price", "stock", "tags", "updated_at"),
}
FORBIDDEN_COLUMNS = {
    "staff": ("id", "login", "password"),
    "secret_db.flags": ("id", "flag"),
    "v_secret": ("id", "flag"),
    "mysql.global_priv": ("User", "Host", "Priv"),
    "mysql.user": ("User", "Host"),
    "information_schema.tables": ("table_schema", "table_name"),
}

_TABLES = f"""
CREATE DATABASE shop CHARACTER SET utf8mb4;
CREATE DATABASE secret_db CHARACTER SET utf8mb4;
CREATE TABLE shop.customers (
  id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(100) NOT NULL DEFAULT '',
  email VARCHAR(190) NOT NULL DEFAULT '' UNIQUE, city VARCHAR(80), notes TEXT, profile JSON,
  credit DECIMAL(10,2) NOT NULL DEFAULT 0, created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE shop.products (
  id INT PRIMARY KEY AUTO_INCREMENT, sku VARCHAR(40) NOT NULL DEFAULT '' UNIQUE, title VARCHAR(200) NOT NULL DEFAULT '',
  description TEXT, price DECIMAL(10,2) NOT NULL DEFAULT 0, stock INT NOT NULL DEFAULT 0, tags JSON,
  updated_at TIMESTAMP NULL, FULLTEXT KEY ft (title, description), KEY ix_price (price));
CREATE TABLE shop.orders (
  id INT PRIMARY KEY AUTO_INCREMENT, customer_id INT NOT NULL DEFAULT 1, product_id INT NOT NULL DEFAULT 1,
  qty INT NOT NULL DEFAULT 1, total DECIMAL(10,2) NOT NULL DEFAULT 0, status VARCHAR(20) NOT NULL DEFAULT 'new',
  comment TEXT, created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, spare INT INVISIBLE,
  KEY ix_cust (customer_id), KEY ix_prod (product_id)) PARTITION BY HASH (id) PARTITIONS 2;
CREATE TABLE shop.staff (id INT PRIMARY KEY, login VARCHAR(50), password VARCHAR(100));
CREATE TABLE secret_db.flags (id INT PRIMARY KEY, flag VARCHAR(100));
CREATE TABLE secret_db.{SECRET} (id INT PRIMARY KEY);
INSERT INTO shop.staff VALUES (1, 'root', '{SECRET}');
INSERT INTO secret_db.flags VALUES (1, '{SECRET}');
INSERT INTO shop.customers (id, name, email, city, notes, profile, credit) VALUES
  (1, 'Ada {HIDDEN}', 'ada@example.com', 'London', '{HIDDEN}', '{{"lang":"en","age":36}}', 100),
  (2, '{HIDDEN}', 'zoe@example.com', 'Krakow', 'x {HIDDEN}', '{{"lang":"pl","tags":[1]}}', 0),
  (3, '{HIDDEN} O''Brien', 'obrien@example.com', NULL, NULL, NULL, 12.5);
INSERT INTO shop.products (id, sku, title, description, price, stock, tags) VALUES
  (1, 'SKU-{UNREADABLE}', 'Blue widget {UNREADABLE}', '{UNREADABLE} sleeps', 9.99, 100, '["blue","{UNREADABLE}"]'),
  (2, 'SKU-2-{UNREADABLE}', '{UNREADABLE}', NULL, 19.5, 5, '["red"]');
INSERT INTO shop.orders (id, customer_id, product_id, qty, total, status, comment) VALUES
  (1, 1, 1, 2, 19.98, '{UNREADABLE}', NULL),
  (2, 1, 2, 1, 19.50, 'new', 'gift {UNREADABLE}'),
  (3, 2, 1, 9, 99.90, '{UNREADABLE}', '{UNREADABLE}');
CREATE FUNCTION shop.leak() RETURNS VARCHAR(100) READS SQL DATA RETURN (SELECT flag FROM secret_db.flags LIMIT 1);
CREATE FUNCTION secret_db.leak() RETURNS VARCHAR(100) READS SQL DATA RETURN (SELECT flag FROM secret_db.flags LIMIT 1);
CREATE PROCEDURE shop.p_leak() SELECT * FROM secret_db.flags;
CREATE PROCEDURE shop.p_count(least INT, named VARCHAR(80))
  SELECT COUNT(*) FROM orders WHERE qty > least OR status = named;
CREATE VIEW shop.v_secret AS SELECT * FROM secret_db.flags;
"""
SCHEMA = f"{_TABLES}CREATE SEQUENCE shop.seq NOCACHE;\n"


# A table's history is another table: whoever may read the one may read the other, and the judge refuses it.
_HISTORY = f"""
ALTER TABLE shop.orders ADD SYSTEM VERSIONING;
UPDATE shop.orders SET status = '{SECRET}' WHERE id = 2;
UPDATE shop.orders SET status = 'new' WHERE id = 2;
"""


class Dialect(msgspec.Struct, frozen=True):
    """What differs between the servers: the world as SQL, a session's time limit, the tables and values of the server's
    own that no statement may change."""

    schema: str
    time_limit: str
    system_tables: tuple[str, ...]
    unchanging: str


DIALECTS: dict[Family, Dialect] = {
    "mariadb": Dialect(
        SCHEMA + _HISTORY + MADE,
        "max_statement_time = 1",
        ("mysql.global_priv", "mysql.proc", "mysql.db", "mysql.tables_priv"),
        "SELECT next_not_cached_value, cycle_count FROM shop.seq",
    ),
    "mysql": Dialect(
        _TABLES + MADE,
        "max_execution_time = 1000",
        ("mysql.user", "mysql.db", "mysql.tables_priv", "mysql.columns_priv", "mysql.procs_priv"),
        "SELECT @@GLOBAL.sql_mode, @@GLOBAL.read_only",
    ),
}

ACCOUNTS = (*(guest.role for guest in GUESTS), MAKER.role, "deleter", "witness")


def account_statements(passwords: dict[str, str]) -> Iterator[str]:
    """The guests' accounts; and `witness`, which may do what no statement should: it sees what a wrong one would do."""
    yield f"CREATE USER '{SECRET}'@localhost"  # a canary in the server's table of accounts
    for name in ACCOUNTS:
        yield f"CREATE USER {name}@localhost IDENTIFIED BY '{passwords[name]}'"
    for guest in (*GUESTS, MAKER):
        for privileges, table in guest.rights:
            yield f"GRANT {privileges} ON {table} TO {guest.role}@localhost"
    # The servers want SELECT on the target of `DELETE t FROM t`, which reads no more than `DELETE FROM t`. So this
    # account runs it as a SELECT, with rights on a column that no statement names: it is refused where another is read.
    yield "GRANT SELECT ON shop.customers TO deleter@localhost"
    yield "GRANT SELECT (spare) ON shop.orders TO deleter@localhost"
    yield "GRANT ALL ON *.* TO witness@localhost"
