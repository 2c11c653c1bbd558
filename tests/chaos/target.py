"""What chaos is done to: a system of this machine, or a cluster of the fleet."""

import random
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

Fault = Callable[[random.Random], AbstractContextManager[str]]
"""Does it, gives what it was done to, and undoes it."""

WHOLE_WITHIN_S = 240.0
"""A node that lost its place copies all data, and a data node of NDB starts in a minute or more."""


class Target(Protocol):
    """A running system. `verify`: as requests takes it; `storage`: the tables' storage engine."""

    @property
    def url(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def verify(self) -> bool | str: ...
    @property
    def storage(self) -> str: ...
    @property
    def faults(self) -> Mapping[str, Fault]: ...

    def sql(self, *statements: str) -> list[tuple[int, ...]]:
        """Runs statements as the database's administrator, who sees all that was committed; the last one's rows."""

    def mend(self) -> None:
        """Waits until every proxy uses every node. Raises TimeoutError."""
