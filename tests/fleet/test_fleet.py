import socket
import subprocess
from collections.abc import Callable, Iterator

import msgspec
import paramiko
import pytest

from deploy import processes
from deploy.firewall import Rule
from deploy.providers.fleet import guard
from deploy.providers.fleet.outside import outside
from deploy.providers.interface import ProviderError
from tests.fleet.cluster import Cluster


@pytest.fixture
def healthy(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster; whatever a test does to its network ends with the test."""
    yield cluster
    cluster.faults.heal()


@pytest.fixture
def outsider() -> Iterator[Callable[[str], str]]:
    """Runs a script of bash on a machine outside of the cluster's network, which has a way into it."""
    with outside() as before:

        def run(script: str) -> str:
            command = [*before, "bash", "-c", script]
            return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

        yield run


def test_a_second_launch_finds_nothing_to_do_and_says_nothing(cluster: Cluster) -> None:
    before = [process.pid for box in cluster.fleet.boxes() for process in _supervisors(box.record.uuid)]
    assert cluster.fleet.plan(cluster.order) == []
    cluster.launch()
    assert cluster.said == []
    assert [process.pid for box in cluster.fleet.boxes() for process in _supervisors(box.record.uuid)] == before


def test_machines_are_found_by_their_tags(cluster: Cluster) -> None:
    found = [(machine.name, machine.role, machine.state) for machine in cluster.fleet.find()]
    assert found == [("data1", "data", "running"), ("gate", "gatekeeper", "running"), ("manager", "manager", "running")]


@pytest.mark.parametrize("name", ["manager", "data1", "gate"])
def test_a_machine_is_a_small_cloud_instance_with_a_known_host_key(cluster: Cluster, name: str) -> None:
    assert cluster.run(name, "hostname; whoami") == f"{name}\nroot"
    assert cluster.run(name, "systemctl is-system-running --wait") == "running"
    assert cluster.run(name, "systemctl --failed --quiet") == ""


def test_a_hardened_unit_runs_as_on_a_cloud(cluster: Cluster) -> None:
    hardened = """DynamicUser=yes ProtectSystem=strict ProtectHome=yes PrivateTmp=yes PrivateDevices=yes
        NoNewPrivileges=yes CapabilityBoundingSet= ProtectKernelTunables=yes RestrictNamespaces=yes
        SystemCallFilter=@system-service MemoryDenyWriteExecute=yes"""
    options = " ".join(f"--property={each}" for each in hardened.split())
    assert cluster.run(
        "gate", f"systemd-run --quiet --wait --pipe {options} grep CapBnd /proc/self/status"
    ).split() == [
        "CapBnd:",
        "0" * 16,
    ]


def test_another_machine_in_its_place_is_refused(cluster: Cluster) -> None:
    keys = {line.split()[0]: line.split()[2] for line in cluster.fleet.known_hosts().splitlines()}
    wrong = f"{cluster.address('data1')} ssh-ed25519 {keys[cluster.address('manager')]}"
    with pytest.raises(paramiko.BadHostKeyException), cluster.connection("data1", wrong) as connection:
        connection.open()


def test_a_machine_without_a_known_host_key_is_refused(cluster: Cluster) -> None:
    other = cluster.fleet.known_hosts().replace(cluster.address("data1"), "192.0.2.9")
    with (
        pytest.raises(paramiko.SSHException, match="not found in known_hosts"),
        cluster.connection("data1", other) as it,
    ):
        it.open()


def test_a_reboot_keeps_address_host_key_and_disk(cluster: Cluster) -> None:
    boot, known = cluster.run("data1", "echo kept >/root/file; cat /proc/sys/kernel/random/boot_id"), _known(cluster)
    started = cluster.run("data1", "stat -c %Y.%y /proc/1")
    cluster.fleet.reboot(["data1"])
    assert _known(cluster) == known
    assert cluster.run("data1", "cat /root/file") == "kept"
    assert (boot, started) != (
        cluster.run("data1", "cat /proc/sys/kernel/random/boot_id"),
        cluster.run("data1", "stat -c %Y.%y /proc/1"),
    )


def test_a_stopped_machine_keeps_its_disk_and_starts_again(cluster: Cluster) -> None:
    cluster.run("data1", "echo kept >/root/stopped")
    cluster.fleet.stop(["data1"])
    assert _state(cluster, "data1") == "stopped"
    assert cluster.fleet.plan(cluster.order) == ["data1: start it"]
    cluster.fleet.start(["data1"])
    assert _state(cluster, "data1") == "running"
    assert cluster.run("data1", "cat /root/stopped") == "kept"


def test_a_machine_whose_power_was_cut_is_started_by_the_next_launch(cluster: Cluster) -> None:
    known = _known(cluster)
    cluster.faults.power_cut("data1")
    assert _state(cluster, "data1") == "stopped"
    cluster.launch()
    assert cluster.said == ["data1: start it"]
    assert _known(cluster) == known
    assert cluster.run("data1", "hostname") == "data1"


def test_a_machine_whose_power_is_cut_ends_no_connection(cluster: Cluster) -> None:
    """A peer hears nothing more, as of a real machine: it has to find out by itself."""
    with socket.create_connection((cluster.address("data1"), 22), timeout=10) as connection:
        assert connection.recv(256).startswith(b"SSH-")
        cluster.faults.power_cut("data1")
        connection.settimeout(2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    cluster.fleet.start(["data1"])
    assert cluster.run("data1", "hostname") == "data1"


@pytest.mark.parametrize("how", ["stop", "power cut"])
def test_a_machine_whose_supervisor_was_killed_can_still_be_turned_off(cluster: Cluster, how: str) -> None:
    uuid = next(box.record.uuid for box in cluster.fleet.boxes(["data1"]))
    for process in _supervisors(uuid):
        subprocess.run(["kill", "-9", str(process.pid)], check=True, timeout=60)
    processes.wait_until(lambda: not _supervisors(uuid), timeout_s=60, what="the supervisor's end")
    assert _state(cluster, "data1") == "running"
    if how == "stop":
        cluster.fleet.stop(["data1"])
    else:
        cluster.faults.power_cut("data1")
    assert _state(cluster, "data1") == "stopped"
    cluster.fleet.start(["data1"])
    assert cluster.run("data1", "hostname") == "data1"


def test_a_paused_machine_says_nothing_until_it_goes_on(cluster: Cluster) -> None:
    cluster.faults.pause("data1")
    try:
        # Its kernel takes the connection.
        assert cluster.operator_reaches("data1", 22)
        assert not cluster.greets("data1")
    finally:
        cluster.faults.resume("data1")
    assert cluster.run("data1", "hostname") == "data1"


def test_a_machine_whose_cable_was_pulled_is_not_reached(healthy: Cluster) -> None:
    healthy.faults.cut("data1")
    assert not healthy.operator_reaches("data1", 22)
    healthy.faults.heal()
    assert healthy.operator_reaches("data1", 22)


def test_parted_machines_do_not_reach_each_other_while_the_operator_reaches_both(healthy: Cluster) -> None:
    healthy.listen("manager", 4567)
    assert healthy.reaches("data1", "manager", 4567)
    healthy.faults.partition(["manager"], ["data1"])
    assert not healthy.reaches("data1", "manager", 4567)
    healthy.faults.heal()
    assert healthy.reaches("data1", "manager", 4567)


def test_a_downloaded_package_is_installed_without_a_way_out(cluster: Cluster) -> None:
    command = "DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install lsof"
    assert "Setting up lsof" in cluster.run("gate", command, timeout_s=120)
    assert "/usr/bin/lsof" in cluster.run("gate", "type -P lsof")


def test_only_what_a_rule_names_is_open(healthy: Cluster) -> None:
    for name in ("manager", "gate"):
        for port in (80, 3306):
            healthy.listen(name, port)
    for source in ("data1", "manager", "gate"):
        others = [name for name in ("manager", "data1", "gate") if name != source]
        asked = [(name, port) for name in others for port in (22, 80, 3306)]
        assert healthy.reached(source, asked) == {("gate", 80)} - {(source, 80)}
    operators = {
        (to, port) for to in ("manager", "gate") for port in (22, 80, 3306) if healthy.operator_reaches(to, port)
    }
    assert operators == {("manager", 22), ("gate", 22), ("gate", 80)}


def test_from_outside_of_the_network_only_what_the_world_may_reach_answers(
    cluster: Cluster, outsider: Callable[[str], str]
) -> None:
    asked = [(name, port) for name in ("manager", "data1", "gate") for port in (22, 80, 443, 3306, 4567)]
    assert cluster.answering(asked, outsider) == {("gate", 80)}


def test_rules_that_were_tampered_with_are_seen_and_set_right(cluster: Cluster) -> None:
    box = cluster.fleet.boxes(["data1"])[0]
    guard.apply(box.namespace, guard.listed(box.namespace).replace("policy drop", "policy accept"))
    assert cluster.fleet.plan(cluster.order) == ["data1: set its firewall rules"]
    cluster.launch()
    assert cluster.said == ["data1: set its firewall rules"]
    assert "policy drop" in guard.listed(box.namespace)


def test_a_new_rule_concerns_the_machines_that_it_names_alone(cluster: Cluster) -> None:
    rules = (*cluster.order.rules, Rule("manager", 4444, "data"))
    order = msgspec.structs.replace(cluster.order, rules=rules)
    assert cluster.fleet.plan(order) == ["manager: set its firewall rules"]


def test_a_machine_has_no_more_memory_than_was_ordered(cluster: Cluster) -> None:
    greedy = (
        "systemd-run --quiet --wait --pipe python3 -c 'b = bytearray(600 << 20); b[::4096] = b\"x\" * len(b[::4096])'"
    )
    assert cluster.run("data1", f"{greedy} || echo ended") == "ended"


def test_a_machine_is_given_another_size_while_it_runs(cluster: Cluster) -> None:
    machines = tuple(msgspec.structs.replace(wanted, size="640/1.5") for wanted in cluster.order.machines[:1])
    order = msgspec.structs.replace(cluster.order, machines=machines)
    assert cluster.fleet.plan(order) == ["manager: give it 640 MiB and 1.5 cores"]
    cluster.launch(order)
    assert cluster.fleet.plan(order) == []
    assert cluster.fleet.plan(cluster.order) == ["manager: give it 512 MiB"]
    cluster.launch()


def test_a_machine_that_is_there_can_not_become_another_role(cluster: Cluster) -> None:
    machines = tuple(msgspec.structs.replace(wanted, role="proxy") for wanted in cluster.order.machines[:1])
    with pytest.raises(ProviderError, match="manager is there as manager, and can't become proxy"):
        cluster.fleet.plan(msgspec.structs.replace(cluster.order, machines=machines))


def test_an_unknown_machine_is_answered_with_the_known_ones(cluster: Cluster) -> None:
    with pytest.raises(ProviderError, match=r"no machine 'data9' .* known are manager, data1, gate"):
        cluster.fleet.reboot(["data9"])


def _supervisors(uuid: str) -> list[processes.Process]:
    return processes.find("systemd-nspawn", f"--uuid={uuid}")


def _known(cluster: Cluster) -> list[str]:
    return cluster.fleet.known_hosts().splitlines()


def _state(cluster: Cluster, name: str) -> str:
    return {machine.name: machine.state for machine in cluster.fleet.find()}[name]
