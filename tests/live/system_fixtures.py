"""A whole system for live tests: a cluster of its own, a proxy and a gatekeeper under supervisor, and a key."""

import contextlib
import os
import secrets
import shutil
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests

from client import Client
from deploy import local, supervision
from deploy.local import System
from deploy.providers import loopback
from deploy.providers.servers import AdminConnection
from deploy.services import Services
from tests.live.cluster_fixtures import KEPT_LOGS
from tests.live.proxy_fixtures import wait_until


class LiveSystem:
    """A system, in the words that tests use."""

    def __init__(self, files: System, services: Services) -> None:
        self.files = files
        self.services = services
        self.url = services.gatekeeper_url
        self.key = files.key_file.read_text(encoding="utf-8").strip()

    def client(self) -> Client:
        return Client(self.url, self.key)

    def send(
        self, method: str = "POST", path: str = "/endpoint", *, key: str | None = "", **arguments: Any
    ) -> requests.Response:
        """An exchange with the gatekeeper; with the system's key, or another one, or none (None)."""
        headers: Mapping[str, str] = arguments.pop("headers", {})
        credentials = {} if key is None else {"Authorization": f"Bearer {key or self.key}"}
        return requests.request(method, self.url + path, headers={**credentials, **headers}, timeout=60, **arguments)

    def admin(self, node: str = "manager") -> AdminConnection:
        return loopback.connect(self.files.directory, node)

    def kill_node(self, name: str) -> None:
        loopback.kill(self.files.directory, name)

    def start_node(self, name: str) -> None:
        loopback.start(self.files.directory, name)

    def pids(self, service: str) -> int:
        return next(row.pid for row in supervision.statuses(self.services) if row.name == service)

    def kill_service(self, name: str, number: int = signal.SIGKILL) -> None:
        os.kill(self.pids(name), number)

    def family(self, service: str) -> list[int]:
        """The service's master, first, and its workers; waits for a master, as its pid is 0 while there is none."""
        wait_until(lambda: self.pids(service) != 0)
        master = self.pids(service)
        assert master, "it ended again"
        return [master, *(pid for pid, (parent, _) in processes().items() if parent == master)]

    def kill_whole(self, service: str) -> None:
        """The service's workers as well as its master: none has time for a last word."""
        for pid in reversed(self.family(service)):
            os.kill(pid, signal.SIGKILL)

    def tunnels(self) -> list[int]:
        """The pids of the proxies' ssh."""
        directory = str(self.services.runtime_directory).encode()
        return [pid for pid, (_, words) in processes().items() if b"-L" in words and directory in b" ".join(words)]

    def logs(self) -> str:
        """All that the services have written."""
        return "".join(path.read_text(errors="replace") for path in (self.files.directory / "log").glob("*.log*"))


def processes() -> dict[int, tuple[int, list[bytes]]]:
    """Every process's parent and command line."""
    found = {}
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((directory / "stat").read_text().rpartition(")")[2].split()[1])
            found[int(directory.name)] = parent, (directory / "cmdline").read_bytes().split(b"\0")
    return found


@pytest.fixture(scope="session")
def system(request: pytest.FixtureRequest) -> Iterator[LiveSystem]:
    """The system as `make up` makes it, under a name and on addresses of its own."""
    files = local.system(f"test-{secrets.token_hex(3)}")
    services, _ = local.up(files, lambda _host, _text: None, lambda _system, _services: None)
    try:
        yield LiveSystem(files, services)
    finally:
        if request.session.testsfailed:
            keep_logs(files.directory / "log")
        local.down(files)


def keep_logs(directory: Path) -> None:
    shutil.copytree(directory, KEPT_LOGS / directory.parent.name, dirs_exist_ok=True)
