"""A cluster as tasks work on it: which hosts are meant, work on all of them at once, what is said."""

import threading
from pathlib import Path

import pytest

from contract.inventory import MachineRole
from deploy.cluster import Cluster
from deploy.host import Host, HostError
from deploy.site import Site, on_each, printing
from tests.unit.pretended_hosts import Pretended

ROLES: dict[str, MachineRole] = {
    "data1": "data",
    "data2": "data",
    "gatekeeper": "gatekeeper",
    "manager": "manager",
    "proxy": "proxy",
    "standalone": "standalone",
}


def site(said: list[tuple[str, str]] | None = None) -> Site:
    here = Path("/nowhere")
    say = (said if said is not None else []).append
    return Site(
        name="demo",
        cluster=Cluster(engine="galera"),
        root=here,
        directory=here,
        cache=here,
        hosts={name: Pretended(name, role) for name, role in ROLES.items()},
        say=lambda host, text: say((host, text)),
    )


def names(hosts: list[Host]) -> list[str]:
    return [host.name for host in hosts]


def test_hosts_are_found_by_their_roles() -> None:
    assert names(site().of("proxy", "gatekeeper")) == ["gatekeeper", "proxy"]
    assert names(site().nodes) == ["manager", "data1", "data2"]
    assert names(site().servers) == ["data1", "data2", "manager", "standalone"]
    assert site().of("orchestrator") == []


def test_work_is_done_on_all_hosts_at_once() -> None:
    together = threading.Barrier(len(ROLES), timeout=60)

    def work(host: Host) -> str:
        together.wait()
        return host.machine.role

    assert on_each(site().hosts.values(), work) == ROLES


def test_a_host_that_fails_stops_no_other_and_the_first_in_order_is_raised() -> None:
    done: list[str] = []
    late = threading.Event()

    def work(host: Host) -> None:
        if host.name == "data2":
            assert late.wait(10)
            raise HostError("data2: the first in order, though the last in time")
        if host.name == "manager":
            late.set()
            raise HostError("manager: the first in time")
        done.append(host.name)

    with pytest.raises(HostError, match="data2: the first in order"):
        on_each(site().hosts.values(), work)
    assert sorted(done) == ["data1", "gatekeeper", "proxy", "standalone"]


def test_work_on_no_host_is_nothing() -> None:
    assert on_each([], lambda host: host) == {}


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (True, "step: changed"),
        (False, "step: unchanged"),
        ((), "step: unchanged"),
        (("/a", "/b"), "step: /a, /b"),
    ],
)
def test_a_step_says_what_it_changed(text: str, changed: tuple[str, ...] | bool) -> None:
    said: list[tuple[str, str]] = []
    of = site(said)
    assert of.report(of.hosts["proxy"], "step", changed) is bool(changed)
    assert said == [("proxy", text)]


def test_lines_of_several_threads_are_printed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    say = printing()
    on_each(site().hosts.values(), lambda host: [say(host.name, "x" * 100) for _ in range(50)])
    printed = capsys.readouterr().out.splitlines()
    assert sorted(printed) == sorted(f"[{name}] {'x' * 100}" for name in ROLES for _ in range(50))
