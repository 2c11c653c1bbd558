"""Sends one write to its end: with a key until its outcome is known, without one once."""

import random
import time
from typing import Any

import msgspec
import requests

from tests.chaos.history import Outcome
from tests.chaos.target import Target

_TIMEOUT_S = 30
_PAUSE_S = (0.05, 1.0)


class Told(msgspec.Struct, frozen=True):
    """What a client knows of what it asked for in the end. `detail`: the last error that it met, also on the way to it.

    `replayed`: a later attempt was given the first one's answer.
    """

    outcome: Outcome
    attempts: int
    detail: str = ""
    replayed: bool = False


class Sender:
    """A client with a connection of its own."""

    def __init__(self, target: Target, dice: random.Random) -> None:
        self._url = target.url
        self._verify = target.verify  # a session's own would give way to an environment's variable
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {target.key}"
        self._dice = dice

    def send(self, body: dict[str, Any]) -> Told:
        """Once, without a key."""
        return self._once("/endpoint", body, {})

    def settle(self, body: dict[str, Any], key: str, deadline: float) -> Told:
        """With a key, again until the outcome is known, or `open` at the deadline (of time.monotonic)."""
        return self._until({"done", "not_done"}, "/endpoint", body, {"Idempotency-Key": key}, deadline)

    def read(self, body: dict[str, Any], deadline: float) -> Told:
        """Again until it is answered, or `open` at the deadline."""
        return self._until({"done"}, "/endpoint", body, {}, deadline)

    def later(self, body: dict[str, Any], key: str, deadline: float) -> Told:
        """With a key, again until the queue has accepted it (`done`), or `open` at the deadline."""
        return self._until({"done", "not_done"}, "/new-requests", body, {"Idempotency-Key": key}, deadline)

    def _until(
        self, enough: set[Outcome], path: str, body: dict[str, Any], headers: dict[str, str], deadline: float
    ) -> Told:
        attempts, detail = 0, ""
        while time.monotonic() < deadline:
            attempts += 1
            told = self._once(path, body, headers)
            detail = told.detail or detail
            if told.outcome in enough:
                return msgspec.structs.replace(told, attempts=attempts, detail=detail)
            time.sleep(min(_PAUSE_S[1], _PAUSE_S[0] * 2**attempts) * self._dice.uniform(0.5, 1))
        return Told("open", attempts, detail)

    def _once(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> Told:
        try:
            response = self._session.post(
                self._url + path, json=body, headers=headers, timeout=_TIMEOUT_S, verify=self._verify
            )
        except requests.RequestException as error:
            return Told("unknown", 1, repr(error)[:200])
        if response.status_code in {200, 202}:
            return Told("done", 1, replayed=response.headers.get("Idempotency-Replayed") == "true")
        return _problem(response, keyed=bool(headers))


def _problem(response: requests.Response, *, keyed: bool) -> Told:
    """What an error says. With a key, an error that may be tried again settles nothing yet."""
    try:
        problem: dict[str, Any] = response.json()
    except ValueError:
        return Told("unknown", 1, response.text[:200])
    detail = f"{response.status_code} {problem['code']}: {problem['detail']}"
    settled = problem["outcome"] in {"not_executed", "rolled_back"} and not (keyed and problem["retryable"])
    return Told("not_done" if settled else "unknown", 1, detail)
