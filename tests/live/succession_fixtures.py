"""A proxy and a gatekeeper that can be succeeded, in front of the system's nodes, and clients at a steady pace.

They are run as on machines, by no supervisor: supervisord would take a master that was succeeded for one that died.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests

from contract.inventory import Machine, render
from contract.settings import split_address
from deploy import processes, toml
from deploy.ports import Ports
from deploy.providers import loopback, servers
from deploy.providers.state import Place
from deploy.services import ADDRESS, Service
from tests.live.proxy_fixtures import wait_until
from tests.live.system_fixtures import LiveSystem

ROOT = Path(__file__).parents[2]
PER_SECOND = 50
# What they reach at least on a machine that does much else, so that nothing stood still.
LEAST_PER_SECOND = 5
# How long a succession may take here: the new one starts on a busy machine, the old one drains.
SUCCEEDED_WITHIN_S = 90.0


class Running:
    """A service that was started here: its address, and the master that has it now."""

    def __init__(self, role: str, listen: str, metrics: str, settings: Path, log: Path) -> None:
        self.role = role
        self.listen = listen
        self.metrics = metrics
        self.master = 0
        self._group = 0
        self._settings = settings
        self._log = log

    def start(self) -> None:
        program = Path(sys.executable).with_name("gunicorn")
        with self._log.open("ab") as log:
            command = [sys.executable, str(program), "--no-control-socket"]
            started = subprocess.Popen(
                [*command, "--config", f"python:{self.role}.gunicorn_conf", f"{self.role}.app:create_app()"],
                cwd=ROOT,
                env={**processes.environment(ROOT), f"{self.role.upper()}_CONFIG": str(self._settings)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.master = self._group = started.pid
        threading.Thread(target=started.wait, daemon=True).start()  # so that it leaves no zombie

    def succeed(self) -> None:
        """Has a new process take the place of this one, and waits until this one has ended."""
        old = self.master
        os.kill(old, signal.SIGUSR2)
        wait_until(lambda: not Path(f"/proc/{old}").exists(), SUCCEEDED_WITHIN_S)
        self.master = next(pid for pid in self._members() if _parent(pid) not in self._members())

    def workers(self) -> set[int]:
        return {pid for pid in self._members() if _parent(pid) == self.master}

    def listens(self, pid: int) -> bool:
        """Whether the process has the service's listening socket open (proc(5), net/tcp; 0A: listening)."""
        port = f":{split_address(self.listen)[1]:04X}"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
        inodes = [f"socket:[{row[9]}]" for row in rows if row[1].endswith(port) and row[3] == "0A"]
        held = []
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    held.append(str(descriptor.readlink()))
        return any(inode in held for inode in inodes)

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._group, signal.SIGKILL)

    def lines(self) -> list[str]:
        return self._log.read_text(errors="replace").splitlines()

    def counted(self, name: str) -> float:
        """The sum of a metric over its labels; 0 while nobody answers for it."""
        with contextlib.suppress(requests.RequestException):
            lines = requests.get(f"http://{self.metrics}/metrics", timeout=10).text.splitlines()
            return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))
        return 0

    def retirements(self) -> int:
        """How often a new process has told its predecessor to end."""
        return sum('"predecessor_retired"' in line for line in self.lines())

    def _members(self) -> list[int]:
        """The masters and workers, the oldest first."""
        pids = sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return [pid for pid in pids if _stat(pid)[2:3] == [str(self._group)] and b"gunicorn" in _command(pid)]


class Succeeding:
    """The two services, in the words that tests use."""

    def __init__(self, system: LiveSystem, directory: Path, runtime: Path) -> None:
        self.system = system
        self.machines = loopback.machines(system.files.directory)
        self.inventory = directory / "cluster_config.csv"
        self.put()
        with Ports(ADDRESS) as ports:
            self.proxy = self._service(system.services.proxies[0], directory, runtime, ports, {})
            proxies = {"proxies": [f"https://{self.proxy.listen}"]}
            self.gatekeeper = self._service(system.services.gatekeeper, directory, runtime, ports, proxies)
            self.url = f"http://{self.gatekeeper.listen}"
            self.proxy.start()
            self.gatekeeper.start()
            wait_until(lambda: len(self.up()) == len(self.machines), 60)

    def _service(self, like: Service, directory: Path, runtime: Path, ports: Ports, changes: dict[str, Any]) -> Running:
        """The settings of the system's service of that kind, with places of its own."""
        settings = tomllib.loads(like.settings.read_text())
        tables = {"tls": settings.pop("tls")}
        own = runtime / like.role
        own.mkdir(mode=0o700)
        settings |= {"runtime_directory": str(own), "listen": f"{ADDRESS}:{ports.take()}"}
        metrics = settings["metrics_listen"] = f"{ADDRESS}:{ports.take()}"
        for member, name in (("inventory", self.inventory.name), ("audit", "audit"), ("records", "records")):
            if member in settings:
                settings[member] = str(directory / name)
        path = directory / f"{like.role}.toml"
        path.write_text(toml.render(settings | changes, tables))
        # Where the system's logs are looked through for secrets.
        log = self.system.files.directory / "log" / f"succeeded-{like.role}.log"
        return Running(like.role, settings["listen"], metrics, path, log)

    def put(self, *without: str) -> None:
        """Writes the inventory, in which the nodes named are stopped."""
        rows = [
            msgspec.structs.replace(machine, state="stopped") if machine.name in without else machine
            for machine in self.machines
        ]
        new = self.inventory.with_suffix(".new")
        new.write_text(render(rows))
        new.replace(self.inventory)

    def statuses(self) -> list[dict[str, Any]]:
        """The nodes, as the gatekeeper tells of them; none while it does not answer."""
        with contextlib.suppress(requests.RequestException):
            answer = requests.get(
                f"{self.url}/nodes", headers={"Authorization": f"Bearer {self.system.key}"}, timeout=10
            )
            if answer.ok and (proxies := answer.json()["proxies"]):
                nodes: list[dict[str, Any]] = proxies[0]["nodes"]
                return nodes
        return []

    def nodes(self) -> dict[str, str]:
        return {node["name"]: node["state"] for node in self.statuses()}

    def in_flight(self, name: str) -> int:
        return sum(node["in_flight"] for node in self.statuses() if node["name"] == name)

    def up(self) -> list[str]:
        return [name for name, state in self.nodes().items() if state == "up"]

    def left(self, machine: Machine) -> list[str]:
        """What the proxy has logged of the node's leaving: a line when its last request has ended."""
        return [line for line in self.proxy.lines() if '"node_left"' in line and f'"{machine.name}"' in line]

    def restart(self, machine: Machine) -> None:
        """Takes the node out by its row, ends its server as its operator would, starts it and puts it back."""
        directory = Path(Place(self.system.files.directory).load().node(machine.name).directory)
        before = self.left(machine)
        self.put(machine.name)
        wait_until(lambda: len(self.left(machine)) > len(before), 30)
        assert '"cut_off":0' in self.left(machine)[-1]
        processes.stop(servers.processes_in(directory), timeout_s=60)
        loopback.start(self.system.files.directory, machine.name)
        self.put()
        wait_until(lambda: self.nodes().get(machine.name) == "up", 60)


class Clients:
    """Reads and writes at a steady pace, on kept and on fresh connections; every answer that is no 200 is kept."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"}
        self._stop = threading.Event()
        self.failed: list[str] = []
        self.reads: list[str] = []
        self.writes: list[tuple[int, int]] = []
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(10)]

    def __enter__(self) -> "Clients":
        self._started = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=90)

    @property
    def sent(self) -> int:
        return len(self.reads) + len(self.writes) + len(self.failed)

    def per_second(self) -> float:
        return self.sent / (time.monotonic() - self._started)

    def answered(self, more: int) -> None:
        """Waits until so many more requests were sent."""
        goal = self.sent + more
        wait_until(lambda: self.sent >= goal, 60)

    def _run(self, sender: int) -> None:
        session = requests.Session()
        interval_s = len(self._threads) / PER_SECOND
        due = time.monotonic()
        number = 0
        # One that is so late that it can't keep the pace goes on from now.
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due = max(due + interval_s, time.monotonic() - 1.0)
            number += 1
            try:
                response = self._send(session if sender % 3 else requests, sender, number)
            except requests.RequestException as error:
                self.failed.append(f"{time.monotonic() - self._started:.1f} s: {sender}: {error!r}")
                continue
            self._judge(response, sender, number)

    def _send(self, through: Any, sender: int, number: int) -> requests.Response:
        if sender % 2:
            body = {"query": "INSERT INTO rental.beats (sender, number) VALUES (?, ?)", "params": [sender, number]}
        else:
            implementation = ("direct", "random", "customized")[number % 3]
            body = {"query": "SELECT ? + 0", "params": [number], "implementation": implementation}
        answer: requests.Response = through.post(f"{self._url}/endpoint", json=body, headers=self._headers, timeout=60)
        return answer

    def _judge(self, response: requests.Response, sender: int, number: int) -> None:
        if response.status_code != 200:
            self.failed.append(f"{time.monotonic() - self._started:.1f} s: {sender}: {response.text}")
        elif sender % 2:
            self.writes.append((sender, number))
        elif response.json()["rows"] != [[number]]:
            self.failed.append(f"{sender}: {response.text}")
        else:
            self.reads.append(response.json()["node"])


@pytest.fixture(scope="module")
def succeeding(system: LiveSystem, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Succeeding]:
    runtime = Path(tempfile.mkdtemp(prefix="gk-s-", dir="/tmp"))  # short, for its sockets
    made: Succeeding | None = None
    try:
        made = Succeeding(system, tmp_path_factory.mktemp("succession"), runtime)
        yield made
    finally:
        if made is not None:
            made.gatekeeper.stop()
            made.proxy.stop()
        shutil.rmtree(runtime, ignore_errors=True)


def _stat(pid: int) -> list[str]:
    """State, parent, process group and so on (proc(5)); nothing when there is no such process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def _parent(pid: int) -> int:
    return int((_stat(pid) or ["", "0"])[1])


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
