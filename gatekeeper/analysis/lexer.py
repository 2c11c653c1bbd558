"""A strict lexer over the whole text: what it does not know it refuses, so that no two readers can differ about it.

It is narrower than the server's own lexer on purpose. Where a server (MySQL 9, MariaDB 10.11 to 11.8, with the sql_mode
and utf8mb4 that the proxy pins) reads a text in a way that others may not, the text is refused: executable comments and
hints, a number glued to a word, bytes outside quotes that are not plain ASCII, variables, ODBC braces, character-set
introducers other than utf8mb4 and binary.

`?` and `:name` are placeholders. The proxy replaces them by literals, so they must stand alone: next to a word, a
number, a quote, a dot or another placeholder a literal would melt into what it touches, and behind `--` one that begins
with a space would make a comment of it.
"""

import re
from itertools import pairwise
from typing import Final

import msgspec

from contract.errors import Forbidden
from gatekeeper.analysis.words import STRUCTURAL

MAX_CHARACTERS: Final = 256 * 1024
MAX_TOKENS: Final = 30_000

WORD: Final = "w"
QUOTED: Final = "q"
NUMBER: Final = "n"
STRING: Final = "s"
PLACEHOLDER: Final = "p"
OPERATOR: Final = "o"


class Token(msgspec.Struct, frozen=True, gc=False):
    """One token as written.

    `kind`: one of the letters above, or the character itself for `( ) , . *`. `word`: an unquoted word that may be a
    keyword, in upper case; "" for everything else, also for a word after a dot, which servers take as a name.
    """

    kind: str
    text: str
    word: str = ""


# Every repeated group can go on in one way only, so that the time is linear. Only single characters are repeated
# possessively: before Python 3.11.5 a possessive group could match wrongly (gh-106052), and Debian 12 has 3.11.2. The
# order matters: what is refused has no alternative at all.
_TOKEN = re.compile(
    r"""
    (?P<skip>[ \t\r\n]++)
  | (?P<w>(?![xXbBnN]')[A-Za-z_][A-Za-z0-9_]*+)
  | (?P<q>`(?!`(?!`))[^`\x00-\x1f\x7f\U00010000-\U0010ffff]*+(?:``[^`\x00-\x1f\x7f\U00010000-\U0010ffff]*+)*`)
  | (?P<s>[nN]?'[^'\\]*+(?:(?:\\.|'')[^'\\]*+)*' | "[^"\\]*+(?:(?:\\.|"")[^"\\]*+)*")
  | (?P<n>(?:0x[0-9A-Fa-f]++ | 0b[01]++ | [0-9]++(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?
          | (?<![\w`'")\].])\.[0-9]++(?:[eE][+-]?[0-9]++)?)(?![\w.$`'"])
        | [xX]'(?:[0-9A-Fa-f]{2})*' | [bB]'[01]*+')
  | (?P<comment>/\*(?![A-Za-z]{0,8}!|\+)[^*/]*+(?:(?:\*(?!/)|/(?!\*))[^*/]*+)*\*/
        | --(?=[ \t\r\n]|\Z)[^\n]*+ | \#[^\n]*+)
  | (?P<p>(?<![\w`'".$?:])(?<!--)(?:\?|:[A-Za-z_][A-Za-z0-9_]*+)(?![\w`'".$?:]))
  | (?P<mark>[(),.;]|\*(?!/))
  | (?P<o><=>|->>|->|<=|>=|<>|!=|<<|>>|\|\||&&|/(?!\*)|[-+%=<>!~^|&])
  | (?P<bad>.)
    """,
    re.VERBOSE | re.DOTALL,
)
# In a quoted name no character beyond U+FFFF can stand: MySQL takes each of them for "?", whatever it is.
# 64 characters, each of which may be a doubled backtick. A longer name is none of a server's, and costs to compare.
_LONGEST_QUOTED = 2 + 2 * 64
# NUL and half characters stand for nothing in a statement, quoted or not; the rest of Unicode is welcome inside quotes.
_NEVER = re.compile("[\x00\ud800-\udfff]")
_BAD_DOT = re.compile(r"(?<![wq])\.|\.(?![wq*])|\.[wq]\.[wq]\.")
_INTRODUCERS = frozenset({"_UTF8MB4", "_BINARY"})


def lex(text: str) -> tuple[Token, ...]:
    """The tokens of a statement, without white space, comments and one closing semicolon.

    Raises Forbidden with one of the rules too_long, limit, character, comment, number, quote, placeholder, dot,
    introducer, multiple_statements.
    """
    if len(text) > MAX_CHARACTERS:
        raise Forbidden(f"a statement may have {MAX_CHARACTERS} characters, this one has {len(text)}", rule="too_long")
    if found := _NEVER.search(text):
        raise Forbidden(_unknown_character(text, found.start()), rule="character")
    tokens = _scan(text)
    if tokens and tokens[-1].kind == ";":
        tokens.pop()
    kinds = "".join([token.kind for token in tokens])
    if ";" in kinds:
        raise Forbidden("one statement at a time", rule="multiple_statements")
    if _BAD_DOT.search(kinds) or any(b.kind == "." and a.word in STRUCTURAL for a, b in pairwise(tokens)):
        raise Forbidden("a dot must stand between two names, of which at most three are joined", rule="dot")
    _check_introducers(tokens)
    return tuple(tokens)


def _scan(text: str) -> list[Token]:
    tokens: list[Token] = []
    after_dot = False
    for match in _TOKEN.finditer(text):
        group = match.lastgroup or "bad"
        if group in {"skip", "comment"}:
            continue
        value = match.group()
        if group == QUOTED and len(value) > _LONGEST_QUOTED:
            raise Forbidden("a name has 64 characters at most", rule="quote")
        if group == WORD:
            tokens.append(Token(WORD, value, "" if after_dot else value.upper()))
        elif group == "bad":
            raise _refusal(text, match.start())
        else:
            tokens.append(Token(value if group == "mark" else group, value))
        if len(tokens) > MAX_TOKENS:
            raise Forbidden(f"the statement is too large: more than {MAX_TOKENS} tokens", rule="limit")
        after_dot = value == "."
    return tokens


def _refusal(text: str, at: int) -> Forbidden:
    """Why nothing that is known begins at this place."""
    here = text[at : at + 2]
    if here in {"/*", "*/"}:
        return Forbidden(f"the comment at character {at} is executable, nested, a hint or not closed", rule="comment")
    if here[0].isascii() and here[0].isdigit():
        return Forbidden(f"the number at character {at} touches what follows it", rule="number")
    if here[0] in "'\"`" or (here[0] in "xXbBnN" and here[1:] == "'"):
        return Forbidden(f"the quote at character {at} is not closed, or its content is not accepted", rule="quote")
    if here[0] in "?:":
        return Forbidden(f"the placeholder at character {at} touches its neighbour, or is none", rule="placeholder")
    return Forbidden(_unknown_character(text, at), rule="character")


def _unknown_character(text: str, at: int) -> str:
    return f"U+{ord(text[at]):04X} at character {at} is not accepted there; names can be quoted with backticks"


def _check_introducers(tokens: list[Token]) -> None:
    """`_gbk'...'` moves where a string ends; only the connection's own character set and binary are let through."""
    for here, following in pairwise(tokens):
        if here.text[0] == "_" and following.kind in "snp" and here.word not in _INTRODUCERS:
            raise Forbidden(f"{here.text} is not accepted before a literal", rule="introducer")
