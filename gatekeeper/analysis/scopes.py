"""The scopes of a syntax tree: each SELECT's sources, and every mention of a column with the scope it stands in.

A common table expression hides a table only where both servers are sure to see it: after its definition (with RECURSIVE
also in itself), under exactly the same name, unqualified. In every other case the name counts as a table's: so within
the elements of another WITH, where MariaDB 10.11 does not see the names of the WITH around it.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from sqlglot import exp

from contract.errors import Forbidden, StatementUnparsable
from gatekeeper.analysis.names import loosely
from gatekeeper.analysis.withs import MOST_RECURSIVE, Named, With

TableName = tuple[str, str]

MAX_SOURCES: Final = 200
ALL_COLUMNS: Final = "*"

# Letters, digits, _, $, - and inner spaces, in any script. `#mysql50#staff` is another name of staff for the server.
_NAME = re.compile(r"[\w$-](?:[\w$ -]{0,62}[\w$-])?")
_CHANGES = (exp.Insert, exp.Update, exp.Delete)


class Source(NamedTuple):
    """What a FROM names: a table, or (`table` None) a derived table or common table expression."""

    alias: str
    table: TableName | None


class Scope:
    """One SELECT, or the whole of a changing statement: its sources, and the scope that it looks out to.

    `reaches_all`: a column may also belong to a table of an inner scope, as in ON DUPLICATE KEY UPDATE, or in an ORDER
    BY behind a query in parentheses, which the servers take into it.
    """

    __slots__ = ("outer", "reaches_all", "sources")

    def __init__(self, outer: "Scope | None", *, reaches_all: bool = False) -> None:
        self.sources: list[Source] = []
        self.outer = outer
        self.reaches_all = reaches_all

    def chain(self) -> Iterator["Scope"]:
        """This scope and those around it, from the inside."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.outer


class Mention(NamedTuple):
    """A column's mention: `schema.qualifier.column`, where `column` may be ALL_COLUMNS."""

    scope: Scope
    qualifier: str | None
    column: str
    schema: str | None = None


class Place(NamedTuple):
    """Where a node stands: the scope of its names, the scope that a SELECT nested there looks out to, the WITHs."""

    scope: Scope
    outer: Scope | None
    named: Named | None


class Walk:
    """Collects the scopes and mentions of one tree. Iterative: a chain of ANDs may be thousands of nodes deep.

    A name is collected unless it is known to be none: what the walk does not know it takes for a column.
    """

    def __init__(self, schema: str | None) -> None:
        self.scopes: list[Scope] = []
        self.mentions: list[Mention] = []
        self.withs: list[With] = []
        self._bare: set[str] = set()  # unqualified names that are tables'
        self.joins_by_name = False  # a JOIN with USING, or a NATURAL one
        self._schema = schema or ""
        self._sources = 0
        self._todo: list[tuple[exp.Expr, Place]] = []

    def scope(self, outer: Scope | None, *, reaches_all: bool = False) -> Scope:
        """A new scope."""
        self.scopes.append(Scope(outer, reaches_all=reaches_all))
        return self.scopes[-1]

    def run(self, node: object, place: Place) -> None:
        """Walks everything under the node. Raises Forbidden or StatementUnparsable for what can't be resolved."""
        self._push(node, place)
        while self._todo:
            child, where = self._todo.pop()
            if isinstance(child, _CHANGES):
                raise StatementUnparsable("not understood: a changing statement within another")
            if with_ := child.args.get("with_"):
                where = self.enter(with_, where)
            visit = _VISITS.get(type(child))
            if visit:
                visit(self, child, where)
            else:
                self.children(child, where)

    def children(self, node: exp.Expr, place: Place, *, skip: tuple[str, ...] = ()) -> None:
        """Leaves the node's children for the walk, but for the members named and its WITH."""
        for key, value in node.args.items():
            if key != "with_" and key not in skip:
                self._push(value, place)

    def enter(self, with_: exp.Expr, place: Place) -> Place:
        """The place within a WITH, whose expressions are left for the walk."""
        expressions = with_.expressions
        found = With([expression.alias for expression in expressions], place.named)
        self.withs.append(found)
        recursive = bool(with_.args.get("recursive"))
        for at, expression in enumerate(expressions):
            self._push(expression.this, place._replace(named=Named(found, at + recursive, None, user=at)))
        return place._replace(named=Named(found, len(expressions), place.named))

    def check_withs(self) -> None:
        """Raises Forbidden (rules construct, limit) for what can't be sure to mean the same everywhere, or multiplies.

        MariaDB 10.11.19 and 11.8.9 crash on some that use a name both for a table and for an element of WITH.
        """
        if sum(with_.recursive for with_ in self.withs) > MOST_RECURSIVE:
            raise Forbidden("the statement is too large: a WITH uses itself too many times", rule="limit")
        for with_ in self.withs:
            with_.check()
            for name in with_.places:
                if loosely(name) in self._bare:
                    raise Forbidden(f"{name[:64]} is a table here and a name of WITH there", rule="construct")

    def table(self, node: object) -> TableName:
        """The name of a real table, with the default schema. Raises Forbidden (rule table_name)."""
        if not isinstance(node, exp.Table) or type(node.this) is not exp.Identifier or node.args.get("catalog"):
            raise Forbidden("only tables can stand where a table is named", rule="table_name")
        return table_name(node.db or self._schema, node.name)

    def mention(self, place: Place, column: str) -> None:
        """Notes an unqualified column."""
        self.mentions.append(Mention(place.scope, None, column))

    def _push(self, value: object, place: Place) -> None:
        if isinstance(value, exp.Expr):
            self._todo.append((value, place))
        elif isinstance(value, list):
            self._todo.extend([(item, place) for item in value if isinstance(item, exp.Expr)])

    def _source(self, place: Place, alias: str, table: TableName | None) -> None:
        self._sources += 1
        if self._sources > MAX_SOURCES:
            raise Forbidden(f"the statement is too large: more than {MAX_SOURCES} tables", rule="limit")
        place.scope.sources.append(Source(alias, table))

    # -- visits: one kind of node each ------------------------------------------------------------------------------

    def _select(self, node: exp.Expr, place: Place) -> None:
        scope = self.scope(place.outer)
        self.children(node, Place(scope, scope, place.named))

    def _from(self, node: exp.Expr, place: Place) -> None:
        """A derived table does not see its neighbours, an ON condition does."""
        self._push(node.this, place._replace(outer=place.scope.outer))
        self.children(node, place._replace(outer=place.scope), skip=("this", "using"))
        if node.args.get("method"):  # NATURAL compares every column of the same name
            self.joins_by_name = True
            self.mention(place, ALL_COLUMNS)
        for column in node.args.get("using") or ():
            self.joins_by_name = True
            self.mention(place, column.name)

    def _table(self, node: exp.Expr, place: Place) -> None:
        table = self.table(node)
        bare = not node.args.get("db")
        if not (bare and table[1].upper() == "DUAL" and not node.this.args.get("quoted")):
            derived = bare and place.named is not None and place.named.knows(table[1])
            if bare and not derived:
                self._bare.add(loosely(table[1]))
            self._source(place, node.alias or table[1], None if derived else table)
        self.children(node, place, skip=("this", "db", "alias", "hints", "partition"))

    def _derived(self, node: exp.Expr, place: Place) -> None:
        if node.alias:
            if isinstance(node.this, exp.Table):
                raise StatementUnparsable("not understood: tables in parentheses can't have an alias")
            self._source(place, node.alias, None)
        self._ordered(node, place, skip=("alias",))

    def _ordered(self, node: exp.Expr, place: Place, *, skip: tuple[str, ...] = ()) -> None:
        """What has an ORDER BY of its own behind a query or several: it may name what is inside."""
        scope = self.scope(place.scope, reaches_all=True)
        self._push(node.args.get("order"), Place(scope, scope, place.named))
        self.children(node, place, skip=(*skip, "order"))

    def _lateral(self, node: exp.Expr, place: Place) -> None:
        self._source(place, node.alias, None)
        self.children(node, place._replace(outer=place.scope), skip=("alias",))

    def _column(self, node: exp.Expr, place: Place) -> None:
        if node.args.get("table") or not _is_default(node.this):
            self.mentions.append(column_of(node, place.scope))

    def _identifier(self, node: exp.Expr, place: Place) -> None:
        if not _is_default(node):
            self.mention(place, node.name)

    def _star(self, node: exp.Expr, place: Place) -> None:  # noqa: ARG002 - every visit has the same form
        self.mention(place, ALL_COLUMNS)

    def _count(self, node: exp.Expr, place: Place) -> None:
        if type(node.this) is not exp.Star:
            self.children(node, place)

    def _alias(self, node: exp.Expr, place: Place) -> None:
        self._push(node.this, place)

    def _inserted(self, node: exp.Expr, place: Place) -> None:
        """In ON DUPLICATE KEY UPDATE, `VALUES(column)` is the row that was to be inserted, not a stored one."""
        if not (place.scope.reaches_all and node.name.upper() in {"VALUES", "VALUE"}):
            self.children(node, place)

    def _nothing(self, node: exp.Expr, place: Place) -> None:
        """Index and partition names, and aliases."""


def table_name(schema: str, name: str) -> TableName:
    """The name, if it is one that means the same everywhere. Raises Forbidden (rule table_name)."""
    for part in (schema, name):
        if part and not _NAME.fullmatch(part):
            raise Forbidden(f"{part[:64]!r} is not accepted as a table's or schema's name", rule="table_name")
    return schema, name


def column_of(node: exp.Expr, scope: Scope) -> Mention:
    """The mention that a column's node is. Raises StatementUnparsable for more parts than a column has."""
    column = node.this
    if type(node) is not exp.Column or type(column) not in {exp.Identifier, exp.Star} or node.args.get("catalog"):
        raise StatementUnparsable("not understood: a column was expected")
    qualifier, schema = node.args.get("table"), node.args.get("db")
    name = ALL_COLUMNS if type(column) is exp.Star else column.name
    return Mention(scope, qualifier and qualifier.name, name, schema and schema.name)


def _is_default(name: exp.Expr) -> bool:
    return not name.args.get("quoted") and name.name.upper() == "DEFAULT"


_VISITS: dict[type[exp.Expr], Callable[[Walk, exp.Expr, Place], None]] = {
    exp.Select: Walk._select,
    exp.From: Walk._from,
    exp.Join: Walk._from,
    exp.Table: Walk._table,
    exp.Subquery: Walk._derived,
    exp.Union: Walk._ordered,
    exp.Except: Walk._ordered,
    exp.Intersect: Walk._ordered,
    exp.Values: Walk._derived,
    exp.Lateral: Walk._lateral,
    exp.Column: Walk._column,
    exp.Identifier: Walk._identifier,
    exp.Star: Walk._star,
    exp.Count: Walk._count,
    exp.Alias: Walk._alias,
    exp.Anonymous: Walk._inserted,
    exp.TableAlias: Walk._nothing,
    exp.IndexTableHint: Walk._nothing,
    exp.Partition: Walk._nothing,
}
