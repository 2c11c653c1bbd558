"""On which line of a TOML document each of its members stands; tomllib gives values only.

The text must be one that tomllib has taken: nothing is checked here, and what is odd but allowed (quoted and dotted
names, inline tables, strings and arrays of several lines) is stepped over as TOML 1.0 says.
"""

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

# The names and array indexes that lead to a value, outermost first.
Place = tuple[str | int, ...]

_BASIC, _LITERAL = r'"(?:[^"\\\n]|\\.)*"', r"'[^'\n]*'"
# The closing quotes may have two more before them that are content.
_LONG_BASIC, _LONG_LITERAL = r'"""(?:[^\\]|\\.)*?"{3,5}', r"'''.*?'{3,5}"
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_NAME = re.compile(rf"(?:{_BASIC}|{_LITERAL}|[A-Za-z0-9_.\- \t])+")
_SCALAR = re.compile(rf"{_LONG_BASIC}|{_LONG_LITERAL}|{_BASIC}|{_LITERAL}|[^,\]}}#\n]+", re.DOTALL)


def lines(text: str) -> Mapping[Place, int]:
    """The line, from 1, of each table, member and element of an array; a table's is that of its header.

    Raises RecursionError for a text that is nested as deep as tomllib takes it.
    """
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines: dict[Place, int] = {}
        self._text = text
        self._at = 0
        self._ends = [found.start() for found in re.finditer("\n", text)]

    def document(self) -> None:
        table: Place = ()
        while self._next() is not None:
            if self._next() == "[":
                table = self._header()
            else:
                self._member(table)

    def _header(self) -> Place:
        start = self._at
        while self._text[self._at] == "[":
            self._at += 1
        table = self._name()
        while self._text[self._at : self._at + 1] == "]":
            self._at += 1
        self._stands(table, start)
        self.lines[table] = self._line(start)  # also where a table within it came first
        return table

    def _member(self, table: Place) -> None:
        start = self._at
        place = table + self._name()
        self._at += 1  # the equals sign
        self._stands(place, start)
        self._value(place)

    def _value(self, place: Place) -> None:
        opened = self._next()
        if opened in ("[", "{"):
            self._at += 1
            self._container(place, is_table=opened == "{")
        else:
            self._take(_SCALAR)

    def _container(self, place: Place, *, is_table: bool) -> None:
        number = 0
        while self._next() not in ("]", "}"):
            if is_table:
                self._member(place)
            else:
                self._stands((*place, number), self._at)
                self._value((*place, number))
            number += 1
            if self._next() == ",":
                self._at += 1
        self._at += 1

    def _next(self) -> str | None:
        """The character after blanks and comments, None at the end."""
        self._take(_BLANK)
        return self._text[self._at] if self._at < len(self._text) else None

    def _name(self) -> Place:
        """A name, in parts where it is dotted, as tomllib reads it."""
        inner: Any = tomllib.loads(f"{self._take(_NAME)} = 0")
        place: Place = ()
        while isinstance(inner, dict):
            ((part, inner),) = inner.items()
            place = (*place, part)
        return place

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise ValueError(f"line {self._line(self._at)} can't be followed")
        self._at = found.end()
        return found.group()

    def _stands(self, place: Place, at: int) -> None:
        for length in range(1, len(place) + 1):
            self.lines.setdefault(place[:length], self._line(at))

    def _line(self, at: int) -> int:
        return bisect_right(self._ends, at - 1) + 1
