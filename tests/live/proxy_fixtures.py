"""A proxy inside the test's process, in front of the test's cluster, with an inventory that the test may bend."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask import Flask
from werkzeug.test import TestResponse

from contract.inventory import Machine, render
from contract.messages import NodesAnswer, NodeStatus
from proxy import openings
from proxy.app import create_app
from proxy.settings import Settings
from tests.live.cluster_fixtures import LiveCluster


def wait_until(true: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Returns when the condition holds; fails when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"{true} did not come to hold within {timeout_s} s"
        time.sleep(0.02)


class LocalProxy:
    """A proxy, in the words that tests use."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.app: Flask = create_app(settings)

    def close(self) -> None:
        self.app.extensions["cluster"].stop()

    def post(self, query: str, *, accept: str = "application/json", **members: Any) -> TestResponse:
        body = {"query": query, "database": "rental", "effect": "read", **members}
        return self.app.test_client().post("/endpoint", json=body, headers={"Accept": accept})

    def ask(self, query: str, **members: Any) -> dict[str, Any]:
        """The answer to a statement that must be answered."""
        response = self.post(query, **members)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.get_json()
        return answer

    def problem(self, query: str, **members: Any) -> dict[str, Any]:
        """The problem of a statement that must fail."""
        response = self.post(query, **members)
        assert response.status_code != 200, response.text
        assert response.content_type == "application/problem+json"
        problem: dict[str, Any] = response.get_json()
        assert problem["status"] == response.status_code
        return problem

    def known(self) -> NodesAnswer:
        return msgspec.json.decode(self.app.test_client().get("/nodes").data, type=NodesAnswer)

    def node(self, name: str) -> NodeStatus:
        return next(node for node in self.known().nodes if node.name == name)

    def wait_for(self, state: str, *names: str, timeout_s: float = 30.0) -> None:
        wait_until(lambda: all(self.node(name).state == state for name in names), timeout_s)


@pytest.fixture(scope="module")
def any_beginning() -> Iterator[None]:
    """What the proxy would refuse by its first word (proxy/openings.py) reaches the servers here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openings, "check", lambda *_: None)
        yield


ALL = ("manager", "data1", "data2", "data3")


@contextmanager
def proxy_before(
    cluster: LiveCluster,
    directory: Path,
    bend: Callable[[Machine], Machine] = lambda machine: machine,
    **changes: Any,
) -> Iterator[LocalProxy]:
    """A proxy in front of the cluster, whose inventory's rows went through `bend`; `changes` are settings."""
    directory.mkdir(parents=True, exist_ok=True)
    runtime = Path(tempfile.mkdtemp(prefix="gk-"))  # short: a socket's path has 107 bytes
    inventory = directory / "cluster_config.csv"
    inventory.write_text(render(bend(cluster.machine(name)) for name in ALL))
    settings = Settings(
        name="proxy1",
        listen="127.0.0.1:1",
        inventory=str(inventory),
        accounts=str(cluster.place.accounts),
        ssh_key=str(cluster.place.private_key),
        known_hosts=str(cluster.place.known_hosts),
        runtime_directory=str(runtime),
        engine="galera",
        log_level="ERROR",
    )
    try:
        with closing(LocalProxy(msgspec.structs.replace(settings, **changes))) as proxy:
            yield proxy
    finally:
        shutil.rmtree(runtime, ignore_errors=True)
