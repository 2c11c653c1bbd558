"""Free TCP ports for services that are about to start, on one address of this machine."""

import contextlib
import random
import socket
from types import TracebackType
from typing import Self

# Below Linux's ephemeral ports (32768 and up, ip(7)), so that no client's socket sits on a restarted service's port.
_PORTS = range(20_000, 32_000)


class NoPort(RuntimeError):
    """No port is free."""


class Ports:
    """Takes free ports, each once; while the context is open, others who take ports so leave them alone.

    Until a service listens its port looks free, so each taken port's number is also bound for UDP: that says "taken"
    to every process of this machine, and goes with its process.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def take(self, preferred: int | None = None) -> int:
        """A free port: the preferred one if it is, else one by chance. Raises NoPort."""
        candidates = random.sample(_PORTS, k=len(_PORTS))
        for port in [preferred, *candidates] if preferred else candidates:
            if self._hold(port):
                return port
        raise NoPort(f"no port of {_PORTS.start} to {_PORTS.stop - 1} is free on {self._address}")

    def _hold(self, port: int) -> bool:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind((self._address, port))
            with socket.socket() as probe:
                # As servers do: connections of the past that linger in TIME_WAIT don't count.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((self._address, port))
            self._held.push(stack.pop_all())
            return True
        return False
