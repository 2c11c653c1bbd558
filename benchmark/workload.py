"""What is asked: one film by its primary key, another one each time; and how each kind of target is asked for it.

Every answer is compared with the row that the database itself gave before the run.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from deploy.providers.servers import AdminConnection

SCHEMA = "rental"
STATEMENT = "SELECT film_id, title, rental_rate FROM film WHERE film_id = ?"
SEED = 20_240_229


class Film(msgspec.Struct, frozen=True):
    """A row of the answer."""

    film_id: int
    title: str
    rental_rate: Decimal


class Exchange(msgspec.Struct, frozen=True):
    """A request as it goes over the wire, and what the body of its answer must contain."""

    request: bytes
    expected: bytes


def films(connection: AdminConnection) -> list[Film]:
    """All films, by id."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT film_id, title, rental_rate FROM {SCHEMA}.film ORDER BY film_id")  # noqa: S608 a constant
        return [Film(*row) for row in cursor.fetchall()]


def gateway_exchanges(rows: Sequence[Film], address: str, key: str, implementation: str) -> list[Exchange]:
    """POST /endpoint at a gatekeeper, with the id as a parameter."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def exchange(film: Film) -> Exchange:
        body = {"implementation": implementation, "query": STATEMENT, "params": [film.film_id], "database": SCHEMA}
        row = msgspec.json.encode([[film.film_id, film.title, film.rental_rate]])
        return Exchange(_request("POST", "/endpoint", address, headers, msgspec.json.encode(body)), b'"rows":' + row)

    return [exchange(film) for film in rows]


def xmysql_exchanges(rows: Sequence[Film], address: str) -> list[Exchange]:
    """GET on xmysql's list of films, with the same columns and the same condition. It gives rates as numbers."""

    def exchange(film: Film) -> Exchange:
        path = f"/api/film?_where=(film_id,eq,{film.film_id})&_fields=film_id,title,rental_rate"
        expected = msgspec.json.encode({"film_id": film.film_id, "title": film.title})[:-1] + b',"rental_rate":'
        return Exchange(_request("GET", path, address), b"[" + expected)

    return [exchange(film) for film in rows]


def dbhub_exchanges(rows: Sequence[Film], address: str) -> list[Exchange]:
    """A call of dbhub's tool execute_sql by MCP over HTTP. It takes no parameters, so the id is part of the text."""
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}

    def exchange(film: Film) -> Exchange:
        sql = STATEMENT.replace("?", str(film.film_id))
        call = {"name": "execute_sql", "arguments": {"sql": sql}}
        body = {"jsonrpc": "2.0", "id": film.film_id, "method": "tools/call", "params": call}
        # The answer is JSON, indented, within a string of the protocol's own JSON.
        row = [
            f'"film_id": {film.film_id}',
            f'"title": {_json(film.title)}',
            f'"rental_rate": {_json(str(film.rental_rate))}',
        ]
        expected = _json(f",\n{' ' * 12}".join(row)).encode()[1:-1]
        return Exchange(_request("POST", "/mcp", address, headers, msgspec.json.encode(body)), expected)

    return [exchange(film) for film in rows]


def _json(value: str) -> str:
    return msgspec.json.encode(value).decode()


def _request(method: str, path: str, host: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body
