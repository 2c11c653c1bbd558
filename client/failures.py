"""How the command `gk` ends, and the two errors of its own: wrong usage, and files that can't be used."""

from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

ANSWERED, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


class UsageError(Exception):
    """What was asked for does not fit together, or can't be read."""


class StoreError(Exception):
    """A file of the gatekeeper on this host (keys, policy, audit log) can't be read or changed, or is not sound."""


def checked(kind: type[UsageError | StoreError], run: Callable[[], Result]) -> Result:
    """What `run` returns; what it can't read or make sense of becomes an error of the kind."""
    try:
        return run()
    except (ValueError, OSError) as error:
        raise kind(str(error)) from None
