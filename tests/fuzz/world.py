"""What the fuzzed server holds: an ordinary shop, canaries in all that the roles must not see, accounts, the policy.

The names are those of the shared corpus, so that its statements make sense here. No value of a canary stands in any
statement: one that comes back was read.
"""

from collections.abc import Iterator
from typing import get_args

import msgspec

from gatekeeper.policy.model import Kind

SECRET = "kestrel7731"  # no role may see it
UNREADABLE = "osprey5290"  # in orders and products, which the third role may not read
HIDDEN = "merlin4482"  # in the columns that are hidden from the second role

# Every kind that a policy knows: whatever is new there is fuzzed, too.
_KINDS = ", ".join(f'"{kind}"' for kind in get_args(Kind))

POLICY = f"""
[roles.whole]
kinds = [{_KINDS}]
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
"""


class Guest(msgspec.Struct, frozen=True):
    """A role of the policy, in the server's words: what its account may do, and which canaries it must not see.

    `rights` has pairs of a privilege list and a table, as GRANT takes them; `readable` has queries for all that the
    role may read.
    """

    role: str
    canaries: tuple[str, ...]
    rights: tuple[tuple[str, str], ...]
    writable: frozenset[str]
    readable: tuple[str, ...]


_CHANGE = "INSERT, UPDATE, DELETE"
_SHOP = frozenset({"shop.customers", "shop.orders", "shop.products"})
_VISIBLE = "id, email, city, profile, credit, created_at"
# What the role `part` may write of orders.
FILLED = "customer_id, product_id, qty, total"
_ALL_ROWS = tuple(f"SELECT * FROM {table}" for table in sorted(_SHOP))
_VISIBLE_ROWS = (f"SELECT {_VISIBLE} FROM shop.customers", "SELECT * FROM shop.orders", "SELECT * FROM shop.products")

GUESTS = (
    Guest("whole", (SECRET,), tuple((f"SELECT, {_CHANGE}", table) for table in sorted(_SHOP)), _SHOP, _ALL_ROWS),
    Guest(
        "columns",
        (SECRET, HIDDEN),
        (
            (f"SELECT ({_VISIBLE}), {_CHANGE}", "shop.customers"),
            (f"SELECT, {_CHANGE}", "shop.orders"),
            (f"SELECT, {_CHANGE}", "shop.products"),
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
    ),
)

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
    "information_schema.tables": ("table_schema", "table_name"),
}

SCHEMA = f"""
CREATE DATABASE shop CHARACTER SET utf8mb4;
CREATE DATABASE secret_db CHARACTER SET utf8mb4;
CREATE TABLE shop.customers (
  id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(100) NOT NULL, email VARCHAR(190) NOT NULL UNIQUE, city VARCHAR(80),
  notes TEXT, profile JSON, credit DECIMAL(10,2) NOT NULL DEFAULT 0,
  created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE shop.products (
  id INT PRIMARY KEY AUTO_INCREMENT, sku VARCHAR(40) NOT NULL UNIQUE, title VARCHAR(200) NOT NULL, description TEXT,
  price DECIMAL(10,2) NOT NULL, stock INT NOT NULL DEFAULT 0, tags JSON, updated_at TIMESTAMP NULL,
  FULLTEXT KEY ft (title, description), KEY ix_price (price));
CREATE TABLE shop.orders (
  id INT PRIMARY KEY AUTO_INCREMENT, customer_id INT NOT NULL, product_id INT NOT NULL, qty INT NOT NULL DEFAULT 1,
  total DECIMAL(10,2) NOT NULL, status VARCHAR(20) NOT NULL DEFAULT 'new', comment TEXT,
  created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, spare INT INVISIBLE,
  KEY ix_cust (customer_id), KEY ix_prod (product_id));
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
CREATE SEQUENCE shop.seq NOCACHE;
CREATE VIEW shop.v_secret AS SELECT * FROM secret_db.flags;
"""

ACCOUNTS = (*(guest.role for guest in GUESTS), "deleter", "witness")


def account_statements(passwords: dict[str, str]) -> Iterator[str]:
    """The guests' accounts; and `witness`, which may do what no statement should: it sees what a wrong one would do."""
    yield f"CREATE OR REPLACE USER '{SECRET}'@localhost"  # a canary in mysql.global_priv
    for guest in GUESTS:
        yield f"CREATE OR REPLACE USER {guest.role}@localhost IDENTIFIED BY '{passwords[guest.role]}'"
        for privileges, table in guest.rights:
            yield f"GRANT {privileges} ON {table} TO {guest.role}@localhost"
    # MariaDB wants SELECT on the target of `DELETE t FROM t`, which reads no more than `DELETE FROM t`. So this account
    # runs it as a SELECT, with rights on a column that no statement names: it is refused where another one is read.
    yield f"CREATE OR REPLACE USER deleter@localhost IDENTIFIED BY '{passwords['deleter']}'"
    yield "GRANT SELECT ON shop.customers TO deleter@localhost"
    yield "GRANT SELECT (spare) ON shop.orders TO deleter@localhost"
    yield f"CREATE OR REPLACE USER witness@localhost IDENTIFIED BY '{passwords['witness']}'"
    yield "GRANT ALL ON *.* TO witness@localhost"
