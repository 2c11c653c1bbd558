"""Turns a statement with `%s` or `%(name)s` (PEP 249's format and pyformat) into one with `?` or `:name`.

ORMs for MySQL write their statements so, since the drivers that they know format them with Python's `%`.
"""

import re
from typing import Final

# Strings, quoted names and comments, in which no parameter can stand; or what starts with `%`. `--` starts a comment
# only before white space or at the end (MySQL 9 manual, 11.7). What is left open reaches to the end.
_TOKEN: Final = re.compile(
    r"""
      (?P<closed> '[^'\\]*+(?:(?:\\(?:.|\Z)|'')[^'\\]*+)*(?:'|\Z) | "[^"\\]*+(?:(?:\\(?:.|\Z)|"")[^"\\]*+)*(?:"|\Z)
                | `[^`]*+(?:``[^`]*+)*(?:`|\Z)
                | --(?=[\x00-\x20\x7f]|\Z)[^\n]* | \#[^\n]* | /\*.*?(?:\*/|\Z) )
    | (?P<escaped> %% )
    | (?P<positional> %s )
    | %\((?P<name>[A-Za-z_]\w*)\)s
    | (?P<bare> % )
    """,
    re.VERBOSE | re.DOTALL,
)
_CLOSED_TOKEN: Final = re.compile(r"%(.?)", re.DOTALL)


def from_format(statement: str) -> str:
    """The statement with `?` for `%s`, `:name` for `%(name)s` and `%` for `%%`.

    Raises ValueError for a `%` that stands alone, and for a parameter in a string, a quoted name or a comment.
    """
    return _TOKEN.sub(_replacement, statement) if "%" in statement else statement


def _replacement(match: re.Match[str]) -> str:
    match match.lastgroup:
        case "closed":
            return _CLOSED_TOKEN.sub(_single, match[0])
        case "escaped":
            return "%"
        case "positional":
            return "?"
        case "name":
            return f":{match['name']}"
    raise ValueError("a % that is no parameter must be written %%")


def _single(match: re.Match[str]) -> str:
    if match[1] != "%":
        raise ValueError("in a string, a quoted name or a comment % must be written %%: no parameter can stand there")
    return "%"
