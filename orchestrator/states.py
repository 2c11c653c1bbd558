"""What becomes of a request after a failed attempt. Pure: values in, values out.

queued --claimed--> running --answered--> done
|  ^                 |
|  `-- tried again --+--> failed   what can't succeed: the database or the policy refuses it
`-> cancelled        `--> dead     it was tried as often as it may be, or nobody can say what became of it
"""

from typing import Final

import msgspec

from contract.errors import Problem
from contract.later import State

# How often a request may be begun beyond its attempts because orchestrators vanished: one that fells them must end.
MOST_VANISHED: Final = 10

_FIRST_PAUSE_MS: Final = 500
_LONGEST_PAUSE_MS: Final = 60_000
_BUSY_PAUSE_MS: Final = 2_000
_NOT_TAKEN: Final = (429, 503)


class Step(msgspec.Struct, frozen=True):
    """What comes next. `pause_ms`: until it may be begun again; `counts`: whether the attempt was one."""

    state: State
    pause_ms: int = 0
    counts: bool = True


def after_failure(problem: Problem, attempts: int, max_attempts: int, chance: float) -> Step:
    """The step after attempt number `attempts` ended with the problem; `chance`, from 0 to 1, spreads the pauses.

    A request that no proxy or node took, since there was none, has not been tried: it waits.
    """
    if problem.status in _NOT_TAKEN and problem.outcome == "not_executed":
        return Step("queued", _spread(_BUSY_PAUSE_MS, chance), counts=False)
    if _is_final(problem):
        return Step("failed")
    if attempts >= max_attempts:
        return Step("dead")
    return Step("queued", _spread(min(_LONGEST_PAUSE_MS, _FIRST_PAUSE_MS << min(attempts - 1, 10)), chance))


def is_hopeless(attempts: int, max_attempts: int) -> bool:
    """Whether a request that is begun for this time, after its orchestrators vanished, may not be begun any more."""
    return attempts > max_attempts + MOST_VANISHED


def _is_final(problem: Problem) -> bool:
    """Whether the same request would be refused again. An unknown outcome is none: the ledger will tell."""
    return not problem.retryable and problem.outcome != "unknown" and problem.status < 500


def _spread(pause_ms: int, chance: float) -> int:
    return int(pause_ms * (0.5 + chance / 2))
