"""What kind of statement the tokens begin, and the constructs that no statement may hold."""

import re
from collections.abc import Sequence
from typing import Final

from contract.errors import Forbidden, StatementUnparsable
from contract.messages import Effect
from gatekeeper.analysis.lexer import QUOTED, WORD, Token
from gatekeeper.analysis.words import words

# The kinds that are analysed; the others are only named, so that a refusal can say what was refused.
DATA_KINDS: Final = ("select", "insert", "replace", "update", "delete")
KINDS: Final = (
    *DATA_KINDS,
    *("table", "values", "explain", "describe", "show", "call"),
    *("create_table", "alter_table", "drop_table", "truncate", "rename_table", "create_index", "drop_index"),
)

_DATA_VERBS = {"WITH": "select", "SELECT": "select"} | {kind.upper(): kind for kind in DATA_KINDS}
_ADMINISTRATIVE = words(
    """
    BACKUP BINLOG CACHE CASE CHANGE CHECK CHECKSUM CLONE DECLARE DO FLUSH FOR GET HANDLER HELP IF IMPORT INSTALL
    KILL LOAD LOOP OPTIMIZE PURGE REPAIR REPEAT RESIGNAL RESTART SHUTDOWN SIGNAL STOP UNINSTALL WHILE
    """
)
_EXPLAINING = ("DESC", "DESCRIBE", "EXPLAIN")
_FORMATS = frozenset({"JSON", "TRADITIONAL", "TREE"})
_OTHER_VERBS: Final[dict[str, tuple[str, Effect]]] = {
    **dict.fromkeys(("CREATE", "ALTER", "DROP", "RENAME"), ("ddl", "schema")),
    "TRUNCATE": ("truncate", "schema"),
    **dict.fromkeys(("GRANT", "REVOKE"), ("grant", "schema")),
    **dict.fromkeys(("SET", "USE", "RESET"), ("set", "session")),
    **dict.fromkeys(("BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "XA"), ("transaction", "session")),
    **dict.fromkeys(("LOCK", "UNLOCK"), ("lock", "session")),
    **dict.fromkeys(("PREPARE", "EXECUTE", "DEALLOCATE"), ("prepare", "unknown")),
    **dict.fromkeys(_EXPLAINING, ("describe", "read")),
    "ANALYZE": ("other", "unknown"),
    "SHOW": ("show", "read"),
    "CALL": ("call", "call"),
    "TABLE": ("table", "read"),
    "VALUES": ("values", "read"),
    **dict.fromkeys(_ADMINISTRATIVE, ("other", "unknown")),
}
# What else than a table or an index is defined stays "ddl": databases, views, users, routines and the like.
_DEFINED: Final = {
    **{(verb, "TABLE"): f"{verb.lower()}_table" for verb in ("CREATE", "ALTER", "DROP", "RENAME")},
    **{(verb, "INDEX"): f"{verb.lower()}_index" for verb in ("CREATE", "DROP")},
}
_BEFORE_DEFINED: Final = words("OR REPLACE TEMPORARY UNIQUE FULLTEXT SPATIAL ONLINE OFFLINE IGNORE")
_INSERT_WORDS = frozenset({"INSERT", "REPLACE", "LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE"})


def kind_of(tokens: Sequence[Token]) -> tuple[str, Effect]:
    """The statement's kind by its first word, and its effect. `WITH` counts as select until it is parsed.

    Raises StatementUnparsable for a text that begins no statement of either server.
    """
    at = next((at for at, token in enumerate(tokens) if token.kind != "("), None)
    if at is None:
        raise StatementUnparsable("the statement is empty")
    first = tokens[at]
    if kind := _DATA_VERBS.get(first.word):
        return kind, "read" if kind == "select" else "write"
    if first.word in _OTHER_VERBS:
        kind, effect = _OTHER_VERBS[first.word]
        return (_defined(first.word, tokens[at + 1 : at + 4]) if kind == "ddl" else kind), effect
    raise StatementUnparsable(f"no statement begins with {first.text[:64]}")


def _defined(verb: str, rest: Sequence[Token]) -> str:
    """What a definition's first words name: a table, an index, or something else."""
    named = next((token.word for token in rest if token.word not in _BEFORE_DEFINED), "")
    return _DEFINED.get((verb, named), "ddl")


def explained(tokens: Sequence[Token]) -> Sequence[Token] | None:
    """The data statement that an EXPLAIN explains, or None where this is not one. ANALYZE would run it."""
    if not tokens or tokens[0].word not in _EXPLAINING:
        return None
    rest = tokens[1:]
    if [token.text.upper() for token in rest[:2]] == ["FORMAT", "="] and rest[2:] and rest[2].word in _FORMATS:
        rest = rest[3:]
    first = next((token for token in rest if token.kind != "("), None)
    return rest if first and (first.word in _DATA_VERBS or first.word.lower() in _AS_SELECT) else None


def as_select(kind: str, tokens: Sequence[Token]) -> Sequence[Token]:
    """TABLE and VALUES as a SELECT that reads at least as much; other statements as they are.

    `TABLE t ORDER BY a` reads what `SELECT * FROM t ORDER BY a` does, `VALUES ROW(1, a)` what `SELECT ROW(1, a)` does.
    Raises Forbidden (rule construct) for other forms.
    """
    if kind not in _AS_SELECT:
        return tokens
    if tokens[0].word != kind.upper() or not _AS_SELECT[kind].match("".join([_shape(token) for token in tokens[1:5]])):
        raise Forbidden(f"this form of {kind.upper()} is not accepted", rule="construct")
    return [_SELECT, *(_ALL_FROM if kind == "table" else ()), *tokens[1:]]


def _shape(token: Token) -> str:
    return {"ORDER": "O", "LIMIT": "O", "ROW": "R"}.get(token.word, "w" if token.kind == QUOTED else token.kind)


# What follows TABLE: a name and nothing, or ORDER BY or LIMIT; what follows VALUES: a row.
_AS_SELECT: Final = {"table": re.compile(r"w(?:\.w)?(?:O|\Z)"), "values": re.compile(r"R?\(")}
_SELECT = Token(WORD, "SELECT", "SELECT")
_ALL_FROM = (Token("*", "*"), Token(WORD, "FROM", "FROM"))


def check_constructs(tokens: Sequence[Token]) -> None:
    """Refuses what would turn a data statement into something else, wherever it stands. Raises Forbidden.

    A locking read is refused rather than counted as a write: with one statement a request its lock is gone when the
    answer arrives, so that it can serve nothing but to stop others.
    """
    words = [token.word for token in tokens]
    for at, word in enumerate(words):
        if word in _CHECKED and (refused := _construct(word, tokens[at + 1 : at + 2], words[:at])):
            raise refused


_CHECKED = frozenset({"INTO", "PROCEDURE", "TABLE", "FOR", "LOCK", "NEXT", "PREVIOUS", "LATERAL"})


def _construct(word: str, rest: Sequence[Token], before: Sequence[str]) -> Forbidden | None:
    following = rest[0].word if rest else ""
    if word == "INTO" and not (before and set(before) <= _INSERT_WORDS):
        return Forbidden("INTO stands only after INSERT and REPLACE; files and variables can't be written", rule="into")
    if (word, following) in {("FOR", "UPDATE"), ("FOR", "SHARE"), ("LOCK", "IN")}:
        return Forbidden("reads that lock rows are not accepted", rule="locking_read")
    if (word, following) in {("NEXT", "VALUE"), ("PREVIOUS", "VALUE"), ("FOR", "SYSTEM_TIME")}:
        return Forbidden(f"{word} {following} is not accepted", rule="construct")
    # LATERAL is an ordinary name for MariaDB.
    if word in {"PROCEDURE", "TABLE"} or (word == "LATERAL" and not (rest and rest[0].kind == "(")):
        return Forbidden(f"{word} is not accepted there", rule="construct")
    return None
