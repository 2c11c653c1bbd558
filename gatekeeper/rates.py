"""How much may be asked: requests a second, and requests at once, over all workers of a gatekeeper together.

A key has limits of its own, and shares those of its role with the role's other keys. What the workers share are small
files in one directory, under locks that the kernel gives back when a process dies, so that a killed worker leaves
nothing taken. A bucket is a file with one number, the time at which it will be full again (the generic cell rate
algorithm, ITU-T I.371, annex A); each request under way holds the lock of one of the places. What has no limits costs
nothing.
"""

import fcntl
import math
import os
import random
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from contract.errors import RateLimited, Unavailable

MOST_BURST: Final = 1_000_000
MOST_CONCURRENT: Final = 256

_TIME = struct.Struct("d")
_SLACK_S = 1e-9  # for the rounding of sums of 1 / rate
_LOCK_TIMEOUT_S = 1.0
_LOCK_PAUSE_S = 0.001


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a key, or all keys of a role together, may ask; None: as much as they want.

    `rate_per_second`: requests, in the long run; `burst`: how many of them at once after a pause, by default those of
    a second; `max_concurrent`: requests under way at the same time.
    """

    rate_per_second: Annotated[float, msgspec.Meta(ge=0.001, le=1_000_000)] | None = None
    burst: Annotated[int, msgspec.Meta(ge=1, le=MOST_BURST)] | None = None
    max_concurrent: Annotated[int, msgspec.Meta(ge=1, le=MOST_CONCURRENT)] | None = None


UNLIMITED: Final = Limits()


class Budget(msgspec.Struct, frozen=True):
    """Limits, and whose they are: those of one name of a kind are one budget."""

    kind: Literal["key", "role"]
    name: str
    limits: Limits

    def rule(self, rule: str) -> str:
        """The name of a rule in an answer: that of a role's budget says so."""
        return rule if self.kind == "key" else f"{self.kind}_{rule}"


class Rates:
    """Counts what is asked, in files below `directory`, which is made. `clock` gives seconds, for all processes."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._clock = clock
        for kind in ("key", "role"):
            (directory / kind).mkdir(mode=0o700, parents=True, exist_ok=True)

    def take(self, *budgets: Budget) -> Callable[[], None]:
        """Takes what one request needs of each budget; what is returned gives the places back, and must be called once.

        Raises RateLimited, with the seconds until the next request is taken, and Unavailable, when too many are under
        way. What one budget's rate refuses is counted in none. Budgets must always come in the same order of kinds.
        """
        limited = [budget for budget in budgets if budget.limits != UNLIMITED]
        if not limited:
            return _nothing
        try:
            self._count([budget for budget in limited if budget.limits.rate_per_second is not None])
            return self._places([budget for budget in limited if budget.limits.max_concurrent is not None])
        except OSError:
            raise Unavailable("the key's requests can't be counted", rule="rate") from None

    def _count(self, budgets: list[Budget]) -> None:
        counted = []
        with ExitStack() as locks:
            for budget in budgets:
                file = locks.enter_context(locked(self._directory / budget.kind / f"{budget.name}.rate"))
                counted.append((file, self._counted(file, budget)))
            for file, full_at in counted:
                os.pwrite(file, _TIME.pack(full_at), 0)

    def _counted(self, file: int, budget: Budget) -> float:
        """When the budget's bucket will be full again with this request. Raises RateLimited where it is empty."""
        stored = os.pread(file, _TIME.size, 0)
        now = self._clock()
        rate = budget.limits.rate_per_second or 0.0
        full_at = _TIME.unpack(stored)[0] if len(stored) == _TIME.size else now
        full_at, wait_s = counted(full_at, now, rate, budget.limits.burst or math.ceil(rate))
        if wait_s > 0:
            os.pwrite(file, _TIME.pack(full_at), 0)  # within what it can owe
            detail, retry_after_s = f"the {budget.kind}'s rate is used up", math.ceil(wait_s)
            raise RateLimited(detail, rule=budget.rule("rate"), retryable=True, retry_after_s=retry_after_s)
        return full_at

    def _places(self, budgets: list[Budget]) -> Callable[[], None]:
        with ExitStack() as taken:
            for budget in budgets:
                taken.callback(_give_back, self._place(budget, budget.limits.max_concurrent or 0))
            return taken.pop_all().close

    def _place(self, budget: Budget, places: int) -> int:
        first = random.randrange(places)  # noqa: S311 any place does; a chance keeps the tries few
        for number in range(places):
            path = self._directory / budget.kind / f"{budget.name}.place{(first + number) % places}"
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if _lock(file):
                return file
            os.close(file)
        detail = f"{places} requests of this {budget.kind} are under way already"
        raise Unavailable(detail, rule=budget.rule("max_concurrent"))


def counted(full_at: float, now: float, rate: float, burst: int) -> tuple[float, float]:
    """When the bucket will be full again with one request more, and 0; or as it was, and the seconds to wait for one.

    The time is first put within what the bucket can owe: clocks begin anew with the machine, and limits change.
    """
    full_at = min(max(full_at, now), now + burst / rate)
    wait_s = full_at - now - (burst - 1) / rate
    return (full_at, wait_s) if wait_s > _SLACK_S else (full_at + 1 / rate, 0.0)


def _nothing() -> None:
    """There is nothing to give back."""


def _give_back(file: int) -> None:
    # Not left to close: a process that was forked a moment ago may still have the file open too.
    fcntl.flock(file, fcntl.LOCK_UN)
    os.close(file)


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """The open file, locked for threads and processes alike. Raises TimeoutError."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + _LOCK_TIMEOUT_S
    try:
        while not _lock(file):
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{path.name} is locked")
            time.sleep(_LOCK_PAUSE_S)
        yield file
    finally:
        _give_back(file)


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
