"""A system of this machine, and what is done to it: one fault at a time, each undone after a moment."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import requests

from deploy.providers import loopback
from tests.chaos.target import WHOLE_WITHIN_S, Fault
from tests.live.system_fixtures import LiveSystem


@contextmanager
def _kill_node(system: LiveSystem, dice: random.Random) -> Iterator[str]:
    name = dice.choice([row.name for row in loopback.status(system.files.directory)])
    system.kill_node(name)
    try:
        yield name
    finally:
        system.start_node(name)


@contextmanager
def _pause_node(system: LiveSystem, dice: random.Random) -> Iterator[str]:
    row = dice.choice([row for row in loopback.status(system.files.directory) if row.pid])
    with _stopped([row.pid or 0]):
        yield row.name


@contextmanager
def _kill_service(system: LiveSystem, dice: random.Random) -> Iterator[str]:
    name = dice.choice([service.name for service in system.services.services])
    for pid in system.family(name):
        _signal(pid, signal.SIGKILL)
    yield name  # supervisor starts it again


@contextmanager
def _kill_worker(system: LiveSystem, dice: random.Random) -> Iterator[str]:
    name = dice.choice([service.name for service in system.services.services])
    children = system.family(name)[1:]
    _signal(dice.choice(children), signal.SIGKILL)
    yield name


@contextmanager
def _pause_service(system: LiveSystem, dice: random.Random) -> Iterator[str]:
    name = dice.choice([service.name for service in system.services.proxies])
    with _stopped(system.family(name)):
        yield name


@contextmanager
def _kill_tunnels(system: LiveSystem, _dice: random.Random) -> Iterator[str]:
    killed = system.tunnels()
    for pid in killed:
        _signal(pid, signal.SIGKILL)
    yield f"{len(killed)} of ssh"


_FAULTS: Mapping[str, Callable[[LiveSystem, random.Random], contextlib.AbstractContextManager[str]]] = {
    "kill -9 of a node": _kill_node,
    "pause of a node": _pause_node,
    "kill -9 of a service": _kill_service,
    "kill -9 of a worker": _kill_worker,
    "pause of a proxy": _pause_service,
    "kill -9 of all tunnels": _kill_tunnels,
}


class LocalTarget:
    """A `Target`: a local system, which has Galera."""

    verify = True
    storage = "InnoDB"

    def __init__(self, system: LiveSystem) -> None:
        self._system = system
        self.url, self.key = system.url, system.key
        self.faults: Mapping[str, Fault] = {name: partial(fault, system) for name, fault in _FAULTS.items()}

    def sql(self, *statements: str) -> list[tuple[int, ...]]:
        """The last one's rows."""
        with self._system.admin() as connection, connection.cursor() as cursor:
            cursor.execute("SET SESSION wsrep_sync_wait = 15")
            for statement in statements:
                cursor.execute(statement)
            connection.commit()
            return list(cursor.fetchall())

    def mend(self) -> None:
        """Waits until the system is whole; a node that did not outlive a pause is started. Raises TimeoutError."""
        deadline = time.monotonic() + WHOLE_WITHIN_S
        while not _is_whole(self._system):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the system was not whole again within {WHOLE_WITHIN_S} s")
            for row in loopback.status(self._system.files.directory):
                if not row.pid:
                    self._system.start_node(row.name)
            time.sleep(0.1)


def _is_whole(system: LiveSystem) -> bool:
    """Whether every proxy uses every node."""
    with contextlib.suppress(requests.RequestException, ValueError, KeyError):
        proxies = system.send("GET", "/nodes").json()["proxies"]
        states = [node["state"] for proxy in proxies for node in proxy["nodes"]]
        return len(proxies) == len(system.services.proxies) and set(states) == {"up"}
    return False


@contextmanager
def _stopped(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        _signal(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
