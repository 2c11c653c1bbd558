"""Cutting a text into statements never cuts a string, a quoted name or a comment."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.statements import split

CASES = [
    ("nothing", "", []),
    ("blanks and semicolons", " ;\n; ", []),
    ("one without an end", "SELECT 1", ["SELECT 1"]),
    ("two", "SELECT 1; SELECT 2;\n", ["SELECT 1", "SELECT 2"]),
    ("single quotes", "SELECT ';'; SELECT 2", ["SELECT ';'", "SELECT 2"]),
    ("doubled quote", "SELECT 'a'';'; SELECT 2", ["SELECT 'a'';'", "SELECT 2"]),
    ("backslash", r"SELECT 'a\';'; SELECT 2", [r"SELECT 'a\';'", "SELECT 2"]),
    ("double quotes", 'SELECT ";"; SELECT 2', ['SELECT ";"', "SELECT 2"]),
    ("quoted name", "SELECT `;`; SELECT 2", ["SELECT `;`", "SELECT 2"]),
    ("no escape in a quoted name", r"SELECT `\`; SELECT 2", [r"SELECT `\`", "SELECT 2"]),
    ("dashes", "SELECT 1 -- ;\n; SELECT 2", ["SELECT 1 -- ;", "SELECT 2"]),
    ("dashes that are two minus signs", "SELECT 1--1; SELECT 2", ["SELECT 1--1", "SELECT 2"]),
    ("hash", "SELECT 1 # ; '\n; SELECT 2", ["SELECT 1 # ; '", "SELECT 2"]),
    ("slash and star", "SELECT /* ; ' */ 1; SELECT 2", ["SELECT /* ; ' */ 1", "SELECT 2"]),
    ("a comment before a statement", "-- first\nSELECT 1;", ["-- first\nSELECT 1"]),
    ("comments alone", "-- a\n; /* b */ ; # c", []),
    ("dashes at the end", "SELECT 1; --", ["SELECT 1"]),
    ("an executable comment is sent", "/*!50000 SELECT 1; */", ["/*!50000 SELECT 1; */"]),
    ("MariaDB's executable comment is sent", "/*M! SELECT 1 */; SELECT 2", ["/*M! SELECT 1 */", "SELECT 2"]),
    ("an open string is sent whole", "SELECT 'a; DROP TABLE t; --", ["SELECT 'a; DROP TABLE t; --"]),
    ("an open comment is sent whole", "SELECT 1 /* a; b", ["SELECT 1 /* a; b"]),
    ("an executable comment that is open", "/*! SELECT 1; SELECT 2", ["/*! SELECT 1; SELECT 2"]),
]


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_text_is_cut_into_its_statements(text: str, expected: list[str]) -> None:
    assert list(split(text)) == expected


_PIECES = st.sampled_from(
    [
        "SELECT 1",
        "''",
        "';'",
        "'\\''",
        '"a;b"',
        "`;`",
        "/* ; */",
        "-- ;\n",
        "# ;\n",
        "--1",
        "\n",
        "é",
        "\\",
        "/",
        "*",
        "-",
        "?",
    ]
)


@given(st.lists(st.lists(_PIECES, min_size=1).map(lambda pieces: " x ".join(["SELECT", *pieces, "y"])), min_size=1))
def test_statements_that_were_joined_by_semicolons_come_apart_again(statements: list[str]) -> None:
    assert list(split(";\n".join(statements))) == statements


@given(st.text(alphabet="'\"`\\;-#/*! \nab"))
def test_no_character_is_lost_but_semicolons_blanks_and_comments(text: str) -> None:
    position = 0
    for statement in split(text):
        assert statement
        position = text.index(statement, position) + len(statement)


@pytest.mark.parametrize("piece", ["'", "'\\", '"a""', "/*", "`", "-- ", "#;", "; "], ids=repr)
def test_a_long_text_is_cut_in_linear_time(piece: str) -> None:
    started = time.process_time()
    list(split(piece * 100_000))
    assert time.process_time() - started < 5
