"""Definitions that the judge accepts. A live test runs them in order on a real server, which takes them all.

They are about the schemas s (the default one) and u; `parent` (id, code), both unsigned and keys, and `t` (id, a, b, c)
are there from the start.
"""

import re
from typing import Final

START = (
    "CREATE TABLE parent (id INT UNSIGNED PRIMARY KEY, code INT UNSIGNED NOT NULL UNIQUE)",
    "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, a INT, b INT UNSIGNED, c VARCHAR(40))",
)

TYPES = (
    *("TINYINT", "SMALLINT(5) UNSIGNED", "MEDIUMINT ZEROFILL", "INT SIGNED", "integer(11)", "BIGINT UNSIGNED ZEROFILL"),
    *("BOOL", "BOOLEAN", "DECIMAL", "DEC(10)", "NUMERIC(10, 2) UNSIGNED", "FLOAT", "FLOAT(7, 3)", "DOUBLE PRECISION"),
    *("DOUBLE(10, 2)", "REAL", "BIT", "BIT(8)", "DATE", "YEAR", "TIME(3)", "DATETIME(6)", "TIMESTAMP", "DATETIME"),
    *("CHAR", "CHARACTER(3)", "VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "VARCHAR(9) CHARSET binary"),
    *("TINYTEXT", "TEXT", "TEXT(100)", "MEDIUMTEXT", "LONGTEXT COLLATE `utf8mb4_unicode_ci`", "BINARY(16)"),
    *("VARBINARY(255)", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB", "JSON", "ENUM('a', 'b''c')", "SET('x', 'y')"),
    *("GEOMETRY", "POINT NOT NULL", "LINESTRING", "POLYGON", "MULTIPOINT", "MULTILINESTRING", "MULTIPOLYGON"),
    *("GEOMETRYCOLLECTION", "VECTOR(3)", "UUID", "INET6", "ENUM('a') CHARACTER SET utf8mb4 DEFAULT 'a'"),
)

ATTRIBUTES = (
    *("INT NOT NULL", "INT NULL", "INT DEFAULT NULL", "INT DEFAULT -1", "INT NOT NULL DEFAULT '0'", "INT UNIQUE"),
    *("INT UNIQUE KEY COMMENT 'x'", "DECIMAL(5,2) DEFAULT 1.5", "BOOL DEFAULT TRUE", "BIT(4) DEFAULT b'0101'"),
    *("BINARY(2) DEFAULT 0x4142", "INT DEFAULT (7)", "TEXT DEFAULT ('')", "JSON DEFAULT ('{}')"),
    *("CHAR(36) DEFAULT (UUID())", "DATETIME DEFAULT CURRENT_TIMESTAMP", "DATETIME DEFAULT CURRENT_TIMESTAMP()"),
    "TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)",
    *(
        "TIMESTAMP NULL DEFAULT now()",
        "DATETIME DEFAULT (now())",
        "INT CHECK (x >= 0)",
        "INT UNSIGNED COMMENT 'it''s' NOT NULL",
    ),
    *("JSON CHECK (JSON_VALID(`x`))", "VARCHAR(9) CHECK (x IN ('a', 'b') OR (x IS NULL AND NOT x LIKE 'c%'))"),
    "INT CHECK (x BETWEEN 1 AND 9 AND x <> 5 AND x NOT IN (2, 3))",
)

# Each is given a name of its own in the place of {}, and the schema is looked at after it.
TABLES = (
    "CREATE TABLE IF NOT EXISTS {} (id INT)",
    "create table {} (`id` int not null auto_increment, primary key (id)) engine=innodb default charset=utf8mb4",
    "CREATE TABLE {} (id INT) ENGINE InnoDB AUTO_INCREMENT = 5 DEFAULT CHARSET utf8mb4 DEFAULT COLLATE utf8mb4_bin",
    "CREATE TABLE {} (id INT) CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='it is'",
    "CREATE TABLE s.{} (id BIGINT KEY, a INT, b VARCHAR(9), KEY (a), INDEX ix (b(3) DESC, a ASC) COMMENT 'x')",
    "CREATE TABLE {} (a INT, b INT, UNIQUE (a), UNIQUE KEY u (a, b), UNIQUE INDEX USING BTREE (b), PRIMARY KEY (a, b))",
    "CREATE TABLE {} (a TEXT, g POINT NOT NULL, FULLTEXT KEY f (a), SPATIAL INDEX (g), KEY (a(5)) USING BTREE)",
    "CREATE TABLE {} (date DATE, comment TEXT, type INT, name INT, value INT, position INT, CHECK (name>0))",
    "CREATE TABLE {0} (p INT UNSIGNED, CONSTRAINT fk_{0} FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE)",
    "CREATE TABLE {} (p INT UNSIGNED, KEY (p), FOREIGN KEY (p) REFERENCES s.parent (code) ON UPDATE NO ACTION"
    " ON DELETE SET NULL)",
    "CREATE TABLE {0} (p INT UNSIGNED, CONSTRAINT FOREIGN KEY k_{0} (p) REFERENCES `s`.`parent` (`id`) ON UPDATE"
    " RESTRICT)",
    "CREATE TABLE {} (id INT PRIMARY KEY, up INT, FOREIGN KEY (up) REFERENCES {} (id))",
    "CREATE TABLE {0} (id INT, CONSTRAINT c_{0} CHECK (id < 10), CONSTRAINT UNIQUE (id))",
)

ALTERATIONS = (
    "ADD d INT",
    "ADD COLUMN e INT NOT NULL DEFAULT 0 AFTER a",
    "ADD COLUMN f VARCHAR(5) FIRST",
    "ADD (g INT, h INT)",
    "ADD i INT, ADD j INT, ALGORITHM=INPLACE, LOCK NONE",
    "MODIFY d BIGINT NULL",
    "MODIFY COLUMN d BIGINT NOT NULL AFTER e",
    "CHANGE d dd BIGINT NOT NULL",
    "CHANGE COLUMN dd d INT FIRST",
    "RENAME COLUMN d TO dd",
    "ALTER dd SET DEFAULT 5",
    "ALTER COLUMN dd SET DEFAULT (6)",
    "ALTER COLUMN dd DROP DEFAULT",
    "DROP dd",
    "DROP COLUMN e",
    "ADD INDEX ix (a)",
    "RENAME INDEX ix TO ix2",
    "RENAME KEY ix2 TO ix3",
    "DROP INDEX ix3",
    "ADD KEY (b)",
    "DROP KEY b",
    "ADD UNIQUE (a)",
    "ADD CONSTRAINT uq UNIQUE KEY (a, b)",
    "ADD FULLTEXT INDEX ft (c)",
    "ADD CONSTRAINT fk FOREIGN KEY (b) REFERENCES parent (id) ON DELETE SET NULL ON UPDATE CASCADE",
    "DROP FOREIGN KEY fk",
    "ADD COLUMN p INT UNSIGNED NULL, ADD CONSTRAINT fk2 FOREIGN KEY (p) REFERENCES s.parent(id)",
    "DROP CONSTRAINT fk2",
    "ADD CONSTRAINT ck CHECK (a > 0)",
    "DROP CONSTRAINT ck",
    "ADD CONSTRAINT ck CHECK (`a` < (`b`) AND ((a > 1 OR NOT (a IS NULL))))",
    "DROP CHECK ck",
    "DROP CONSTRAINT IF EXISTS ck",
    "DROP COLUMN IF EXISTS nothing",
    "ADD COLUMN IF NOT EXISTS p INT",
    "DROP INDEX IF EXISTS nothing",
    "MODIFY id INT, DROP PRIMARY KEY",
    "ADD PRIMARY KEY (id)",
    "ENGINE=InnoDB",
    "COMMENT='x'",
    "AUTO_INCREMENT = 7, COMMENT 'y' DEFAULT CHARSET utf8mb4",
    "CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "DEFAULT COLLATE = utf8mb4_unicode_ci",
    "RENAME TO t2",
    "RENAME AS s.t3",
)

# `t` is renamed to t3 by then.
OTHERS = (
    "CREATE INDEX i1 ON t3 (a)",
    "CREATE INDEX i2 USING BTREE ON s.t3 (a, b DESC) COMMENT 'x' ALGORITHM = INPLACE LOCK = NONE",
    "CREATE UNIQUE INDEX IF NOT EXISTS `i 3` ON `t3` (c(10), a)",
    "CREATE FULLTEXT INDEX i4 ON t3 (c)",
    "DROP INDEX i1 ON t3",
    "DROP INDEX IF EXISTS `i 3` ON s.t3",
    "RENAME TABLE t3 TO t4",
    "RENAME TABLE t4 TO t5, s.t5 TO u.t6",
    "TRUNCATE u.t6",
    "TRUNCATE TABLE u.t6",
    "CREATE TABLE u.child (id INT UNSIGNED, FOREIGN KEY (id) REFERENCES s.parent (id))",
    "DROP TABLE u.t6, u.child",
    "DROP TABLE IF EXISTS nothing RESTRICT",
    "CREATE TABLE nothing (id INT)",
    "drop table nothing cascade",
)


# What the other one answers with a syntax error.
_OF_ONE: Final = {
    "mariadb": re.compile(r"\(x (?:UUID|INET6)\)|INDEX IF |(?:DROP|ADD) \w+ IF "),
    "mysql": re.compile(r"DROP CHECK|\(x VECTOR\("),
}


def is_known(text: str, family: str) -> bool:
    """Whether servers of this family, `mariadb` (from 10.11 on) or `mysql`, know the form."""
    return not any(pattern.search(text) for of, pattern in _OF_ONE.items() if of != family)


def columns() -> tuple[str, ...]:
    """A table for each type and attribute; they have nothing to do with each other."""
    return tuple(f"CREATE TABLE x{at} (x {column})" for at, column in enumerate((*TYPES, *ATTRIBUTES)))


def statements() -> tuple[str, ...]:
    """The others, in an order in which a server takes them."""
    tables = [text.format(*[f"y{at}"] * 2) for at, text in enumerate(TABLES)]
    altered = [f"ALTER TABLE {'t2' if text.startswith('RENAME AS') else 't'} {text}" for text in ALTERATIONS]
    return (*tables, *altered, *OTHERS)
