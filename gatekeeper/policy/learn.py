"""From records of what a role's keys sent to the smallest role that allows all of it.

Every grant is there because a statement needs it, and is counted by those that do. What no policy can allow is left out
and named. Pure: records in, a role out.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final, get_args

import msgspec

from contract.errors import Forbidden
from gatekeeper.analysis import ALL_COLUMNS, ALLOWED_FUNCTIONS, Analysis, Column, TableName
from gatekeeper.analysis.names import loosely
from gatekeeper.policy.decide import decide, matches
from gatekeeper.policy.model import ColumnName, FunctionName, Kind, Policy, Role, TablePattern
from gatekeeper.recording import Asked, Record

_DEFAULT: Final = "customized_hit"
_TABLES: Final = ("read", "write", "define")
LISTED: Final = ("kinds", *_TABLES, "functions", "procedures", "implementations")
# What no statement shows.
_KEPT: Final = (
    *("max_rows", "max_timeout_ms", "max_result_bytes", "max_affected_rows", "max_transactions"),
    *("webhooks", "limits", "expires"),
)
_MOST_LEFT_OUT: Final = 20

_Columns = Mapping[str, tuple[str, ...]]

# How many distinct statements need a member's value.
Needs = Mapping[str, Counter[str]]


class NothingLearnt(ValueError):
    """There is nothing to learn from; the text says why."""


class Learnt(msgspec.Struct, frozen=True):
    """The role, what its values are needed for, and what there is to say about it."""

    role: Role
    needs: Needs
    notes: tuple[str, ...]


def learn(
    records: Iterable[Record],
    role: str,
    *,
    columns: bool = False,
    allowed_only: bool = False,
    keep: Policy | None = None,
) -> Learnt:
    """The smallest role that allows what the records of the role say.

    `columns`: restrict tables to the columns used, where only some are. `allowed_only`: leave out what the policy had
    something against. `keep`: take what no statement shows from this policy's role of that name. Raises NothingLearnt.
    """
    kept = _role_of(keep, role)
    own = _of_role(list(records), role, allowed_only=allowed_only)
    left_out = {_id(record): reason for record in own if (reason := _why_never(record.statement))}
    used = [record for record in own if _id(record) not in left_out]
    if not used:
        raise NothingLearnt(f"nothing that was recorded of the role {role} can be allowed by a policy")
    statements = list({_id(record): record.statement for record in used}.values())
    needs = _needs(statements, [record.asked for record in used])
    members: dict[str, Any] = {
        **{member: sorted(values) for member, values in needs.items()},
        "where_required": all(_has_where(statement) for statement in statements),
        "default_implementation": _default_implementation([record.asked for record in used]),
    }
    if columns:
        members |= _restricted(statements)
    learnt, databases = _with_database(msgspec.convert(members, Role), [record.asked for record in used])
    if kept:
        learnt = _with_kept(learnt, kept)
    notes = [*_source(used, len(statements), kept), *databases, *_still_refused(learnt, statements)]
    notes += _left_out(left_out)
    return Learnt(learnt, needs, tuple(notes))


def _role_of(policy: Policy | None, role: str) -> Role | None:
    if policy and role not in policy.roles:
        raise NothingLearnt(f"the policy to keep from has no role {role}; it has {', '.join(sorted(policy.roles))}")
    return policy.roles[role] if policy else None


def _of_role(records: Sequence[Record], role: str, *, allowed_only: bool) -> list[Record]:
    if not records:
        raise NothingLearnt("nothing was recorded: the files are empty")
    own = [record for record in records if record.asked.role == role]
    if not own:
        known = ", ".join(sorted({record.asked.role for record in records}))
        raise NothingLearnt(f"nothing was recorded of the role {role}; there are records of {known}")
    allowed = [record for record in own if not (allowed_only and record.rule)]
    if not allowed:
        raise NothingLearnt(f"the policy was against everything that was recorded of the role {role}")
    return allowed


def _id(record: Record) -> tuple[str, str | None]:
    """What tells a statement from others: the same text does something else in another database."""
    return record.statement.digest, record.asked.database


def _why_never(statement: Analysis) -> str | None:
    """Why no policy can allow it, or None."""
    for kind in sorted(statement.kinds):
        if kind not in get_args(Kind):
            return f"no policy allows {kind}"
    for schema, table in chain.from_iterable(_tables(statement)):
        if not schema:
            return f"{json.dumps(table)} is in no database"
        if not _fits(f"{schema}.{table}", TablePattern):
            return f"a policy can't name {json.dumps(f'{schema}.{table}')}"
    for name in statement.functions:
        if not _fits(name, FunctionName):
            return f"a policy can't name the function {json.dumps(name)}"
    for *_, column in (*statement.columns_read, *statement.columns_written):
        if not _fits(column, ColumnName):
            return f"a policy can't name the column {json.dumps(column)}"
    return None


def _needs(statements: Iterable[Analysis], asked: Iterable[Asked]) -> Needs:
    needs: dict[str, Counter[str]] = {member: Counter() for member in LISTED}
    for statement in statements:
        for member, value in set(_grants(statement)):
            needs[member][value] += 1
    needs["implementations"].update(way.implementation for way in asked)
    for member in _TABLES:
        needs[member] = _without_covered(needs[member])
    return needs


def _grants(statement: Analysis) -> Iterator[tuple[str, str]]:
    yield from (("kinds", kind) for kind in statement.kinds)
    yield from (("functions", name) for name in statement.functions - ALLOWED_FUNCTIONS)
    named = zip((*_TABLES, "procedures"), _tables(statement), strict=True)
    yield from ((member, f"{schema}.{table}") for member, tables in named for schema, table in tables)


def _tables(statement: Analysis) -> tuple[frozenset[TableName], ...]:
    return statement.reads, statement.writes, statement.defines, statement.procedures


def _without_covered(tables: Counter[str]) -> Counter[str]:
    """Without the tables that `schema.*`, which SHOW TABLES needs, allows besides."""
    wide = [pattern for pattern in tables if pattern.endswith(".*")]
    kept: Counter[str] = Counter()
    for pattern, count in tables.items():
        schema, _, table = pattern.partition(".")
        if pattern in wide or not matches(wide, schema, table):
            kept[pattern] = count
    return kept


def _has_where(statement: Analysis) -> bool:
    return statement.has_where or (statement.explained or statement.kind) not in {"update", "delete"}


def _restricted(statements: Sequence[Analysis]) -> dict[str, dict[str, list[str]]]:
    """`read_columns` and `write_columns`. As decide has it, a REPLACE writes all columns, and DDL wants all of them."""
    replaced = [statement for statement in statements if (statement.explained or statement.kind) == "replace"]
    whole = {(*table, ALL_COLUMNS) for statement in replaced for table in statement.writes}
    defined = {(*table, ALL_COLUMNS) for statement in statements for table in statement.defines}
    read = {column for statement in statements for column in statement.columns_read}
    written = {column for statement in statements for column in statement.columns_written}
    return {
        "read_columns": _only({table for found in statements for table in found.reads}, read | defined),
        "write_columns": _only({table for found in statements for table in found.writes}, written | whole | defined),
    }


def _only(tables: Iterable[TableName], columns: Iterable[Column]) -> dict[str, list[str]]:
    """The columns used of each table of which not all are. Tables that a server may call equal share theirs."""
    used: dict[str, set[str]] = {}
    for schema, table, column in columns:
        used.setdefault(loosely(f"{schema}.{table}"), set()).add(column.lower())
    names = [f"{schema}.{table}" for schema, table in tables if table != ALL_COLUMNS]
    found = {name: used.get(loosely(name), set()) for name in names}
    return {name: sorted(found[name]) for name in names if ALL_COLUMNS not in found[name]}


def _default_implementation(asked: Sequence[Asked]) -> str:
    """The one that requests without one were given, mostly; else the usual one, if it is used at all."""
    unnamed = Counter(way.implementation for way in asked if not way.names_implementation)
    named = Counter(way.implementation for way in asked)
    return (unnamed or Counter({_DEFAULT: named[_DEFAULT]} if named[_DEFAULT] else named)).most_common(1)[0][0]


def _with_database(role: Role, asked: Iterable[Asked]) -> tuple[Role, list[str]]:
    """The role with the default database of the requests that named none, and what to say of databases."""
    ways, schemas, notes = set(asked), role.schemas(), []
    unnamed = sorted({way.database for way in ways if way.database is not None and not way.names_database})
    if len(unnamed) == 1 and unnamed[0] in schemas:
        role = msgspec.structs.replace(role, default_database=unnamed[0])
    elif unnamed:
        why = "there were several" if len(unnamed) > 1 else "no table of it is used"
        notes.append(f"No default_database: {why}, {', '.join(unnamed)}.")
    shut = sorted({way.database for way in ways if way.database and way.names_database} - schemas)
    notes += [f"Requests that name the database {name} stay refused: no table of it is used." for name in shut]
    return role, notes


def _with_kept(role: Role, kept: Role) -> Role:
    """The role with the limits of the one that is kept from, and what it closes of the tables that the role has."""
    closed = {
        "hidden": _of_tables(kept.hidden, role.read),
        "read_columns": _fewest(_of_tables(kept.read_columns, role.read), role.read_columns),
        "write_columns": _fewest(_of_tables(kept.write_columns, role.write), role.write_columns),
    }
    return msgspec.structs.replace(role, **closed, **{member: getattr(kept, member) for member in _KEPT})


def _of_tables(columns: _Columns, patterns: Iterable[str]) -> _Columns:
    """Those of the tables that the patterns name, or that a server may call equal to one."""
    named = {loosely(pattern) for pattern in patterns}
    return {
        table: of_it
        for table, of_it in columns.items()
        if {loosely(table), f"{loosely(table.partition('.')[0])}.*"} & named
    }


def _fewest(kept: _Columns, learnt: _Columns) -> _Columns:
    """Of each table the columns that are in both, or in the one that has the table."""
    used = {loosely(table): {column.lower() for column in columns} for table, columns in learnt.items()}
    kept = {
        table: tuple(column for column in columns if column.lower() in used.get(loosely(table), {column.lower()}))
        for table, columns in kept.items()
    }
    restricted = set(map(loosely, kept))
    return {**kept, **{table: columns for table, columns in learnt.items() if loosely(table) not in restricted}}


def _source(used: Sequence[Record], statements: int, kept: Role | None) -> list[str]:
    first, last = (at(record.time for record in used).isoformat() for at in (min, max))
    return [
        f"Learnt from {statements} distinct statements, first seen from {first} to {last}.",
        "The numbers say how many of them need a line (for implementations: in how many ways they were asked for).",
        "Closed columns, limits and the end can't be learnt: "
        + ("they are those of the role as it is." if kept else "take them over from the role as it is (--keep)."),
    ]


def _still_refused(role: Role, statements: Iterable[Analysis]) -> Iterator[str]:
    for statement in statements:
        try:
            decide(role, statement)
        except Forbidden as error:
            yield f"Still refused: {statement.digest} ({statement.kind}), rule {error.rule}."


def _left_out(reasons: Mapping[tuple[str, str | None], str]) -> Iterator[str]:
    for (digest, _), reason in list(reasons.items())[:_MOST_LEFT_OUT]:
        yield f"Left out: {digest}, as {reason}."
    if len(reasons) > _MOST_LEFT_OUT:
        yield f"Left out: {len(reasons) - _MOST_LEFT_OUT} more."


def _fits(value: str, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True
