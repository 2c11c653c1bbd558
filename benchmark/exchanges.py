"""How each kind of target is asked: requests as they go over the wire, and what the right answer's body contains. Pure.

A target that can't do a shape has no exchanges for it.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from urllib.parse import quote

import msgspec

from benchmark.shapes import INSERT, INSERT_TABLE, JOIN, POINT, RANGE, RANGE_ROWS, SCHEMA, Asked, Question, Row, Shape
from contract.messages import Answer, Column

_JSON = {"Content-Type": "application/json"}


class Exchange(msgspec.Struct, frozen=True):
    """A request as it goes over the wire, what the body of its answer must contain, and the answer's status.

    KEY_MARK within the request stands for a key that is new each time.
    """

    request: bytes
    expected: bytes
    status: int = 200


def gateway(asked: Asked, address: str, key: str, implementation: str) -> list[Exchange]:
    """POST /endpoint at a gatekeeper, with parameters."""
    headers = {"Authorization": f"Bearer {key}", **_JSON}

    def exchange(question: Question) -> Exchange:
        members = _members(asked.shape, question, implementation)
        return Exchange(_post("/endpoint", address, headers, members), _in_order(question))

    return [exchange(question) for question in asked.questions]


def proxy(asked: Asked, address: str, implementation: str) -> list[Exchange]:
    """POST /endpoint at a proxy, as a gatekeeper does it: with the effect, which chooses the account."""

    def exchange(question: Question) -> Exchange:
        effect = "write" if asked.shape.writes else "read"
        members = _members(asked.shape, question, implementation) | {"effect": effect}
        return Exchange(_post("/endpoint", address, _JSON, members), _in_order(question))

    return [exchange(question) for question in asked.questions]


def refused(address: str, key: str | None = None) -> Exchange:
    """POST /endpoint with what is no message, at a gatekeeper with its key or at a proxy: answered with 400."""
    headers = {**({"Authorization": f"Bearer {key}"} if key else {}), **_JSON}
    return Exchange(_post("/endpoint", address, headers, {"no": "message"}), b"does not fit", 400)


def per_request(asked: Asked, address: str) -> list[Exchange]:
    """POST /endpoint at the stand-in for the student projects (benchmark/per_request.py); it takes no parameters."""

    def exchange(question: Question) -> Exchange:
        members = {"implementation": "direct_hit", "query": text_of(asked.shape, question)}
        return Exchange(_post("/endpoint", address, _JSON, members), _in_order(question))

    return [exchange(question) for question in asked.questions]


def xmysql(asked: Asked, address: str) -> list[Exchange]:
    """Xmysql's own paths, with the same columns and the same condition. It gives decimals as numbers."""
    exchange = _XMYSQL[asked.shape.name]
    return [exchange(question, address) for question in asked.questions]


def dbhub(asked: Asked, address: str) -> list[Exchange]:
    """A call of dbhub's tool execute_sql by MCP over HTTP. It takes no parameters, so they are part of the text."""
    headers = {"Accept": "application/json, text/event-stream", **_JSON}

    def exchange(number: int, question: Question) -> Exchange:
        call = {"name": "execute_sql", "arguments": {"sql": text_of(asked.shape, question)}}
        body = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": call}
        # The answer is JSON, indented, within a string of the protocol's own JSON.
        expected = _dumped(_within(asked.shape, question)).encode()[1:-1]
        return Exchange(_post("/mcp", address, headers, body), expected)

    return [exchange(number, question) for number, question in enumerate(asked.questions, 1)]


def text_of(shape: Shape, question: Question) -> str:
    """The statement with the values in the text. They are whole numbers, and a text without a quote."""
    text = shape.statement
    for value in question.params:
        text = text.replace("?", f"'{value}'" if isinstance(value, str) else str(value), 1)
    return text


def answer_of(shape: Shape, question: Question) -> str:
    """A proxy's answer to a read."""
    columns = [Column(name, "VARCHAR") for name in shape.columns]
    return msgspec.json.encode(
        Answer("", "stub", "direct_hit", 1, 0.1, columns, question.rows, 0, None, False)
    ).decode()


def _members(shape: Shape, question: Question, implementation: str) -> dict[str, object]:
    return {
        "implementation": implementation,
        "query": shape.statement,
        "params": question.params,
        "database": SCHEMA,
    }


def _in_order(question: Question) -> bytes:
    """What an answer with rows as arrays contains."""
    return b'"rows":' + msgspec.json.encode(question.rows) if question.rows else b'"affected_rows":1'


def _xmysql_list(question: Question, address: str, condition: str, more: str = "") -> Exchange:
    path = f"/api/film?_where=(film_id,{condition})&_fields={','.join(POINT.columns)}{more}"
    return Exchange(_request("GET", path, address), _xmysql_rows(POINT.columns, question.rows))


def _xmysql_point(question: Question, address: str) -> Exchange:
    return _xmysql_list(question, address, f"eq,{question.params[0]}")


def _xmysql_range(question: Question, address: str) -> Exchange:
    first, last = question.params
    return _xmysql_list(question, address, f"bw,{first},{last}", f"&_sort=film_id&_size={RANGE_ROWS}")


def _xmysql_join(question: Question, address: str) -> Exchange:
    """Its join takes no order, so one row, wherever it stands, and not all in a row are looked for."""
    fields = ",".join(f"a.{column}" for column in JOIN.columns)
    join = "_join=fa.film_actor,_j,a.actor&_on1=" + quote("(fa.actor_id,eq,a.actor_id)", safe="(),")
    path = f"/api/xjoin?{join}&_fields={fields}&_where=(fa.film_id,eq,{question.params[0]})"
    expected = _xmysql_rows([f"a_{column}" for column in JOIN.columns], question.rows[:1])
    return Exchange(_request("GET", path, address), expected[1:-1])


def _xmysql_insert(question: Question, address: str) -> Exchange:
    members = dict(zip(("id", "note"), question.params, strict=True))
    return Exchange(_post(f"/api/{INSERT_TABLE}", address, _JSON, members), b'"affectedRows":1')


_XMYSQL: dict[str, Callable[[Question, str], Exchange]] = {
    POINT.name: _xmysql_point,
    RANGE.name: _xmysql_range,
    JOIN.name: _xmysql_join,
    INSERT.name: _xmysql_insert,
}


def _xmysql_rows(columns: Iterable[str], rows: Iterable[Row]) -> bytes:
    names = list(columns)
    return msgspec.json.encode([dict(zip(names, map(_number, row), strict=True)) for row in rows])


def _number(value: object) -> object:
    """A decimal as JavaScript writes the number."""
    if not isinstance(value, Decimal):
        return value
    return int(value) if value == value.to_integral_value() else float(value)


def _within(shape: Shape, question: Question) -> str:
    """What dbhub's inner JSON contains."""
    if not question.rows:
        return '"count": 1'
    outer, inner = "\n" + " " * 10, "\n" + " " * 12
    objects = []
    for row in question.rows:
        members = (f'"{name}": {_dumped(_text(value))}' for name, value in zip(shape.columns, row, strict=True))
        objects.append("{" + inner + f",{inner}".join(members) + outer + "}")
    return f",{outer}".join(objects)


def _text(value: object) -> object:
    return str(value) if isinstance(value, Decimal) else value


def _dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _post(path: str, host: str, headers: Mapping[str, str], members: object) -> bytes:
    return _request("POST", path, host, headers, msgspec.json.encode(members))


def _request(method: str, path: str, host: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body
