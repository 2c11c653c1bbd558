"""Definitions: what they define, read and write, and the forms that are refused. The default schema is s."""

import pytest

from contract.errors import Forbidden, GatekeeperError
from gatekeeper.analysis import TableName, analyse
from tests.unit.ddl_forms import START, columns, statements


@pytest.mark.parametrize("text", [*START, *columns(), *statements()])
def test_a_listed_form_is_accepted_and_names_a_table(text: str) -> None:
    found = analyse(text, "s")
    assert (found.effect, bool(found.defines)) == ("schema", True)
    assert not found.functions


def tables(text: str) -> set[TableName]:
    """The tables of a list such as `s.t u.v`."""
    return {(schema, table) for schema, _, table in (name.partition(".") for name in text.split())}


# text: kind, tables defined, read, written
TOUCHED = {
    "CREATE TABLE t (a INT)": ("create_table", "s.t", "", ""),
    "CREATE TABLE IF NOT EXISTS u.`t` (a INT)": ("create_table", "u.t", "", ""),
    "CREATE TABLE t (a INT, FOREIGN KEY (a) REFERENCES p (b))": ("create_table", "s.t", "s.p", ""),
    "CREATE TABLE t (a INT, FOREIGN KEY (a) REFERENCES u.p (b))": ("create_table", "s.t", "u.p", ""),
    "CREATE TABLE u.t (a INT, FOREIGN KEY (a) REFERENCES u.p (b))": ("create_table", "u.t", "u.p", ""),
    "CREATE TABLE t (a INT, FOREIGN KEY (a) REFERENCES p (b), FOREIGN KEY (a) REFERENCES q (b))": (
        "create_table",
        "s.t",
        "s.p s.q",
        "",
    ),
    "ALTER TABLE t ADD a INT": ("alter_table", "s.t", "s.t", "s.t"),
    "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u.p (b)": ("alter_table", "s.t", "s.t u.p", "s.t"),
    "ALTER TABLE t ADD a INT, RENAME TO v": ("alter_table", "s.t s.v", "s.t s.v", "s.t s.v"),
    "ALTER TABLE u.t RENAME AS s.t": ("alter_table", "u.t s.t", "u.t s.t", "u.t s.t"),
    "RENAME TABLE a TO b, b TO u.c": ("rename_table", "s.a s.b u.c", "s.a s.b u.c", "s.a s.b u.c"),
    "DROP TABLE a, u.b": ("drop_table", "s.a u.b", "", "s.a u.b"),
    "DROP TABLE IF EXISTS a CASCADE": ("drop_table", "s.a", "", "s.a"),
    "TRUNCATE a": ("truncate", "s.a", "", "s.a"),
    "TRUNCATE TABLE u.`a`": ("truncate", "u.a", "", "u.a"),
    "CREATE UNIQUE INDEX i ON u.t (a)": ("create_index", "u.t", "u.t", "u.t"),
    "DROP INDEX i ON t": ("drop_index", "s.t", "", "s.t"),
}


@pytest.mark.parametrize("text", TOUCHED)
def test_the_tables_that_a_definition_touches_are_told(text: str) -> None:
    found = analyse(text, "s")
    kind, defines, reads, writes = TOUCHED[text]
    assert found.kind == kind
    touched = (set(found.defines), set(found.reads), set(found.writes))
    assert touched == (tables(defines), tables(reads), tables(writes))


def test_without_a_default_schema_a_bare_name_is_nowhere() -> None:
    found = analyse("CREATE TABLE t (a INT, FOREIGN KEY (a) REFERENCES p (b))", None)
    assert (set(found.defines), set(found.reads)) == ({("", "t")}, {("", "p")})


def test_a_foreign_key_reads_the_columns_that_it_refers_to() -> None:
    found = analyse("CREATE TABLE t (a INT, b INT, FOREIGN KEY (a, b) REFERENCES p (c, `d`))", "s")
    assert found.columns_read == {("s", "p", "c"), ("s", "p", "d")}


REFUSED = (
    # session state, copies, and what another statement brings in
    "CREATE TEMPORARY TABLE t (a INT)",
    "DROP TEMPORARY TABLE t",
    "CREATE OR REPLACE TABLE t (a INT)",
    "CREATE TABLE t SELECT a FROM secrets",
    "CREATE TABLE t AS SELECT a FROM secrets",
    "CREATE TABLE t (a INT) SELECT a FROM secrets",
    "CREATE TABLE t (a INT) AS TABLE secrets",
    "CREATE TABLE t (a INT) IGNORE SELECT a FROM secrets",
    "CREATE TABLE t (a INT) ENGINE=InnoDB SELECT a FROM secrets",
    "CREATE TABLE t (a INT) (SELECT a FROM secrets)",
    "CREATE TABLE t (SELECT a FROM secrets)",
    "CREATE TABLE t LIKE secrets",
    "CREATE TABLE t (LIKE secrets)",
    "CREATE TABLE t",
    "CREATE TABLE t ()",
    "CREATE TABLE t (a INT",
    "CREATE TABLE t (a INT,)",
    "CREATE TABLE t (a INT))",
    "(CREATE TABLE t (a INT))",
    # engines and places
    "CREATE TABLE t (a INT) ENGINE=FEDERATED",
    "CREATE TABLE t (a INT) ENGINE=FEDERATED CONNECTION='mysql://root@host/db/t'",
    "CREATE TABLE t (a INT) ENGINE=CONNECT TABLE_TYPE=CSV FILE_NAME='/etc/passwd'",
    "CREATE TABLE t (a INT) ENGINE=MERGE UNION=(secrets)",
    "CREATE TABLE t (a INT) ENGINE=InnoDB UNION=(secrets)",
    "CREATE TABLE t (a INT) ENGINE=MyISAM DATA DIRECTORY='/tmp'",
    "CREATE TABLE t (a INT) DATA DIRECTORY='/tmp'",
    "CREATE TABLE t (a INT) INDEX DIRECTORY='/tmp'",
    "CREATE TABLE t (a INT) TABLESPACE x",
    "CREATE TABLE t (a INT) ENGINE=BLACKHOLE",
    "CREATE TABLE t (a INT) ENGINE='InnoDB'",
    "CREATE TABLE t (a INT) ENGINE=CSV",
    "CREATE TABLE t (a INT) ENGINE=SPIDER COMMENT='wrapper \"mysql\"'",
    "CREATE TABLE t (a INT) SECONDARY_ENGINE=x",
    "CREATE TABLE t (a INT) ENGINE_ATTRIBUTE='{}'",
    "CREATE TABLE t (a INT) PARTITION BY HASH (a)",
    "CREATE TABLE t (a INT) WITH SYSTEM VERSIONING",
    "CREATE TABLE t (a INT) SEQUENCE=1",
    "CREATE TABLE t (a INT) START TRANSACTION",
    "CREATE TABLE t (a INT) ENGINE=InnoDB,",
    # expressions and columns of other kinds
    "CREATE TABLE t (a INT AS (b + 1))",
    "CREATE TABLE t (a INT GENERATED ALWAYS AS (1))",
    "CREATE TABLE t (a INT DEFAULT (SLEEP(9)))",
    "CREATE TABLE t (a INT DEFAULT (1 + 1))",
    "CREATE TABLE t (a INT DEFAULT NEXTVAL(x))",
    "CREATE TABLE t (a INT DEFAULT (NEXT VALUE FOR x))",
    "CREATE TABLE t (a INT DEFAULT USER())",
    "CREATE TABLE t (a INT DEFAULT ?)",
    "CREATE TABLE t (a INT DEFAULT NOW)",
    "CREATE TABLE t (a INT CHECK (SLEEP(9)))",
    "CREATE TABLE t (a INT CHECK (a > (SELECT 1)))",
    "CREATE TABLE t (a INT CHECK (s.f(a) = 1))",
    "CREATE TABLE t (a INT CHECK (a > :a))",
    "CREATE TABLE t (a INT INVISIBLE)",
    "CREATE TABLE t (a INT REFERENCES p (b))",
    "CREATE TABLE t (a INT WITHOUT SYSTEM VERSIONING)",
    "CREATE TABLE t (a INT SRID 4326)",
    "CREATE TABLE t (a FROBNICATE)",
    "CREATE TABLE t (a MYSQL.JSON)",
    "CREATE TABLE t (a `INT`)",
    "CREATE TABLE t (a INT(1, 2))",
    "CREATE TABLE t (a VARCHAR(1e3))",
    "CREATE TABLE t (a ENUM(1))",
    "CREATE TABLE t (a INT COMMENT b)",
    "CREATE TABLE t (x.a INT)",
    "CREATE TABLE t (a INT, PERIOD FOR SYSTEM_TIME (b, c))",
    "CREATE TABLE t (a INT, INDEX ((a + 1)))",
    "CREATE TABLE t (a TEXT, FULLTEXT (a) WITH PARSER ngram)",
    "CREATE TABLE t (a INT, FOREIGN KEY (a) REFERENCES p)",
    "CREATE TABLE t (a INT, FOREIGN KEY (a) REFERENCES p (b) MATCH FULL)",
    "CREATE TABLE t (a INT, FOREIGN KEY (a) REFERENCES p (b) ON DELETE SET DEFAULT)",
    # a server might look for them in another schema
    "CREATE TABLE u.t (a INT, FOREIGN KEY (a) REFERENCES p (b))",
    "ALTER TABLE u.t ADD FOREIGN KEY (a) REFERENCES p (b)",
    "ALTER TABLE u.t RENAME TO v",
    "ALTER TABLE t RENAME TO u.t, ADD FOREIGN KEY (a) REFERENCES p (b)",
    "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES p (b), RENAME TO u.t",
    # names
    "CREATE TABLE `#mysql50#t` (a INT)",
    "CREATE TABLE `../mysql/user` (a INT)",
    "CREATE TABLE t (a INT, CONSTRAINT `mysql/x` FOREIGN KEY (a) REFERENCES p (b))",
    "CREATE TABLE t (a INT, FOREIGN KEY (a) REFERENCES `#sql-1` (b))",
    "CREATE TABLE a.b.c (a INT)",
    "CREATE TABLE select (a INT)",
    "CREATE TABLE t (key INT)",
    "RENAME TABLE t TO BIGINT",
    "TRUNCATE CONVERT",
    "CREATE TABLE 't' (a INT)",
    # alterations
    "ALTER TABLE t",
    "ALTER TABLE t,",
    "ALTER IGNORE TABLE t ADD UNIQUE (a)",
    "ALTER ONLINE TABLE t ADD a INT",
    "ALTER TABLE t WAIT 5 ADD a INT",
    "ALTER TABLE t NOWAIT ADD a INT",
    "ALTER TABLE t DISCARD TABLESPACE",
    "ALTER TABLE t IMPORT TABLESPACE",
    "ALTER TABLE t EXCHANGE PARTITION p WITH TABLE secrets",
    "ALTER TABLE t CONVERT PARTITION p TO TABLE u",
    "ALTER TABLE t ADD PARTITION (PARTITION p VALUES IN (1))",
    "ALTER TABLE t DROP PARTITION p",
    "ALTER TABLE t REMOVE PARTITIONING",
    "ALTER TABLE t ORDER BY a",
    "ALTER TABLE t DISABLE KEYS",
    "ALTER TABLE t FORCE",
    "ALTER TABLE t ADD SYSTEM VERSIONING",
    "ALTER TABLE t DROP SYSTEM VERSIONING",
    "ALTER TABLE t ALTER INDEX i INVISIBLE",
    "ALTER TABLE t RENAME u",
    "ALTER TABLE t RENAME = u",
    "ALTER TABLE t ENGINE=FEDERATED",
    "ALTER TABLE t UNION=(secrets)",
    "ALTER TABLE t DATA DIRECTORY='/tmp'",
    "ALTER TABLE t CONNECTION='mysql://host/db'",
    "ALTER TABLE t ADD a INT AS (1)",
    "ALTER TABLE t ALTER a SET DEFAULT (SLEEP(1))",
    "ALTER TABLE t ADD a INT; DROP TABLE u",
    "ALTER TABLE t ALGORITHM=FAST",
    "ALTER TABLE t COMMENT=?",
    # the rest
    "DROP TABLE",
    "DROP TABLE t WAIT 5",
    "DROP TABLE t RESTRICT CASCADE",
    "DROP TABLE t u",
    "TRUNCATE t, u",
    "TRUNCATE TABLE t WAIT 1",
    "TRUNCATE TABLE",
    "RENAME TABLE t u",
    "RENAME TABLE t TO u TO v",
    "RENAME TABLE t WAIT 5 TO u",
    "CREATE INDEX i ON t",
    "CREATE INDEX i ON t ((a + 1))",
    "CREATE INDEX ON t (a)",
    "CREATE UNIQUE FULLTEXT INDEX i ON t (a)",
    "CREATE INDEX i ON t (a) INVISIBLE",
    "CREATE FULLTEXT INDEX i ON t (a) WITH PARSER x",
    "DROP INDEX i",
    "DROP INDEX i ON t, u",
    "CREATE TABLE t (a INT CHECK (" + "(" * 30 + "a > 1" + ")" * 30 + "))",
    "CREATE TABLE t (a INT CHECK (" + "(" * 9000 + "a > 1" + ")" * 9000 + "))",
)


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:80])
def test_any_other_form_is_refused_under_every_policy(text: str) -> None:
    with pytest.raises(GatekeeperError):
        analyse(text, "s")


NOT_OF_TABLES = (
    *("CREATE DATABASE x", "DROP SCHEMA x", "ALTER DATABASE x CHARACTER SET utf8mb4", "CREATE VIEW v AS SELECT 1"),
    *("DROP VIEW v", "CREATE USER x", "DROP USER x", "RENAME USER x TO y", "ALTER USER x IDENTIFIED BY 'y'"),
    *("CREATE FUNCTION f() RETURNS INT RETURN 1", "CREATE FUNCTION f RETURNS STRING SONAME 'x.so'", "DROP FUNCTION f"),
    *("CREATE PROCEDURE p() SELECT 1", "CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1"),
    *("CREATE EVENT e ON SCHEDULE EVERY 1 HOUR DO SELECT 1", "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS ()"),
    *("CREATE TABLESPACE x ADD DATAFILE 'y'", "CREATE SEQUENCE x", "CREATE ROLE x", "CREATE LOGFILE GROUP x"),
    *("ALTER INSTANCE ROTATE INNODB MASTER KEY", "CREATE ALGORITHM = MERGE VIEW v AS SELECT 1", "CREATE PACKAGE x AS"),
    *("CREATE OR REPLACE VIEW v AS SELECT 1", "CREATE", "DROP", "CREATE RESOURCE GROUP x TYPE = USER", "DROP TABLES t"),
)


@pytest.mark.parametrize("text", NOT_OF_TABLES)
def test_a_definition_of_something_else_is_no_kind_that_a_policy_can_name(text: str) -> None:
    assert (analyse(text, "s").kind, analyse(text, "s").effect) == ("ddl", "schema")


def test_a_refusal_says_near_what_it_is() -> None:
    with pytest.raises(Forbidden, match=r"this form of CREATE TABLE is not accepted, near FEDERATED") as refusal:
        analyse("CREATE TABLE t (a INT) ENGINE = FEDERATED", "s")
    assert refusal.value.rule == "construct"


def test_a_statement_on_very_many_tables_is_refused() -> None:
    for text in (", ".join(f"t{number}" for number in range(201)), ", ".join(f"t{n} TO u{n}" for n in range(101))):
        with pytest.raises(Forbidden) as refusal:
            analyse(f"{'RENAME' if 'TO' in text else 'DROP'} TABLE {text}", "s")
        assert refusal.value.rule == "limit"


def test_a_definition_that_takes_long_to_read_is_refused() -> None:
    table = ", ".join(f"c{number} INT NOT NULL DEFAULT '0'" for number in range(1017))
    assert analyse(f"CREATE TABLE t ({table})", "s").kind == "create_table"
    for text in ("CREATE TABLE t (a INT" + ", KEY (a)" * 2500 + ")", "ALTER TABLE t ADD a INT" + ", ADD b INT" * 2500):
        with pytest.raises(Forbidden) as refusal:
            analyse(text, "s")
        assert refusal.value.rule == "limit"


def test_a_list_of_many_values_is_read_to_its_end() -> None:
    values = ", ".join(f"'v{number}'" for number in range(500))
    assert analyse(f"CREATE TABLE t (a ENUM({values}))", "s").defines == {("s", "t")}
    with pytest.raises(Forbidden):
        analyse(f"CREATE TABLE t (a ENUM({values}, NULL, 'x'))", "s")
