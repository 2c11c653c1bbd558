"""Reading a statement's tokens from the left by a closed grammar: what is not expected is refused."""

import re
from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeVar

from contract.errors import Forbidden
from gatekeeper.analysis.lexer import NUMBER, QUOTED, STRING, WORD, Token
from gatekeeper.analysis.scopes import TableName, table_name
from gatekeeper.analysis.words import STRUCTURAL, words

# Reserved by both servers besides STRUCTURAL, where they open or change a part of a definition. An unquoted one is
# never a name here.
_RESERVED: Final = STRUCTURAL | words(
    """
    BIGINT BINARY BLOB CHAR CHARACTER CONVERT DEC DECIMAL DEFAULT DOUBLE FLOAT INDEX INT INTEGER KEY LONGBLOB LONGTEXT
    MEDIUMBLOB MEDIUMINT MEDIUMTEXT NUMERIC PRECISION PRIMARY REAL SMALLINT SPATIAL TINYBLOB TINYINT TINYTEXT UNSIGNED
    VARBINARY VARCHAR ZEROFILL
    """
)
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_NOT_KEYS = frozenset({QUOTED, STRING, NUMBER, "p"})
_MOST_NESTED: Final = 20

Part = TypeVar("Part")


class Cursor:
    """The tokens of one statement and a place in them. Every method raises Forbidden (rule construct) where the
    statement goes on otherwise, but for those that answer with a bool or "".

    `schema`: where unqualified tables are, "" for nowhere. `names`: those that were read, without their backticks.
    """

    def __init__(self, what: str, tokens: Sequence[Token], schema: str | None) -> None:
        self.schema: Final = schema or ""
        self.names: Final[list[str]] = []
        self._what = what
        self._tokens = tokens
        self._keys = [_key(token) for token in tokens]
        self._at = 0
        self._depth = 0

    @property
    def word(self) -> str:
        """The next token if it may be a keyword, a mark or an operator, in upper case; else ""."""
        return self._keys[self._at] if self._at < len(self._keys) else ""

    @property
    def kind(self) -> str:
        """The next token's kind, "" at the end."""
        return self._tokens[self._at].kind if self._at < len(self._tokens) else ""

    def take(self, *expected: str) -> bool:
        """Goes past these words if they are the next ones."""
        if self._keys[self._at : self._at + len(expected)] != list(expected):
            return False
        self._at += len(expected)
        return True

    def expect(self, *expected: str) -> None:
        """Goes past these words, which must be the next ones."""
        if not self.take(*expected):
            raise self.refusal()

    def take_any(self, words: Collection[str]) -> str:
        """Goes past the next word if it is one of these, and says which; else ""."""
        word = self.word
        if word and word in words:
            self._at += 1
            return word
        return ""

    def any_of(self, words: Collection[str]) -> str:
        """Goes past the next word, which must be one of these, and says which."""
        found = self.take_any(words)
        if not found:
            raise self.refusal()
        return found

    def is_name(self) -> bool:
        """Whether the next token can be nothing but a name, or is one where a name may stand."""
        return self.kind == QUOTED or (self.kind == WORD and self.word not in _RESERVED)

    def name(self) -> str:
        """A name as it is meant: without its backticks."""
        if not self.is_name():
            raise self.refusal()
        token = self._next()
        self.names.append(token.text[1:-1].replace("``", "`") if token.kind == QUOTED else token.text)
        return self.names[-1]

    def table(self, schema: str | None = None) -> TableName:
        """A table's name; an unqualified one is in `schema`. Also raises Forbidden for a name (rule table_name)."""
        first = self.name()
        if self.take("."):
            return table_name(first, self.name())
        return table_name(self.schema if schema is None else schema, first)

    def is_qualified(self) -> bool:
        """Whether the next token is a name with a dot after it."""
        return self.is_name() and self._keys[self._at + 1 : self._at + 2] == ["."]

    def label(self) -> str:
        """The name of an index or constraint, which is held to the same letters as a table's."""
        return table_name("", self.name())[1]

    def plain(self) -> None:
        """The name of a character set or collation."""
        if not self.take("BINARY") and not _PLAIN.fullmatch(self.name()):
            raise self.refusal()

    def number(self) -> None:
        """A number of digits only."""
        if not (self.kind == NUMBER and self._next().text.isdigit()):
            raise self.refusal()

    def take_kind(self, kind: str) -> bool:
        """Goes past the next token if it is of this kind."""
        if self.kind != kind:
            return False
        self._at += 1
        return True

    def one(self, kind: str) -> None:
        """A token of this kind."""
        if not self.take_kind(kind):
            raise self.refusal()

    def listed(self, part: Callable[["Cursor"], Part]) -> list[Part]:
        """`( part, part ... )`."""
        self.expect("(")
        found = self.several(part)
        self.expect(")")
        return found

    def several(self, part: Callable[["Cursor"], Part]) -> list[Part]:
        """`part, part ...`."""
        found = [part(self)]
        while self.take(","):
            found.append(part(self))
        return found

    def nested(self, part: Callable[["Cursor"], None]) -> None:
        """`( part )`, in which the same may stand again, to a bounded depth."""
        self._depth += 1
        if self._depth > _MOST_NESTED:
            raise self.refusal()
        self.expect("(")
        part(self)
        self.expect(")")
        self._depth -= 1

    def end(self) -> None:
        """The statement's end."""
        if self._at < len(self._tokens):
            raise self.refusal()

    def refusal(self) -> Forbidden:
        """Why the statement is refused at this place."""
        near = f"near {self._tokens[self._at].text[:64]}" if self._at < len(self._tokens) else "at its end"
        return Forbidden(f"this form of {self._what} is not accepted, {near}", rule="construct")

    def _next(self) -> Token:
        self._at += 1
        return self._tokens[self._at - 1]


def _key(token: Token) -> str:
    if token.kind == WORD:
        return token.word
    return "" if token.kind in _NOT_KEYS else token.text
