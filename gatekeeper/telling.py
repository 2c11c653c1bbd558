"""Tells every orchestrator what happened lately, so that its console can show it. Best effort: nothing waits for it."""

import atexit
import random
import threading
from typing import Final, Protocol

import msgspec
import structlog

from gatekeeper.recent import Recent

log = structlog.get_logger()

_EVERY_S: Final = 2.0
# A generator of its own: it goes on in the background, beside whoever counts on the common one.
_DICE: Final = random.Random()  # noqa: S311 jitter is no secret


class Told(Protocol):
    """The orchestrators; a test hands in others."""

    def tell_each(self, path: str, body: bytes) -> list[int | None]:
        """Posts a body to each of them; the statuses of their answers."""
        ...


class Telling:
    """Posts a summary of what is recent every two seconds, in a thread, until it is stopped."""

    def __init__(self, recent: Recent, orchestrators: Told) -> None:
        self._recent = recent
        self._orchestrators = orchestrators
        self._stopped = threading.Event()
        self._refused = False
        threading.Thread(target=self._run, name="telling", daemon=True).start()
        atexit.register(self.stop)

    def stop(self) -> None:
        """Tells nothing more."""
        self._stopped.set()

    def tell(self) -> None:
        """Posts a summary to each. One that can't be reached, or is of an earlier version, misses it."""
        body = msgspec.json.encode(self._recent.summary())
        statuses = self._orchestrators.tell_each("/summaries", body)
        refused = [status for status in statuses if status is not None and status >= 400]
        if refused and not self._refused:
            log.warning("summary_refused", statuses=refused)
        self._refused = bool(refused)

    def _run(self) -> None:
        while not self._stopped.wait(_EVERY_S * _DICE.uniform(0.8, 1)):
            try:
                self.tell()
            except Exception as error:
                log.error("unhandled", exc_info=error)
