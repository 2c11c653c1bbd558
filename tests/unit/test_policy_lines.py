"""On which line of a TOML document its members stand."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatekeeper.policy.lines import Place, lines

ODD = r'''# a comment with "quotes" = [ and {
first = 1 # = [
"quoted.name" . inner = 'x]'
[roles."a b"]  # [not.a.table]
kinds = [ # one
  "select", # ]
  """several
  ]\" lines"""",
  { z = [1,
  2 ] },
]
when = 2026-01-01 10:00:00Z
text = \'\'\'
it's [x]
y = 1\'\'\'
inline = { "u" = 1, v.w = "}" }
[roles.b.hidden]
"x.y" = []
empty = {}
nothing = ""
number = 1.5e3
[roles.b]
last = true
[[list]]
long = """"""
[ spaced . "out" ]
end = 1'''.replace(r"\'", "'")

STANDS: dict[Place, int] = {
    ("first",): 2,
    ("quoted.name",): 3,
    ("quoted.name", "inner"): 3,
    ("roles",): 4,
    ("roles", "a b"): 4,
    ("roles", "a b", "kinds"): 5,
    ("roles", "a b", "kinds", 0): 6,
    ("roles", "a b", "kinds", 1): 7,
    ("roles", "a b", "kinds", 2): 9,
    ("roles", "a b", "kinds", 2, "z"): 9,
    ("roles", "a b", "kinds", 2, "z", 0): 9,
    ("roles", "a b", "kinds", 2, "z", 1): 10,
    ("roles", "a b", "when"): 12,
    ("roles", "a b", "text"): 13,
    ("roles", "a b", "inline"): 16,
    ("roles", "a b", "inline", "u"): 16,
    ("roles", "a b", "inline", "v"): 16,
    ("roles", "a b", "inline", "v", "w"): 16,
    ("roles", "b", "hidden"): 17,
    ("roles", "b", "hidden", "x.y"): 18,
    ("roles", "b", "hidden", "empty"): 19,
    ("roles", "b", "hidden", "nothing"): 20,
    ("roles", "b", "hidden", "number"): 21,
    ("roles", "b"): 22,
    ("roles", "b", "last"): 23,
    ("list",): 24,
    ("list", "long"): 25,
    ("spaced",): 26,
    ("spaced", "out"): 26,
    ("spaced", "out", "end"): 27,
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_every_member_of_an_odd_document_is_found(newline: str) -> None:
    text = ODD.replace("\n", newline)
    tomllib.loads(text)
    assert lines(text) == STANDS


def test_an_empty_document_has_nothing() -> None:
    assert lines("") == lines(" # only this") == {}


_NAMES = st.sampled_from(["a", "b-1", '"c d"', "'e.f'", '"\\"]"', "g.h", "1.2", '""'])
_SCALARS = st.sampled_from(
    ["1", "true", '"x"', "'y = ]'", '"""\n#"""', "'''\n}'''", "1979-05-27 07:32:00", "-inf", '"\\\\"', '"""\\""""']
)
_GAPS = st.sampled_from(["", " ", "\n", " # ]\n", "\r\n\t"])


def _array(parts: list[tuple[str, str]], end: str) -> str:
    return "[" + ",".join(f"{gap}{value}{gap}" for gap, value in parts) + f"{end}]"


def _table(parts: list[tuple[str, str]]) -> str:
    return "{ " + ", ".join(f"{name}{number} = {value}" for number, (name, value) in enumerate(parts)) + " }"


_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.builds(_array, st.lists(st.tuples(_GAPS, inner), max_size=3), _GAPS)
        | st.builds(_table, st.lists(st.tuples(st.sampled_from(["k", "l.m", "n . o"]), inner), max_size=3))
    ),
    max_leaves=8,
)
_DOCUMENTS = st.lists(st.tuples(st.sampled_from(["", "[{}]\n", "[[{}]]\n", "# [{}]\n"]), _NAMES, _VALUES), max_size=6)


def _places(value: Any, place: Place = ()) -> list[Place]:
    parts: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        parts = list(value.items())
    elif isinstance(value, list) and not (value and isinstance(value[0], dict)):
        parts = list(enumerate(value))  # not those of [[...]], which have no line of their own
    return [place, *(found for part, inner in parts for found in _places(inner, (*place, part)))]


@given(_DOCUMENTS)
def test_whatever_toml_allows_can_be_followed(parts: list[tuple[str, str, str]]) -> None:
    text = ""
    for number, (header, name, value) in enumerate(parts):
        text += header.format(f"t{number}.{name}") + f"line{number}.{name} = {value} # end\n"
    found = lines(text)
    assert set(_places(tomllib.loads(text))[1:]) <= found.keys()
    for number in range(len(parts)):
        line = next(line for place, line in found.items() if f"line{number}" in place)
        assert text.split("\n")[line - 1].startswith(f"line{number}.")
