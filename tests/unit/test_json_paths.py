"""JSON paths are short strings, or placeholders whose values are."""

from typing import Any

import pytest

from contract.errors import Forbidden
from gatekeeper.analysis import Analysis, analyse, check_json_paths

LONGEST = "$" + "[0]" * 333
LONG = "$" + "[0]" * 334

ACCEPTED = {
    "one": ("JSON_EXTRACT(doc, '$.a')", set()),
    "the longest": (f"JSON_EXTRACT(doc, '{LONGEST[:-2]}')", set()),
    "several": ("JSON_EXTRACT(doc, '$.a', ?, '$.b', ?)", {0, 1}),
    "in pieces": ("JSON_EXTRACT(doc, '$' '.a')", set()),
    "values are not paths": ("JSON_SET(?, ?, ?, '$.b', CONCAT(a, ?))", {1}),
    "by name": ("JSON_SET(:doc, :path, :value)", {"path"}),
    "after other placeholders": ("CONCAT(?, ?, JSON_LENGTH(doc, ?), ?)", {2}),
    "in one another": ("JSON_SET(doc, '$.a', JSON_EXTRACT(?, ?))", {1}),
    "the third argument": ("JSON_CONTAINS(?, ?, ?)", {2}),
    "from the third on": ("JSON_CONTAINS_PATH(doc, ?, ?, '$.a', ?)", {1, 2}),
    "from the fifth on": ("JSON_SEARCH(doc, ?, ?, NULL, ?)", {2}),
    "with words behind it": ("JSON_VALUE(doc, ? RETURNING SIGNED)", {0}),
    "an arrow": ("doc->'$.a'", set()),
    "two arrows": ("doc->>'$.a'", set()),
    "one **": ("JSON_EXTRACT(doc, '$**.a[*].b[*].*', '$**.c')", set()),
    "no path at all": ("JSON_LENGTH(doc)", set()),
    "no JSON": ("CONCAT(a, ?)", set()),
}


def analysis(expression: str) -> Analysis:
    return analyse(f"SELECT {expression} FROM t", "shop")


@pytest.mark.parametrize(("expression", "placeholders"), ACCEPTED.values(), ids=ACCEPTED)
def test_a_json_path_is_a_short_string_or_a_placeholder(expression: str, placeholders: set[int | str]) -> None:
    assert analysis(expression).json_paths == placeholders


REFUSED = {
    "computed": "JSON_EXTRACT(doc, REPEAT('[0]', 15000))",
    "from a table": "JSON_EXTRACT(doc, path)",
    "from a query": "JSON_EXTRACT(doc, (SELECT path FROM t LIMIT 1))",
    "after a sound one": "JSON_EXTRACT(doc, '$', CONCAT('$', ?))",
    "long": f"JSON_EXTRACT(doc, '{LONG}')",
    "long in pieces": f"JSON_EXTRACT(doc, '{LONGEST}' '[0]')",
    "long with words behind it": f"JSON_VALUE(doc, '{LONG}' RETURNING SIGNED)",
    "long behind an arrow": f"doc->'{LONG}'",
    "long behind two": f"doc->>'{LONG}'",
    "bytes": "JSON_EXTRACT(doc, x'24')",
    "a literal of another set": "JSON_EXTRACT(doc, _utf8mb4'$')",
    "parenthesised": "JSON_EXTRACT(doc, ('$'))",
    "in another call": "JSON_LENGTH(JSON_REMOVE(doc, LOWER('$.A')))",
    "in any case": "json_Array_Append(doc, LOWER('$.A'), 1)",
    "of every function": "JSON_CONTAINS_PATH(doc, 'one', '$', UPPER('$'))",
}

ELLIPSES = {
    "two": "JSON_EXTRACT(doc, '$**.a**.b')",
    "many": f"JSON_CONTAINS_PATH(doc, 'one', '$.a', '${'**[0]' * 13}')",
    "over pieces": "JSON_EXTRACT(doc, '$**.a*' '*.b')",
    "over pieces of two kinds": """JSON_EXTRACT(doc, '$**.a*' "*.b")""",
    "escaped": r"JSON_EXTRACT(doc, '$**.a*\*.b')",
    "behind an arrow": "doc->>'$**.a**.b'",
    "with words behind them": "JSON_VALUE(doc, '$**.a**.b' RETURNING SIGNED)",
}


@pytest.mark.parametrize("expression", ELLIPSES.values(), ids=ELLIPSES)
def test_a_json_path_with_several_ellipses_is_refused(expression: str) -> None:
    with pytest.raises(Forbidden) as refused:
        analysis(expression)
    assert refused.value.rule == "json_path"


@pytest.mark.parametrize("expression", REFUSED.values(), ids=REFUSED)
def test_a_json_path_that_is_computed_or_long_is_refused(expression: str) -> None:
    with pytest.raises(Forbidden) as refused:
        analysis(expression)
    assert refused.value.rule == "json_path"


MANY = {
    "with **": "JSON_EXTRACT(doc" + ", '$**[0]'" * 5 + ")",
    "with ** in several calls": " + ".join(["JSON_LENGTH(JSON_EXTRACT(doc, '$**[0]'))"] * 5),
    "of any kind": f"JSON_EXTRACT(doc{', ?' * 101})",
    "by the same name": f"JSON_EXTRACT(doc{', :path' * 5})",
}


@pytest.mark.parametrize("expression", MANY.values(), ids=MANY)
def test_a_statement_has_few_json_paths_with_ellipses_and_not_very_many_of_any(expression: str) -> None:
    with pytest.raises(Forbidden) as refused:
        analysis(expression)
    assert refused.value.rule == "json_path"


def test_parameters_have_few_json_paths_with_ellipses() -> None:
    assert analysis(f"JSON_EXTRACT(doc, '$**.a'{', ?' * 99})").json_paths == set(range(99))
    check_json_paths(frozenset(range(99)), ["$**[0]"] * 4 + ["$[0]"] * 95)
    with pytest.raises(Forbidden, match=r"4 JSON paths with \*\* at most"):
        check_json_paths(frozenset(range(5)), ["$**[0]"] * 5)


def test_a_statement_that_is_read_in_the_process_apart_tells_its_paths_too() -> None:
    deep = "".join(f" AND (a = {number} OR (b = 1 AND (c = 2)))" for number in range(80))
    found = analyse(f"SELECT JSON_EXTRACT(doc, ?) FROM t WHERE a = 1{deep}", "shop", analyse)
    assert found.json_paths == {0}


@pytest.mark.parametrize("params", [[LONG], ["$" + " " * 1000], ["$**.a**.b"], [["$"]], [{"$bytes": "JA=="}]], ids=repr)
def test_a_parameter_that_is_a_json_path_is_short(params: list[Any]) -> None:
    with pytest.raises(Forbidden) as refused:
        check_json_paths(frozenset({0}), params)
    assert refused.value.rule == "json_path"


@pytest.mark.parametrize("params", [["$.a", LONG], [None], [], None, {"path": "$"}], ids=repr)
def test_other_parameters_may_be_long_and_missing_ones_are_the_proxys_to_refuse(params: Any) -> None:
    check_json_paths(frozenset({0}), params)


def test_a_named_parameter_that_is_a_path_is_short() -> None:
    check_json_paths(frozenset({"path"}), {"path": "$", "value": LONG})
    with pytest.raises(Forbidden):
        check_json_paths(frozenset({"path"}), {"path": LONG})
