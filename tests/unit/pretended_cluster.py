# ruff: noqa: ARG002 - what is pretended to be there takes arguments that it has no use for
"""A cluster whose provider, engine and machines are pretended, for the tests of what works on whole clusters."""

import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from contract.inventory import Machine
from deploy import deployment
from deploy.cluster import Cluster, checked
from deploy.deployment import Deployment
from deploy.dry import New
from deploy.engines.mariadb import Accounts
from deploy.host import Access, Host
from deploy.providers.interface import Order, Say
from deploy.roles import service
from deploy.roles.engine import Drained
from deploy.roles.galera import Galera
from deploy.site import Site
from tests.unit.pretended_hosts import Pretended, machine

CLUSTER: Final = checked({"provider": "fleet", "engine": "galera", "sample": False, "schemas": ["shop"]})
_ANSWERS: Final = {"version_info": "3.11\nx86_64\n"}


class Provider:
    """Machines that are pretended. `orders`: what was launched."""

    def __init__(self, cluster: Cluster, log: list[str]) -> None:
        self.machines = [machine(wanted.name, wanted.role) for wanted in cluster.wanted()]
        self.orders: list[Order] = []
        self._log = log

    def plan(self, order: Order) -> list[str]:
        return [] if self.orders else [f"{wanted.name}: make it" for wanted in order.machines]

    def launch(self, order: Order, say: Say) -> tuple[Machine, ...]:
        self._log.append("machines")
        self.orders.append(order)
        return self.find()

    def find(self) -> tuple[Machine, ...]:
        return tuple(sorted(self.machines, key=lambda each: each.name))

    def known_hosts(self) -> str:
        return "".join(f"{each.private_ip_address} ssh-ed25519 AAAA\n" for each in self.machines)

    def destroy(self, say: Say, names: Sequence[str] | None = None) -> None:
        self._log.append("destroyed")
        self.machines.clear()

    def stop(self, names: Sequence[str]) -> None:
        raise NotImplementedError

    start = reboot = stop


class Engine(Galera):
    """An engine whose servers know what they were told. `processes`: what each SHOW PROCESSLIST is answered."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self._log = log
        self.processes: list[str] = []
        self.schemas: set[str] = set()
        self.told: list[tuple[str, str]] = []
        self.drained: Drained | None = None

    def install(self, site: Site, drained: Drained) -> None:
        self._log.append("engine")
        self.drained = drained

    def sql(self, host: Host, script: str, *, timeout_s: float = 120.0) -> str:
        self.told.append((host.name, script))
        if "PROCESSLIST" in script:
            return self.processes.pop(0) if self.processes else ""
        if script.startswith("CREATE DATABASE"):
            self._log.append("schemas")
            self.schemas.add(f"{host.name} {script.split('`')[1]}")
        if "schemata" in script:
            return "\n".join(name.split()[1] for name in self.schemas if name.startswith(f"{host.name} "))
        return ""

    def ask(self, host: Host, script: str) -> str:
        return self.sql(host, script)

    def account_statements(self, host: Host, accounts: Accounts, schemas: Sequence[str]) -> list[str]:
        return [f"ALTER USER {accounts.reader_user} IDENTIFIED BY '{accounts.reader_password}'"]

    def state(self, host: Host) -> str:
        return "stopped" if isinstance(host, New) else "Synced"

    def version(self, host: Host) -> str:
        return "1"

    def rotate_certificates(self, site: Site, drained: Drained) -> None:
        self._log.append("engine's certificates")

    def restart(self, site: Site, host: Host) -> None:
        raise NotImplementedError


class World:
    """A deployment, its pretended machines, and what happened."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.said: list[tuple[str, str]] = []
        self.engine = Engine(self.log)
        self.provider = Provider(CLUSTER, self.log)
        self.hosts = {each.name: Pretended(each.name, each.role, _ANSWERS) for each in self.provider.machines}
        monkeypatch.setattr(deployment, "Host", self._host)
        wheels = directory / "wheels.tar"
        tarfile.open(wheels, "w").close()
        monkeypatch.setattr(service, "wheels", lambda *_: wheels)
        self.deployment = Deployment(
            "demo", CLUSTER, self.provider, self.engine, directory / "demo", directory / "cache", self._say
        )

    def _host(self, machine: Machine, _access: Access) -> Host:
        return self.hosts.setdefault(machine.name, Pretended(machine.name, machine.role, _ANSWERS))

    def _say(self, host: str, text: str) -> None:
        self.said.append((host, text))
        self.log.append(f"{host} {text.partition(':')[0]}")

    def changed(self) -> list[tuple[str, str]]:
        """What was said to have changed since the last time."""
        found = [said for said in self.said if not said[1].endswith("unchanged")]
        self.said.clear()
        return found
