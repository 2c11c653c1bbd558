"""The slots, free or busy, in which accepted requests are run; the queue is what waits while all are busy."""

import random
import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection
from typing import Final

import msgspec
import structlog

from contract.errors import GatekeeperError, InternalError, UpstreamFailed
from contract.messages import ProxyRequest
from orchestrator import metrics
from orchestrator.claims import Claim, Claims
from orchestrator.kept import Kept
from orchestrator.pages import split
from orchestrator.settings import Settings
from orchestrator.statements import Statements
from orchestrator.states import Step, after_failure, is_hopeless

log = structlog.get_logger()

# A generator of its own: work goes on in the background, beside whoever counts on the common one.
_DICE: Final = random.Random()  # noqa: S311 jitter is no secret

# What is run when the orchestrator is told to end may go on for so long; then others take it over.
DRAIN_S: Final = 30.0
_SWEEP_S: Final = 5.0
_SHRINK_S: Final = 15.0
# Who has this part of the slots, or had it of those that were given last, lets others go first, whatever its
# priorities. To look for them may go through all that it has in the queue, so that it is done so often (seconds).
_SHARE: Final = 4
# The last slots, the same part of them, are for those who have none: one each.
_FAIR_EVERY_S: Final = 0.5


class Workers:
    """Claims requests while slots are free, runs them, renews their leases, and removes what ended long ago."""

    def __init__(self, claims: Claims, kept: Kept, statements: Statements, settings: Settings) -> None:
        self._claims = claims
        self._kept = kept
        self._statements = statements
        self._settings = settings
        self._lock = threading.Lock()
        self._running: dict[str, Claim] = {}
        self._more = threading.Event()
        self._stopping = threading.Event()
        self._drained_at = float("inf")
        self._fair_at = self._others_at = 0.0
        self._lately: deque[str] = deque(maxlen=settings.slots)  # whose the last ones were that were begun

    @property
    def busy(self) -> int:
        """The slots in which something runs."""
        return len(self._running)

    @property
    def is_stopping(self) -> bool:
        """Whether nothing new is begun."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Begins to work, in threads."""
        lease_s = self._settings.lease_ms / 1000
        for name, work in (("claim", self._claim), ("renew", self._repeat(self._renew, lease_s / 3))):
            threading.Thread(target=work, name=name, daemon=True).start()
        threading.Thread(target=self._repeat(self._sweep, _SWEEP_S), name="sweep", daemon=True).start()
        threading.Thread(target=self._repeat(self._shrink, _SHRINK_S), name="shrink", daemon=True).start()

    def wake(self) -> None:
        """Says that there may be something to do."""
        self._more.set()

    def stop(self) -> None:
        """Begins nothing new from now on."""
        if not self._stopping.is_set():
            self._drained_at = time.monotonic() + DRAIN_S
            self._stopping.set()
            self._more.set()

    def close(self) -> None:
        """Gives back what runs still: after the time for that where it was told to `stop` before, else at once."""
        drained_at = self._drained_at if self._stopping.is_set() else 0.0
        self.stop()
        while self._running and time.monotonic() < drained_at:
            time.sleep(0.05)
        for claim in tuple(self._running.values()):
            try:
                self._claims.put_back(claim, None, 0, counts=False)
            except GatekeeperError as error:
                log.warning("not_given_back", id=claim.id, code=error.code)

    def _claim(self) -> None:
        while not self._stopping.is_set():
            free = self._settings.slots - self.busy
            taken = self._taken(free) if free else []
            for claim in taken:
                self._begin(claim)
            if not taken:
                wait_s = self._settings.poll_ms / 1000 * _DICE.uniform(0.5, 1.5)
                self._more.wait(min(wait_s, _FAIR_EVERY_S) if free else wait_s)
                self._more.clear()

    def _taken(self, free: int) -> list[Claim]:
        for_all = free - self._settings.slots // _SHARE
        try:
            if for_all > 0:
                return self._claims.take(for_all, self._crowding())
            return self._claims.take_one(self._holders()) if self._is_time_for_others() else []
        except GatekeeperError as error:
            log.warning("no_claims", code=error.code, detail=error.detail)
            return []

    def _holders(self) -> Collection[str]:
        """Who has slots."""
        return {claim.owner for claim in tuple(self._running.values())}

    def _is_time_for_others(self) -> bool:
        if time.monotonic() < self._others_at:
            return False
        self._others_at = time.monotonic() + _FAIR_EVERY_S
        return True

    def _crowding(self) -> Collection[str]:
        """The owners who have their share of the slots, when it is time to let others go before them."""
        if time.monotonic() < self._fair_at:
            return ()
        self._fair_at = time.monotonic() + _FAIR_EVERY_S
        slots_of = Counter(claim.owner for claim in tuple(self._running.values())) | Counter(self._lately)
        return [owner for owner, slots in slots_of.items() if slots * _SHARE >= self._settings.slots]

    def _begin(self, claim: Claim) -> None:
        with self._lock:
            self._running[claim.claim + claim.id] = claim
        self._lately.append(claim.owner)
        metrics.busy(self.busy)
        threading.Thread(target=self._work, args=(claim,), name=f"slot-{secrets.token_hex(2)}", daemon=True).start()

    def _work(self, claim: Claim) -> None:
        started = time.perf_counter()
        try:
            state = self._run(claim)
            elapsed_ms = round((time.perf_counter() - started) * 1000, 3)
            log.info("run", id=claim.id, state=state, attempt=claim.attempts, ms=elapsed_ms)
        except GatekeeperError as error:  # its end could not be written: whoever takes the lease over writes it
            log.error("end_not_written", id=claim.id, code=error.code)
        except Exception as error:
            log.error("unhandled", id=claim.id, exc_info=error)
        finally:
            with self._lock:
                self._running.pop(claim.claim + claim.id, None)
            metrics.busy(self.busy)
            self._more.set()

    def _run(self, claim: Claim) -> str:
        """Runs the request and writes what became of it; its state now. Raises GatekeeperError."""
        if is_hopeless(claim.attempts, claim.max_attempts):
            return self._fail(claim, UpstreamFailed("orchestrators vanished while it ran", outcome="unknown"))
        request = bounded(self._claims.body(claim), self._settings.max_result_bytes)
        try:
            answer = self._statements.run(request, claim.id)
        except GatekeeperError as error:
            return self._fail(claim, error)
        except Exception as error:
            log.error("unhandled", id=claim.id, exc_info=error)
            return self._fail(claim, InternalError("an internal error", outcome="unknown"))
        first, pages = split(answer)
        self._kept.count(claim.id, claim.owner, len(first) + sum(map(len, pages)))
        self._claims.done(claim, first, pages)
        metrics.ended("done")
        return "done"

    def _fail(self, claim: Claim, error: GatekeeperError) -> str:
        problem = error.problem(claim.id)
        step = self._step(claim, error)
        if step.state == "queued":
            self._claims.put_back(claim, problem, step.pause_ms, counts=step.counts)
            metrics.retried(error.code)
        else:
            self._claims.ended(claim, step.state, problem)
            metrics.ended(step.state)
        return step.state

    @staticmethod
    def _step(claim: Claim, error: GatekeeperError) -> Step:
        if is_hopeless(claim.attempts, claim.max_attempts):
            return Step("dead")
        return after_failure(error.problem(claim.id), claim.attempts, claim.max_attempts, _DICE.random())

    def _renew(self) -> None:
        if running := tuple(self._running.values()):
            self._claims.renew(running)

    def _sweep(self) -> None:
        self._claims.bury()
        while not self._stopping.is_set() and self._kept.remove(self._settings.retention_s):
            self._stopping.wait(0.1)

    def _shrink(self) -> None:
        while not self._stopping.is_set() and self._kept.shrink():
            self._stopping.wait(0.1)

    def _repeat(self, work: Callable[[], None], every_s: float) -> Callable[[], None]:
        """Does the work now and then, with jitter, until this orchestrator has ended: leases are needed until then."""

        def run() -> None:
            while True:
                try:
                    work()
                except GatekeeperError as error:
                    log.warning("not_done", work=work.__name__, code=error.code)
                time.sleep(every_s * _DICE.uniform(0.5, 1))

        return run


def bounded(body: str, max_result_bytes: int) -> ProxyRequest:
    """The request that a body holds, with a result that is not larger than this."""
    request = msgspec.json.decode(body, type=ProxyRequest)
    most = min(request.max_bytes or max_result_bytes, max_result_bytes)
    return msgspec.structs.replace(request, max_bytes=most)
