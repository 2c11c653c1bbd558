"""A cluster on machines of the fleet, and what is done to it: one fault at a time, each undone after a moment."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Final, get_args

from deploy import clusters
from deploy.checks import breakage
from deploy.checks.breakage import Scene
from deploy.deployment import Deployment, deploy
from deploy.host import Host
from deploy.providers.fleet import Fleet
from deploy.providers.fleet.faults import Faults
from deploy.release import Service
from deploy.roles import service
from deploy.roles.files import Material
from deploy.site import on_each
from tests.chaos.target import WHOLE_WITHIN_S, Fault
from tests.live.cluster_fixtures import KEPT_LOGS

_SYNC: Final[Mapping[str, tuple[str, ...]]] = {"galera": ("SET SESSION wsrep_sync_wait = 15",), "ndb": ()}
_STORAGE: Final[Mapping[str, str]] = {"galera": "InnoDB", "ndb": "NDBCLUSTER"}
_READ_TIMEOUT_S: Final = 120.0


class Machines:
    """A `Target`: a cluster that was deployed to the fleet."""

    def __init__(self, deployment: Deployment) -> None:
        assert isinstance(deployment.provider, Fleet)
        self.site = deploy(deployment)
        self._scene = Scene(deployment, self.site, Faults(deployment.provider))
        material: Material = deployment.material
        self.url = clusters.url(deployment, self.site)
        self.key = material.api_key.read_text(encoding="utf-8").strip()
        self.verify = str(material.certificates / f"edge-{self.site.of('gatekeeper')[0].name}.pem")
        self.storage = _STORAGE[deployment.cluster.engine]
        self.faults: Mapping[str, Fault] = {name: partial(fault, self._scene) for name, fault in _FAULTS.items()}

    def sql(self, *statements: str) -> list[tuple[int, ...]]:
        """The last one's rows: only it has any."""
        script = "; ".join([*_SYNC[self.site.cluster.engine], *statements])
        told = self._scene.deployment.engine.sql(self.site.nodes[0], script, timeout_s=_READ_TIMEOUT_S)
        return [tuple(map(int, line.split("\t"))) for line in told.splitlines()]

    def keep_logs(self) -> None:
        """What systemd has of each machine's units, beside the logs of tests."""
        directory = KEPT_LOGS / self.site.name
        directory.mkdir(parents=True, exist_ok=True)
        told = on_each(self.site.hosts.values(), lambda host: host.sudo("journalctl --no-pager --lines 20000"))
        for name, text in told.items():
            (directory / f"{name}.log").write_text(text)

    def mend(self) -> None:
        """Waits until every proxy uses every node, which misses no other. Raises TimeoutError."""
        deadline = time.monotonic() + WHOLE_WITHIN_S
        with clusters.client(self._scene.deployment, self.site) as client:
            while not ((seen := breakage.seen(self._scene, client)) and all(seen)):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the cluster was not whole again within {WHOLE_WITHIN_S:g} s: {seen}")
                time.sleep(0.2)


def _killed(units: Callable[[Scene, Host], tuple[str, ...]], hosts: Callable[[Scene], list[Host]]) -> "_Fault":
    @contextmanager
    def fault(scene: Scene, dice: random.Random) -> Iterator[str]:
        host = dice.choice(hosts(scene))
        unit = dice.choice(units(scene, host))
        host.sudo(f"systemctl kill --kill-who=all --signal=KILL {unit}")
        yield f"{unit} of {host.name}"  # systemd starts it again

    return fault


def _nodes(scene: Scene) -> list[Host]:
    return scene.site.nodes


def _services(scene: Scene) -> list[Host]:
    return scene.site.of("proxy", "orchestrator", "gatekeeper")


def _of_node(scene: Scene, host: Host) -> tuple[str, ...]:
    return scene.deployment.engine.units(host.machine.role)


def _of_service(_scene: Scene, host: Host) -> tuple[str, ...]:
    return (_unit(host),)


def _unit(host: Host) -> str:
    return next(service.unit_name(name) for name in get_args(Service) if name == host.machine.role)


@contextmanager
def _worker_killed(scene: Scene, dice: random.Random) -> Iterator[str]:
    host = dice.choice(_services(scene))
    host.sudo(f"pkill -KILL --oldest --parent $(systemctl show --property MainPID --value {_unit(host)}) || true")
    yield host.name


@contextmanager
def _tunnels_killed(scene: Scene, dice: random.Random) -> Iterator[str]:
    host = dice.choice(scene.site.of("proxy"))
    host.sudo("pkill -KILL --exact ssh || true")
    yield host.name


@contextmanager
def _proxy_paused(scene: Scene, dice: random.Random) -> Iterator[str]:
    host = dice.choice(scene.site.of("proxy"))
    host.sudo(f"systemctl kill --kill-who=all --signal=STOP {_unit(host)}")
    try:
        yield host.name
    finally:
        host.sudo(f"systemctl kill --kill-who=all --signal=CONT {_unit(host)}")


@contextmanager
def _machine_paused(scene: Scene, dice: random.Random) -> Iterator[str]:
    name = dice.choice(_nodes(scene)).name
    scene.faults.pause(name)
    try:
        yield name
    finally:
        scene.faults.resume(name)


@contextmanager
def _cable_pulled(scene: Scene, dice: random.Random) -> Iterator[str]:
    name = dice.choice(_nodes(scene)).name
    scene.faults.cut(name)
    try:
        yield name
    finally:
        scene.faults.heal()


@contextmanager
def _power_cut(scene: Scene, dice: random.Random) -> Iterator[str]:
    host = dice.choice(_nodes(scene))
    host.close()
    scene.faults.power_cut(host.name)
    try:
        yield host.name
    finally:
        scene.deployment.provider.start([host.name])


_Fault = Callable[[Scene, random.Random], AbstractContextManager[str]]

_FAULTS: Final[Mapping[str, _Fault]] = {
    "kill -9 of a database process": _killed(_of_node, _nodes),
    "kill -9 of a service": _killed(_of_service, _services),
    "kill -9 of a worker": _worker_killed,
    "kill -9 of all tunnels": _tunnels_killed,
    "pause of a proxy": _proxy_paused,
    "pause of a node's machine": _machine_paused,
    "a node's cable pulled": _cable_pulled,
    "power cut of a node's machine": _power_cut,
}
