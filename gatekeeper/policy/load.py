"""From a TOML file to a checked policy, or to an error that names every mistake."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

import msgspec

from contract.messages import MAX_TIMEOUT_MS
from gatekeeper.policy.model import Kind, Policy, PolicyError, Role, RoleName

_TABLES = 'a list of tables, each "schema.table" or "schema.*"'
_COLUMNS = 'a table of lists of columns by table, such as "schema.table" = ["column"]'
_IMPLEMENTATIONS = "direct_hit, random_hit, customized_hit"
_WRITING = frozenset({"insert", "replace", "update", "delete"})
# What stands in each member, for people.
ALLOWED: Final = {
    "kinds": f"a list of {', '.join(get_args(Kind))}",
    "read": _TABLES,
    "write": _TABLES,
    "hidden": _COLUMNS,
    "read_columns": _COLUMNS,
    "write_columns": _COLUMNS,
    "functions": "a list of functions' names in lower case",
    "procedures": 'a list of procedures, each "schema.procedure"',
    "where_required": "true or false",
    "default_database": "a schema's name",
    "implementations": f"a list of {_IMPLEMENTATIONS}",
    "default_implementation": f"one of {_IMPLEMENTATIONS}",
    "max_rows": "an integer from 1",
    "max_timeout_ms": f"an integer from 1 to {MAX_TIMEOUT_MS}",
}


def load(path: Path) -> Policy:
    """The policy in the file. Raises PolicyError, also for a file that can't be read."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"{path.name} can't be read: {error}") from None
    except PolicyError as error:
        raise PolicyError(f"{path.name}: {error}") from None


def parse(text: str) -> Policy:
    """The policy in the TOML text. Raises PolicyError with all mistakes."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise PolicyError(f"not TOML: {error}") from None
    if mistakes := list(_mistakes(document)):
        raise PolicyError("; ".join(mistakes))
    return msgspec.convert(document, Policy)


def _mistakes(document: dict[str, Any]) -> Iterator[str]:
    yield from (f"{name}: unknown member; known are roles" for name in document if name != "roles")
    roles = document.get("roles")
    if not isinstance(roles, dict) or not roles:
        yield "roles: at least one is needed, each a table [roles.NAME]"
        return
    for name, members in roles.items():
        if not _fits(name, RoleName):
            yield f"roles.{name}: a role's name has letters, digits, _ and -"
        elif isinstance(members, dict):
            yield from (f"roles.{name}.{mistake}" for mistake in _role_mistakes(members))
        else:
            yield f"roles.{name}: a table was expected"


def _role_mistakes(members: dict[str, Any]) -> Iterator[str]:
    fields = {field.name: field for field in msgspec.structs.fields(Role)}
    yield from (f"{name}: unknown member; known are {', '.join(fields)}" for name in members if name not in fields)
    sound = True
    for name, field in fields.items():
        if name in members and not _fits(members[name], field.type):
            sound = False
            yield f"{name}: {ALLOWED[name]} was expected"
        elif name not in members and field.required:
            sound = False
            yield f"{name}: missing; {ALLOWED[name]} is expected"
    if sound:
        yield from _contradictions(msgspec.convert({n: v for n, v in members.items() if n in fields}, Role))


def _contradictions(role: Role) -> Iterator[str]:
    if role.default_implementation not in role.implementations:
        yield f"default_implementation: {role.default_implementation} is not among implementations"
    if role.default_database is not None and role.default_database not in role.schemas():
        yield f"default_database: neither read nor write names a table of {role.default_database}"
    if role.write and not role.kinds & _WRITING:
        yield "write: kinds has nothing that writes"
    if role.procedures and "call" not in role.kinds:
        yield "procedures: kinds has no call"


def _fits(value: object, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True
