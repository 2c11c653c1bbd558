"""A learnt role as a policy in TOML, with what its values are needed for as comments."""

import json
from collections.abc import Iterator
from typing import Final, get_args

import msgspec

from gatekeeper.policy.learn import LISTED, Learnt
from gatekeeper.policy.model import Implementation, Role

_SCALARS: Final = (
    *("where_required", "default_database", "default_implementation"),
    *("max_rows", "max_timeout_ms", "max_result_bytes", "max_affected_rows", "max_transactions", "webhooks"),
)


def render(name: str, learnt: Learnt) -> str:
    """The policy, with this role alone."""
    notes = [f"# {_printable(note)}" for note in learnt.notes]
    return (
        "\n".join([*notes, "", f"[roles.{name}]", *_lists(learnt), *_scalars(learnt.role), *_tables(name, learnt.role)])
        + "\n"
    )


def _lists(learnt: Learnt) -> Iterator[str]:
    for member in LISTED:
        values: frozenset[str] = frozenset(getattr(learnt.role, member))
        if values and not (member == "implementations" and values >= set(get_args(Implementation))):
            yield f"{member} = ["
            yield from (f"    {_string(value)},  # {_needed(learnt, member, value)}" for value in sorted(values))
            yield "]"


def _needed(learnt: Learnt, member: str, value: str) -> str:
    """How many statements need it; the patterns, which allow more than was used, say why they are there."""
    return f"{learnt.needs[member][value]}{', for SHOW TABLES' if value.endswith('.*') else ''}"


def _scalars(role: Role) -> Iterator[str]:
    """Those that are not as they are without being named."""
    usual = {field.name: field.default for field in msgspec.structs.fields(Role)}
    for member in _SCALARS:
        if (value := getattr(role, member)) != usual[member]:
            yield f"{member} = {json.dumps(value)}"
    if role.expires is not None:
        yield f"expires = {role.expires.isoformat()}"


def _tables(name: str, role: Role) -> Iterator[str]:
    for member in ("hidden", "read_columns", "write_columns"):
        if columns := getattr(role, member):
            yield from ("", f"[roles.{name}.{member}]")
            yield from (f"{_string(table)} = [{', '.join(map(_string, columns[table]))}]" for table in sorted(columns))
    if limits := {limit: value for limit, value in msgspec.structs.asdict(role.limits).items() if value is not None}:
        yield from ("", f"[roles.{name}.limits]", *(f"{limit} = {value}" for limit, value in limits.items()))


def _string(text: str) -> str:
    """JSON's escapes are a part of TOML's. What can't be seen, or turns what is seen around it, is escaped too."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in quoted)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
