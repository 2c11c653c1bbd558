"""What the console shows now: put together of what proxies, the queue and gatekeepers said last."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from contract.console import ConsoleState, OwnerView, QueueView, StatsAnswer
from orchestrator.console import told, traffic
from orchestrator.console.asked import Asked
from orchestrator.console.told import Told
from orchestrator.console.traffic import Samples
from orchestrator.load import Counts

_MOST_OWNERS: Final = 20


class Asking(Protocol):
    """The proxies, as the console asks them; a test hands in others."""

    def get_each(self, path: str) -> list[bytes]:
        """The bodies of those that answer a GET."""
        ...


class Slots(Protocol):
    """This orchestrator's slots."""

    @property
    def busy(self) -> int:
        """Those in which something runs."""
        ...


class Watching:
    """What an orchestrator knows of the deployment, asked of the others while somebody looks."""

    def __init__(
        self,
        name: str,
        proxies: tuple[Asking, int],
        queue: Callable[[], Counts],
        slots: tuple[Slots, int],
        ended: Callable[[], Mapping[str, int]],
    ) -> None:
        self._name = name
        self._asking, self._configured = proxies
        self._slots, self._slot_count = slots
        self._ended = ended
        self._samples = Samples()
        self._proxies = Asked("proxies", self._ask_proxies)
        self._queue = Asked("queue", queue)
        self.told = Told()

    def state(self) -> ConsoleState:
        """All of it. What is not known now is there as it was, with its age."""
        self._proxies.look()
        self._queue.look()
        now = time.monotonic()
        last, changes = self._samples.last(), self._samples.changes(now)
        return ConsoleState(
            orchestrator=self._name,
            at_ms=round(time.time() * 1000),
            over_s=round(traffic.OVER_S),
            told_over_s=told.OVER_S,
            proxies_configured=self._configured,
            proxies=traffic.proxies(last, changes, now),
            nodes=traffic.nodes(last, changes, now),
            implementations=traffic.implementations(changes.values()),
            queue=self._queue_view(),
            gatekeepers=self.told.gatekeepers(),
            refusals=self.told.refusals(),
            digests=self.told.digests(),
            left_out=self.told.left_out(),
        )

    def _ask_proxies(self) -> int:
        answers = [msgspec.json.decode(body, type=StatsAnswer) for body in self._asking.get_each("/stats")]
        self._samples.add(time.monotonic(), answers)
        return len(answers)

    def _queue_view(self) -> QueueView:
        owners = owners_of(self._queue.value or {})
        return QueueView(
            age_ms=self._queue.age_ms(),
            problem=self._queue.problem,
            queued=sum(each.queued for each in owners),
            running=sum(each.running for each in owners),
            slots=self._slot_count,
            busy=self._slots.busy,
            owners=owners[:_MOST_OWNERS],
            more_owners=max(0, len(owners) - _MOST_OWNERS),
            ended=self._ended(),
        )


def owners_of(counts: Counts) -> Sequence[OwnerView]:
    """What each owner has in the queue, the most first."""
    found = [OwnerView(owner, own.get("queued", 0), own.get("running", 0)) for owner, own in counts.items()]
    return sorted(found, key=lambda each: (-each.queued - each.running, each.owner))
