"""The way to one node: a tunnel that is replaced when it is dead, with backoff."""

import random
import threading
import time
from collections.abc import Callable

import structlog

from contract.inventory import Machine
from proxy.tunnels import HostKeyMismatch, LocalEnd, Tunnel, TunnelError

log = structlog.get_logger()

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0


class Link:
    """Keeps one tunnel. `on_change` is called after each opening: connections through an earlier tunnel are dead.

    Only the node's prober opens and closes; requests read `end`, which is None while there is no tunnel.
    """

    def __init__(self, machine: Machine, make: Callable[[Machine], Tunnel], on_change: Callable[[], None]) -> None:
        self._machine = machine
        self._make = make
        self._on_change = on_change
        self._tunnel: Tunnel | None = None
        self._lock = threading.Lock()
        self._failures = 0
        self._not_before = 0.0
        self.end: LocalEnd | None = None
        self.restarts = -1

    def ensure(self) -> None:
        """Opens a tunnel unless one stands. Raises TunnelError, also while it is too early to try again."""
        with self._lock:
            if self._tunnel is not None and self._tunnel.alive():
                return
            self._drop()
            if (wait := self._not_before - time.monotonic()) > 0:
                raise TunnelError(f"the tunnel is tried again in {wait:.1f} s")
            self._open()

    def drop(self) -> None:
        """Closes the tunnel, so that the next `ensure` opens another."""
        with self._lock:
            self._drop()

    def _open(self) -> None:
        tunnel = self._make(self._machine)
        try:
            self.end = tunnel.open()
        except TunnelError as error:
            self._failures += 1
            pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**self._failures)
            self._not_before = time.monotonic() + pause * random.uniform(0.5, 1)  # noqa: S311 jitter is no secret
            event = "host_key_refused" if isinstance(error, HostKeyMismatch) else "tunnel_failed"
            log.error(event, node=self._machine.name, reason=str(error), failures=self._failures)
            raise
        self._tunnel, self._failures = tunnel, 0
        self.restarts += 1
        log.info("tunnel_opened", node=self._machine.name, restarts=self.restarts)
        self._on_change()

    def _drop(self) -> None:
        tunnel, self._tunnel, self.end = self._tunnel, None, None
        if tunnel is not None:
            tunnel.close()
