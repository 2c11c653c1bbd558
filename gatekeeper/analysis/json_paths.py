"""JSON paths, which end a server when they are long: each is a string of bounded length, or a placeholder for one.

MySQL 9.7.2 dies by a path of 15,000 legs, and so it does by one that is computed or read from a table; 1,000 do it no
harm (2026-11-28). So what is computed is refused, and a placeholder's value is bounded when it is known.

Several `**` in one path are tried in every combination: `$**[0]` 13 times over, and 30 arrays in one another, ran on
MariaDB 10.11.19 past its time limit and KILL, and so did nine `**.a` over 90 objects on MySQL 9.7.2. One is harmless.

Several paths are tried at each place of a document: 900 times `$**[0]` over a parameter of 180 KB ran on MariaDB
10.11.19 past its time limit of 2 s, and past a KILL after 25 s. So a statement has few with `**`, and not very many.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from contract.errors import Forbidden
from gatekeeper.analysis.lexer import PLACEHOLDER, STRING, Token

RULE: Final = "json_path"
MAX_PATH_CHARACTERS: Final = 1_000
MOST_ELLIPSES: Final = 1
# In a statement, and among its parameters: paths with `**`; and of all paths together.
MOST_WITH_ELLIPSIS: Final = 4
MOST_PATHS: Final = 100

# Where the paths stand among a function's arguments, counted from 0. Sources: MySQL 9 manual, 14.17; MariaDB
# documentation, "JSON Functions".
_PLACES: Final[Mapping[str, Callable[[int], bool]]] = {
    **dict.fromkeys(("json_extract", "json_remove"), lambda at: at >= 1),
    **dict.fromkeys(
        ("json_exists", "json_key_value", "json_keys", "json_length", "json_query", "json_value"), lambda at: at == 1
    ),
    **dict.fromkeys(
        ("json_array_append", "json_array_insert", "json_insert", "json_replace", "json_set"), lambda at: at % 2 == 1
    ),
    "json_contains": lambda at: at == 2,
    "json_contains_path": lambda at: at >= 2,
    "json_search": lambda at: at >= 4,
}
# Quotes around a piece, what escapes a character of it, and white space.
_PASSED_OVER = re.compile(r"[nN]?['\"\\\s]")
_ARROWS = frozenset({"->", "->>"})
# A string in pieces, or one placeholder; JSON_VALUE has words behind its path (RETURNING, DEFAULT ... ON EMPTY).
_PATH = re.compile(r"s+|p")
_PATH_OF_VALUE = re.compile(r"(?:s+|p)(?:w.*)?")

# How a placeholder is known: by its place among the `?`, counted from 0, or by its name.
Name = int | str


class _Open(msgspec.Struct):
    """A parenthesis that stands open: the JSON function that it belongs to, and the argument that is being read."""

    function: str
    place: int
    start: int


def path_placeholders(tokens: Sequence[Token]) -> frozenset[Name]:
    """The placeholders of a statement, all of whose tokens these are, that stand for JSON paths.

    Raises Forbidden, rule json_path, for a path that is neither a short string nor a placeholder, and for too many.
    """
    kinds = "".join([token.kind for token in tokens])
    names = {at: name for name, at in enumerate(_found(kinds, PLACEHOLDER))}
    paths = [*_arguments(tokens, kinds), *_operands(tokens, kinds)]
    if len(paths) > MOST_PATHS:
        raise Forbidden(f"a statement has {MOST_PATHS} JSON paths at most", rule=RULE)
    found: Counter[Name] = Counter()
    written = []
    for start, end in paths:
        if kinds[start] == PLACEHOLDER:
            text = tokens[start].text
            found[names[start] if text == "?" else text[1:]] += 1
        else:
            written.append([token.text for token in tokens[start:end] if token.kind == STRING])
    _check_paths(written)
    if max(found.values(), default=0) > MOST_WITH_ELLIPSIS:
        raise Forbidden(f"a parameter stands for {MOST_WITH_ELLIPSIS} JSON paths at most", rule=RULE)
    return frozenset(found)


def check(paths: frozenset[Name], params: Sequence[Any] | Mapping[str, Any] | None) -> None:
    """Raises Forbidden, rule json_path, where a value of these is no path or too long, or too many have `**`."""
    values = [_value(path, params) for path in paths]
    if any(isinstance(value, list | dict) for value in values):
        raise Forbidden("a JSON path is a string", rule=RULE)
    _check_paths([[value] for value in values if isinstance(value, str)])


def _check_paths(paths: Sequence[Sequence[str]]) -> None:
    """Raises Forbidden for paths, each in pieces, quoted or not, that are too long or have too many `**`."""
    if sum(_ellipses(pieces) > 0 for pieces in paths) > MOST_WITH_ELLIPSIS:
        raise Forbidden(f"a statement has {MOST_WITH_ELLIPSIS} JSON paths with ** at most", rule=RULE)


def _ellipses(pieces: Sequence[str]) -> int:
    """How many `**` a path has. Raises Forbidden where they are too many, or the path is too long.

    What servers pass over is taken away first, so that no more `**` can stand there than are counted.
    """
    if sum(map(len, pieces)) > MAX_PATH_CHARACTERS:
        raise Forbidden(f"a JSON path has {MAX_PATH_CHARACTERS} characters at most", rule=RULE)
    found = "".join(_PASSED_OVER.sub("", piece) for piece in pieces).count("**")
    if found > MOST_ELLIPSES:
        raise Forbidden(f"a JSON path has {MOST_ELLIPSES} ** at most", rule=RULE)
    return found


def _value(path: Name, params: Sequence[Any] | Mapping[str, Any] | None) -> Any:
    """The value for a placeholder; None where there is none, which the proxy refuses."""
    if isinstance(path, str):
        return params.get(path) if isinstance(params, Mapping) else None
    return params[path] if isinstance(params, Sequence) and path < len(params) else None


def _arguments(tokens: Sequence[Token], kinds: str) -> "list[tuple[int, int]]":
    """From where to where the arguments reach that are paths."""
    found: list[tuple[int, int]] = []
    calls: list[_Open] = []
    for at, kind in enumerate(kinds):
        if kind == "(":
            calls.append(_Open(tokens[at - 1].text.strip("`").lower() if at else "", 0, at + 1))
        elif kind in ",)" and calls:
            call = calls[-1] if kind == "," else calls.pop()
            if (is_path := _PLACES.get(call.function)) and is_path(call.place):
                found.append((call.start, at))
                _require_path(_PATH_OF_VALUE if call.function == "json_value" else _PATH, kinds[call.start : at])
            call.place, call.start = call.place + 1, at + 1
    return found


def _operands(tokens: Sequence[Token], kinds: str) -> "list[tuple[int, int]]":
    """From where to where the paths behind `->` and `->>` reach, which no server takes but as one string."""
    found = []
    for at, token in enumerate(tokens):
        if token.text in _ARROWS:
            _require_path(_PATH, kinds[at + 1 : at + 2])
            found.append((at + 1, at + 2))
    return found


def _require_path(form: re.Pattern[str], kinds: str) -> None:
    if not form.fullmatch(kinds):
        raise Forbidden("a JSON path is a string or a placeholder here, nothing that is computed", rule=RULE)


def _found(kinds: str, kind: str) -> list[int]:
    return [at for at, here in enumerate(kinds) if here == kind]
