"""A cluster on machines of the fleet, and what is done to it: one fault at a time, each undone after a moment."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Final, get_args

from deploy import clusters
from deploy.checks import breakage, load
from deploy.checks.breakage import Act, Scene
from deploy.deployment import Deployment, deploy
from deploy.host import Host
from deploy.providers.fleet import Fleet
from deploy.providers.fleet.faults import Faults
from deploy.release import Service
from deploy.roles import service
from deploy.site import on_each
from tests.chaos.target import WHOLE_WITHIN_S, Fault
from tests.live.cluster_fixtures import KEPT_LOGS

_STORAGE: Final[Mapping[str, str]] = {"galera": "InnoDB", "ndb": "NDBCLUSTER"}
_READ_TIMEOUT_S: Final = 120.0

_Fault = Callable[[Scene, random.Random], AbstractContextManager[str]]


class Machines:
    """A `Target`: a cluster that was deployed to the fleet."""

    def __init__(self, deployment: Deployment) -> None:
        assert isinstance(deployment.provider, Fleet)
        self.site = deploy(deployment)
        self._scene = Scene(deployment, self.site, Faults(deployment.provider))
        material = deployment.material
        self.url = clusters.url(deployment, self.site)
        self.key = material.api_key.read_text(encoding="utf-8").strip()
        self.verify = str(material.certificates / f"edge-{self.site.of('gatekeeper')[0].name}.pem")
        self.storage = _STORAGE[deployment.cluster.engine]
        self.faults: Mapping[str, Fault] = {name: partial(fault, self._scene) for name, fault in _FAULTS.items()}

    def sql(self, *statements: str) -> list[tuple[int, ...]]:
        """The last one's rows: only it has any."""
        script = load.IN_STEP[self.site.cluster.engine] + "; ".join(statements)
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


def _fault(hosts: Callable[[Scene], list[Host]], does: Act, undoes: Act | None = None) -> _Fault:
    """Does it to one of the machines; what has no `undoes` comes back by itself."""

    @contextmanager
    def fault(scene: Scene, dice: random.Random) -> Iterator[str]:
        name = dice.choice(hosts(scene)).name
        does(scene, name)
        try:
            yield name
        finally:
            if undoes:
                undoes(scene, name)

    return fault


@contextmanager
def _database_killed(scene: Scene, dice: random.Random) -> Iterator[str]:
    host = dice.choice(_nodes(scene))
    unit = dice.choice(scene.deployment.engine.units(host.machine.role))
    breakage.killed(unit)(scene, host.name)
    yield f"{unit} of {host.name}"  # systemd starts it again


def _nodes(scene: Scene) -> list[Host]:
    return scene.site.nodes


def _services(scene: Scene) -> list[Host]:
    return scene.site.of(*get_args(Service))


def _proxies(scene: Scene) -> list[Host]:
    return scene.site.of("proxy")


def _unit(scene: Scene, name: str) -> str:
    """The unit of the service that the machine is for."""
    role = scene.site.hosts[name].machine.role
    return next(service.unit_name(known) for known in get_args(Service) if known == role)


def _worker_killed(scene: Scene, name: str) -> None:
    master = f"$(systemctl show --property MainPID --value {_unit(scene, name)})"
    breakage.run(scene, name, f"pkill -KILL --oldest --parent {master} || true")


def _tunnels_killed(scene: Scene, name: str) -> None:
    breakage.run(scene, name, "pkill -KILL --exact ssh || true")


def _signalled(signal: str) -> Act:
    return lambda scene, name: breakage.run(
        scene, name, f"systemctl kill --kill-who=all --signal={signal} {_unit(scene, name)}"
    )


_FAULTS: Final[Mapping[str, _Fault]] = {
    "kill -9 of a database process": _database_killed,
    "kill -9 of a service": _fault(_services, _signalled("KILL")),
    "kill -9 of a worker": _fault(_services, _worker_killed),
    "kill -9 of all tunnels": _fault(_proxies, _tunnels_killed),
    "pause of a proxy": _fault(_proxies, _signalled("STOP"), _signalled("CONT")),
    "pause of a node's machine": _fault(
        _nodes, lambda scene, name: scene.faults.pause(name), lambda scene, name: scene.faults.resume(name)
    ),
    "a node's cable pulled": _fault(
        _nodes, lambda scene, name: scene.faults.cut(name), lambda scene, _name: scene.faults.heal()
    ),
    "power cut of a node's machine": _fault(_nodes, breakage.power_cut, breakage.power_back),
}
