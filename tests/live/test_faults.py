"""What clients see while parts of a whole system are killed: nothing, for reads that another node can answer."""

import contextlib
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from deploy.providers import loopback
from tests.live.proxy_fixtures import wait_until
from tests.live.system_fixtures import LiveSystem

READ = {"query": "SELECT film_id FROM rental.film WHERE film_id = ?", "implementation": "random"}


class Readers:
    """Sends reads at a constant rate until told to stop, and keeps every answer that was not the right one."""

    def __init__(self, system: LiveSystem, per_second: int) -> None:
        self._system = system
        self._interval_s = 1 / per_second
        self._stop = threading.Event()
        self.sent = 0
        self.failed: list[str] = []
        self.nodes: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(5)]

    def __enter__(self) -> "Readers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=60)

    def answered(self, more: int) -> None:
        """Waits until so many more reads were sent."""
        goal = self.sent + more
        wait_until(lambda: self.sent >= goal, 60)

    def _run(self, number: int) -> None:
        session = requests.Session()
        headers = {"Authorization": f"Bearer {self._system.key}"}
        while not self._stop.wait(self._interval_s * len(self._threads)):
            number = number % 1000 + 1
            response = session.post(
                f"{self._system.url}/endpoint", json={**READ, "params": [number]}, headers=headers, timeout=30
            )
            self._judge(response, number)

    def _judge(self, response: requests.Response, number: int) -> None:
        self.sent += 1
        answer: dict[str, Any] = response.json()
        if response.status_code == 200 and answer["rows"] == [[number]]:
            self.nodes[answer["node"]] += 1
        else:
            self.failed.append(response.text)


def nodes_of(system: LiveSystem) -> dict[str, dict[str, Any]]:
    answer = system.send("GET", "/nodes").json()
    return {node["name"]: node for node in answer["proxies"][0]["nodes"]}


def all_up(system: LiveSystem) -> bool:
    with contextlib.suppress(IndexError):
        return all(node["state"] == "up" for node in nodes_of(system).values())
    return False


@pytest.fixture
def whole(system: LiveSystem) -> Iterator[LiveSystem]:
    """The system, with everything up before and after the test."""
    wait_until(lambda: all_up(system), 30)
    yield system
    wait_until(lambda: all_up(system), 60)


def test_killing_a_data_node_under_reads_fails_none_and_it_is_used_again(whole: LiveSystem) -> None:
    with Readers(whole, per_second=50) as readers:
        readers.answered(100)
        whole.kill_node("data2")
        readers.answered(150)
        whole.start_node("data2")
        wait_until(lambda: all_up(whole), 60)
        before = readers.nodes["data2"]
        readers.answered(150)
        assert readers.nodes["data2"] > before
    assert readers.failed == []
    assert readers.sent > 400


def test_killing_every_ssh_process_fails_no_read_and_the_tunnels_are_back(whole: LiveSystem) -> None:
    with Readers(whole, per_second=50) as readers:
        readers.answered(50)
        old = whole.tunnels()
        assert len(old) == 4
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: all_up(whole) and len(set(whole.tunnels()) - set(old)) == 4)
        readers.answered(100)
    assert readers.failed == []


def test_a_node_that_is_stopped_is_not_chosen_and_not_waited_for_for_long(whole: LiveSystem) -> None:
    row = next(row for row in loopback.status(whole.files.directory) if row.name == "data3")
    assert row.pid
    os.kill(row.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: nodes_of(whole)["data3"]["state"] == "down", 20)
        answers = [whole.send(json={**READ, "params": [1]}).json()["node"] for _ in range(30)]
        assert "data3" not in answers
    finally:
        os.kill(row.pid, signal.SIGCONT)


@pytest.mark.parametrize("service", ["proxy1", "gatekeeper1"])
def test_a_service_killed_with_9_is_back_within_seconds_and_leaves_no_ssh(whole: LiveSystem, service: str) -> None:
    old = whole.tunnels()
    assert len(old) == 4
    pid = whole.pids(service)
    whole.kill_whole(service)
    wait_until(lambda: whole.pids(service) not in {0, pid})
    wait_until(lambda: answers(whole))
    if service == "proxy1":
        wait_until(lambda: not set(old) & set(whole.tunnels()))


def answers(system: LiveSystem) -> bool:
    with contextlib.suppress(requests.ConnectionError):
        return system.send(json={**READ, "params": [1]}).status_code == 200
    return False
