"""The nodes that the inventory names, each probed by a thread of its own, and followed when the inventory changes."""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence

import structlog

from contract.inventory import SQL_ROLES, Machine
from proxy.engines import ENGINES
from proxy.inventory import Inventory
from proxy.node import Node
from proxy.settings import Accounts, Settings
from proxy.tunnels import Tunnel

log = structlog.get_logger()

_STOP_TIMEOUT_S = 3.0
_SHORTEST_INTERVAL_S = 0.1
_LOOK_AGAIN_S = 0.05
# How long the requests at a node that left the inventory may go on: twice a statement's usual limit.
LEAVING_S = 60.0


class Prober:
    """A thread that probes one node at an interval, and at once when a request suspects it."""

    def __init__(self, node: Node, interval_s: float) -> None:
        self.node = node
        self._interval_s = interval_s
        self._wake = threading.Event()
        self._leaving = self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"probe-{node.name}", daemon=True)
        node.suspected = self._wake.set
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether the node is closed."""
        return not self._thread.is_alive()

    def leave(self) -> None:
        """Ends the probing; the node is closed when its last request has ended, or after LEAVING_S."""
        self._leaving = True
        self._wake.set()

    def stop(self) -> None:
        """Ends the thread; it closes the node at once."""
        self._stopping = True
        self.leave()

    def join(self) -> None:
        """Waits until the node is closed, for a bounded time."""
        self._thread.join(_STOP_TIMEOUT_S)

    def _run(self) -> None:
        while not self._leaving:
            started = time.monotonic()
            self._wake.clear()
            try:
                self.node.probe()
            except Exception:
                log.exception("probe_broke", node=self.node.name)
            elapsed = time.monotonic() - started
            if self._wake.wait(max(0.0, self._interval_s - elapsed)) and elapsed < _SHORTEST_INTERVAL_S:
                # A node in trouble wakes its prober with each failed request: that must not become a busy loop.
                time.sleep(_SHORTEST_INTERVAL_S - elapsed)
        self._let_finish()
        self.node.close()

    def _let_finish(self) -> None:
        self.node.close_idle()
        deadline = time.monotonic() + LEAVING_S
        while self.node.in_flight and not self._stopping and time.monotonic() < deadline:
            time.sleep(_LOOK_AGAIN_S)
        if not self._stopping:
            log.info("node_left", node=self.node.name, cut_off=self.node.in_flight)


class Cluster:
    """The nodes by name. `start` begins to probe; `stop` ends all threads, tunnels and connections.

    A node that leaves the inventory gets no more requests, and is let finish those that it has. One that comes back is
    another node, with a tunnel and connections of its own.
    """

    def __init__(
        self, settings: Settings, inventory: Inventory, accounts: Accounts, make_tunnel: Callable[[Machine], Tunnel]
    ) -> None:
        self.engine = ENGINES[settings.engine]
        self._settings = settings
        self._inventory = inventory
        self._accounts = accounts
        self._make_tunnel = make_tunnel
        self._probers: dict[str, Prober] = {}
        self._leaving: list[Prober] = []
        self._stopped = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="inventory", daemon=True)

    def start(self) -> None:
        """Begins to probe the inventory's nodes and to watch the file."""
        self._follow()
        self._watcher.start()

    def stop(self) -> None:
        """Ends the threads, each of which closes what it holds."""
        self._stopped.set()
        probers = [*self._probers.values(), *self._leaving]
        for prober in probers:
            prober.stop()
        for prober in probers:
            prober.join()

    def wait(self, timeout_s: float) -> None:
        """Returns when every node has been probed once or some node is up, and at the latest after that time."""
        deadline = time.monotonic() + timeout_s
        while not self.fit() and not all(node.probed for node in self.nodes) and time.monotonic() < deadline:
            time.sleep(0.02)

    @property
    def nodes(self) -> Sequence[Node]:
        """All nodes, in the inventory's order."""
        return [prober.node for prober in self._probers.values()]

    def fit(self, but: Collection[str] = ()) -> Sequence[Node]:
        """The nodes that are up, without those named; the ones that have failed a request of late are suspect.

        One with an open breaker is left out while there is another.
        """
        up = [node for node in self.nodes if node.health.state == "up" and node.name not in but]
        now = time.monotonic()
        return [node for node in up if not node.breaker.is_open(now)] or up

    def hopeful(self) -> bool:
        """Whether some node may be up again in a moment: it is suspect, not down."""
        return any(node.health.state == "suspect" for node in self.nodes)

    def _watch(self) -> None:
        while not self._stopped.wait(1.0):
            if self._inventory.refresh():
                self._follow()

    def _follow(self) -> None:
        wanted = {machine.name: machine for machine in nodes_of(self._settings.engine, self._inventory.machines)}
        kept = {name: prober for name, prober in self._probers.items() if wanted.get(name) == prober.node.machine}
        gone = [prober for name, prober in self._probers.items() if name not in kept]
        self._probers = {name: kept.get(name) or self._prober(machine) for name, machine in wanted.items()}
        for prober in gone:
            log.info("node_leaving", node=prober.node.name)
            prober.leave()
        self._leaving = [prober for prober in (*self._leaving, *gone) if not prober.ended]

    def _prober(self, machine: Machine) -> Prober:
        node = Node(machine, self.engine, self._accounts, self._settings, self._make_tunnel)
        return Prober(node, self._settings.probe_interval_ms / 1000)


def nodes_of(engine: str, machines: Iterable[Machine]) -> Sequence[Machine]:
    """The machines that run and are nodes for this engine: a server that stands alone is no part of a cluster."""
    roles = {"standalone"} if engine == "standalone" else SQL_ROLES - {"standalone"}
    return [machine for machine in machines if machine.role in roles and machine.state == "running"]
