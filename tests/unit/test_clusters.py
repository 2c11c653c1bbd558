"""The clusters that the operator's machine knows: what is kept of a description, and one command at a time."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy import clusters
from deploy.cluster import ClusterError
from deploy.deployment import ROOT, Deployment
from deploy.providers.state import Busy
from deploy.site import Site
from tests.unit.pretended_hosts import Pretended, machine

GALERA: dict[str, Any] = {"provider": "fleet", "engine": "galera"}


@pytest.fixture(autouse=True)
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory `var` of the tests."""
    found = tmp_path / "var"
    monkeypatch.setattr(clusters, "VAR", found)
    monkeypatch.setattr(clusters.directory, "__defaults__", (found,))
    return found


def describe(name: str = "demo", config: Path | None = None, **members: Any) -> Deployment:
    return clusters.described(name, lambda *_: None, config=config, members=members)


def known(name: str = "demo") -> Deployment:
    return clusters.known(name, lambda *_: None)


def test_a_description_is_kept_and_need_not_be_given_again() -> None:
    described = describe(**GALERA, sample=False).cluster
    assert known().cluster == described
    assert describe().cluster == described


def test_members_that_are_given_take_the_place_of_those_before_and_are_kept() -> None:
    describe(**GALERA, sample=False)
    changed = describe(sample=True).cluster
    assert (changed.engine, changed.sample) == ("galera", True)
    assert known().cluster == changed


def test_a_file_is_the_whole_description(tmp_path: Path) -> None:
    describe(**GALERA, sample=False)
    path = tmp_path / "cluster.toml"
    path.write_text('provider = "fleet"\nengine = "galera"\nschemas = ["shop"]\n')
    assert describe(config=path).cluster.sample
    assert known().cluster.schemas == ("shop",)


def test_a_mistake_is_not_kept_and_names_where_it_stands(tmp_path: Path) -> None:
    describe(**GALERA)
    path = tmp_path / "cluster.toml"
    path.write_text('provider = "fleet"\nengine = "galera"\nmachines.data.count = 1\n')
    with pytest.raises(ClusterError, match=r"^cluster\.toml: machines\.data\.count is 1"):
        describe(config=path)
    with pytest.raises(ClusterError, match=r"^demo: "):
        describe(replicas=2)
    assert known().cluster.machines.data.count == 3


def test_a_description_is_the_operators_alone(var: Path) -> None:
    describe(**GALERA)
    assert (var / "clusters" / "demo").stat().st_mode & 0o777 == 0o700
    assert (var / "clusters" / "demo" / "description.json").stat().st_mode & 0o777 == 0o600


def test_an_unknown_cluster_is_answered_with_the_known_ones() -> None:
    with pytest.raises(clusters.UnknownCluster, match=r"^unknown cluster 'demo'; known are none$"):
        known()
    describe("two", **GALERA)
    describe("one", **GALERA)
    with pytest.raises(clusters.UnknownCluster, match=r"^unknown cluster 'demo'; known are one, two$"):
        known()


def test_a_cluster_that_was_forgotten_is_unknown_and_leaves_nothing(var: Path) -> None:
    clusters.forget(describe(**GALERA))
    assert list((var / "clusters").iterdir()) == []
    with pytest.raises(clusters.UnknownCluster):
        known()


@pytest.mark.parametrize("name", ["../x", "", "/etc", "A"])
def test_a_name_that_would_lead_elsewhere_is_refused(name: str) -> None:
    for asked in (clusters.directory, known, describe):
        with pytest.raises(ClusterError, match="can't be a cluster's name"):
            asked(name)


HOLD = """
import sys
from pathlib import Path
from deploy import clusters
clusters.directory.__defaults__ = (Path(sys.argv[1]),)
with clusters.locked("demo"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_command_on_a_cluster_is_refused_while_one_on_another_cluster_goes_on(
    var: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "_LOCK_TIMEOUT_S", 0.1)
    command = [sys.executable, "-c", HOLD, str(var)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with clusters.locked("other"):
            pass
        with pytest.raises(Busy), clusters.locked("demo"):
            raise AssertionError
        other.communicate(timeout=60)
    with clusters.locked("demo"):
        pass


@pytest.mark.parametrize(
    ("edge", "url"), [({}, "https://10.0.0.21"), ({"server_name": "gk.example"}, "https://gk.example")]
)
def test_clients_reach_the_first_gatekeeper_by_the_name_that_its_certificate_has(
    edge: dict[str, str], url: str
) -> None:
    gatekeeper = Pretended("gatekeeper", "gatekeeper")
    gatekeeper.machine = machine("gatekeeper", "gatekeeper", private_ip_address="10.0.0.21")
    deployment = describe(**GALERA, edge=edge)
    site = Site("demo", deployment.cluster, ROOT, ROOT, ROOT, {"gatekeeper": gatekeeper}, deployment.say)
    assert clusters.url(deployment, site) == url


def test_more_data_nodes_leave_the_number_of_copies_as_it_is() -> None:
    archive = {"source": "/a.tar.xz", "sha256": "0" * 64}
    deployment = describe(provider="fleet", engine="ndb", ndb=archive, machines={"data": {"count": 3, "size": "2048"}})
    more = clusters.with_data_nodes(deployment, 6).cluster
    assert (deployment.cluster.copies, more.copies) == (3, 3)
    assert known().cluster.machines.data == more.machines.data
    assert (more.machines.data.count, more.machines.data.size) == (6, "2048")
