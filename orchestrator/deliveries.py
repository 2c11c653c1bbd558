"""Delivers what is due of the webhooks, beside the queue's work: a slow receiver takes no slot of it."""

import random
import secrets
import threading
import time
from collections import Counter
from typing import Final, Protocol

import structlog

from contract.errors import GatekeeperError
from contract.webhooks import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, signature
from orchestrator import metrics
from orchestrator.sending import NotDelivered
from orchestrator.settings import Settings
from orchestrator.webhooks import Due, Webhooks, body_of, pause_ms, secret_for

log = structlog.get_logger()

# A generator of its own, as in orchestrator/workers.py.
_DICE: Final = random.Random()  # noqa: S311 jitter is no secret

_POLL_S: Final = 1.0
_VANISHED: Final = "vanished"


class Sends(Protocol):
    """What sends them (orchestrator/sending.py); a test hands in another."""

    def send(self, url: str, headers: dict[str, str], body: bytes) -> None:
        """Raises NotDelivered."""
        ...


class Deliveries:
    """Claims webhooks while it has slots for them, sends each in a thread, and writes what became of it."""

    def __init__(self, webhooks: Webhooks, sender: Sends, shared_secret: bytes, settings: Settings) -> None:
        self._webhooks = webhooks
        self._sender = sender
        self._shared_secret = shared_secret
        self._settings = settings
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()  # by owner
        self._more = threading.Event()
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begins to look for them, in a thread."""
        threading.Thread(target=self._claim, name="webhooks", daemon=True).start()

    def stop(self) -> None:
        """Begins nothing new from now on."""
        self._stopping.set()
        self._more.set()

    def close(self) -> None:
        """Waits for what is just being sent, as long as that may take: who is cut off is told again."""
        self.stop()
        deadline = time.monotonic() + self._settings.webhook_timeout_ms / 1000
        while self._busy.total() and time.monotonic() < deadline:
            time.sleep(0.05)

    def _claim(self) -> None:
        while not self._stopping.is_set():
            if not self._taken():
                self._more.wait(_POLL_S * _DICE.uniform(0.5, 1.5))
                self._more.clear()

    def _taken(self) -> int:
        """How many of those that are due were begun now."""
        with self._lock:
            busy = dict(self._busy)
        slots = self._settings.webhook_slots
        if sum(busy.values()) >= slots:
            return 0
        try:
            taken = self._webhooks.take(slots, busy)
        except GatekeeperError as error:
            log.warning("no_webhooks", code=error.code, detail=error.detail)
            return 0
        for due in taken:
            self._begin(due)
        return len(taken)

    def _begin(self, due: Due) -> None:
        with self._lock:
            self._busy[due.owner] += 1
        threading.Thread(target=self._deliver, args=(due,), name=f"webhook-{secrets.token_hex(2)}", daemon=True).start()

    def _deliver(self, due: Due) -> None:
        try:
            self._send(due)
        except GatekeeperError as error:  # what became of it could not be written: it is sent again
            log.warning("webhook_not_written", id=due.id, code=error.code)
        except Exception as error:
            log.error("unhandled", id=due.id, exc_info=error)
        finally:
            with self._lock:
                self._busy[due.owner] -= 1
                self._busy += Counter()  # forgets who has none
            self._more.set()

    def _send(self, due: Due) -> None:
        """Raises GatekeeperError."""
        started, problem = time.perf_counter(), None  # type: tuple[float, str | None]
        try:
            if due.attempts > self._settings.webhook_attempts:
                raise NotDelivered(_VANISHED, is_final=True)
            self._sender.send(due.url, self._headers(due), body_of(due))
        except NotDelivered as failure:
            state, problem = self._not_sent(due, failure), str(failure)
        else:
            state = "sent"
            self._webhooks.sent(due)
        elapsed_ms = round((time.perf_counter() - started) * 1000, 3)
        log.info("webhook", id=due.id, state=state, attempt=due.attempts, problem=problem, ms=elapsed_ms)
        metrics.webhook(state)

    def _not_sent(self, due: Due, failure: NotDelivered) -> str:
        if failure.is_final or due.attempts >= self._settings.webhook_attempts:
            self._webhooks.failed(due, str(failure))
            return "failed"
        self._webhooks.put_back(
            due, str(failure), pause_ms(due.attempts, self._settings.webhook_pause_ms, _DICE.random())
        )
        return "due"

    def _headers(self, due: Due) -> dict[str, str]:
        """The receiver knows a repeat by its id, and an old one by its time."""
        now_s, secret = int(time.time()), secret_for(due.owner, self._shared_secret)
        return {
            ID_HEADER: due.id,
            TIMESTAMP_HEADER: str(now_s),
            SIGNATURE_HEADER: signature(secret, due.id, now_s, body_of(due)),
        }
