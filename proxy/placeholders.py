"""Puts parameters into a statement: `?` and `:name` outside of strings and comments become literals.

Parameters are bound here and not by the server, since the driver has no server-side binding. That is safe only with
the session that proxy/connection.py pins: utf8mb4, and a sql_mode without NO_BACKSLASH_ESCAPES and ANSI_QUOTES.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from contract.errors import InvalidParameters
from proxy.values import literal

# What a placeholder can't stand in (strings, quoted names, comments), or a placeholder. `--` starts a comment only
# before white space or at the end, as the server has it; `:=` and `a:b` are no placeholders. What is not closed goes to
# the end and there is one way to match, so that the time is linear. Only single characters are repeated possessively:
# before Python 3.11.5 a possessive group could match wrongly (gh-106052), and Debian 12 has 3.11.2.
_TOKEN = re.compile(
    r"""
      '[^'\\]*+(?:(?:\\(?:.|\Z)|'')[^'\\]*+)*(?:'|\Z)
    | "[^"\\]*+(?:(?:\\(?:.|\Z)|"")[^"\\]*+)*(?:"|\Z)
    | `[^`]*+(?:``[^`]*+)*(?:`|\Z)
    | --(?=[\x00-\x20\x7f]|\Z)[^\n]*
    | \#[^\n]*
    | (?P<executable>/\*M?!)
    | /\*.*?(?:\*/|\Z)
    | (?P<positional>\?)
    | (?<![\w:]):(?P<name>[A-Za-z_]\w*)
    """,
    re.VERBOSE | re.DOTALL,
)

# Longer statements, and those with more placeholders, are cut anew each time, so that the memory of all is at most some
# 40 MB.
_MOST_REMEMBERED = 4096
_MOST_PLACEHOLDERS = 64


class Template(msgspec.Struct, frozen=True):
    """A statement cut at its placeholders: texts[0] names[0] texts[1] ...; a `?` has the name None."""

    texts: tuple[str, ...]
    names: tuple[str | None, ...]


def template(query: str) -> Template:
    """The query, cut at its placeholders. Raises InvalidParameters for one that the server would read differently."""
    few = len(query) <= _MOST_REMEMBERED and query.count("?") + query.count(":") <= _MOST_PLACEHOLDERS
    return _remembered(query) if few else _cut(query)


def _cut(query: str) -> Template:
    texts, names, start, executable = [], [], 0, False
    for match in _TOKEN.finditer(query):
        if match.lastgroup == "executable":
            executable = True
        elif match.lastgroup is not None:
            texts.append(_before(query[start : match.start()]))
            names.append(match["name"])
            start = match.end()
    if executable and names:
        raise InvalidParameters("a statement with an executable comment can't have parameters")
    return Template((*texts, query[start:]), tuple(names))


def _before(text: str) -> str:
    """The text before a placeholder. Raises InvalidParameters where a number, which begins with a space, would make a
    comment of two minus signs, and of the rest of the line.
    """
    if text.endswith("--"):
        raise InvalidParameters("a parameter can't follow two minus signs: put a space between them")
    return text


_remembered = lru_cache(maxsize=4096)(_cut)


def has_executable(query: str) -> bool:
    """Whether the query has a comment that some server executes."""
    return any(match.lastgroup == "executable" for match in _TOKEN.finditer(query))


def unquoted(query: str) -> str:
    """The query without its strings, quoted names, comments and placeholders."""
    return _TOKEN.sub(" ", query)


def bind(query: str, params: Sequence[Any] | Mapping[str, Any] | None) -> str:
    """The query with its parameters as literals. Raises InvalidParameters for a wrong count, name or type."""
    if not params and "?" not in query and ":" not in query:
        return query
    cut = template(query)
    if not cut.names and not params:
        return query
    values = _by_name(cut, params) if isinstance(params, Mapping) else _by_position(cut, params or ())
    parts = [cut.texts[0]]
    for value, text in zip(values, cut.texts[1:], strict=True):
        parts += (literal(value), text)
    return "".join(parts)


def _by_position(cut: Template, params: Sequence[Any]) -> Sequence[Any]:
    positional = sum(name is None for name in cut.names)
    if positional < len(cut.names):
        raise InvalidParameters("the statement has :name placeholders: params must be an object")
    if positional != len(params):
        raise InvalidParameters(f"the statement has {positional} placeholders, params holds {len(params)}")
    return params


def _by_name(cut: Template, params: Mapping[str, Any]) -> Sequence[Any]:
    wanted = {name for name in cut.names if name is not None}
    if None in cut.names:
        raise InvalidParameters("the statement has ? placeholders: params must be an array")
    if wanted != params.keys():
        missing, unused = sorted(wanted - params.keys()), sorted(params.keys() - wanted)
        raise InvalidParameters(f"params do not fit the statement: missing {missing}, not in the statement {unused}")
    return [params[name] for name in cut.names if name is not None]
