"""The way of the student projects that this one follows: a tunnel, a connection and a statement for each request.

`python -m benchmark.per_request PORT` runs it with Flask's own threaded server, as they do; what it connects to is told
by the environment variable PER_REQUEST, JSON. It stands here to be measured: it checks no key, no statement and no host
key.
"""

import json
import os
import sys
from typing import Any

import msgspec
import pymysql
from flask import Flask, Response, request
from sshtunnel import SSHTunnelForwarder

from benchmark.shapes import SCHEMA

VARIABLE = "PER_REQUEST"


class Way(msgspec.Struct, frozen=True):
    """Through which SSH server to which SQL server."""

    host: str
    ssh_port: int
    ssh_user: str
    ssh_key: str
    mysql_port: int
    user: str
    password: str

    def __repr__(self) -> str:
        return f"Way({self.host}, password hidden)"


def create_app(way: Way) -> Flask:
    """One endpoint, which runs what it is sent."""
    app = Flask("per_request")

    @app.post("/endpoint")
    def endpoint() -> Response:
        found = _answer(way, request.get_json()["query"])
        body = json.dumps(found, default=str, ensure_ascii=False, separators=(",", ":"))
        return Response(body, mimetype="application/json")

    return app


def _answer(way: Way, query: str) -> dict[str, Any]:
    with (
        SSHTunnelForwarder(
            (way.host, way.ssh_port),
            ssh_username=way.ssh_user,
            ssh_pkey=way.ssh_key,
            allow_agent=False,
            host_pkey_directories=[],
            remote_bind_address=(way.host, way.mysql_port),
        ) as tunnel,
        pymysql.connect(
            host="127.0.0.1",
            port=tunnel.local_bind_port,
            user=way.user,
            password=way.password,
            database=SCHEMA,
            autocommit=True,
            ssl_disabled=True,
        ) as connection,
        connection.cursor() as cursor,
    ):
        affected = cursor.execute(query)
        return {"rows": cursor.fetchall()} if cursor.description else {"affected_rows": affected}


def main() -> None:
    """Serves until it is ended."""
    way = msgspec.json.decode(os.environ[VARIABLE], type=Way)
    create_app(way).run("127.0.0.1", int(sys.argv[1]), threaded=True)


if __name__ == "__main__":
    main()
