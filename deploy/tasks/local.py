"""A whole system on this machine: a cluster of four nodes on 127.0.x.y, a proxy and a gatekeeper, a sample database."""

import shlex
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task
from rich.console import Console
from rich.table import Table

from client import Client
from contract.errors import GatekeeperError
from contract.implementations import IMPLEMENTATIONS
from deploy import local
from deploy.local import DEFAULT_NAME, SCHEMA, Row, System
from deploy.providers import loopback
from deploy.services import ServiceError, Services
from deploy.tasks.console import serve_console
from deploy.tasks.failures import USAGE, reported

FIRST_QUERY = "SELECT film_id, title, rental_rate FROM film WHERE film_id = ?"
FIRST_PARAMS = (42,)

_FORMATS = ("table", "json")
_NAME_HELP = f"which local system, when there are several (default: {DEFAULT_NAME})"


@task(help={"name": _NAME_HELP, "proxies": "how many proxies the gatekeeper balances over (default: 1)"})
@reported
def up(_context: Context, name: str = DEFAULT_NAME, proxies: int = 1) -> None:
    """Start cluster and services, ask one query with each implementation, and say how to go on."""
    if not 1 <= proxies <= 16:
        raise Exit("--proxies must be 1 to 16", code=USAGE)
    system = local.system(name)
    began = time.monotonic()
    services, started = local.up(system, _say, _first_queries, proxies)
    _say(name, f"up after {time.monotonic() - began:.0f} s" if started else "already up; nothing was changed")
    print(_next_steps(system, services))


@task(help={"name": _NAME_HELP})
@reported
def down(_context: Context, name: str = DEFAULT_NAME) -> None:
    """Stop everything and remove it, but for the cache that makes the next start quick."""
    _say(name, "down" if local.down(local.system(name)) else "not up; nothing was changed")


@task(help={"name": _NAME_HELP, "format": "table (for people) or json (for programs)"})
@reported
def status(_context: Context, name: str = DEFAULT_NAME, format: str = "table") -> None:  # noqa: A002 (the option's name)
    """Show every node and service: address, process, state, the engine's own word, ping in ms."""
    if format not in _FORMATS:
        raise Exit(f"unknown format {format!r}; known are {', '.join(_FORMATS)}", code=USAGE)
    rows = local.status(local.system(name))
    if format == "json":
        print(msgspec.json.encode(rows).decode())
    else:
        Console().print(_table(rows))


@task(help={"node": "the node's name, as local.status shows it", "name": _NAME_HELP})
@reported
def kill(_context: Context, node: str, name: str = DEFAULT_NAME) -> None:
    """Kill a node's database server with SIGKILL, as a crash would."""
    loopback.kill(local.system(name).directory, node)
    _say(node, "killed; bring it back with: fab local.start " + node)


@task(help={"node": "the node's name, as local.status shows it", "name": _NAME_HELP})
@reported
def start(_context: Context, node: str, name: str = DEFAULT_NAME) -> None:
    """Bring a killed node back, and wait until it is in step with the others."""
    loopback.start(local.system(name).directory, node)
    _say(node, "started and ready")


@task(help={"name": _NAME_HELP})
@reported
def console(_context: Context, name: str = DEFAULT_NAME) -> None:
    """Open the operators' console: prints a link for a browser on this machine, and serves it until Ctrl-C."""
    system = local.system(name)
    serve_console(local.orchestrators(system), local.operator(system))


@task(name="rotate-certificates", help={"name": _NAME_HELP})
@reported
def rotate_certificates(_context: Context, name: str = DEFAULT_NAME) -> None:
    """Give every service a new key and certificate, and have new workers take them up."""
    for service in local.rotate_certificates(local.system(name)).services:
        _say(service.name, "has a new certificate")


def _say(host: str, text: str) -> None:
    print(f"[{host}] {text}", flush=True)


def _first_queries(system: System, services: Services) -> None:
    key = system.key_file.read_text(encoding="utf-8").strip()
    with Client(services.gatekeeper_url, key) as client:
        for implementation in IMPLEMENTATIONS:
            try:
                result = client.query(FIRST_QUERY, FIRST_PARAMS, implementation=implementation, database=SCHEMA)
            except GatekeeperError as error:
                raise ServiceError(f"{implementation} was not answered: {error}", services.gatekeeper.log) from None
            row = ", ".join(str(value) for value in result.rows[0])
            _say(result.node, f"answered {implementation} in {result.elapsed_ms:.1f} ms: {row}")


def _next_steps(system: System, services: Services) -> str:
    key_file = _shown(system.key_file)
    request = {
        "implementation": IMPLEMENTATIONS[-1],
        "query": FIRST_QUERY,
        "params": list(FIRST_PARAMS),
        "database": SCHEMA,
    }
    name = "" if system.name == DEFAULT_NAME else f" NAME={system.name}"
    return f"""
The gatekeeper listens on {services.gatekeeper_url}; the key lies in {key_file}. Ask it:

  curl -s {services.gatekeeper_url}/endpoint -H "Authorization: Bearer $(cat {shlex.quote(key_file)})" \\
    -H 'Content-Type: application/json' -d {shlex.quote(msgspec.json.encode(request).decode())}

See it all live, in a browser: make console{name}

Stop everything: make down{name}"""


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _table(rows: Sequence[Row]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("name", "role", "address", "pid", "state", "engine", "ping ms"):
        table.add_column(column, justify="right" if column in {"pid", "ping ms"} else "left", no_wrap=True)
    for row in rows:
        ping = "" if row.ping_ms is None else f"{row.ping_ms:.2f}"
        table.add_row(row.name, row.role, row.address, str(row.pid or ""), row.state, row.engine_state, ping)
    return table
