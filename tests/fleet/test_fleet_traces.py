import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from deploy import processes
from deploy.providers.fleet import cgroups, sandbox
from deploy.providers.fleet.state import Place
from tests.fleet.cluster import Cluster

LAUNCH = """
import pickle, sys
from deploy.providers.fleet import Fleet
order, settings = pickle.load(sys.stdin.buffer)
Fleet(settings).launch(order, lambda *said: None)
"""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Cluster]:
    """Two machines that are not there yet."""
    made = Cluster(tmp_path, {"manager": "manager", "data1": "data"})
    yield made
    made.destroy()


def test_what_was_launched_and_destroyed_leaves_nothing(pair: Cluster) -> None:
    before = traces(pair)
    pair.launch()
    during = traces(pair)
    assert all(during[kind] - before[kind] for kind in ("links", "namespaces", "routes", "groups", "processes"))
    pair.destroy()
    assert traces(pair) == before
    assert not (pair.settings.directory / "provider").exists()
    assert pair.fleet.find() == ()


def test_one_machine_is_removed_and_the_others_stay(pair: Cluster) -> None:
    pair.launch()
    pair.destroy(["data1"])
    assert [machine.name for machine in pair.fleet.find()] == ["manager"]
    assert pair.run("manager", "hostname") == "manager"
    before = pair.address("manager")
    pair.launch()
    assert pair.said[-1] == "data1: make it as data with 512 MiB"
    assert pair.address("manager") == before


def test_two_clusters_side_by_side_have_networks_of_their_own(
    pair: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Cluster(tmp_path_factory.mktemp("other"), {"manager": "manager"})
    pair.launch()
    try:
        other.launch()
        assert pair.address("manager") != other.address("manager")
        assert not pair.reaches("data1", "manager", 22)
        assert other.run("manager", "hostname") == "manager"
    finally:
        other.destroy()
    assert pair.run("data1", "hostname") == "data1"


@pytest.mark.parametrize("moment", ["network", "first", "second"])
def test_a_launch_that_was_killed_is_completed_by_the_next(pair: Cluster, moment: str) -> None:
    kill_launch(pair, moment)
    pair.launch()
    assert [(machine.name, machine.state) for machine in pair.fleet.find()] == [
        ("data1", "running"),
        ("manager", "running"),
    ]
    assert pair.fleet.plan(pair.order) == []
    assert pair.run("data1", "hostname") == "data1"


@pytest.mark.parametrize("moment", ["network", "first", "second"])
def test_a_launch_that_was_killed_is_removed_whole(pair: Cluster, moment: str) -> None:
    before = traces(pair)
    kill_launch(pair, moment)
    pair.destroy()
    assert traces(pair) == before


def test_when_a_private_place_ends_its_machines_end_and_the_rest_is_removed_from_outside(pair: Cluster) -> None:
    before = traces(pair)
    kill_launch(pair, "second", sandbox.inside([sys.executable, "-c", LAUNCH]))
    processes.wait_until(
        lambda: traces(pair)["processes"] == before["processes"], timeout_s=60, what="the machines' end"
    )
    pair.destroy()
    assert traces(pair) == before


def test_without_the_bridge_nothing_takes_the_way_out_and_a_launch_makes_it_again(pair: Cluster, way_out: str) -> None:
    pair.launch()
    address, bridge = pair.address("data1"), key_of(pair)
    assert way_out in ip("route", "get", "192.0.2.1")
    ip("link", "delete", bridge)
    with pytest.raises(subprocess.CalledProcessError):
        ip("route", "get", address)
    assert pair.fleet.plan(pair.order) == ["network: make it"]
    pair.launch()
    assert pair.run("data1", "hostname") == "data1"


def test_what_makes_an_image_ends_with_the_command_that_asked_for_it() -> None:
    mark = "86399.25"
    asks = f"""
from deploy.providers.fleet import commands
command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sleep", "{mark}"]
commands.run_logged(command, log=open("/dev/null", "wb"), timeout_s=60)
"""
    with subprocess.Popen([sys.executable, "-c", asks], cwd=Path(__file__).parents[2]) as child:
        processes.wait_until(lambda: processes.find("sleep", mark), timeout_s=60, what="the begin")
        child.kill()
    processes.wait_until(lambda: not processes.find("sleep", mark), timeout_s=60, what="the end")


@pytest.fixture
def way_out() -> Iterator[str]:
    """An interface that the default route takes, as a host has one; it leads nowhere."""
    ip("link", "add", "way-out", "type", "veth", "peer", "name", "nowhere")
    ip("link", "set", "way-out", "up")
    ip("link", "set", "nowhere", "up")
    ip("route", "add", "default", "dev", "way-out")
    yield "way-out"
    ip("link", "delete", "way-out")


def kill_launch(pair: Cluster, moment: str, command: Sequence[str] = (sys.executable, "-c", LAUNCH)) -> None:
    """Kill -9 a process that launches the cluster when what the moment names has just appeared."""
    place = Place(pair.settings.directory / "provider" / "fleet")
    appears = {
        "network": lambda: key_of(pair) in traces(pair)["links"],
        "first": place.machine("manager").exists,
        "second": place.machine("data1").exists,
    }[moment]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=Path(__file__).parents[2]) as child:
        assert child.stdin is not None
        child.stdin.write(pickle.dumps((pair.order, pair.settings)))
        child.stdin.close()
        processes.wait_until(appears, timeout_s=30, what=moment)
        child.kill()


def key_of(pair: Cluster) -> str:
    return Place(pair.settings.directory / "provider" / "fleet").key


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], capture_output=True, text=True, timeout=60, check=True).stdout


def traces(pair: Cluster) -> dict[str, set[str]]:
    """What a fleet could leave on a host."""
    found = {
        "links": set(ip("-o", "link").splitlines()),
        "namespaces": set(ip("netns", "list").splitlines()),
        "routes": set(ip("route", "show", "table", "all").splitlines()),
    }
    found["links"] = {line.split()[1].partition("@")[0].rstrip(":") for line in found["links"]}
    # Other clusters of this host have groups, too.
    found["groups"] = {str(path) for path in cgroups.ROOT.rglob(key_of(pair)) if path.is_dir()}
    found["mounts"] = set(Path("/proc/self/mountinfo").read_text().splitlines())
    found["nspawn"] = {str(path) for path in Path("/run/systemd/nspawn").rglob("*")}
    found["processes"] = {
        f"{pid}"
        for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        if is_of_a_machine(pid)
    }
    return found


def is_of_a_machine(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    name, state = stat[stat.index("(") + 1 : stat.rindex(")")], stat[stat.rindex(")") + 2]
    return state != "Z" and name in {"systemd", "systemd-nspawn", "sshd", "dbus-daemon", "systemd-journal"}
