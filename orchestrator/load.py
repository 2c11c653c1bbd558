"""How much is in the queue, known well enough to bound it: asked of the queue once a second at most."""

import threading
import time
from collections.abc import Callable
from typing import Final

from contract.errors import RateLimited, Unavailable
from contract.later import State

_KNOWN_FOR_S: Final = 1.0
_RETRY_AFTER_S: Final = 5

Counts = dict[str, dict[State, int]]


class Load:
    """What has not ended, by owner, and its bounds. Of several orchestrators each may let in what comes in a second."""

    def __init__(self, count: Callable[[], Counts], most: int, most_per_owner: int) -> None:
        self._count = count
        self._most = most
        self._most_per_owner = most_per_owner
        self._lock = threading.Lock()
        self._counts: Counts = {}
        self._known_until = 0.0

    def check(self, owner: str) -> None:
        """Counts a request of the owner. Raises RateLimited over the owner's bound, Unavailable over that of all."""
        self.refresh()
        with self._lock:
            own = self._counts.setdefault(owner, {})
            if sum(own.values()) >= self._most_per_owner:
                detail = f"{self._most_per_owner} requests of this key have not ended"
                raise RateLimited(detail, rule="queue_owner", retryable=True, retry_after_s=_RETRY_AFTER_S)
            if self.total() >= self._most:
                raise Unavailable("the queue is full", rule="queue_full", retry_after_s=_RETRY_AFTER_S)
            own["queued"] = own.get("queued", 0) + 1

    def total(self, state: State | None = None) -> int:
        """All that has not ended, or is in that state, when it was last counted."""
        counts = [own if state is None else {state: own.get(state, 0)} for own in self._counts.values()]
        return sum(sum(own.values()) for own in counts)

    def counts(self) -> Counts:
        """All that has not ended, by owner and state. Raises GatekeeperError."""
        self.refresh()
        with self._lock:
            return {owner: dict(own) for owner, own in self._counts.items()}

    def refresh(self) -> None:
        """Asks for the counts when they are older than a second. Raises GatekeeperError."""
        if time.monotonic() < self._known_until:
            return
        counts = self._count()
        with self._lock:
            self._counts, self._known_until = counts, time.monotonic() + _KNOWN_FOR_S
