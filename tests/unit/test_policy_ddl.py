"""Who may define what: DDL under a policy."""

import pytest

from contract.errors import Forbidden
from gatekeeper.analysis import analyse
from gatekeeper.policy import PolicyError, Role, decide, parse

KINDS = ("create_table", "alter_table", "drop_table", "truncate", "rename_table", "create_index", "drop_index")
ROLE = parse(
    f"""
    [roles.migrator]
    kinds = [{", ".join(f'"{kind}"' for kind in KINDS)}]
    define = ["s.a", "s.b", "s.new", "s.blind", "s.frozen", "s.staff", "s.log", "s.form", "u.*"]
    read = ["s.a", "s.b", "s.frozen", "s.staff", "s.form", "s.log", "s.ref", "s.person", "u.*"]
    write = ["s.a", "s.b", "s.blind", "s.staff", "s.form", "s.log", "u.*"]
    [roles.migrator.hidden]
    "s.staff" = ["password"]
    "s.person" = ["password"]
    [roles.migrator.read_columns]
    "s.log" = ["id"]
    [roles.migrator.write_columns]
    "s.form" = ["id"]
    """
).roles["migrator"]

ALLOWED = (
    "CREATE TABLE new (id INT)",
    "CREATE TABLE IF NOT EXISTS u.anything (id INT)",
    "CREATE TABLE new (id INT, FOREIGN KEY (id) REFERENCES ref (id) ON DELETE CASCADE)",
    "CREATE TABLE new (id INT, FOREIGN KEY (id) REFERENCES person (id))",
    "ALTER TABLE a ADD x INT, ADD UNIQUE (x)",
    "ALTER TABLE a RENAME TO b",
    "RENAME TABLE a TO u.x, b TO a",
    "DROP TABLE a, blind, u.x",
    "TRUNCATE blind",
    "CREATE INDEX i ON a (x)",
    "DROP INDEX i ON blind",
)


@pytest.mark.parametrize("text", ALLOWED)
def test_what_the_role_may_define_is_allowed_and_nothing_of_it_without_its_kind(text: str) -> None:
    found = analyse(text, "s")
    decide(ROLE, found)
    other_kinds = Role(kinds=ROLE.kinds - {found.kind}, define=ROLE.define, read=ROLE.read, write=ROLE.write)
    with pytest.raises(Forbidden) as refusal:
        decide(other_kinds, found)
    assert refusal.value.rule == "kind"


@pytest.mark.parametrize("text", ALLOWED)
def test_reading_and_writing_a_table_does_not_include_defining_it(text: str) -> None:
    role = Role(kinds=ROLE.kinds, read=("s.*", "u.*"), write=("s.*", "u.*"))
    with pytest.raises(Forbidden) as refusal:
        decide(role, analyse(text, "s"))
    assert refusal.value.rule == "define"


REFUSED = {
    "CREATE TABLE other (id INT)": "define",
    "CREATE TABLE A (id INT)": "define",
    "CREATE TABLE mysql.user (id INT)": "define",
    "CREATE TABLE u.seq_1_to_9 (id INT)": "define",
    "CREATE TABLE new (id INT, FOREIGN KEY (id) REFERENCES secrets (id))": "read",
    "CREATE TABLE new (id INT, FOREIGN KEY (id) REFERENCES person (password))": "column",
    "CREATE TABLE new (id INT, FOREIGN KEY (id) REFERENCES PERSON (PASSWORD))": "read",
    "CREATE TABLE new (id INT, FOREIGN KEY (id) REFERENCES mysql.user (id))": "read",
    "ALTER TABLE a ADD FOREIGN KEY (x) REFERENCES secrets (id)": "read",
    "ALTER TABLE a RENAME TO other": "define",
    "ALTER TABLE other RENAME TO a": "define",
    "ALTER TABLE a RENAME TO blind": "read",
    "ALTER TABLE a RENAME TO frozen": "write",
    "ALTER TABLE blind ADD UNIQUE (x)": "read",
    "ALTER TABLE frozen DROP COLUMN x": "write",
    "RENAME TABLE blind TO a": "read",
    "RENAME TABLE frozen TO a": "write",
    "RENAME TABLE a TO frozen": "write",
    "RENAME TABLE a TO b, secrets TO a": "define",
    "RENAME TABLE new TO u.x": "read",
    "DROP TABLE a, frozen": "write",
    "DROP TABLE a, secrets": "define",
    "DROP TABLE new": "write",
    "TRUNCATE frozen": "write",
    "CREATE UNIQUE INDEX i ON blind (x)": "read",
    "CREATE INDEX i ON frozen (x)": "write",
    "DROP INDEX i ON frozen": "write",
    "DROP INDEX i ON secrets": "define",
    # tables with columns that are closed to the role
    "CREATE TABLE IF NOT EXISTS staff (id INT)": "column",
    "ALTER TABLE staff RENAME COLUMN password TO p": "column",
    "ALTER TABLE staff RENAME TO a": "column",
    "RENAME TABLE staff TO u.x": "column",
    "RENAME TABLE a TO staff": "column",
    "DROP TABLE staff": "column",
    "TRUNCATE log": "column",
    "DROP INDEX i ON log": "column",
    "ALTER TABLE form ADD x INT": "column",
    "CREATE INDEX i ON form (id)": "column",
    # other definitions
    "CREATE DATABASE x": "kind",
    "CREATE VIEW a AS SELECT 1": "kind",
    "CREATE TRIGGER x BEFORE INSERT ON a FOR EACH ROW SET NEW.x = 1": "kind",
    "CREATE USER x": "kind",
    "GRANT ALL ON s.a TO x": "kind",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_the_role_may_not_define_is_refused_by_its_rule(text: str) -> None:
    with pytest.raises(Forbidden) as refusal:
        decide(ROLE, analyse(text, "s"))
    assert refusal.value.rule == REFUSED[text]


def test_a_table_that_a_server_may_call_the_restricted_one_is_not_defined_either() -> None:
    role = parse(
        '[roles.r]\nkinds = ["create_table"]\ndefine = ["s.*"]\nread = ["s.*"]\n[roles.r.hidden]\n"s.Staff" = ["pin"]'
    ).roles["r"]
    for name in ("Staff", "STAFF", "`st\u00e4ff`", "`sta\uff46f`"):
        with pytest.raises(Forbidden) as refusal:
            decide(role, analyse(f"CREATE TABLE {name} (id INT)", "s"))
        assert refusal.value.rule == "column"


def test_a_table_without_a_database_is_not_defined() -> None:
    with pytest.raises(Forbidden) as refusal:
        decide(ROLE, analyse("CREATE TABLE a (id INT)", None))
    assert refusal.value.rule == "database"


def test_a_refusal_names_the_table() -> None:
    with pytest.raises(Forbidden, match=r"the table s\.secrets may not be defined"):
        decide(ROLE, analyse("DROP TABLE secrets", "s"))


def test_a_role_that_only_defines_may_name_its_schema_in_a_request() -> None:
    role = parse('[roles.r]\nkinds = ["create_table"]\ndefine = ["s.*"]\ndefault_database = "s"').roles["r"]
    assert role.schemas() == {"s"}


def test_a_role_that_may_define_needs_a_kind_for_it() -> None:
    with pytest.raises(PolicyError, match="kinds has nothing that defines"):
        parse('[roles.r]\nkinds = ["select"]\ndefine = ["s.*"]')
