"""Settings files are written as TOML 1.0; the standard library reads it only."""

import json
from collections.abc import Mapping, Sequence

Value = str | int | Sequence[str]


def render(members: Mapping[str, Value], tables: Mapping[str, Mapping[str, Value]] | None = None) -> str:
    """The TOML text of the members, then of the tables. Names must be bare keys (letters, digits, `_`, `-`)."""
    lines = [_line(name, value) for name, value in members.items()]
    for table, inner in (tables or {}).items():
        lines += ["", f"[{table}]", *(_line(name, value) for name, value in inner.items())]
    return "\n".join(lines) + "\n"


def _line(name: str, value: Value) -> str:
    return f"{name} = {_value(value)}"


def _value(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return _string(value)
    return f"[{', '.join(_string(item) for item in value)}]"


def _string(value: str) -> str:
    # JSON's escapes are a part of TOML's; of what TOML wants escaped, JSON leaves out DEL alone.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
