"""What is kept of requests that have ended, bounded for each owner: of too much the oldest goes before its time.

A large result is counted in a table of its own before the request is done, so that none is forgotten.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from orchestrator.statements import Done
from orchestrator.store import NOW, REQUESTS, RESULTS, WEBHOOKS, marks

KEPT: Final = "gatekeeper.kept"
# A result of fewer bytes is counted as a request alone.
COUNTED_FROM_BYTES: Final = 8 << 10
_AT_ONCE: Final = 100
# Of results, which may have gigabytes together: what is ended at its time limit, or too large for Galera to replicate
# (wsrep_max_ws_size), would be begun again for ever. A page has 384 KiB at most (orchestrator/pages.py).
_PAGES_AT_ONCE: Final = 50

Ask = Callable[[str, Sequence[Any]], Done]


class Kept:
    """Bounds what is kept: so many bytes of large results, and so many requests, of each owner.

    `ask` runs a statement; each method raises GatekeeperError.
    """

    def __init__(self, ask: Ask, most_bytes: int, most_requests: int) -> None:
        self._ask = ask
        self._most_bytes = most_bytes
        self._most_requests = most_requests

    def count(self, id_: str, owner: str, size: int) -> None:
        """Takes note of a result that is about to be kept."""
        if size >= COUNTED_FROM_BYTES:
            self._ask(
                f"INSERT INTO {KEPT} (id, owner, ended_ms, bytes) VALUES (?, ?, {NOW}, ?)"
                f" ON DUPLICATE KEY UPDATE ended_ms = {NOW}, bytes = ?",
                (id_, owner, size, size),
            )

    def shrink(self) -> int:
        """Removes some of the oldest of who has too much; returns how many, 0 when nobody has."""
        sizes = f"SELECT owner, SUM(bytes) AS size FROM {KEPT} GROUP BY owner HAVING size > ?"
        numbers = (
            f"SELECT owner, COUNT(*) AS requests FROM {REQUESTS} WHERE ended_ms IS NOT NULL"
            " GROUP BY owner HAVING requests > ?"
        )
        removed = 0
        for owner, size in self._ask(sizes, (self._most_bytes,)).rows:
            removed += self._drop(self._oldest(owner, int(size) - self._most_bytes))
        for owner, number in self._ask(numbers, (self._most_requests,)).rows:
            oldest = (
                f"SELECT id FROM {REQUESTS} WHERE owner = ? AND ended_ms IS NOT NULL ORDER BY accepted_ms"
                f" LIMIT {min(_AT_ONCE, number - self._most_requests)}"
            )
            removed += self._drop([id_ for (id_,) in self._ask(oldest, (owner,)).rows])
        return removed

    def remove(self, retention_s: int) -> int:
        """Removes some requests that ended so long ago, with their results; returns how many."""
        sql = f"SELECT id FROM {REQUESTS} WHERE ended_ms < {NOW} - ? LIMIT {_AT_ONCE}"
        return self._drop([id_ for (id_,) in self._ask(sql, (retention_s * 1000,)).rows])

    def _oldest(self, owner: str, size: int) -> list[str]:
        """The owner's oldest large results that have so many bytes together, or as many as go at once."""
        sql = f"SELECT id, bytes FROM {KEPT} WHERE owner = ? ORDER BY ended_ms LIMIT {_AT_ONCE}"
        ids: list[str] = []
        for id_, one in self._ask(sql, (owner,)).rows:
            if size <= 0:
                break
            ids.append(id_)
            size -= one
        return ids

    def _drop(self, ids: Sequence[str]) -> int:
        """A request goes last, so that what is cut off in between is found again."""
        if ids:
            pages = f"DELETE FROM {RESULTS} WHERE id IN ({marks(ids)}) LIMIT {_PAGES_AT_ONCE}"
            while self._ask(pages, ids).affected_rows:
                pass
            self._ask(f"DELETE FROM {KEPT} WHERE id IN ({marks(ids)})", ids)
            self._ask(f"DELETE FROM {WEBHOOKS} WHERE id IN ({marks(ids)})", ids)
            self._ask(f"DELETE FROM {REQUESTS} WHERE id IN ({marks(ids)}) AND ended_ms IS NOT NULL", ids)
        return len(ids)
