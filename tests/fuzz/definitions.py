"""Definitions of tables, as a role with DDL would send them and as one that wants other tables would.

`<t>` and `<u>` are tables, mostly those that the role may define, now and then by their schema or in backticks; `<c>`
is a column, `<y>` a type, `<x>` an attribute.
"""

import re
from collections.abc import Callable
from random import Random

from tests.fuzz.world import DEFINED, UNDEFINED

_HOLE = re.compile("<([tucxy])>")
_COLUMNS = ("id", "label", "amount", "parent", "fresh", "`label`")
_TYPES = (
    *(
        "INT",
        "BIGINT UNSIGNED",
        "VARCHAR(40)",
        "CHAR(1)",
        "TEXT",
        "DECIMAL(5,2)",
        "DATETIME(6)",
        "JSON",
        "ENUM('a','b')",
    ),
    *("SET('a')", "BOOLEAN", "VARCHAR(10) CHARACTER SET utf8mb4", "POINT", "SERIAL", "BIT(3)", "YEAR", "VECTOR(2)"),
)
_ATTRIBUTES = (
    *(
        "NOT NULL",
        "NULL",
        "DEFAULT 1",
        "DEFAULT 'x'",
        "DEFAULT NULL",
        "UNIQUE",
        "PRIMARY KEY",
        "COMMENT 'x'",
        "INVISIBLE",
    ),
    *(
        "DEFAULT (UUID())",
        "DEFAULT (leak())",
        "DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP",
        "CHECK (id > 0)",
    ),
    *("REFERENCES staff (id)", "AS (id + 1)", "GENERATED ALWAYS AS (leak()) STORED", "COLLATE utf8mb4_bin", "KEY", ""),
    "DEFAULT (NEXTVAL(seq))",
)
TEMPLATES = tuple(
    line.strip()
    for line in r"""
    CREATE TABLE <t> (id INT PRIMARY KEY, <c> <y> <x>)
    CREATE TABLE <t> (<c> <y> <x>, <c> <y> <x>, KEY k (<c>), UNIQUE (<c>)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
    CREATE TABLE IF NOT EXISTS <t> (id INT, <c> <y>) COMMENT='x'
    CREATE TABLE <t> AS SELECT * FROM <u>
    CREATE TABLE <t> (id INT) SELECT * FROM <u>
    CREATE TABLE <t> (id INT) IGNORE AS TABLE <u>
    CREATE TABLE <t> (id INT) VALUES ROW(1)
    CREATE TABLE <t> LIKE <u>
    CREATE TABLE <t> (LIKE <u>)
    CREATE TABLE <t> (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES <u> (id) ON DELETE CASCADE)
    CREATE TABLE <t> (id INT PRIMARY KEY, label VARCHAR(100), CONSTRAINT f FOREIGN KEY k (id) REFERENCES <u> (id))
    CREATE TABLE <t> (id INT, CONSTRAINT n CHECK (id > (SELECT 1 FROM <u>)))
    CREATE TABLE <t> (id INT, label VARCHAR(40) DEFAULT ((SELECT label FROM <u> LIMIT 1)))
    CREATE TABLE <t> (id INT, KEY k ((leak())))
    CREATE TABLE <t> (id INT) ENGINE=MERGE UNION=(<u>)
    CREATE TABLE <t> (id INT) ENGINE=FEDERATED CONNECTION='mysql://x@y/z/t'
    CREATE TABLE <t> (id INT) ENGINE=CSV
    CREATE TABLE <t> (id INT) DATA DIRECTORY='x'
    CREATE TABLE <t> (id INT) TABLESPACE innodb_system
    CREATE TABLE <t> (id INT) PARTITION BY HASH (id) PARTITIONS 2
    CREATE TABLE <t> (id INT) WITH SYSTEM VERSIONING
    CREATE TABLE <t> (id INT), <u> (id INT)
    CREATE TEMPORARY TABLE <t> (id INT)
    CREATE OR REPLACE TABLE <t> (id INT)
    CREATE VIEW <t> AS SELECT * FROM <u>
    CREATE TRIGGER g AFTER INSERT ON <t> FOR EACH ROW INSERT INTO <u> (id) VALUES (1)
    CREATE SEQUENCE <t>
    CREATE DATABASE sketch
    CREATE FUNCTION f() RETURNS INT RETURN (SELECT id FROM <u>)
    ALTER TABLE <t> ADD COLUMN <c> <y> <x> AFTER id
    ALTER TABLE <t> ADD fresh <y> <x> FIRST, DROP COLUMN <c>
    ALTER TABLE <t> ADD (fresh <y>, other <y> <x>), ALGORITHM=COPY, LOCK=SHARED
    ALTER TABLE <t> MODIFY <c> <y> <x>
    ALTER TABLE <t> CHANGE COLUMN <c> <c> <y>, ALTER <c> SET DEFAULT 1
    ALTER TABLE <t> RENAME TO <u>
    ALTER TABLE <t> RENAME AS <u>
    ALTER TABLE <t> RENAME <u>
    ALTER TABLE <t> RENAME = <u>
    ALTER TABLE <t> ADD fresh INT, RENAME <u>, COMMENT='x'
    ALTER TABLE <t> RENAME COLUMN <c> TO fresh
    ALTER TABLE <t> ADD UNIQUE u (<c>), ADD INDEX k (<c>)
    ALTER TABLE <t> ADD CONSTRAINT f FOREIGN KEY (parent) REFERENCES <u> (id)
    ALTER TABLE <t> ADD CONSTRAINT n CHECK (<c> <> 'x'), DROP CONSTRAINT n
    ALTER TABLE <t> EXCHANGE PARTITION p0 WITH TABLE <u>
    ALTER TABLE <t> PARTITION BY HASH (id)
    ALTER TABLE <t> TRUNCATE PARTITION p0
    ALTER TABLE <t> CONVERT PARTITION p0 TO TABLE <u>
    ALTER TABLE <t> DISCARD TABLESPACE
    ALTER TABLE <t> IMPORT TABLESPACE
    ALTER TABLE <t> ORDER BY <c>
    ALTER TABLE <t> ENGINE=InnoDB AUTO_INCREMENT=100 CONVERT TO CHARACTER SET utf8mb4
    ALTER TABLE <t> ENGINE=MERGE UNION=(<u>)
    ALTER TABLE <t> ADD SYSTEM VERSIONING
    ALTER TABLE <t> DROP PRIMARY KEY, ADD PRIMARY KEY (label)
    ALTER TABLE <t> DISABLE KEYS, FORCE
    ALTER IGNORE TABLE <t> ADD UNIQUE (amount)
    ALTER ONLINE TABLE <t> WAIT 1 ADD fresh INT
    DROP TABLE <t>
    DROP TABLE <t>, <u>
    DROP TABLE IF EXISTS <t>, <u> CASCADE
    DROP TABLES <t>, <u>
    DROP TEMPORARY TABLE IF EXISTS <t>
    DROP VIEW <t>
    DROP TABLE <t> WAIT 1
    TRUNCATE <t>
    TRUNCATE TABLE <t>
    TRUNCATE TABLE <t>, <u>
    RENAME TABLE <t> TO <u>
    RENAME TABLE <t> TO sketch, <u> TO <t>
    RENAME TABLE draft TO sketch, <u> TO draft
    RENAME TABLES <t> TO <u>
    RENAME TABLE IF EXISTS <t> WAIT 1 TO <u>
    CREATE INDEX k ON <t> (<c>)
    CREATE UNIQUE INDEX IF NOT EXISTS k USING BTREE ON <t> (<c>(3) DESC, <c>) COMMENT 'x'
    CREATE FULLTEXT INDEX k ON <t> (label)
    CREATE INDEX k ON <t> ((SELECT 1 FROM <u>))
    CREATE INDEX k ON <t> ((leak()))
    DROP INDEX k ON <t>
    DROP INDEX `PRIMARY` ON <t> ALGORITHM=INPLACE
    """.splitlines()
    if line.strip()
)


class Definitions:
    """Makes definitions by a source of chance: the same source, the same statements."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance

    def statement(self) -> str:
        """One definition."""
        tables = {"t": self._table(), "u": self._table()}
        fillings: dict[str, Callable[[], str]] = {
            "t": lambda: tables["t"],
            "u": lambda: tables["u"],
            "c": lambda: self._chance.choice(_COLUMNS),
            "x": lambda: self._chance.choice(_ATTRIBUTES),
            "y": lambda: self._chance.choice(_TYPES),
        }
        return _HOLE.sub(lambda hole: fillings[hole[1]](), self._chance.choice(TEMPLATES))

    def _table(self) -> str:
        name = self._chance.choice(DEFINED if self._chance.random() < 0.8 else UNDEFINED)
        if "." in name or self._chance.random() < 0.6:
            return name
        return self._chance.choice((f"shop.{name}", f"`{name}`", f"`shop`.`{name}`", f"secret_db.{name}", name.upper()))
