"""`fab rehearse` and `fab deploy`: what a rehearsal takes for a failure, and what wrong usage is answered with."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from invoke.context import Context
from invoke.exceptions import Exit

from deploy import clusters, rehearsal
from deploy.checks import breakage, once, ports, tables
from deploy.checks.failed import CheckFailed
from deploy.deployment import Deployment
from deploy.rehearsal import Script
from deploy.roles import tarball
from deploy.site import Site
from deploy.tasks import cluster as tasks
from deploy.tasks.failures import FAILED, USAGE
from deploy.tasks.rehearse import rehearse
from tests.unit.pretended_cluster import World


class Rehearsal:
    """A rehearsal on pretended machines. `runs`: what each of its two deployments says; `checks`: what was checked."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = world
        self.runs = [[("proxy", "service: started")], [("proxy", "service: unchanged")]]
        self.checks: list[str] = []
        monkeypatch.setattr(clusters, "described", self._described)
        monkeypatch.setattr(clusters, "first_queries", lambda *_: [("direct_hit", "manager")])
        monkeypatch.setattr(rehearsal, "deploy", self._deploy)
        monkeypatch.setattr(type(world.deployment.material), "operator_public_key", "ssh-ed25519 AAAA")
        monkeypatch.setattr(rehearsal, "outside", lambda: nullcontext([]))
        for check in (tables, once, ports, breakage):
            name = check.__name__.rpartition(".")[2]
            monkeypatch.setattr(check, "check", lambda *_, name=name: self.checks.append(name))

    def run(self, *, faults: bool = True) -> None:
        rehearsal.rehearse(Script({}, faults=faults))

    def _described(self, _name: str, say: Callable[[str, str], None], **_: Any) -> Any:
        self._say = say
        return self.world.deployment

    def _deploy(self, _deployment: Any) -> Site:
        for host, text in self.runs.pop(0):
            self._say(host, text)
        return self.world.deployment.site()


@pytest.fixture
def rehearsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rehearsal:
    return Rehearsal(World(tmp_path, monkeypatch), monkeypatch)


def test_a_rehearsal_deploys_twice_and_takes_everything_down(
    rehearsed: Rehearsal, capsys: pytest.CaptureFixture[str]
) -> None:
    rehearsed.run()
    assert rehearsed.runs == []
    assert rehearsed.world.log == ["destroyed"]
    assert capsys.readouterr().out.count("answered direct_hit") == 2


def test_a_second_run_that_changes_something_is_a_failure_that_names_it(rehearsed: Rehearsal) -> None:
    rehearsed.runs[1].append(("gatekeeper", "nginx: /etc/nginx/nginx.conf"))
    with pytest.raises(CheckFailed, match=r"changed something: \[gatekeeper\] nginx: /etc/nginx/nginx\.conf$"):
        rehearsed.run()
    assert rehearsed.world.log == ["destroyed"]


@pytest.mark.parametrize(
    ("faults", "checked"), [(True, ["tables", "once", "ports", "breakage"]), (False, ["tables", "once", "ports"])]
)
def test_what_is_deployed_is_checked_and_broken_if_that_is_wanted(
    rehearsed: Rehearsal, faults: bool, checked: list[str]
) -> None:
    rehearsed.run(faults=faults)
    assert rehearsed.checks == checked
    assert rehearsed.world.log == ["destroyed"]


def test_a_deployment_that_fails_is_taken_down(rehearsed: Rehearsal) -> None:
    rehearsed.runs.clear()
    with pytest.raises(IndexError):
        rehearsed.run()
    assert rehearsed.world.log == ["destroyed"]


@pytest.fixture(autouse=True)
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cluster of this machine is touched."""
    monkeypatch.setattr(clusters.directory, "__defaults__", (tmp_path / "var",))
    monkeypatch.delenv("GATEKEEPER_NDB_TARBALL", raising=False)


def ended(task: Callable[..., Any], **options: Any) -> tuple[int, str]:
    """The task's exit code and sentence."""
    with pytest.raises(Exit) as caught:
        task(Context(), **options)
    return caught.value.code, str(caught.value.message)


FLEET = 'provider = "fleet"\n'
NDB = f'{FLEET}engine = "ndb"\n[ndb]\nsource = "SOURCE"\nsha256 = "{"0" * 64}"\n'
USAGES = {
    "an unknown engine": (f'{FLEET}engine = "oracle"', "cluster.toml: Invalid enum value 'oracle' - at `$.engine`"),
    "one data node": (f"{NDB}[machines.data]\ncount = 1", "cluster.toml: machines.data.count is 1: a cluster that"),
    "replicas": (f"replicas = 2\n{NDB}", "cluster.toml: 3 data nodes can't be divided into groups of 2 (replicas)"),
    "two managers": (f"{NDB}[machines.manager]\ncount = 2", "cluster.toml: machines.manager.count is 2: a cluster has"),
    "no TOML": ("provider", "cluster.toml: "),
    "no file": (None, "cluster.toml can't be read: No such file"),
}


@pytest.mark.parametrize(("text", "said"), USAGES.values(), ids=USAGES.keys())
def test_a_description_that_makes_no_sense_is_wrong_usage_in_a_sentence(
    tmp_path: Path, text: str | None, said: str
) -> None:
    path = tmp_path / "cluster.toml"
    if text is not None:
        path.write_text(text)
    code, message = ended(tasks.deploy, cluster="demo", config=str(path))
    assert (code, message[: len(said)]) == (USAGE, said)
    assert "Traceback" not in message


def test_a_cluster_that_was_never_described_is_wrong_usage() -> None:
    assert ended(tasks.destroy, cluster="demo") == (USAGE, "unknown cluster 'demo'; known are none")


def test_a_dry_run_says_what_would_be_made_and_makes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bool] = []

    def described(*_: object, keep: bool, **__: object) -> Deployment:
        kept.append(keep)
        return world.deployment

    monkeypatch.setattr(clusters, "described", described)
    world.provider.machines.clear()
    tasks.deploy(Context(), cluster="demo", dry_run=True)
    assert ("demo", "plan: manager: make it") in world.said
    assert (kept, world.provider.orders, world.deployment.directory.exists()) == ([False], [], False)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_destroy_without_the_clusters_name_removes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "known", lambda *_: world.deployment)
    assert ended(tasks.destroy, cluster="demo", yes="other") == (USAGE, "not the cluster's name; nothing was removed")
    assert world.log == []


def test_a_rehearsal_of_an_unknown_engine_is_wrong_usage() -> None:
    code, message = ended(rehearse, engine="oracle")
    assert (code, "'oracle'" in message) == (USAGE, True)


def test_a_rehearsal_with_ndb_asks_for_the_archive() -> None:
    said = "say where MySQL NDB Cluster's archive is: --tarball PATH"
    assert ended(rehearse) == (USAGE, said)


def test_a_rehearsal_whose_archive_is_not_there_fails_with_its_path(tmp_path: Path) -> None:
    code, message = ended(rehearse, tarball=str(tmp_path / "nothing"))
    assert code == FAILED
    assert f"No such file or directory: '{tmp_path}/nothing'" in message


def test_an_archive_with_another_checksum_fails_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive, config = tmp_path / "mysql.tar.xz", tmp_path / "cluster.toml"
    archive.write_bytes(b"another")
    config.write_text(NDB.replace("SOURCE", str(archive)))
    monkeypatch.setattr(tasks, "deployed", lambda deployment: tarball.check(deployment.cluster.ndb))
    code, message = ended(tasks.deploy, cluster="demo", config=str(config))
    assert code == FAILED
    assert message.startswith(f"failed: {archive} has the SHA-256 ")
    assert message.endswith(f", not {'0' * 64}")
