"""The fuzzer's parts that need no server: where servers are found, what is forgiven, what is made of a seed."""

import re
import stat
from pathlib import Path
from random import Random

import pytest

from tests.fuzz import features, known, programs
from tests.fuzz.grammar import Grammar


def mysqld(directory: Path, script: str) -> Path:
    """A directory with a program in the server's place."""
    program = directory / "bin/mysqld"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return directory


def test_a_directory_with_a_server_is_known_by_its_programs(tmp_path: Path) -> None:
    found = programs.find(str(mysqld(tmp_path, "echo 'mysqld  Ver 9.7.2-cluster for Linux'")))
    assert (found.family, found.version) == ("mysql", "9.7.2-cluster")
    assert found.command == (str(tmp_path / "bin/mysqld"),)


def test_a_missing_library_is_named(tmp_path: Path) -> None:
    said = "error while loading shared libraries: libaio.so.1: cannot open shared object file"
    with pytest.raises(programs.CannotRun, match=r"needs libaio\.so\.1$"):
        programs.find(str(mysqld(tmp_path, f"echo '{said}' >&2; exit 127")))


def test_what_holds_no_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(programs.CannotRun, match="neither bin/mysqld nor usr/sbin/mariadbd"):
        programs.find(str(tmp_path))


def test_a_root_without_its_c_library_is_refused(tmp_path: Path) -> None:
    server = tmp_path / "usr/sbin/mariadbd"
    server.parent.mkdir(parents=True)
    server.touch()
    with pytest.raises(programs.CannotRun, match="C library"):
        programs.find(str(tmp_path))


def test_a_broken_tarball_is_refused_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "CACHE", tmp_path / "cache")
    broken = tmp_path / "mysql.tar.xz"
    broken.write_bytes(b"no archive")
    with pytest.raises(programs.CannotRun, match="can't be unpacked"):
        programs.find(str(broken))
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_tarball_is_the_one_that_the_setting_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(programs.TARBALL_SETTING, "elsewhere.tar.xz")
    assert programs.mysql_tarball() == "elsewhere.tar.xz"


def denied(column: str, table: str = "customers", right: str = "SELECT") -> str:
    """A server's error 1143."""
    return f"{right} command denied to user 'columns'@'localhost' for column '{column}' in table '{table}'"


NAMED = "INSERT INTO customers (name, email) VALUES ('x', 'y')"
FILLED: dict[str, tuple[str, str, str, bool]] = {
    "a column that is filled": ("insert", denied("name"), f"{NAMED} ON DUPLICATE KEY UPDATE city = 'z'", True),
    "one that is given another value": (
        "insert",
        denied("notes"),
        f"{NAMED} ON DUPLICATE KEY UPDATE `notes` = 'z'",
        True,
    ),
    "one that is not filled": ("insert", denied("notes"), f"{NAMED} ON DUPLICATE KEY UPDATE city = notes", False),
    "one of the new row, in VALUES": (
        "insert",
        denied("notes"),
        "INSERT INTO customers (name) VALUES ((SELECT notes FROM orders))",
        True,
    ),
    "one of a stored row, in VALUES": (
        "insert",
        denied("notes"),
        "INSERT INTO customers (name) VALUES ((SELECT notes FROM customers))",
        False,
    ),
    "one that is shown": ("insert", denied("name"), f"{NAMED} RETURNING name", False),
    "all of them shown": ("insert", denied("name"), f"{NAMED} RETURNING *", False),
    "a column of an alias": ("insert", denied("name", "z"), f"{NAMED} RETURNING id", False),
    "another right": ("insert", denied("name", right="UPDATE"), NAMED, False),
    "another kind": ("update", denied("name"), "UPDATE customers SET name = 'x'", False),
}


@pytest.mark.parametrize(("kind", "text", "sql", "forgiven"), FILLED.values(), ids=FILLED)
def test_a_read_may_be_forgiven_only_where_the_column_is_the_new_rows(
    kind: str, text: str, sql: str, forgiven: bool
) -> None:
    assert (known.only_filled(1143, text, kind, sql) is not None) == forgiven


BARE = {
    ("insert", f"/* VALUES ( */ {NAMED} # RETURNING\n"): ("insert", NAMED),
    ("explain", f"EXPLAIN {NAMED}"): ("insert", NAMED),
    ("explain", f"/*x*/ desc format = json {NAMED} -- y"): ("insert", NAMED),
    ("explain", "EXPLAIN (SELECT 1)"): ("select", "(SELECT 1)"),
    ("insert", "INSERT INTO t VALUES ('/* no comment */', \"-- \", `#`)"): (
        "insert",
        "INSERT INTO t VALUES ('/* no comment */', \"-- \", `#`)",
    ),
}


@pytest.mark.parametrize(("given", "bare"), BARE.items())
def test_what_is_known_is_asked_of_the_statement_without_comments_and_explain(
    given: tuple[str, str], bare: tuple[str, str]
) -> None:
    kind, text = known.bare(*given)
    assert (kind, text.strip()) == bare


USES = {
    "INSERT INTO t (id, a) VALUES (1, 2)": False,
    "INSERT INTO t (id, a) VALUES (1, 2) ON DUPLICATE KEY UPDATE id = 3, a = 4": False,
    "INSERT INTO t (id, a) VALUES (1, 2) ON DUPLICATE KEY UPDATE a = 4, t.`id` = VALUES(id)": False,
    "INSERT INTO t SET id = 1, a = 2": False,
    "INSERT INTO t (id, a) VALUES (1, 2) ON DUPLICATE KEY UPDATE a = id": True,
    "INSERT INTO t (a) VALUES (2) ON DUPLICATE KEY UPDATE id = 1 + id": True,
    "INSERT INTO t (id, a) VALUES (1, id)": True,
    "INSERT INTO t SET a = id": True,
    "INSERT INTO t (id, a) VALUES (1, n.id) AS n ON DUPLICATE KEY UPDATE a = n.id": False,
    "INSERT INTO t (id, a) VALUES (1, 2) AS n ON DUPLICATE KEY UPDATE a = t.id": True,
}


@pytest.mark.parametrize(("sql", "used"), USES.items(), ids=USES)
def test_a_column_is_used_where_it_is_named_and_not_filled(sql: str, used: bool) -> None:
    assert known.uses(sql, "id") == used


ROUTINES = {"md5": True, "leak": False, "sleep": False}


@pytest.mark.parametrize(("name", "forgiven"), ROUTINES.items(), ids=ROUTINES)
def test_a_stored_function_is_forgiven_only_by_the_name_of_an_allowed_one(name: str, forgiven: bool) -> None:
    text = f"execute command denied to user 'part'@'localhost' for routine 'shop.{name}'"
    assert known.is_known(1370, text, "select", "SELECT 1") == forgiven


INSERTED = {
    "INSERT INTO orders (qty) VALUES (status)": True,
    "INSERT INTO orders (qty, status) VALUES (1, 2)": False,
    "INSERT INTO orders (qty) VALUES (1) ON DUPLICATE KEY UPDATE status = 2": False,
}


@pytest.mark.parametrize(("sql", "forgiven"), INSERTED.items(), ids=INSERTED)
def test_a_right_to_insert_is_forgiven_only_where_no_such_column_is_filled(sql: str, forgiven: bool) -> None:
    assert known.is_known(1143, denied("status", "orders", "INSERT"), "insert", sql) == forgiven


def test_every_template_is_filled() -> None:
    grammar = Grammar(Random(1))
    made = [grammar.feature() for _ in range(len(features.TEMPLATES) * 10)]
    assert [text for text in made if re.search(r"<\w>", text)] == []
    assert len(set(made)) > len(features.TEMPLATES) * 5


def test_a_seed_makes_the_same_statements_again() -> None:
    first, second = (Grammar(Random(7)) for _ in range(2))
    assert [(first.statement(), first.feature()) for _ in range(50)] == [
        (second.statement(), second.feature()) for _ in range(50)
    ]
