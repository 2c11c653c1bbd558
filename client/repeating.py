"""Sends a write again, under one key, until it has a definite answer or its time is up."""

import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

from contract.errors import GatekeeperError, UpstreamFailed

_PAUSES_S: Final = (0.05, 1.0)

Answered = TypeVar("Answered")


def repeated(send: Callable[[int], Answered], timeout_ms: int) -> Answered:
    """What `send`, given the milliseconds that are left, returns in the end.

    It must send the same request with the same Idempotency-Key each time. Raises the last error; where an earlier
    attempt may have taken effect and a later one did not tell, its outcome is `unknown`.
    """
    deadline = time.monotonic() + timeout_ms / 1000
    in_doubt, attempt = False, 0
    while True:
        left_ms = int((deadline - time.monotonic()) * 1000)
        try:
            return send(max(1, left_ms))
        except GatekeeperError as error:
            in_doubt = in_doubt or error.outcome == "unknown"
            if in_doubt:
                error.outcome = "unknown"
            pause_s = _pause_s(error, attempt)
            if not (error.retryable or isinstance(error, UpstreamFailed)) or time.monotonic() + pause_s >= deadline:
                raise
        time.sleep(pause_s)
        attempt += 1


def _pause_s(error: GatekeeperError, attempt: int) -> float:
    shortest, longest = _PAUSES_S
    pause_s: float = min(longest, shortest * 2**attempt) * random.uniform(0.5, 1)  # noqa: S311 jitter is no secret
    return max(pause_s, float(error.retry_after_s or 0))
