"""The borders of the queue: what an orchestrator may ask of a proxy, and a gatekeeper of an orchestrator."""

import secrets
from typing import Any

import pytest
import requests

from contract.roles import dns_name
from deploy.services import Role
from tests.live.system_fixtures import LiveSystem


def test_a_gatekeeper_can_not_use_the_queues_account(system: LiveSystem) -> None:
    body = {"query": "SELECT id FROM gatekeeper.requests", "effect": "queue"}
    assert at_the_proxy(system, "gatekeeper1", body) == (403, "peer_role")
    assert at_the_proxy(system, "orchestrator1", body) == (200, None)
    reads = {"query": "SELECT id FROM gatekeeper.requests", "effect": "read"}
    assert at_the_proxy(system, "orchestrator1", reads) == (422, None)


@pytest.mark.parametrize(
    ("effect", "query"), [("call", "CALL rental.none()"), ("schema", "DROP TABLE rental.there_is_none")]
)
def test_an_orchestrators_certificate_opens_no_account_that_it_needs_not(
    system: LiveSystem, effect: str, query: str
) -> None:
    body = {"query": query, "effect": effect}
    assert at_the_proxy(system, "orchestrator1", body) == (403, "peer_role")
    assert at_the_proxy(system, "gatekeeper1", body) == (422, None)


@pytest.mark.parametrize("effect", ["queue", "call", "schema"])
def test_a_gatekeeper_can_queue_nothing_but_reads_and_writes(system: LiveSystem, effect: str) -> None:
    request = {"query": "SELECT id FROM gatekeeper.requests", "effect": effect}
    body = {"id": secrets.token_hex(16), "owner": "demo", "fingerprint": "0" * 64, "request": request}
    answer = asked(system, "gatekeeper1", "orchestrator", body)
    assert (answer.status_code, answer.json()["rule"]) == (403, "deferred_effect")


def at_the_proxy(system: LiveSystem, as_: str, body: dict[str, str]) -> tuple[int, str | None]:
    """The status and the rule that a proxy answers the holder of a certificate, in both of its ways to read."""
    found = (asked(system, as_, "proxy", body, **more) for more in ({}, {"X-Not-Plain": "1"}))
    (same,) = {(answer.status_code, answer.json().get("rule")) for answer in found}
    return same


def asked(system: LiveSystem, as_: str, role: Role, body: dict[str, Any], **headers: str) -> requests.Response:
    """What the first service of that role answers the holder of a certificate to what it is there for."""
    own = system.services.credentials(next(each for each in system.services.services if each.name == as_))
    path = {"proxy": "/endpoint", "orchestrator": "/new-requests"}[role]
    with requests.Session() as session:
        session.mount("https://", _AsRole(role))
        return session.post(
            f"https://{system.services.of(role)[0].listen}{path}",
            json=body,
            headers=headers,
            cert=(str(own.certificate), str(own.key)),
            verify=str(own.authority),
            timeout=30,
        )


class _AsRole(requests.adapters.HTTPAdapter):
    """Expects a server of that role, whatever its address."""

    def __init__(self, role: Any) -> None:
        self._name = dns_name(role)
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, server_hostname=self._name, assert_hostname=self._name)
