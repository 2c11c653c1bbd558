"""The gatekeeper holds what its OpenAPI document promises, for requests that schemathesis makes from it (issue 3)."""

import os
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, strategies
from schemathesis import GenerationMode
from schemathesis.checks import (
    CheckFunction,
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.live.system_fixtures import LiveSystem

SEED = int(os.environ.get("SCHEMA_SEED", "3"))
EXAMPLES = 300

OPERATIONS = [
    ("POST", "/endpoint"), ("GET", "/endpoint"), ("GET", "/nodes"), ("GET", "/healthz"), ("GET", "/readyz"),
    ("GET", "/openapi.json"), ("POST", "/new-requests"), ("GET", "/new-requests"), ("GET", "/new-requests/{id}"),
    ("DELETE", "/new-requests/{id}"), ("POST", "/transactions"), ("POST", "/transactions/{id}"),
    ("POST", "/transactions/{id}/commit"), ("POST", "/transactions/{id}/rollback"), ("GET", "/webhook-secret"),
]  # fmt: skip

# What a well formed request is answered where that is not 200: an id that was made up is nobody's.
EXPECTED = {
    ("GET", "/webhook-secret"): 403,  # the demonstration's roles have no webhooks
    ("POST", "/new-requests"): 202,
    ("GET", "/new-requests/{id}"): 404,
    ("DELETE", "/new-requests/{id}"): 404,
    ("POST", "/transactions"): 201,
    ("POST", "/transactions/{id}"): 404,
    ("POST", "/transactions/{id}/commit"): 404,
    ("POST", "/transactions/{id}/rollback"): 404,
}

# What has a body of several members, of which most that are made up are refused.
_POSTED = ("/new-requests", "/transactions", "/transactions/{id}")

_TAKE_STATEMENTS = ("/endpoint", "/new-requests", "/transactions/{id}")

# Statements that come further than to the parser, which random text does not.
STATEMENTS = strategies.sampled_from(
    [
        "SELECT film_id, title, rental_rate, details FROM rental.film WHERE film_id < ?",
        "SELECT * FROM rental.store",
        "SELECT :a, :b",
        "SELECT 1",
        "SELECT 1 FROM rental.nosuch",
        "SELECT password FROM rental.staff",
        "UPDATE rental.film SET length = 1 WHERE film_id = 0",
        "SELECT COUNT(*) FROM rental.payment",
    ]
)

PROMISES: list[CheckFunction] = [
    status_code_conformance, content_type_conformance, response_schema_conformance, response_headers_conformance,
]  # fmt: skip


def test_the_document_has_no_other_operations(system: LiveSystem) -> None:
    paths = system.send("GET", "/openapi.json").json()["paths"]
    assert sorted(OPERATIONS) == sorted((method.upper(), path) for path in paths for method in paths[path])


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=["-".join(operation) for operation in OPERATIONS])
def test_every_answer_is_a_documented_one(system: LiveSystem, method: str, path: str) -> None:
    statuses: dict[int, int] = {}
    schema = schemathesis.openapi.from_dict(system.send("GET", "/openapi.json").json())
    cases = schema[path][method].as_strategy(GenerationMode.POSITIVE)
    if path == "/endpoint":  # the others take nothing that could be wrong
        cases |= schema[path][method].as_strategy(GenerationMode.NEGATIVE)

    @hypothesis.seed(SEED)
    @hypothesis.settings(
        max_examples=EXAMPLES if path == "/endpoint" else 150 if path in _POSTED else 10,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=cases, statement=strategies.none() | STATEMENTS, alone=strategies.booleans())
    def exchange(case: schemathesis.Case[Any], statement: str | None, alone: bool) -> None:
        asked = _asked(case)
        if statement is not None and (alone or "query" in asked) and path in _TAKE_STATEMENTS:
            if alone:
                asked.clear()
            asked["query"] = statement
            asked.pop("run_at", None)  # a made up time is too far ahead
        response = case.call(base_url=system.url, headers={"Authorization": f"Bearer {system.key}"}, timeout=60)
        if response.status_code == 201:  # a key may not hold many
            system.send("POST", f"/transactions/{response.json()['id']}/rollback")
        statuses[response.status_code] = statuses.get(response.status_code, 0) + 1
        by_its_deadline = response.status_code in {503, 504} and _in_a_hurry(asked)
        case.validate_response(response, checks=PROMISES if by_its_deadline else [not_a_server_error, *PROMISES])

    exchange()
    print(f"{method} {path}, SCHEMA_SEED={SEED}: {dict(sorted(statuses.items()))}")  # noqa: T201 - it is asked for
    assert EXPECTED.get((method, path), 200) in statuses


def _asked(case: schemathesis.Case[Any]) -> dict[str, Any]:
    """The members of the request, in its body or its query string; empty where there is no object."""
    members = case.body if case.method == "POST" else case.query
    return members if isinstance(members, dict) else {}


def _in_a_hurry(asked: dict[str, Any]) -> bool:
    """Whether the request's own deadline, under a second, may be why it had no answer (docs/api.md, 503 and 504)."""
    deadline = str(asked.get("timeout_ms", ""))
    return deadline.isascii() and deadline.isdigit() and int(deadline) < 1000
