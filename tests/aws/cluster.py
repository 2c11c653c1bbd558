"""A cluster on EC2, as tests speak of it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from contract.inventory import MachineRole
from deploy import firewall
from deploy.providers.ec2 import Ec2, Settings, World
from deploy.providers.interface import Order, Wanted
from tests.aws.endpoint import Endpoint, session

OPERATOR = "203.0.113.7/32"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl operator"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBSqRDi4PSEgAMmRGfSLIlF8Ef+vZLDHGg+n9G1DVuUP operator"
EIGHT: tuple[tuple[str, MachineRole], ...] = (
    ("standalone", "standalone"),
    ("manager", "manager"),
    ("data1", "data"),
    ("data2", "data"),
    ("data3", "data"),
    ("proxy1", "proxy"),
    ("proxy2", "proxy"),
    ("gatekeeper", "gatekeeper"),
)


class Clock:
    """A clock on which nobody waits: to sleep only sets it."""

    def __init__(self) -> None:
        self.time = 0.0
        self.later: list[tuple[float, Callable[[], object]]] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        for due in [each for each in self.later if each[0] <= self.time]:
            self.later.remove(due)
            due[1]()


class Cluster:
    """A cluster and its provider. `said`: what it said since the last launch; `silent`: addresses without SSH."""

    def __init__(self, aws: Endpoint, directory: Path) -> None:
        self.aws = aws
        self.settings = Settings("demo", directory, OPERATOR)
        self.clock = Clock()
        self.said: list[str] = []
        self.silent: set[str] = set()
        self.knocked: list[str] = []
        self.order = order(directory)

    @property
    def world(self) -> World:
        return World(session, self.aws.url, 2, self._answers, self.clock.sleep, self.clock.now)

    @property
    def provider(self) -> Ec2:
        """A provider that knows nothing of those before it."""
        return Ec2(self.settings, self.world)

    def choose(self, **settings: Any) -> None:
        self.settings = msgspec.structs.replace(self.settings, **settings)

    def wanting(self, *machines: Wanted) -> None:
        self.order = msgspec.structs.replace(self.order, machines=machines)

    def name(self, name: str) -> None:
        """Be another cluster of the same account."""
        self.choose(cluster=name)
        self.order = msgspec.structs.replace(self.order, cluster=name)

    def at(self, time: float, then: Callable[[], object]) -> None:
        """Have something happen when the clock is there."""
        self.clock.later.append((time, then))

    def launch(self) -> None:
        self.said.clear()
        self.provider.launch(self.order, self.say)

    def destroy(self, names: Sequence[str] | None = None) -> None:
        self.provider.destroy(self.say, names)

    def say(self, name: str, text: str) -> None:
        self.said.append(f"{name}: {text}")

    @property
    def states(self) -> dict[str, str]:
        """The machines' states, by name."""
        return {machine.name: machine.state for machine in self.provider.find()}

    def instance(self, name: str) -> Any:
        """What AWS tells of a machine that is there."""
        found = self.aws.client().describe_instances(
            Filters=[
                {"Name": "tag:gatekeeper:name", "Values": [name]},
                {"Name": "tag:gatekeeper:cluster", "Values": [self.settings.cluster]},
                {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
            ]
        )
        [instance] = [each for reservation in found["Reservations"] for each in reservation["Instances"]]
        return instance

    def group(self, role: str) -> Any:
        """What AWS tells of a role's security group."""
        name = f"gatekeeper-demo-{role}"
        return self.aws.client().describe_security_groups(Filters=[{"Name": "group-name", "Values": [name]}])[
            "SecurityGroups"
        ][0]

    def _answers(self, address: str, port: int) -> bool:
        self.knocked.append(f"{address}:{port}")
        return address not in self.silent


def order(directory: Path) -> Order:
    """Eight machines, with the rules of an NDB cluster."""
    machines = tuple(Wanted(name, role, volume_gib=20) for name, role in EIGHT)
    rules = firewall.rules("ndb", frozenset(role for _, role in EIGHT))
    return Order("demo", machines, rules, KEY, directory)
