"""What a statement does, as a frozen value. Apart from policy: nothing here decides who may do it.

`analyse` refuses only what it can't be sure about or what no policy can allow. Everything unknown counts as the worst.
The text itself is what is forwarded; it is never written anew.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from sqlglot import exp

from contract.errors import Forbidden, StatementUnparsable
from contract.messages import OWN_SCHEMA, Effect
from gatekeeper.analysis import agreement, closed, ddl, limits, statement
from gatekeeper.analysis.access import Access, Column, access
from gatekeeper.analysis.functions import ALLOWED as ALLOWED_FUNCTIONS
from gatekeeper.analysis.functions import called
from gatekeeper.analysis.json_paths import Name, path_placeholders
from gatekeeper.analysis.json_paths import check as check_json_paths
from gatekeeper.analysis.lexer import MAX_CHARACTERS, Token, lex
from gatekeeper.analysis.names import loosely
from gatekeeper.analysis.parse import parse, shorten
from gatekeeper.analysis.scopes import ALL_COLUMNS, TableName
from gatekeeper.analysis.statement import KINDS
from gatekeeper.analysis.words import GRAMMAR

__all__ = [
    "ALLOWED_FUNCTIONS",
    "ALL_COLUMNS",
    "KINDS",
    "MAX_CHARACTERS",
    "Analysis",
    "Column",
    "TableName",
    "analyse",
    "check_json_paths",
]

# Tokens of the whole text, times how often a server resolves its busiest part (withs.py): 99 times a join of 60 tables
# took more than 4 GB of MariaDB.
MAX_RESOLVED_TOKENS: Final = 30_000
# What is being run on an account, with its values: all callers share the accounts. And values of all tables that an
# account may read, where a histogram was made. No server asks for a right on these. Without a default schema a session
# may be in information_schema (proxy/connection.py), which only report-only mode lets a statement find out.
_SERVERS_OWN: Final = "information_schema"
_TELLING: Final = frozenset(
    {
        ("information_schema", "processlist"),
        ("performance_schema", "processlist"),
        ("information_schema", "column_statistics"),
    }
)
_NOTHING: Final = Access(frozenset(), frozenset(), frozenset(), frozenset(), has_where=False)
_ROOTS: dict[type[exp.Expr], str] = {
    exp.Select: "select",
    exp.Union: "select",
    exp.Except: "select",
    exp.Intersect: "select",
    exp.Subquery: "select",
    exp.Insert: "insert",
    exp.Update: "update",
    exp.Delete: "delete",
}


_AS_SELECT = frozenset({"table", "values"})
_LITERALS = re.compile(r"\?(?: , \?)+")
_ROWS = re.compile(r"\( \?\*? \)(?: , \( \?\*? \))+")


class Analysis(msgspec.Struct, frozen=True):
    """What one statement does.

    `kind`: one of KINDS, or the name of something else ("ddl", "set", ...), of which only kind, effect and digest are
    known. Tables are (schema, name), schema "" where none was named and there is no default; columns are (schema,
    table, column) with "*" for all columns of the table, and stand for every table that they might belong to.
    `functions`: names in lower case. `digest`: the same for statements that differ in literals and white space only.
    `has_where`: an UPDATE or DELETE whose WHERE mentions a column. `procedures`: those that CALL calls, as tables are
    named; `defines`: the tables that DDL defines. `explained`: the kind of the statement that EXPLAIN explains; the
    rest is that statement's. `updates`: an INSERT that changes rows which are there already. `json_paths`: the
    placeholders that stand for JSON paths, whose values `check_json_paths` must be asked about.
    """

    kind: str
    effect: Effect
    digest: str
    functions: frozenset[str]
    reads: frozenset[TableName]
    writes: frozenset[TableName]
    columns_read: frozenset[Column]
    columns_written: frozenset[Column]
    has_where: bool
    procedures: frozenset[TableName] = frozenset()
    defines: frozenset[TableName] = frozenset()
    explained: str | None = None
    updates: bool = False
    json_paths: frozenset[Name] = frozenset()

    @property
    def kinds(self) -> frozenset[str]:
        """All the kinds that a policy must allow for it."""
        also = {self.explained} if self.explained else set()
        return frozenset({self.kind, *also, *({"update"} if self.updates else ())})


def analyse(text: str, schema: str | None, apart: "Callable[[str, str | None], Analysis] | None" = None) -> Analysis:
    """What the statement does when `schema` is the default one. What is not simple is left to `apart`, if given.

    Raises Forbidden, with its rule, for what is refused under every policy; StatementUnparsable for what is not
    understood.
    """
    whole = lex(text)
    paths = path_placeholders(whole) if "->" in text or "json_" in text.lower() else None
    found = _analysed(text, whole, schema, apart)
    _check_not_own(found, schema)
    if not _TELLING.isdisjoint({(loosely(of or _SERVERS_OWN), loosely(name)) for of, name in found.reads}):
        raise Forbidden("a table that tells of others' statements and values is open to no client", rule="server_table")
    return msgspec.structs.replace(found, json_paths=paths) if paths else found


def _check_not_own(found: Analysis, schema: str | None) -> None:
    """Raises Forbidden for this system's own tables, and for their schema as the default one."""
    named = (*found.reads, *found.writes, *found.defines, *found.procedures)
    if any(loosely(of) == OWN_SCHEMA for of, _ in named) or (schema is not None and loosely(schema) == OWN_SCHEMA):
        raise Forbidden("the gateway's own tables are open to no statement", rule="own_schema")


def _analysed(
    text: str, whole: Sequence[Token], schema: str | None, apart: "Callable[[str, str | None], Analysis] | None"
) -> Analysis:
    tokens = shorten(whole)
    explained = statement.explained(tokens)
    kind, effect = statement.kind_of(explained or tokens)
    if closed.is_closed(kind):
        found, procedures = closed.read(kind, tokens, schema)
        return _analysis(kind, effect, tokens, frozenset(), found, procedures=procedures)
    if ddl.is_definition(kind):
        found, defines = ddl.read(kind, whole, schema)
        return _analysis(kind, effect, tokens, frozenset(), found, defines=defines)
    if kind not in KINDS:
        return _analysis(kind, effect, tokens, frozenset(), _NOTHING)
    judged = statement.as_select(kind, explained or tokens)
    if not limits.check(judged).is_simple() and apart:
        return apart(text, schema)
    statement.check_constructs(judged)
    functions = called(judged)
    tree = parse(judged)
    agreement.check(tree, judged)
    kind, effect = _root(tree, kind)
    found = access(tree, schema)
    if found.resolved > 1 and found.resolved * len(whole) > MAX_RESOLVED_TOKENS:
        raise Forbidden("the statement is too large: a long WITH is used too many times", rule="limit")
    if explained:
        return _analysis("explain", effect, tokens, functions, found, explained=kind)
    return _analysis(kind, effect, tokens, functions, found)


def _root(tree: exp.Expr, kind: str) -> tuple[str, Effect]:
    """Kind and effect by the tree's root, which must be what the first word said; only WITH leaves it open."""
    found = _ROOTS.get(type(tree))
    if kind in _AS_SELECT and found == "select":
        return kind, "read"
    if found is None or not (found == kind or (kind, found) == ("replace", "insert") or kind == "select"):
        raise StatementUnparsable("not understood")
    return (kind if kind == "replace" else found), ("read" if found == "select" else "write")


def _analysis(
    kind: str,
    effect: Effect,
    tokens: Sequence[Token],
    functions: frozenset[str],
    found: Access,
    *,
    procedures: frozenset[TableName] = frozenset(),
    defines: frozenset[TableName] = frozenset(),
    explained: str | None = None,
) -> Analysis:
    return Analysis(
        kind=kind,
        effect=effect,
        digest=digest(tokens),
        functions=functions,
        reads=found.reads,
        writes=found.writes,
        columns_read=found.columns_read,
        columns_written=found.columns_written,
        has_where=found.has_where,
        procedures=procedures,
        defines=defines,
        explained=explained,
        updates=found.updates,
    )


def digest(tokens: Sequence[Token]) -> str:
    """16 hex digits for the statement without its literals' values, comments, white space and keywords' case.

    Placeholders count as literals, and lists and rows of them as one.
    """
    parts = ["?" if token.kind in "snp" else token.word if token.word in GRAMMAR else token.text for token in tokens]
    shape = _ROWS.sub("( ?* )", _LITERALS.sub("?*", " ".join(parts)))
    return hashlib.blake2b(shape.encode(), digest_size=8).hexdigest()
