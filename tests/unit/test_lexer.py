import pytest

from contract.errors import Forbidden
from gatekeeper.analysis.lexer import MAX_CHARACTERS, lex

REFUSED = {
    "executable comment": ("SELECT 1 /*!UNION SELECT 2*/", "comment"),
    "versioned comment": ("SELECT 1 /*!50000 UNION SELECT 2*/", "comment"),
    "MariaDB's comment": ("SELECT 1 /*M! UNION SELECT 2*/", "comment"),
    "unknown maker's comment": ("SELECT 1 /*T! UNION SELECT 2*/", "comment"),
    "hint": ("SELECT /*+ SET_VAR(sql_mode='') */ 1", "comment"),
    "nested comment": ("SELECT /* /* */ 1", "comment"),
    "comment that closes itself only in part": ("SELECT 1/*/*/UNION SELECT 2/**/", "comment"),
    "open comment": ("SELECT 1 /* x", "comment"),
    "comment's end alone": ("SELECT 1 */ 2", "comment"),
    "no-break space": ("SELECT\u00a01", "character"),
    "two minus signs and a wide space": ("SELECT 1--\u3000.id", "character"),
    "two minus signs and a vertical tab": ("SELECT 1 --\x0bx", "character"),
    "NUL": ("SELECT 1 \x00", "character"),
    "NUL in a string": ("SELECT '\x00'", "character"),
    "half a character": ("SELECT '\ud800'", "character"),
    "byte order mark": ("\ufeffSELECT 1", "character"),
    "letters beyond ASCII": ("SELECT n\u00e4me", "character"),
    "variable": ("SELECT @x", "character"),
    "system variable": ("SELECT @@version", "character"),
    "dollar": ("SELECT a$b", "character"),
    "brace": ("SELECT {fn now()}", "character"),
    "backslash": ("SELECT \\N", "character"),
    "bracket": ("SELECT a[1]", "character"),
    "number glued to a keyword": ("SELECT a,1e1FROM staff", "number"),
    "float glued to a keyword": ("SELECT a,1.0FROM staff", "number"),
    "number with a dot only": ("SELECT a,1.FROM staff", "number"),
    "number with a bare exponent": ("SELECT a 1.e, b", "number"),
    "name that begins with a digit": ("SELECT 1abc", "number"),
    "hex in upper case": ("SELECT 0X41", "number"),
    "number after a name's dot": ("SELECT a.1 FROM t", "dot"),
    "open string": ("SELECT 'a", "quote"),
    "open double quotes": ('SELECT "a', "quote"),
    "open backticks": ("SELECT `a", "quote"),
    "nothing in backticks": ("SELECT ``", "quote"),
    "control character in backticks": ("SELECT `a\x01`", "quote"),
    "odd hex literal": ("SELECT x'123'", "quote"),
    "no bit literal": ("SELECT b'12'", "quote"),
    "introducer of another character set": ("SELECT _gbk'a'", "introducer"),
    "introducer apart from its literal": ("SELECT _latin1 /* */ 0x41", "introducer"),
    "introducer of a placeholder": ("SELECT _sjis ?", "introducer"),
    "placeholder at a word": ("SELECT a?", "placeholder"),
    "placeholder at a number": ("SELECT ?1", "placeholder"),
    "placeholder at a string": ("SELECT ?'a'", "placeholder"),
    "placeholder at a placeholder": ("SELECT ??", "placeholder"),
    "placeholder as a name's part": ("SELECT t.?", "placeholder"),
    "named placeholder at a word": ("SELECT a:b", "placeholder"),
    "assignment": ("SELECT a:=1", "placeholder"),
    "colon alone": ("SELECT :", "placeholder"),
    "dot after a call": ("SELECT f().a", "dot"),
    "dot after a keyword": ("SELECT 1 FROM .staff", "dot"),
    "four names": ("SELECT a.b.c.d", "dot"),
    "two dots": ("SELECT a..b", "dot"),
    "two statements": ("SELECT 1; SELECT 2", "multiple_statements"),
    "a placeholder behind two minus signs": ("SELECT a --? FROM t", "placeholder"),
    "a named placeholder behind two minus signs": ("SELECT a ---:x FROM t", "placeholder"),
    "two statements and a comment between": ("SELECT 1;/* ; */DROP TABLE t", "multiple_statements"),
    "two semicolons": ("SELECT 1;;", "multiple_statements"),
    "too long": ("SELECT 1" + " " * MAX_CHARACTERS, "too_long"),
}


@pytest.mark.parametrize(("text", "rule"), REFUSED.values(), ids=REFUSED)
def test_a_text_that_two_readers_could_read_differently_is_refused(text: str, rule: str) -> None:
    with pytest.raises(Forbidden) as refusal:
        lex(text)
    assert refusal.value.rule == rule


READ = {
    "white space": (" SELECT\t1\r\n", ["SELECT", "1"]),
    "comments": ("/* a */SELECT/**/1 -- b\n# c\n--\n", ["SELECT", "1"]),
    "two minus signs": ("5--1", ["5", "-", "-", "1"]),
    "a comment that swallows the rest": ("1 -- 'a", ["1"]),
    "a closing semicolon": ("SELECT 1 ; -- end", ["SELECT", "1"]),
    "strings": (r"""'a''b' 'c\'d' "e""f" "g\"h" N'i'""", ["'a''b'", r"'c\'d'", '"e""f"', r'"g\"h"', "N'i'"]),
    "what looks like more in strings": ("'-- ; /*! @@x'", ["'-- ; /*! @@x'"]),
    "quoted names": (
        "`a b` `c``d` `\u043d\u043e\u043c\u0435\u0440` `x\\`",
        ["`a b`", "`c``d`", "`\u043d\u043e\u043c\u0435\u0440`", "`x\\`"],
    ),
    "numbers": (
        "1 1.5 .5 1e3 1.5E-3 0x4F 0b01 x'4f' B'01'",
        ["1", "1.5", ".5", "1e3", "1.5E-3", "0x4F", "0b01", "x'4f'", "B'01'"],
    ),
    "operators": ("a<=>b->>'$'||c", ["a", "<=>", "b", "->>", "'$'", "||", "c"]),
    "placeholders": ("a=? AND b=:name,?", ["a", "=", "?", "AND", "b", "=", ":name", ",", "?"]),
    "qualified names": ("a . `b`.*", ["a", ".", "`b`", ".", "*"]),
    "introducers": ("_utf8mb4'a' _BINARY 'b' _id", ["_utf8mb4", "'a'", "_BINARY", "'b'", "_id"]),
    "nothing": (" /* */ ", []),
}


@pytest.mark.parametrize(("text", "tokens"), READ.values(), ids=READ)
def test_an_ordinary_text_is_read_as_the_server_reads_it(text: str, tokens: list[str]) -> None:
    assert [token.text for token in lex(text)] == tokens


def test_a_word_after_a_dot_and_a_quoted_one_are_no_keywords() -> None:
    assert [token.word for token in lex("from a.from `from`")] == ["FROM", "A", "", "", ""]


def test_a_quoted_name_is_no_longer_than_a_servers() -> None:
    assert len(lex(f"SELECT `{'x' * 64}`")) == 2
    with pytest.raises(Forbidden) as refused:
        lex(f"SELECT `{'x' * 129}`")
    assert refused.value.rule == "quote"
