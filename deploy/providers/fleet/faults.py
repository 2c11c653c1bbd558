"""What can go wrong with machines, done on purpose: for tests and rehearsals."""

import os
import signal
from collections.abc import Sequence

from deploy import processes
from deploy.providers.fleet import guard, machine, network
from deploy.providers.fleet.fleet import Fleet
from deploy.providers.fleet.machine import Box
from deploy.providers.interface import ProviderError

_OFF_TIMEOUT_S = 20.0


class Faults:
    """Faults of one fleet's machines. All methods raise ProviderError."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def power_cut(self, name: str) -> None:
        """Turn the machine off without a word to it, and without a word of it to others, until it is started again.

        Its cable is pulled first: else this host's kernel would close its connections, and the others would know at
        once. What it has written to its disk, though not synced, stays.
        """
        box = self._box(name)
        network.plug(box.network, box.record.host, into_bridge=False)
        os.kill(machine.leader(box), signal.SIGKILL)
        try:
            processes.wait_until(lambda: not box.group.pids(), timeout_s=_OFF_TIMEOUT_S, what=f"{name} going off")
        except TimeoutError as error:
            raise ProviderError(str(error)) from None

    def pause(self, name: str) -> None:
        """Stop all its processes where they are. Its kernel still completes TCP handshakes."""
        self._box(name).group.freeze(frozen=True)

    def resume(self, name: str) -> None:
        """Let a paused machine go on."""
        self._box(name).group.freeze(frozen=False)

    def cut(self, name: str) -> None:
        """Pull its network cable."""
        box = self._box(name)
        network.plug(box.network, box.record.host, into_bridge=False)

    def partition(self, some: Sequence[str], others: Sequence[str]) -> None:
        """Let no packet pass between these machines and those; the operator reaches all of them."""
        for side, far in ((some, others), (others, some)):
            addresses = [box.address for box in self._fleet.boxes(far)]
            for box in self._fleet.boxes(side):
                guard.part(box.namespace, addresses)

    def heal(self) -> None:
        """Plug every cable in, and end every partition."""
        for box in self._fleet.boxes():
            network.plug(box.network, box.record.host, into_bridge=True)
            guard.join(box.namespace)

    def _box(self, name: str) -> Box:
        return self._fleet.boxes([name])[0]
