import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import InvalidParameters
from proxy.placeholders import bind, template

CASES = {
    "positional": ("SELECT ? + ?", [1, "a"], "SELECT  1 + 'a'"),
    "named": ("SELECT :a, :b, :a", {"a": 1, "b": None}, "SELECT  1, NULL,  1"),
    "in a string": ("SELECT '?', ?", [1], "SELECT '?',  1"),
    "in a string with quotes": ("SELECT 'a''?\\'?', ?", [1], "SELECT 'a''?\\'?',  1"),
    "in double quotes": ('SELECT "?", ?', [1], 'SELECT "?",  1'),
    "in a quoted name": ("SELECT `a?``b`, ?", [1], "SELECT `a?``b`,  1"),
    "in a comment": ("SELECT /* ? */ ?", [1], "SELECT /* ? */  1"),
    "in a line comment": ("SELECT -- ?\n ?", [1], "SELECT -- ?\n  1"),
    "in a hash comment": ("SELECT # ?\n ?", [1], "SELECT # ?\n  1"),
    "two minus signs are no comment": ("SELECT 5--1, ?", [3], "SELECT 5--1,  3"),
    "two minus signs apart": ("SELECT 5- -?", [3], "SELECT 5- - 3"),
    "a comment that ends": ("SELECT 5 /*--*/?", [3], "SELECT 5 /*--*/ 3"),
    "assignment is no placeholder": ("SELECT @x:=1, :y", {"y": 2}, "SELECT @x:=1,  2"),
    "a time is no placeholder": ("SELECT '10:30', :h", {"h": 1}, "SELECT '10:30',  1"),
    "no parameters": ("SELECT 1", None, "SELECT 1"),
    "empty parameters": ("SELECT 1", [], "SELECT 1"),
}


@pytest.mark.parametrize(("query", "params", "bound"), CASES.values(), ids=CASES.keys())
def test_placeholders_become_literals_outside_of_strings_and_comments(
    query: str, params: list[object] | dict[str, object] | None, bound: str
) -> None:
    assert bind(query, params) == bound


REFUSED = {
    "too few": ("SELECT ?, ?", [1], "2 placeholders, params holds 1"),
    "too many": ("SELECT ?", [1, 2], "1 placeholders, params holds 2"),
    "none given": ("SELECT ?", None, "1 placeholders, params holds 0"),
    "none wanted": ("SELECT 1", [1], "0 placeholders, params holds 1"),
    "array for names": ("SELECT :a", [1], "must be an object"),
    "object for positions": ("SELECT ?", {"a": 1}, "must be an array"),
    "an executable comment": ("SELECT /*!50000 ? */", [1], "executable comment"),
    "MariaDB's executable comment": ("SELECT /*M! ? */", [1], "executable comment"),
    "a comment that is none to the server": ("SELECT 1--\xa0'\n, ?, '", [1], "0 placeholders"),
    "a number that would begin with a comment": ("SELECT 5--?, 6\n", [3], "two minus signs"),
    "a name that would be commented out": ("SELECT 5---:a, 6\n", {"a": 1}, "two minus signs"),
    "a name missing": ("SELECT :a, :b", {"a": 1}, "missing ['b']"),
    "a name too many": ("SELECT :a", {"a": 1, "c": 1}, "not in the statement ['c']"),
}


@pytest.mark.parametrize(("query", "params", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_parameters_that_do_not_fit_are_refused(
    query: str, params: list[object] | dict[str, object] | None, reason: str
) -> None:
    with pytest.raises(InvalidParameters) as refusal:
        bind(query, params)
    assert reason in refusal.value.detail


@given(st.text(max_size=60))
def test_a_statement_cut_at_its_placeholders_can_be_put_together_again(query: str) -> None:
    cut = template(query)
    marks = ["?" if name is None else f":{name}" for name in cut.names]
    assert "".join(text + mark for text, mark in zip(cut.texts, [*marks, ""], strict=True)) == query


@given(st.text(max_size=40))
def test_a_bound_string_has_no_placeholder_and_no_end_before_its_own(value: str) -> None:
    literal = bind("?", [value])
    assert template(literal).names == ()
    assert bind(f"{literal} ?", [1]) == f"{literal}  1"


@pytest.mark.parametrize("unit", ["'\\", "'", '"\\"', "`", "/*", "-- ", ":a?"])
def test_the_time_to_find_placeholders_is_linear(unit: str) -> None:
    # Quadratic time would be minutes here, and the test's own time limit the failure.
    assert template(unit * 200_000).texts
