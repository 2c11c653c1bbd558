"""Removes the ledger's rows that have expired: in the background, a few at a time, proxies at moments of their own."""

import random
import threading
from typing import Final

import structlog

from proxy import ledger
from proxy.cluster import Cluster
from proxy.node import UNREACHABLE, Node
from proxy.pool import PoolExhausted

log = structlog.get_logger()

# A generator of its own: work goes on in the background, beside whoever counts on the common one.
_DICE: Final = random.Random()  # noqa: S311 jitter is no secret

_INTERVAL_S: Final = 60.0
_BATCH_ROWS: Final = 500
_MOST_BATCHES: Final = 200
_BETWEEN_BATCHES_S: Final = 0.1
_TIMEOUT_S: Final = 5.0


class Sweeper:
    """A thread that sweeps about once a minute, until it is stopped."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after its batch."""
        self._stopped.set()

    def sweep(self) -> int:
        """Removes what has expired, batch by batch; returns how many rows that were. What fails is left to the next."""
        removed = 0
        for _ in range(_MOST_BATCHES):
            batch = self._batch()
            removed += batch
            if batch < _BATCH_ROWS or self._stopped.wait(_BETWEEN_BATCHES_S):
                break
        if removed:
            log.info("ledger_swept", rows=removed)
        return removed

    def _run(self) -> None:
        while not self._stopped.wait(_INTERVAL_S * _DICE.uniform(0.5, 1.5)):
            try:
                self.sweep()
            except (*UNREACHABLE, PoolExhausted) as error:
                # Another proxy at the same rows (1213), a node that is not there, or no table yet.
                log.info("ledger_not_swept", reason=type(error).__name__, errno=error.args[0] if error.args else None)

    def _batch(self) -> int:
        nodes = [node for node in self._cluster.fit() if node.role != "data" or self._cluster.engine.several_writers]
        return _removed(nodes[0]) if nodes else 0


def _removed(node: Node) -> int:
    pool = node.pools["write"]
    connection = pool.acquire(_TIMEOUT_S)
    try:
        connection.use(None, int(_TIMEOUT_S * 1000))
        return connection.query(ledger.expired(_BATCH_ROWS), 1, 1).affected_rows
    finally:
        pool.release(connection)
