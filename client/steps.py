"""A transaction of several requests, held by a proxy between them."""

import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

from client.repeating import repeated
from client.result import Result
from client.values import Params
from contract.errors import GatekeeperError
from contract.transactions import Begun, End

# Runs a statement in the transaction of that path.
Run = Callable[[str, str, Params | None, str | None, int | None], Result]
# Asks the transaction's resource of that path for its end, in so many milliseconds.
Finish = Callable[[str, int], End]


class Steps:
    """Statements run one by one; a context manager, which commits, or rolls back what an exception ends.

    `begun`: the transaction's id, node and limits. What fails in the database rolls all of it back. One thread at a
    time may use it.
    """

    def __init__(self, begun: Begun, run: Run, finish: Finish, timeout_ms: int) -> None:
        self.begun = begun
        self._run = run
        self._finish = finish
        self._timeout_ms = timeout_ms
        self._path = f"/transactions/{begun.id}"

    def query(
        self, sql: str, params: Params | None = None, *, database: str | None = None, timeout_ms: int | None = None
    ) -> Result:
        """Run one statement, as `Client.query` does."""
        return self._run(self._path, sql, params, database, timeout_ms)

    def commit(self) -> None:
        """Make all of it stay. Asked for again where the answer is lost: it takes effect once.

        Raises Conflict (outcome `rolled_back`) where it had been rolled back.
        """
        repeated(lambda left_ms: self._finish(f"{self._path}/commit", left_ms), self._timeout_ms)

    def rollback(self) -> None:
        """Undo all of it. Raises Conflict where it was committed before."""
        repeated(lambda left_ms: self._finish(f"{self._path}/rollback", left_ms), self._timeout_ms)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.commit()
            return
        with contextlib.suppress(GatekeeperError):  # it ends by itself, too
            self.rollback()
