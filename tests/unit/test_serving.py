"""What the services' server says to what is no request; tests/live has what it does to slow peers."""

import json

import pytest
from gunicorn.http import errors

from contract import serving

SECRET = "Bearer an-invented-secret"


@pytest.mark.parametrize(
    ("mistake", "status", "code", "outcome"),
    [
        (errors.InvalidHeader(SECRET), 400, "bad_request", "not_executed"),
        (errors.InvalidRequestLine(SECRET), 400, "bad_request", "not_executed"),
        (errors.ExpectationFailed(SECRET), 417, "bad_request", "not_executed"),
        (errors.UnsupportedTransferCoding(SECRET), 501, "bad_request", "not_executed"),
        (errors.LimitRequestLine(9_000, 8_190), 414, "too_large", "not_executed"),
        (errors.LimitRequestHeaders(SECRET), 431, "too_large", "not_executed"),
        (errors.ConfigurationProblem(SECRET), 500, "internal_error", "unknown"),
        (RuntimeError(SECRET), 500, "internal_error", "unknown"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_is_no_request_is_answered_with_a_problem_that_quotes_nothing(
    mistake: Exception, status: int, code: str, outcome: str
) -> None:
    head, _, body = serving.refusal(mistake).partition(b"\r\n\r\n")
    problem = json.loads(body)
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nConnection: close" in head
    assert b"\r\nContent-Length: %d\r\n" % len(body) in head
    assert f"X-Request-ID: {problem['request_id']}".encode() in head
    assert (problem["status"], problem["code"], problem["outcome"]) == (status, code, outcome)
    assert "invented" not in str(problem)
