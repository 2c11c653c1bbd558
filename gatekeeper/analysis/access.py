"""Which tables and columns a syntax tree reads and writes.

Where a name could mean several things it counts for all of them. Servers look for a column further out when the nearest
table of its qualifier lacks it, and further in for some clauses; what a table has is not known here. So scopes decide
nothing about columns: an unqualified one counts for every table of the statement, a qualified one for every table that
goes by that name anywhere in it.
"""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from sqlglot import exp

from contract.errors import Forbidden, StatementUnparsable
from gatekeeper.analysis.names import loosely
from gatekeeper.analysis.scopes import ALL_COLUMNS, Mention, Place, Source, TableName, Walk, column_of

Column = tuple[str, str, str]

MAX_COLUMNS: Final = 4_000


class Access(msgspec.Struct, frozen=True):
    """Tables as (schema, name), columns as (schema, table, column), "*" for all of a table.

    `updates`: an INSERT that changes rows which are there already (ON DUPLICATE KEY UPDATE). `resolved`: how often a
    server resolves the part of the statement that it resolves most often.
    """

    reads: frozenset[TableName]
    writes: frozenset[TableName]
    columns_read: frozenset[Column]
    columns_written: frozenset[Column]
    has_where: bool
    updates: bool = False
    resolved: int = 1


def access(tree: exp.Expr, schema: str | None) -> Access:
    """What the tree reads and writes; unqualified tables are in `schema`, or in "" without one.

    Raises Forbidden or StatementUnparsable.
    """
    walk = Walk(schema)
    scope = walk.scope(None, reaches_all=isinstance(tree, exp.Insert))
    place = Place(scope, scope, None)
    change = _CHANGES.get(type(tree))
    if change is None:
        walk.run(tree, place)
        return _resolve(walk, (), has_where=False)
    if with_ := tree.args.get("with_"):
        place = walk.enter(with_, place)
    written = change(walk, tree, place)
    where = tree.args.get("where")
    found = _resolve(walk, written, has_where=where is not None and where.find(exp.Column) is not None)
    return msgspec.structs.replace(found, updates=True) if tree.args.get("conflict") else found


def _insert(walk: Walk, tree: exp.Expr, place: Place) -> list[Mention]:
    named = tree.this
    target = named.this if isinstance(named, exp.Schema) else named
    table = walk.table(target)
    place.scope.sources.append(Source(table[1], table))
    columns = [column.name for column in named.expressions] or [ALL_COLUMNS]
    written = [Mention(place.scope, table[1], column) for column in columns]
    if conflict := tree.args.get("conflict"):
        if isinstance(tree.args.get("expression"), exp.SetOperation):
            # MariaDB 10.11.19 crashes on some.
            raise Forbidden("ON DUPLICATE KEY UPDATE is not accepted after a set operation", rule="construct")
        written.extend(_assignments(walk, conflict.expressions, place))
    for member in ("expression", "returning"):
        walk.run(tree.args.get(member), place._replace(outer=None) if member == "expression" else place)
    return written


def _update(walk: Walk, tree: exp.Expr, place: Place) -> list[Mention]:
    walk.run(tree.this, place._replace(outer=None))
    written = _assignments(walk, tree.expressions, place)
    walk.children(tree, place, skip=("this", "expressions"))
    walk.run(None, place)
    return written


def _delete(walk: Walk, tree: exp.Expr, place: Place) -> list[Mention]:
    """The three forms: `DELETE FROM t`, `DELETE a, b FROM t ...`, `DELETE FROM a, b USING t ...`."""
    sources = place._replace(outer=None)
    targets = tree.args.get("tables") or []
    using = tree.args.get("using")
    if using and not targets:
        targets = [tree.this, *(join.this for join in tree.this.args.get("joins") or ())]
        walk.run(using, sources)
    else:
        walk.run(tree.this, sources)
        walk.run(using, sources)
    walk.children(tree, place, skip=("tables", "this", "using"))
    walk.run(None, place)
    names = [target.name for target in targets] or [source.alias for source in place.scope.sources]
    return [Mention(place.scope, name, ALL_COLUMNS) for name in names]


_CHANGES: dict[type[exp.Expr], Callable[[Walk, exp.Expr, Place], list[Mention]]] = {
    exp.Insert: _insert,
    exp.Update: _update,
    exp.Delete: _delete,
}


def _assignments(walk: Walk, assignments: Iterable[exp.Expr], place: Place) -> list[Mention]:
    """The columns assigned to; the values are walked."""
    written = []
    for assignment in assignments:
        if type(assignment) is not exp.EQ:
            raise StatementUnparsable("not understood: an assignment was expected")
        written.append(column_of(assignment.this, place.scope))
        walk.run(assignment.args.get("expression"), place)
    return written


def _resolve(walk: Walk, written: Iterable[Mention], *, has_where: bool) -> Access:
    walk.check_withs()
    tables = _Tables(walk)
    targets = {(source, mention.column) for mention in written for source in _assigned(mention)}
    target_sources = {source for source, _ in targets}
    read = {
        source.table
        for scope in walk.scopes
        for source in scope.sources
        if source.table and not (scope is walk.scopes[0] and source in target_sources)
    }
    mentions = set(walk.mentions)
    columns_written = frozenset((*source.table, column) for source, column in targets if source.table)
    return Access(
        reads=frozenset(read.union(*(tables.in_reach(mention) for mention in mentions))),
        writes=frozenset((schema, table) for schema, table, _ in columns_written),
        columns_read=_columns(mentions, tables),
        columns_written=columns_written,
        has_where=has_where,
        resolved=max((with_.most() for with_ in walk.withs), default=1),
    )


class _Tables:
    """The tables of a statement, and which of them a column may belong to."""

    def __init__(self, walk: Walk) -> None:
        self._joins_by_name = walk.joins_by_name
        self._all: set[TableName] = set()
        self._by_alias: dict[str, set[TableName]] = {}  # with nothing for a derived table
        for scope in walk.scopes:
            for source in scope.sources:
                named = self._by_alias.setdefault(loosely(source.alias), set())
                if source.table:
                    named.add(source.table)
                    self._all.add(source.table)

    def of(self, mention: Mention) -> Iterable[TableName]:
        """Every table that the column may belong to. Raises Forbidden, StatementUnparsable."""
        if mention.qualifier is not None:
            found = self._by_alias.get(loosely(mention.qualifier))
            if mention.schema is not None:
                self._check_schema(mention, found or ())
            return self._all if found is None else found
        if mention.column == ALL_COLUMNS:
            return {source.table for source in mention.scope.sources if source.table}
        return self._all

    def in_reach(self, mention: Mention) -> Iterable[TableName]:
        """Those whose reading it may be: what a statement only writes is not read by an unqualified name elsewhere."""
        if mention.qualifier is not None or mention.column == ALL_COLUMNS:
            return self.of(mention)
        chain = list(mention.scope.chain())
        if any(scope.reaches_all for scope in chain) or not any(scope.sources for scope in chain):
            return self._all
        return {source.table for scope in chain for source in scope.sources if source.table}

    def _check_schema(self, mention: Mention, found: Iterable[TableName]) -> None:
        """MariaDB 10.11.19 crashes on a `schema.table.column` that it does not find, in a join with USING or NATURAL.

        Whether it is found can't be known here.
        """
        if self._joins_by_name:
            raise Forbidden("schema.table.column is not accepted beside USING or NATURAL", rule="construct")
        if mention.schema not in {schema for schema, _ in found}:
            raise _unknown(mention)


def _assigned(mention: Mention) -> list[Source]:
    """The sources that an assignment or a DELETE may change. Raises StatementUnparsable where there is none."""
    found = [
        source
        for source in mention.scope.sources
        if source.table and (mention.qualifier is None or loosely(source.alias) == loosely(mention.qualifier))
    ]
    if not found:
        raise _unknown(mention)
    return found


def _columns(mentions: Iterable[Mention], tables: _Tables) -> frozenset[Column]:
    columns: set[Column] = set()
    for mention in mentions:
        columns.update((*table, mention.column) for table in tables.of(mention))
        if len(columns) > MAX_COLUMNS:
            raise Forbidden("the statement is too large: too many columns of too many tables", rule="limit")
    return frozenset(columns)


def _unknown(mention: Mention) -> StatementUnparsable:
    return StatementUnparsable(f"{mention.qualifier or mention.column} is not a table of this statement")
