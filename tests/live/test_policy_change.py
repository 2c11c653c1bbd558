"""A gatekeeper of several workers alone: a changed policy and a full disk. No proxy is behind it, so that a statement
that is allowed is answered 503, rule none, and one that is refused 403.
"""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import requests

from deploy import toml
from gatekeeper import keys
from gatekeeper.audit import AuditLog, Entry
from gatekeeper.audit_chain import verify
from gatekeeper.settings import Settings
from tests.live.proxy_fixtures import wait_until

POLICY = """
[roles.reader]
kinds = ["select"]
read = ["shop.orders"]
"""
QUERY = {"query": "SELECT a FROM shop.customers"}
MOST_BYTES = 2 << 20


class Alone:
    """A gatekeeper with a directory of its own, in the words that tests use."""

    def __init__(self, directory: Path) -> None:
        self.policy = directory / "policy.toml"
        self.policy.write_text(POLICY)
        self.audit = directory / "audit.log"
        self.log = directory / "gatekeeper.log"
        self.key = keys.add(directory / "keys.json", "web", "reader")
        with socket.socket() as free, socket.socket() as closed:
            free.bind(("127.0.0.1", 0))
            closed.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
            nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
        settings = Settings(
            name="gatekeeper1",
            listen=self.address,
            proxies=(nobody,),
            policy=str(self.policy),
            keys=str(directory / "keys.json"),
            runtime_directory=str(directory),
            audit=str(self.audit),
        )
        members = {name: value for name, value in msgspec.to_builtins(settings).items() if value is not None}
        self.settings = directory / "gatekeeper.toml"
        self.settings.write_text(toml.render(members, {}))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Runs it; none of its files can be larger than MOST_BYTES."""
        command = [sys.executable, "-m", "gunicorn", "--config", "python:gatekeeper.gunicorn_conf"]
        environment = {**os.environ, "GATEKEEPER_CONFIG": str(self.settings)}
        with (
            self.log.open("wb") as log,
            subprocess.Popen([*command, "gatekeeper.app:create_app()"], env=environment, stderr=log) as process,
        ):
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (MOST_BYTES, MOST_BYTES))
            try:
                wait_until(self._is_alive)
                yield
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=20)

    def statuses(self) -> set[int]:
        """The statuses of answers to the query, over connections enough to reach every worker."""
        with ThreadPoolExecutor(8) as pool:
            return set(pool.map(lambda _: self.send().status_code, range(32)))

    def send(self) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.key}"}
        return requests.post(f"http://{self.address}/endpoint", json=QUERY, headers=headers, timeout=20)

    def _is_alive(self) -> bool:
        try:
            return requests.get(f"http://{self.address}/healthz", timeout=5).ok
        except requests.ConnectionError:
            return False


@pytest.fixture(name="alone")
def _alone(tmp_path: Path) -> Alone:
    return Alone(tmp_path)


def test_every_worker_takes_a_changed_policy_up_within_a_second_and_leaves_a_broken_one(alone: Alone) -> None:
    with alone.running():
        assert alone.statuses() == {403}
        alone.policy.write_text(POLICY.replace("orders", "customers"))
        changed = time.monotonic()
        wait_until(lambda: time.monotonic() >= changed + 1)
        assert alone.statuses() == {503}
        alone.policy.write_text("[roles.reader]\nkinds = 1")
        wait_until(lambda: alone.statuses() == {503} and alone.log.read_text().count("policy_refused") == 2)
        assert "roles.reader.kinds" in alone.log.read_text()


def test_on_a_full_disk_nothing_is_executed_and_the_chain_stays_whole(alone: Alone) -> None:
    filling = AuditLog(alone.audit, name="filling", most_bytes=MOST_BYTES * 2)
    while alone.audit.stat().st_size < MOST_BYTES - 100:
        filling.write(Entry("filling", "web", "reader", "allowed"))
    filling.close()
    with alone.running():
        problem = alone.send().json()
    assert (problem["status"], problem["rule"], problem["outcome"]) == (503, "audit", "not_executed")
    assert "audit_failed" in alone.log.read_text()
    assert verify([alone.audit]).hash
