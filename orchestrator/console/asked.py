"""A value that is asked of others in the background, while somebody looks: one that does not answer delays no page."""

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import structlog

from contract.errors import GatekeeperError

log = structlog.get_logger()

Value = TypeVar("Value")

_GOOD_FOR_S: Final = 1.0
_PATIENCE_S: Final = 0.7


class Asked(Generic[Value]):
    """What `ask` gives, asked for once a second at most, and by one thread at a time.

    `value` is the last one, None before the first, `at` its time (`clock`), `problem` the code of the error that the
    last asking met, None when there was none.
    """

    def __init__(self, name: str, ask: Callable[[], Value], clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._ask = ask
        self._clock = clock
        self._turn = threading.Lock()
        self._answered = threading.Event()
        self._asked_at = float("-inf")
        self.value: Value | None = None
        self.at = float("-inf")
        self.problem: str | None = None

    def look(self) -> None:
        """Sees to it that the value is new, and waits for that for a moment; one that takes longer is seen later."""
        if self._clock() - self._asked_at >= _GOOD_FOR_S and self._turn.acquire(blocking=False):
            self._asked_at = self._clock()
            self._answered.clear()
            threading.Thread(target=self._run, name=f"ask-{self._name}", daemon=True).start()
        self._answered.wait(_PATIENCE_S)

    def _run(self) -> None:
        try:
            self.value, self.problem, self.at = self._ask(), None, self._clock()
        except GatekeeperError as error:
            self.problem = error.code
        except Exception as error:
            self.problem = "internal"
            log.error("unhandled", exc_info=error)
        finally:
            self._turn.release()
            self._answered.set()

    def age_ms(self) -> int | None:
        """How old the value is; None before the first."""
        return None if self.value is None else max(0, round((self._clock() - self.at) * 1000))
