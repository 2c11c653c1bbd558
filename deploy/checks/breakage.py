"""What may break, broken in turn under load: processes killed, a machine's power cut. All of it comes back.

docs/operations.md, "A rehearsal", tells what each may do to requests, and what was measured.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from client import Client
from contract.errors import GatekeeperError
from deploy import clusters, processes
from deploy.checks import load
from deploy.checks.failed import CheckFailed
from deploy.checks.verdict import Verdict, judged
from deploy.deployment import Deployment
from deploy.providers.fleet import Fleet
from deploy.providers.fleet.faults import Faults
from deploy.providers.interface import Say
from deploy.roles import ndb_units
from deploy.site import Site

_BEFORE: Final = 2 * load.PER_SECOND
_DEAD: Final = 10 * load.PER_SECOND
_AFTER: Final = 2 * load.PER_SECOND
_MISSED_TIMEOUT_S: Final = 60.0
_BACK_TIMEOUT_S: Final = 180.0
_MARIADB: Final = "mariadb.service"


class Scene(msgspec.Struct, frozen=True):
    """A cluster on the fleet, and what it takes to break it."""

    deployment: Deployment
    site: Site
    faults: Faults


Act = Callable[[Scene, str], None]
"""Does something to the node of that name."""


class Fault(msgspec.Struct, frozen=True):
    """`node` breaks by `happens`; what does not come back by itself is brought back by `mends`.

    `is_missed`: the proxies see it. `loses_sql`: an SQL node ends, so unkeyed writes that it is running may have the
    outcome `unknown`.
    """

    text: str
    node: str
    happens: Act
    mends: Act | None = None
    is_missed: bool = True
    loses_sql: bool = False


def check(deployment: Deployment, site: Site, say: Say) -> None:
    """Does each of the engine's faults, under load. Raises CheckFailed with what must not be."""
    assert isinstance(deployment.provider, Fleet), "machines of a cloud have no faults to order"
    scene = Scene(deployment, site, Faults(deployment.provider))
    manager = site.of("manager")[0]
    for fault in FAULTS[site.cluster.engine]:
        deployment.engine.sql(manager, load.MAKE_TABLE)
        verdict, back_s = _broken(scene, fault)
        say(fault.node, f"{fault.text}: {verdict}; whole again after {back_s:.0f} s")
        if verdict.mistakes:
            shown = "; ".join(verdict.mistakes[:5])
            raise CheckFailed(f"{fault.text} of {fault.node} made {len(verdict.mistakes)} mistakes: {shown}")
    deployment.engine.sql(manager, load.DROP_TABLE)


def _broken(scene: Scene, fault: Fault) -> tuple[Verdict, float]:
    """What the load showed, and the seconds from the fault until nothing was missed any more."""
    with clusters.client(scene.deployment, scene.site) as client, load.Load(client) as requests:
        requests.answer(_BEFORE)
        began = time.monotonic()
        fault.happens(scene, fault.node)
        if fault.is_missed:
            _wait(lambda: not all(seen(scene, client)), _MISSED_TIMEOUT_S, f"{fault.node} being missed")
        else:
            requests.answer(_DEAD)
        if fault.mends:
            fault.mends(scene, fault.node)
        _wait(lambda: bool(nodes := seen(scene, client)) and all(nodes), _BACK_TIMEOUT_S, f"{fault.node} being back")
        back_s = time.monotonic() - began
        requests.answer(_AFTER)
    return judged(requests.sent, _kept(scene), may_be_unknown=fault.loses_sql), back_s


def _kept(scene: Scene) -> list[int]:
    """The rows that are there, which every node must see alike."""
    rows = load.kept(scene.deployment.engine, scene.site)
    first, *others = rows
    if differing := [name for name in others if rows[name] != rows[first]]:
        raise CheckFailed(f"{', '.join(differing)} and {first} see different rows")
    return rows[first]


def seen(scene: Scene, client: Client) -> list[bool]:
    """Of each node that each proxy knows, whether it is up and misses no other; none while a proxy does not tell."""
    try:
        proxies = client.nodes()
    except GatekeeperError:
        return []
    if len(proxies) < len(scene.site.of("proxy")):
        return []
    engine = scene.deployment.engine
    return [node.state == "up" and engine.is_whole(node.engine_state) for proxy in proxies for node in proxy.nodes]


def _wait(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    try:
        processes.wait_until(condition, timeout_s=timeout_s, what=what)
    except TimeoutError as error:
        raise CheckFailed(str(error)) from None


def killed(unit: str) -> Act:
    """Kills all of a unit's processes; systemd starts it again."""
    return lambda scene, node: run(scene, node, f"systemctl kill --kill-who=all --signal=KILL {unit}")


def _killed_for_good(unit: str) -> Act:
    """Kills them, and keeps systemd from starting the unit again."""
    return lambda scene, node: run(
        scene, node, f"systemctl kill --kill-who=all --signal=KILL {unit}; systemctl stop {unit}"
    )


def _started(unit: str) -> Act:
    return lambda scene, node: run(scene, node, f"systemctl start {unit}")


def run(scene: Scene, node: str, script: str) -> None:
    """Runs a script as root on the machine of that name."""
    scene.site.hosts[node].sudo(script)


def power_cut(scene: Scene, node: str) -> None:
    """Turns its machine off without a word."""
    scene.site.hosts[node].close()
    scene.faults.power_cut(node)


def power_back(scene: Scene, node: str) -> None:
    """Turns it on again."""
    scene.deployment.provider.start([node])


# data1 is the data nodes' president, the oldest of them, whose end costs the others most.
FAULTS: Final[Mapping[str, tuple[Fault, ...]]] = {
    "ndb": (
        Fault("kill -9 of ndbmtd", "data1", killed(ndb_units.DATA_NODE)),
        Fault("kill -9 of mysqld", "data2", killed(ndb_units.SQL), loses_sql=True),
        Fault(
            "kill -9 of ndb_mgmd, for good",
            "manager",
            _killed_for_good(ndb_units.MANAGEMENT),
            mends=_started(ndb_units.MANAGEMENT),
            is_missed=False,
        ),
        Fault("power cut", "data3", power_cut, mends=power_back, loses_sql=True),
    ),
    "galera": (
        Fault("kill -9 of mariadbd", "data1", killed(_MARIADB)),
        Fault("kill -9 of mariadbd, where writes go", "manager", killed(_MARIADB), loses_sql=True),
        Fault("power cut", "data3", power_cut, mends=power_back),
    ),
}
