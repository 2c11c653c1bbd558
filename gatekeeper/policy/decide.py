"""May this role run this statement? Pure: a role and an analysis in, nothing or a refusal out."""

import re
from collections.abc import Iterable, Mapping, Sequence

from contract.errors import Forbidden
from gatekeeper.analysis import ALL_COLUMNS, ALLOWED_FUNCTIONS, Analysis, Column, TableName
from gatekeeper.analysis.names import loosely
from gatekeeper.policy.model import Role

# MariaDB makes tables of this name up in every schema, of any length (its sequence engine).
_MADE_UP = re.compile(r"seq_\d+_to_\d+(?:_step_\d+)?", re.IGNORECASE)

_DONE = {"read": "read", "write": "written", "define": "defined"}


def decide(role: Role, analysis: Analysis) -> None:
    """Raises Forbidden where the role does not allow what the statement does.

    Rules: kind, function, database, define, read, write, procedure, column, where_required.
    """
    for kind in sorted(analysis.kinds):
        if kind not in role.kinds:
            raise Forbidden(f"{kind} is not allowed; allowed are {_list(role.kinds)}", rule="kind")
    if forbidden := analysis.functions - ALLOWED_FUNCTIONS - role.functions:
        raise Forbidden(f"functions not allowed: {_list(forbidden)}", rule="function")
    _check_tables(role.define, analysis.defines, "define")
    _check_undivided(role, analysis.defines)
    _check_tables(role.read, analysis.reads, "read")
    _check_tables(role.write, analysis.writes, "write")
    _check_procedures(role, analysis)
    does = analysis.explained or analysis.kind
    _check_columns(role, analysis, does)
    if role.where_required and does in {"update", "delete"} and not analysis.has_where:
        raise Forbidden(f"{does} needs a WHERE that mentions a column", rule="where_required")


def _check_tables(patterns: Sequence[str], tables: Iterable[TableName], rule: str) -> None:
    for schema, table in sorted(tables):
        if not schema:
            raise Forbidden(f"{table} has no database: name one in the request, or write schema.table", rule="database")
        if not matches(patterns, schema, table):
            raise Forbidden(f"the table {schema}.{table} may not be {_DONE[rule]}", rule=rule)


def _check_undivided(role: Role, tables: Iterable[TableName]) -> None:
    """A table of which some columns are closed is not defined: renamed or defined anew, its columns would be open."""
    divided = {loosely(table) for table in (*role.hidden, *role.read_columns, *role.write_columns)}
    for schema, table in sorted(tables):
        if loosely(f"{schema}.{table}") in divided:
            raise Forbidden(
                f"the table {schema}.{table} may not be defined by a role that may use only some of its columns",
                rule="column",
            )


def _check_procedures(role: Role, analysis: Analysis) -> None:
    for schema, name in sorted(analysis.procedures):
        if not schema:
            raise Forbidden(f"{name} has no database: name one in the request, or qualify it", rule="database")
        if f"{schema}.{name}" not in role.procedures:
            raise Forbidden(f"the procedure {schema}.{name} may not be called", rule="procedure")


def matches(patterns: Sequence[str], schema: str, table: str) -> bool:
    """Names match exactly, whatever lower_case_table_names says: one that differs by case is refused."""
    return f"{schema}.{table}" in patterns or (f"{schema}.*" in patterns and not _MADE_UP.fullmatch(table))


def _check_columns(role: Role, analysis: Analysis, does: str) -> None:
    """Restrictions match tables loosely, as servers compare them: a table that may be a restricted one counts as it."""
    read = _by_table(analysis.columns_read) if role.hidden or role.read_columns else {}
    for table, hidden in role.hidden.items():
        loose = {loosely(column) for column in hidden}
        for column in sorted(read.get(loosely(table), ())):
            if column == ALL_COLUMNS or loosely(column) in loose:
                raise _refused(table, column, f"{table} has hidden columns: name those you need", "read")
    _check_only(role.read_columns, read, "read")
    if role.write_columns:
        # A REPLACE that meets the row sets it anew as a whole.
        whole = {(*table, ALL_COLUMNS) for table in analysis.writes if does == "replace"}
        _check_only(role.write_columns, _by_table(analysis.columns_written | whole), "written")


def _check_only(only: Mapping[str, Sequence[str]], mentioned: Mapping[str, set[str]], done: str) -> None:
    for table, columns in only.items():
        allowed = {column.lower() for column in columns}
        for column in sorted(mentioned.get(loosely(table), ())):
            if column.lower() not in allowed:
                raise _refused(table, column, f"of {table} only {_list(columns)}", done)


def _refused(table: str, column: str, all_of_it: str, done: str) -> Forbidden:
    what = all_of_it if column == ALL_COLUMNS else f"{table.partition('.')[2]}.{column[:64]}"
    return Forbidden(f"the column may not be {done}: {what}", rule="column")


def _by_table(columns: Iterable[Column]) -> dict[str, set[str]]:
    """The columns by their tables' loose names."""
    exact: dict[str, set[str]] = {}
    for schema, table, column in columns:
        exact.setdefault(f"{schema}.{table}", set()).add(column)
    loose: dict[str, set[str]] = {}
    for table, names in exact.items():
        loose.setdefault(loosely(table), set()).update(names)
    return loose


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
