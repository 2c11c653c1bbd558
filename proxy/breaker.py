"""A node's circuit breaker: keeps requests from a node that answers pings and yet loses one request after the other.

    closed ──(several failures in a row)──> open ──(after a while)──> half open ──(a request worked)──> closed
                                              └───────(the next failure, for twice as long)──┘

Health (health.py) is what the prober sees, and is the first to know of most faults; this is for those that it can't
see. When all nodes that are up have an open breaker, it is no node's fault, and none is left out (cluster.py).
"""

import random
from typing import Final

# A generator of its own: work goes on in the background, beside whoever counts on the common one.
_DICE: Final = random.Random()  # noqa: S311 jitter is no secret

_FAILURES_TO_OPEN: Final = 5
_FIRST_S: Final = 1.0
_LONGEST_S: Final = 30.0
_JITTER: Final = (0.75, 1.25)


class Breaker:
    """Counts a node's failures since the last request that worked. Times are of one clock, in seconds."""

    def __init__(self) -> None:
        self._failures = 0
        self._open_until = 0.0

    def worked(self) -> None:
        """Closes it."""
        if self._failures:
            self._failures = 0

    def failed(self, now: float) -> bool:
        """Takes note of a failure, unless it is open: those that were under way say nothing new. Whether it opened."""
        if self.is_open(now):
            return False
        self._failures += 1
        more = self._failures - _FAILURES_TO_OPEN
        if more < 0:
            return False
        self._open_until = now + min(_LONGEST_S, _FIRST_S * 2.0 ** min(more, 10)) * _DICE.uniform(*_JITTER)
        return True

    def is_open(self, now: float) -> bool:
        """Whether the node is to be left alone."""
        return bool(self._failures) and now < self._open_until

    def reset(self) -> None:
        """For a node that was down and is up: it is another one now."""
        self._failures, self._open_until = 0, 0.0
