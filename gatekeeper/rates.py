"""How much one key may ask: requests a second, and requests at once, over all workers of a gatekeeper together.

What the workers share are small files in one directory, under locks that the kernel gives back when a process dies, so
that a killed worker leaves nothing taken. A key's bucket is a file with one number, the time at which it will be full
again (the generic cell rate algorithm, ITU-T I.371, annex A); each request under way holds the lock of one of the
key's places. A key without limits costs nothing.
"""

import fcntl
import math
import os
import random
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec

from contract.errors import RateLimited, Unavailable

MOST_CONCURRENT = 256

_TIME = struct.Struct("d")
_SLACK_S = 1e-9  # for the rounding of sums of 1 / rate
_LOCK_TIMEOUT_S = 1.0
_LOCK_PAUSE_S = 0.001


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a key may ask; None: as much as it wants.

    `rate_per_second`: requests, in the long run; `burst`: how many of them at once after a pause, by default those of
    a second; `max_concurrent`: requests under way at the same time.
    """

    rate_per_second: Annotated[float, msgspec.Meta(gt=0, le=1_000_000)] | None = None
    burst: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    max_concurrent: Annotated[int, msgspec.Meta(ge=1, le=MOST_CONCURRENT)] | None = None


class Rates:
    """Counts what the keys ask, in files below `directory`, which is made. `clock` gives seconds, for all processes."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._clock = clock
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def take(self, name: str, limits: Limits) -> Callable[[], None]:
        """Takes what one request of the key needs; what is returned gives its place back, and must be called once.

        Raises RateLimited, with the seconds until the next request is taken, and Unavailable, when too many of the
        key are under way.
        """
        try:
            if limits.rate_per_second is not None:
                self._count(name, limits.rate_per_second, limits.burst or math.ceil(limits.rate_per_second))
            return self._place(name, limits.max_concurrent) if limits.max_concurrent else _nothing
        except OSError:
            raise Unavailable("the key's requests can't be counted", rule="rate") from None

    def _count(self, name: str, rate: float, burst: int) -> None:
        with _locked(self._directory / f"{name}.rate") as file:
            stored = os.pread(file, _TIME.size, 0)
            now = self._clock()
            full_at = _TIME.unpack(stored)[0] if len(stored) == _TIME.size else now
            full_at, wait_s = _counted(full_at, now, rate, burst)
            os.pwrite(file, _TIME.pack(full_at), 0)
        if wait_s > 0:
            raise RateLimited("the key's rate is used up", rule="rate", retryable=True, retry_after_s=math.ceil(wait_s))

    def _place(self, name: str, places: int) -> Callable[[], None]:
        first = random.randrange(places)  # noqa: S311 any place does; a chance keeps the tries few
        for number in range(places):
            path = self._directory / f"{name}.place{(first + number) % places}"
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if _lock(file):
                return lambda: _give_back(file)
            os.close(file)
        raise Unavailable(f"{places} requests of this key are under way already", rule="max_concurrent")


def _counted(full_at: float, now: float, rate: float, burst: int) -> tuple[float, float]:
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
def _locked(path: Path) -> Iterator[int]:
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
