"""What is done to a local system, one fault at a time, each undone after a moment."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import requests

from deploy.providers import loopback
from tests.live.system_fixtures import LiveSystem

_WHOLE_WITHIN_S = 120.0

Fault = Callable[[LiveSystem, random.Random], contextlib.AbstractContextManager[str]]
"""Does it, gives what it was done to, and undoes it."""


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


FAULTS: Mapping[str, Fault] = {
    "kill -9 of a node": _kill_node,
    "pause of a node": _pause_node,
    "kill -9 of a service": _kill_service,
    "kill -9 of a worker": _kill_worker,
    "pause of a proxy": _pause_service,
    "kill -9 of all tunnels": _kill_tunnels,
}


def is_whole(system: LiveSystem) -> bool:
    """Whether every proxy uses every node."""
    with contextlib.suppress(requests.RequestException, ValueError, KeyError):
        proxies = system.send("GET", "/nodes").json()["proxies"]
        states = [node["state"] for proxy in proxies for node in proxy["nodes"]]
        return len(proxies) == len(system.services.proxies) and set(states) == {"up"}
    return False


def mend(system: LiveSystem) -> None:
    """Waits until the system is whole; a node that did not outlive a pause is started. Raises TimeoutError."""
    deadline = time.monotonic() + _WHOLE_WITHIN_S
    while not is_whole(system):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the system was not whole again within {_WHOLE_WITHIN_S} s")
        for row in loopback.status(system.files.directory):
            if not row.pid:
                system.start_node(row.name)
        time.sleep(0.1)


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
