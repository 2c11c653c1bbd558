"""What writes promise, tried on a deployed cluster: once under a key, several together or not at all, on every node."""

import secrets
from collections.abc import Callable
from typing import Final

from client import Client
from contract.errors import GatekeeperError
from deploy import clusters
from deploy.checks import load
from deploy.checks.failed import CheckFailed
from deploy.deployment import Deployment
from deploy.providers.interface import Say
from deploy.sample import rental
from deploy.site import Site

_INSERT: Final = f"INSERT INTO {rental.SCHEMA}.rehearsed (number) VALUES (?)"  # noqa: S608 - our own name
_STAY: Final = [1, 3, 4, 6]


def check(deployment: Deployment, site: Site, say: Say) -> None:
    """Raises CheckFailed when a write is there twice, or a part of what was to be done together."""
    engine, manager = deployment.engine, site.of("manager")[0]
    engine.sql(manager, load.MAKE_TABLE)
    with clusters.client(deployment, site) as client:
        _once(client)
        _together(client)
        _in_steps(client)
    if wrong := {name: found for name, found in load.kept(engine, site).items() if found != _STAY}:
        raise CheckFailed(f"not the writes {_STAY} are there: {wrong}")
    engine.sql(manager, load.DROP_TABLE)
    say("writes", f"once under a key, together or not at all, on {len(site.nodes)} SQL nodes")


def _once(client: Client) -> None:
    key = secrets.token_hex(8)
    first, again = (client.query(_INSERT, (1,), idempotency_key=key) for _ in range(2))
    if first.last_insert_id != again.last_insert_id:
        raise CheckFailed("a repeat under the same key has another answer")
    _refused("conflict", lambda: client.query(_INSERT, (2,), idempotency_key=key))


def _together(client: Client) -> None:
    client.transaction([(_INSERT, (3,)), (_INSERT, (4,))])
    _refused("database_refused", lambda: client.transaction([(_INSERT, (5,)), (_INSERT, (None,))]))


def _in_steps(client: Client) -> None:
    with client.begin() as kept:
        kept.query(_INSERT, (6,))
    undone = client.begin()
    undone.query(_INSERT, (7,))
    undone.rollback()


def _refused(code: str, ask: Callable[[], object]) -> None:
    try:
        ask()
    except GatekeeperError as error:
        if error.code == code:
            return
        raise
    raise CheckFailed(f"what should be refused as {code} was not")
