"""How answers are shown: a table for people, JSON and CSV for programs."""

from collections.abc import Iterator
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from client.values import decoded, is_binary
from contract.messages import Answer, NodesAnswer

_SHOWN_BYTES = 32
_NUMBERS = frozenset({"TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT", "DECIMAL", "FLOAT", "DOUBLE", "BIT"})
_NODE_COLUMNS = {
    "name": "name",
    "role": "role",
    "state": "state",
    "engine_state": "engine",
    "ping_ms": "ping ms",
    "in_flight": "in flight",
    "requests": "requests",
    "failures": "failures",
    "tunnel_restarts": "tunnel restarts",
    "detail": "detail",
}


def visible(text: str) -> str:
    """The text with control characters escaped: a value from a database must not steer the terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


def table(answer: Answer) -> Table:
    """The rows as a table; octets in hexadecimal, the first 32 of them."""
    shown = Table()
    for column in answer.columns:
        number = column.type.removesuffix(" UNSIGNED") in _NUMBERS
        shown.add_column(Text(visible(column.name)), justify="right" if number else "left", overflow="fold")
    binary = [is_binary(column.type) for column in answer.columns]
    for row in answer.rows:
        shown.add_row(*map(_cell, row, binary))
    return shown


def _cell(value: Any, binary: bool) -> Text:
    if value is None:
        return Text("NULL", style="dim")
    return Text(_hexadecimal(decoded(value)) if binary else visible(str(value)))


def _hexadecimal(octets: bytes) -> str:
    rest = f"… ({len(octets)} bytes)" if len(octets) > _SHOWN_BYTES else ""
    return f"0x{octets[:_SHOWN_BYTES].hex()}{rest}"


def summary(answer: Answer) -> str:
    """One line: how many rows, and who answered how fast."""
    parts = [_counted(answer), f"node {answer.node}", answer.implementation, f"{answer.elapsed_ms:.1f} ms"]
    if answer.attempts > 1:
        parts.append(f"{answer.attempts} attempts")
    return visible(" · ".join(parts))


def _counted(answer: Answer) -> str:
    if answer.columns:
        count = len(answer.rows)
        more = " (cut off: there are more)" if answer.truncated else ""
        return f"{count} row{'' if count == 1 else 's'}{more}"
    count = answer.affected_rows
    inserted = f", last insert id {answer.last_insert_id}" if answer.last_insert_id else ""
    return f"{count} row{'' if count == 1 else 's'} affected{inserted}"


def csv_lines(answer: Answer) -> Iterator[str]:
    """CSV (RFC 4180, but with the line ends of the system) of the values as they travelled, names first.

    NULL is an empty field and an empty text is "", as PostgreSQL's COPY has it.
    """
    if answer.columns:
        yield ",".join(_field(column.name) for column in answer.columns)
    for row in answer.rows:
        yield ",".join(map(_field, row))


def _field(value: Any) -> str:
    if value is None:
        return ""
    text = str(value)
    if text and not any(char in text for char in ',"\r\n'):
        return text
    return '"' + text.replace('"', '""') + '"'


def nodes_table(proxies: list[NodesAnswer]) -> Table:
    """What the proxies know of the nodes, a line for each node of each proxy."""
    shown = Table()
    shown.add_column("proxy")
    for title in _NODE_COLUMNS.values():
        shown.add_column(title)
    for proxy in proxies:
        for node in proxy.nodes:
            values = (getattr(node, member) for member in _NODE_COLUMNS)
            shown.add_row(Text(visible(proxy.proxy)), *map(_node_cell, values))
    return shown


def _node_cell(value: Any) -> Text:
    if value is None:
        return Text("-")
    return Text(f"{value:.2f}" if isinstance(value, float) else visible(str(value)))


def as_json(value: Any) -> str:
    """The value as one line of JSON, in the form in which it travels."""
    return msgspec.json.encode(value).decode()
