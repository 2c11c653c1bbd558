"""Cuts a text into its statements, so that each is sent on its own."""

import re
from collections.abc import Iterator

# What a semicolon does not end a statement in (strings, quoted names, comments), or a semicolon. `--` starts a comment
# only before white space or at the end (MySQL 9 manual, 11.7). What is left open reaches to the end of the text, so
# that it is sent whole, and refused, and never cut in the middle of a string.
_TOKEN = re.compile(
    r"""
      (?P<quoted> '[^'\\]*+(?:(?:\\(?:.|\Z)|'')[^'\\]*+)*(?:'|\Z) | "[^"\\]*+(?:(?:\\(?:.|\Z)|"")[^"\\]*+)*(?:"|\Z)
                | `[^`]*+(?:``[^`]*+)*(?:`|\Z) )
    | (?P<comment> --(?=[\s\x00-\x1f]|\Z)[^\n]* | \#[^\n]* | /\*(?!M?!).*?(?:\*/|\Z) )
    | (?P<executable> /\*.*?(?:\*/|\Z) )
    | (?P<end> ; )
    | (?P<blank> \s+ )
    | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_NOTHING = frozenset({"comment", "blank"})


def split(text: str) -> Iterator[str]:
    """The statements in the text, without the semicolons between them; those of comments alone are left out."""
    start, says_something = 0, False
    for match in _TOKEN.finditer(text):
        if match.lastgroup == "end":
            if says_something:
                yield text[start : match.start()].strip()
            start, says_something = match.end(), False
        elif match.lastgroup not in _NOTHING:
            says_something = True
    if says_something:
        yield text[start:].strip()
