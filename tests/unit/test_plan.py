"""A dry run: it tells what a deployment would do, in its order, and sends no script that changes anything."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contract.inventory import Machine
from deploy import plan
from deploy.cluster import checked
from deploy.deployment import Deployment, deploy
from deploy.dry import Dry, New
from deploy.roles.files import KeyIsOpen
from deploy.roles.galera import Galera
from deploy.roles.ndb import Ndb
from tests.unit.pretended_cluster import World
from tests.unit.pretended_hosts import Pretended

MEMORY = f"{4 << 30}\n2\n"
# What changes a machine, and what is no such thing though it looks alike.
CHANGES = re.compile(
    r"(?:^|[;&|({\n]|\b(?:do|then|else)\b)\s*"
    r"(?:rm|mv|cp|ln|mkdir|chown|chmod|touch|tee|sed|useradd|tar|dd|kill|nginx|curl|sync|cat >|python3|mysqld)\b"
    r"|systemctl [^;|]*\b(?:start|stop|restart|reload|daemon-reload|enable|disable)\b"
    r"|apt-get (?!--quiet --simulate)|(?<!-)>(?!&[12]|/dev/null)"
    r"|\b(?:INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|GRANT|SET GLOBAL)\b"
)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def told(world: World, deployment: Deployment | None = None, *, upgrade: bool = False) -> list[tuple[str, str]]:
    """What a dry run says, without its mark."""
    world.said.clear()
    plan.tell(deployment or world.deployment, upgrade=upgrade)
    assert all(text.startswith("plan: ") for _, text in world.said)
    return [(name, text.removeprefix("plan: ")) for name, text in world.said]


def differences(said: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    return {(name, text) for name, text in said if not text.endswith("unchanged")}


def sent(world: World) -> list[str]:
    return [script for host in world.hosts.values() for script in host.scripts]


def forget(world: World) -> None:
    for host in world.hosts.values():
        host.scripts.clear()
        host.looks.clear()


def files(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_of_machines_that_are_not_there_it_tells_the_steps_that_deploy_then_does_in_its_order(world: World) -> None:
    machines, world.provider.machines = world.provider.machines, []
    planned = told(world)
    assert ("demo", "data1: make it") in planned
    assert sent(world) == []
    world.provider.machines = machines
    world.said.clear()
    deploy(world.deployment)
    names = {machine.name for machine in machines}
    for name in names:
        steps = [text.partition(":")[0] for host, text in planned if host == name][1:]
        done = [text.partition(":")[0] for host, text in world.said if host == name]
        assert [step for step in done if step not in {"schemas", "accounts"}] == [
            step for step in steps if step != "schemas, accounts and sample"
        ]


def test_after_a_deployment_there_is_nothing_to_do(world: World) -> None:
    deploy(world.deployment)
    forget(world)
    assert differences(told(world)) == set()
    assert sent(world)


def test_it_tells_what_differs_and_what_that_asks_for_and_changes_nothing(world: World, tmp_path: Path) -> None:
    deploy(world.deployment)
    proxy, gatekeeper = world.hosts["proxy"], world.hosts["gatekeeper"]
    proxy.files["/etc/gatekeeper/proxy.toml"] = ("regular file|0600|gk-proxy:gk-proxy", b"by hand")
    gatekeeper.units["nginx.service"] = "enabled inactive"
    policy = tmp_path / "policy.toml"
    policy.write_bytes(world.deployment.material.policy() + b"\n# changed\n")
    cluster = msgspec.structs.replace(world.deployment.cluster, policy=str(policy))
    before = files(world.deployment.directory)
    forget(world)
    with proxy.unchanged(), gatekeeper.unchanged():
        said = told(world, msgspec.structs.replace(world.deployment, cluster=cluster))
    assert differences(said) == {
        ("proxy", "settings: /etc/gatekeeper/proxy.toml"),
        ("proxy", "service: succeeded by a new process"),
        ("gatekeeper", "policy and keys: /etc/gatekeeper/policy.toml"),
        ("gatekeeper", "nginx: started"),
    }
    assert files(world.deployment.directory) == before


def test_a_node_that_is_not_there_yet_is_in_the_plan_of_the_others(world: World) -> None:
    deploy(world.deployment)
    cluster = checked({"provider": "fleet", "engine": "galera", "machines": {"data": {"count": 4}}})
    said = told(world, msgspec.structs.replace(world.deployment, cluster=cluster))
    assert ("proxy", "inventory: /etc/gatekeeper/cluster_config.csv") in said
    assert next(text for name, text in said if name == "data4").startswith("it does not run")
    assert {name for name, _ in differences(said)} == {"data4", "proxy", "manager", "standalone"}


def test_a_machine_that_is_stopped_is_not_asked(world: World) -> None:
    deploy(world.deployment)
    stopped: list[Machine] = [
        msgspec.structs.replace(each, state="stopped") if each.name == "data2" else each
        for each in world.provider.machines
    ]
    world.provider.machines = stopped
    forget(world)
    assert next(text for name, text in told(world) if name == "data2").startswith(
        "it does not run, so it can't be asked"
    )
    assert world.hosts["data2"].scripts == []


def ndb(directory: Path) -> dict[str, Any]:
    archive = directory / "mysql.tar.xz"
    archive.write_bytes(b"archive")
    return {"ndb": {"source": str(archive), "sha256": hashlib.sha256(b"archive").hexdigest()}}


@pytest.mark.parametrize("engine", ["galera", "ndb"])
@pytest.mark.parametrize("server", ["runs", "is stopped", "runs without management"])
def test_every_script_that_is_sent_only_looks(world: World, tmp_path: Path, engine: str, server: str) -> None:
    cluster = checked({"provider": "fleet", "engine": engine, **(ndb(tmp_path) if engine == "ndb" else {})})
    state = "wsrep_local_state_comment\tSynced\nwsrep_cluster_status\tPrimary\nwsrep_ready\tON\nUptime\t9\n"
    if engine == "ndb":
        state = "Ndb_number_of_ready_data_nodes\t3\nNdb_number_of_data_nodes\t3\n"
    for host in world.hosts.values():
        host.answers |= {"nproc": MEMORY, "COUNT(*)": "0"}
        host.answers |= {"'SHOW' 2>/dev/null": "y" if server == "runs" else ""}  # ndb_mgm
        host.answers |= {"SHOW GLOBAL STATUS": "stopped" if server == "is stopped" else state}
    deployment = msgspec.structs.replace(
        world.deployment, cluster=cluster, engine=Ndb() if engine == "ndb" else Galera()
    )
    said = told(world, deployment, upgrade=True)
    assert len(differences(said)) > 20
    unasked = [text for _, text in said if text.startswith("node groups and redistribution: ")]
    assert len(unasked) == (engine == "ndb" and server != "runs"), "nobody is there who knows what is missing"
    for host in world.hosts.values():
        assert host.scripts == host.looks
        for script in host.scripts:
            assert not CHANGES.search(script), script
        assert not any(CHANGES.search(given.decode()) for given in host.given)


def test_a_script_that_changes_something_is_not_sent_in_a_dry_run() -> None:
    host = Pretended()
    for dry in (Dry(host), New(host)):
        assert dry.sudo("touch /etc/changed", given=b"x") == ""
        assert dry.attempt("touch /etc/changed").status == 0
    assert host.scripts == []


def test_a_dry_run_looks_where_no_file_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    host, asked = Pretended(), list[bool]()

    def look(_script: str, *, read_only: bool, **_members: Any) -> str:
        asked.append(read_only)
        return ""

    monkeypatch.setattr(host, "look", look)
    Dry(host).look("true", read_only=False)
    assert asked == [True]


def test_a_key_that_others_can_read_ends_a_dry_run_too(world: World) -> None:
    deploy(world.deployment)
    world.deployment.material.operator_key.chmod(0o644)
    with pytest.raises(KeyIsOpen, match=re.escape(str(world.deployment.material.operator_key))):
        plan.tell(world.deployment)
