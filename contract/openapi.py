"""The OpenAPI document of the gatekeeper, made from the messages; tests hold it to docs/api.md and to the answers."""

from typing import Any

import msgspec

from contract.errors import PROBLEM_MEDIA_TYPE, Problem, error_types
from contract.later import Accepted, ListQuery, NewRequest, OneQuery, RequestList, RequestStatus, WebhookSecret
from contract.messages import Answer, EndpointQuery, EndpointRequest, FleetAnswer
from contract.transactions import Begin, Begun, End

VERSION = "0.1.0"

_REF = "#/components/schemas/{name}"
_MESSAGES = (
    EndpointRequest,
    EndpointQuery,
    Answer,
    Problem,
    FleetAnswer,
    Begin,
    Begun,
    End,
    NewRequest,
    Accepted,
    RequestStatus,
    RequestList,
    WebhookSecret,
    OneQuery,
    ListQuery,
)


def document() -> dict[str, Any]:
    """The document (OpenAPI 3.1)."""
    schemas = msgspec.json.schema_components(_MESSAGES, ref_template=_REF)[1]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Gatekeeper for MySQL Cluster",
            "version": VERSION,
            "description": "Send SQL and get rows back.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"key": []}],
        "paths": {
            "/endpoint": {"post": _post_endpoint(), "get": _get_endpoint(schemas["EndpointQuery"])},
            "/transactions": {"post": _post_transaction()},
            "/transactions/{id}": {"post": _in_transaction("Runs one statement in it.", "Answer", body=True)},
            "/transactions/{id}/commit": {"post": _in_transaction("Commits it, once.", "End")},
            "/transactions/{id}/rollback": {"post": _in_transaction("Rolls it back.", "End")},
            "/new-requests": {"post": _post_new_request(), "get": _get_new_requests(schemas["ListQuery"])},
            "/new-requests/{id}": _one_request(schemas["OneQuery"]),
            "/webhook-secret": {
                "get": _operation(
                    "What the key's webhooks are signed with.", {"200": _json("WebhookSecret")}, _QUEUE_ERRORS
                )
            },
            "/nodes": {
                "get": _operation(
                    "What the proxies know of the nodes.", {"200": _json("FleetAnswer")}, [401, 403, 429, 500, 503]
                )
            },
            "/healthz": {"get": _open("The process is alive.", "text/plain", [])},
            "/readyz": {"get": _open("It can serve.", "text/plain", [503])},
            "/openapi.json": {"get": _open("This document.", "application/json", [])},
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key."}},
        },
    }


_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"}}
_QUEUE_ERRORS = [400, 401, 403, 404, 429, 500, 502, 503, 504]
_STATEMENT_ERRORS = [400, 401, 403, 406, 422, 429, 500, 502, 503, 504]


def _post_endpoint() -> dict[str, Any]:
    operation = _operation("Runs one statement.", {"200": _answer()}, sorted({*_STATEMENT_ERRORS, 413, 415}))
    return {**operation, "requestBody": {"required": True, **_json("EndpointRequest")}}


def _get_endpoint(query: dict[str, Any]) -> dict[str, Any]:
    return {**_operation("Runs one read.", {"200": _answer()}, _STATEMENT_ERRORS), "parameters": _parameters(query)}


def _post_transaction() -> dict[str, Any]:
    errors = sorted({*_STATEMENT_ERRORS, 413, 415} - {406, 422})
    operation = _operation("Begins a transaction of several requests.", {"201": _json("Begun")}, errors)
    return {**operation, "requestBody": {"required": True, **_json("Begin")}}


def _in_transaction(summary: str, answer: str, *, body: bool = False) -> dict[str, Any]:
    """An operation on a transaction. Only those with a body have what can be wrong with one."""
    errors = {*_STATEMENT_ERRORS, 404, 409, 413, 415} - ({406} if body else {400, 406, 413, 415})
    operation = _operation(summary, {"200": _json(answer)}, sorted(errors))
    given = {"requestBody": {"required": True, **_json("EndpointRequest")}} if body else {}
    return {**operation, **given, "parameters": [_ID]}


def _post_new_request() -> dict[str, Any]:
    errors = sorted({*_QUEUE_ERRORS, 409, 413, 415, 422})
    operation = _operation("Keeps one statement, to run it later.", {"202": _json("Accepted")}, errors)
    key = {"name": "Idempotency-Key", "in": "header", "required": False, "schema": {"type": "string"}}
    return {**operation, "requestBody": {"required": True, **_json("NewRequest")}, "parameters": [key]}


def _get_new_requests(query: dict[str, Any]) -> dict[str, Any]:
    operation = _operation("The key's own requests, the latest first.", {"200": _json("RequestList")}, _QUEUE_ERRORS)
    return {**operation, "parameters": _parameters(query)}


def _one_request(query: dict[str, Any]) -> dict[str, Any]:
    looked = _operation("How a request is, and its result.", {"200": _json("RequestStatus")}, _QUEUE_ERRORS)
    cancelled = _operation("Cancels a queued request.", {"200": _json("RequestStatus")}, sorted({*_QUEUE_ERRORS, 409}))
    return {
        "get": {**looked, "parameters": [_ID, *_parameters(query)]},
        "delete": {**cancelled, "parameters": [_ID]},
    }


def _parameters(query: dict[str, Any]) -> list[dict[str, Any]]:
    required = query.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _without_null(schema)}
        for name, schema in query["properties"].items()
    ]


def _answer() -> dict[str, Any]:
    answer = _json("Answer", "The rows.")
    answer["content"]["application/x-ndjson"] = {"schema": {"type": "string"}}
    answer["content"]["text/csv"] = {"schema": {"type": "string"}}
    return answer


def _operation(summary: str, responses: dict[str, Any], errors: list[int]) -> dict[str, Any]:
    titles = {error.status: error.title for error in reversed(error_types())}
    problems = {str(status): _json("Problem", titles[status], PROBLEM_MEDIA_TYPE) for status in errors}
    return {"summary": summary, "responses": {**responses, **problems}}


def _open(summary: str, media_type: str, errors: list[int]) -> dict[str, Any]:
    ok = {"description": summary, "content": {media_type: {}}}
    return {**_operation(summary, {"200": ok}, errors), "security": []}


def _json(schema: str, description: str = "", media_type: str = "application/json") -> dict[str, Any]:
    reference = {"schema": {"$ref": _REF.format(name=schema)}}
    return {"description": description or schema, "content": {media_type: reference}}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a member that may be left out: in a query string there is no null."""
    options = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    return options[0] if options else {name: value for name, value in schema.items() if name != "default"}
