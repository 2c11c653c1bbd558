"""Which tables and columns a syntax tree reads and writes.

Where a name could mean several things it counts for all of them: an unqualified column for every table in reach, a
qualified one whose table is not in reach for every table of the statement.
"""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from sqlglot import exp

from contract.errors import Forbidden, StatementUnparsable
from gatekeeper.analysis.scopes import ALL_COLUMNS, Mention, Place, Scope, Source, TableName, Walk, column_of

Column = tuple[str, str, str]

MAX_COLUMNS: Final = 10_000


class Access(msgspec.Struct, frozen=True):
    """Tables as (schema, name), columns as (schema, table, column), "*" for all of a table."""

    reads: frozenset[TableName]
    writes: frozenset[TableName]
    columns_read: frozenset[Column]
    columns_written: frozenset[Column]
    has_where: bool


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
    return _resolve(walk, written, has_where=where is not None and where.find(exp.Column) is not None)


def _insert(walk: Walk, tree: exp.Expr, place: Place) -> list[Mention]:
    named = tree.this
    target = named.this if isinstance(named, exp.Schema) else named
    table = walk.table(target)
    place.scope.sources.append(Source(table[1], table))
    columns = [column.name for column in named.expressions] or [ALL_COLUMNS]
    written = [Mention(place.scope, table[1], column) for column in columns]
    if conflict := tree.args.get("conflict"):
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
    tables = frozenset(source.table for scope in walk.scopes for source in scope.sources if source.table)
    targets = {(source, mention.column) for mention in written for source in _assigned(mention)}
    columns_read = _columns(walk.mentions, tables)
    target_sources = {source for source, _ in targets}
    read = {
        source.table
        for scope in walk.scopes
        for source in scope.sources
        if source.table and not (scope is walk.scopes[0] and source in target_sources)
    }
    columns_written = frozenset((*source.table, column) for source, column in targets if source.table)
    return Access(
        reads=frozenset(read | {(schema, table) for schema, table, _ in columns_read}),
        writes=frozenset((schema, table) for schema, table, _ in columns_written),
        columns_read=columns_read,
        columns_written=columns_written,
        has_where=has_where,
    )


def _assigned(mention: Mention) -> list[Source]:
    """The sources that an assignment or a DELETE may change. Raises StatementUnparsable where there is none."""
    found = [
        source
        for source in mention.scope.sources
        if source.table and (mention.qualifier is None or _same(source.alias, mention.qualifier))
    ]
    if not found:
        raise _unknown(mention)
    return found


def _columns(mentions: Iterable[Mention], tables: frozenset[TableName]) -> frozenset[Column]:
    columns: set[Column] = set()
    for mention in set(mentions):
        columns.update((*table, mention.column) for table in _tables_of(mention, tables))
        if len(columns) > MAX_COLUMNS:
            raise Forbidden("the statement is too large: too many columns of too many tables", rule="limit")
    return frozenset(columns)


def _tables_of(mention: Mention, tables: frozenset[TableName]) -> Iterable[TableName]:
    """Every table that the column may belong to, of all `tables` of the statement."""
    if mention.qualifier is not None:
        found = _by_alias(mention.scope, mention.qualifier)
        if mention.schema is not None and not any(_same(schema, mention.schema) for schema, _ in found or ()):
            raise _unknown(mention)
        return tables if found is None else found
    if mention.column == ALL_COLUMNS:
        return {source.table for source in mention.scope.sources if source.table}
    chain = list(mention.scope.chain())
    if any(scope.reaches_all for scope in chain) or not any(scope.sources for scope in chain):
        return tables
    return {source.table for scope in chain for source in scope.sources if source.table}


def _unknown(mention: Mention) -> StatementUnparsable:
    """For a table that the statement does not have.

    MariaDB 10.11.19 looks for `schema.table.column` of an unknown schema in a join with USING, and crashes.
    """
    return StatementUnparsable(f"{mention.qualifier or mention.column} is not a table of this statement")


def _by_alias(scope: Scope, alias: str) -> set[TableName] | None:
    """The tables that go by this alias, none for a derived one, or None where nothing goes by it.

    Whether aliases differ by case depends on lower_case_table_names: up to the first exact match all others count too.
    """
    found: set[TableName] | None = None
    for around in scope.chain():
        same = [source for source in around.sources if _same(source.alias, alias)]
        if same:
            found = (found or set()) | {source.table for source in same if source.table}
        if any(source.alias == alias for source in same):
            break
    return found


def _same(left: str, right: str) -> bool:
    return left == right or left.casefold() == right.casefold()
