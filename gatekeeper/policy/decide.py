"""May this role run this statement? Pure: a role and an analysis in, nothing or a refusal out."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from contract.errors import Forbidden
from gatekeeper.analysis import ALL_COLUMNS, ALLOWED_FUNCTIONS, Analysis, TableName
from gatekeeper.policy.model import Role

# MariaDB makes tables of this name up in every schema, of any length (its sequence engine).
_MADE_UP = re.compile(r"seq_\d+_to_\d+(?:_step_\d+)?", re.IGNORECASE)


def decide(role: Role, analysis: Analysis) -> None:
    """Raises Forbidden where the role does not allow what the statement does.

    Rules: kind, function, database, read, write, column, where_required.
    """
    if analysis.kind not in role.kinds:
        raise Forbidden(f"{analysis.kind} is not allowed; allowed are {_list(role.kinds)}", rule="kind")
    if forbidden := analysis.functions - ALLOWED_FUNCTIONS - role.functions:
        raise Forbidden(f"functions not allowed: {_list(forbidden)}", rule="function")
    _check_tables(role.read, analysis.reads, "read")
    _check_tables(role.write, analysis.writes, "write")
    _check_columns(role, analysis)
    if role.where_required and analysis.kind in {"update", "delete"} and not analysis.has_where:
        raise Forbidden(f"{analysis.kind} needs a WHERE that mentions a column", rule="where_required")


def _check_tables(patterns: Sequence[str], tables: Iterable[TableName], rule: str) -> None:
    for schema, table in sorted(tables):
        if not schema:
            raise Forbidden(f"{table} has no database: name one in the request, or write schema.table", rule="database")
        if not _matches(patterns, schema, table):
            raise Forbidden(
                f"the table {schema}.{table} may not be {'read' if rule == 'read' else 'written'}", rule=rule
            )


def _matches(patterns: Sequence[str], schema: str, table: str) -> bool:
    """Names match exactly, whatever lower_case_table_names says: one that differs by case is refused."""
    return f"{schema}.{table}" in patterns or (f"{schema}.*" in patterns and not _MADE_UP.fullmatch(table))


def _check_columns(role: Role, analysis: Analysis) -> None:
    """Hidden columns match loosely, as servers compare them: a name that may be theirs counts as theirs."""
    hidden = {_loose(table): {_loose(column) for column in columns} for table, columns in role.hidden.items()}
    for schema, table, column in sorted(analysis.columns_read) if hidden else ():
        columns = hidden.get(_loose(f"{schema}.{table}"), set())
        if columns and (column == ALL_COLUMNS or _loose(column) in columns):
            what = f"{table} has hidden columns: name those you need" if column == ALL_COLUMNS else f"{table}.{column}"
            raise Forbidden(f"the column may not be read: {what}", rule="column")


def _loose(name: str) -> str:
    """The name without case and accents: whatever a server's collation could call equal."""
    plain = "".join([c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c)])
    return plain.upper().casefold()


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
