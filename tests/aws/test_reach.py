"""Host keys come from consoles, follow the addresses, and are kept; stop, start and reboot wait until SSH answers."""

import stat

import pytest

from deploy.providers.interface import ProviderError, Wanted
from tests.aws.cluster import Cluster
from tests.aws.endpoint import host_key, told_keys

PROXY = Wanted("proxy", "proxy", volume_gib=20)
GATEKEEPER = Wanted("gatekeeper", "gatekeeper", volume_gib=20)


@pytest.fixture
def launched(cluster: Cluster) -> Cluster:
    """A proxy and a gatekeeper that run."""
    cluster.wanting(PROXY, GATEKEEPER)
    cluster.launch()
    return cluster


def expected(cluster: Cluster, *names: str) -> str:
    lines = []
    for name in names:
        instance = cluster.instance(name)
        addresses = f"{instance['PublicIpAddress']},{instance['PrivateIpAddress']}"
        lines.append(f"{addresses} {host_key(instance['InstanceId'])}\n")
    return "".join(lines)


def test_known_hosts_has_each_machine_by_both_of_its_addresses(launched: Cluster) -> None:
    assert launched.provider.known_hosts() == expected(launched, "gatekeeper", "proxy")


def test_no_known_hosts_where_nothing_was_launched(cluster: Cluster) -> None:
    assert cluster.provider.known_hosts() == ""


def test_host_keys_are_kept_for_their_owner_and_not_asked_for_again(launched: Cluster) -> None:
    [kept] = (launched.settings.directory / "provider" / "ec2").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    launched.aws.calls.clear()
    launched.provider.known_hosts()
    launched.launch()
    assert launched.aws.forms("GetConsoleOutput") == []


def test_another_operator_learns_the_host_keys_from_the_consoles_too(launched: Cluster) -> None:
    [kept] = (launched.settings.directory / "provider" / "ec2").iterdir()
    kept.unlink()
    assert launched.provider.known_hosts() == expected(launched, "gatekeeper", "proxy")


def test_a_console_that_says_nothing_yet_is_asked_again(cluster: Cluster) -> None:
    cluster.wanting(PROXY)
    said = ["", "[    0.0] Linux version 6.1", told_keys()]
    cluster.aws.console = lambda instance, asked: [*said, told_keys(host_key(instance))][min(asked, 4) - 1]
    cluster.launch()
    assert len(cluster.aws.forms("GetConsoleOutput")) == 4
    assert cluster.clock.time == 30
    assert cluster.said[-1] == "proxy: its host key is known from its console"


def test_a_console_that_never_tells_keys_ends_the_launch_and_names_the_machine(cluster: Cluster) -> None:
    cluster.wanting(PROXY)
    cluster.aws.console = lambda _, __: "login:"
    with pytest.raises(
        ProviderError, match=r"the console of proxy \(i-\w+\) tells no host keys.*waited 600 s.*still th"
    ):
        cluster.launch()
    assert cluster.knocked == []


def test_a_console_that_tells_two_keys_is_not_believed(cluster: Cluster) -> None:
    cluster.wanting(PROXY)
    cluster.aws.console = lambda instance, _: told_keys(host_key(instance)) + told_keys(host_key("i-other"))
    with pytest.raises(ProviderError, match=r"proxy \(i-\w+\): the console tells different host keys"):
        cluster.launch()


def test_a_type_without_latest_output_is_asked_for_what_it_said_at_boot(cluster: Cluster) -> None:
    cluster.wanting(PROXY)
    cluster.aws.refuse("GetConsoleOutput", "UnsupportedOperation", "not for this type", times=1)
    cluster.launch()
    assert ["Latest" in form for form in cluster.aws.forms("GetConsoleOutput")] == [True, False]


def test_stopped_machines_are_told_as_stopped_and_keep_their_names(launched: Cluster) -> None:
    launched.provider.stop(["proxy"])
    assert launched.states == {"gatekeeper": "running", "proxy": "stopped"}
    launched.aws.calls.clear()
    launched.provider.stop(["proxy"])
    assert launched.aws.changes == []


def test_a_started_machine_answers_and_its_new_address_is_known(launched: Cluster) -> None:
    launched.provider.stop(["proxy"])
    launched.knocked.clear()
    launched.provider.start(["proxy"])
    assert launched.states["proxy"] == "running"
    assert launched.knocked == [f"{launched.instance('proxy')['PublicIpAddress']}:22"]
    assert launched.provider.known_hosts() == expected(launched, "gatekeeper", "proxy")


def test_launch_starts_a_stopped_machine(launched: Cluster) -> None:
    launched.provider.stop(["proxy"])
    assert launched.provider.plan(launched.order) == ["proxy: start it"]
    launched.launch()
    assert launched.said == ["proxy: start it"]
    assert launched.states["proxy"] == "running"


def test_a_rebooted_machine_is_silent_before_it_answers(launched: Cluster) -> None:
    address = launched.instance("proxy")["PublicIpAddress"]
    launched.aws.then["RebootInstances"] = lambda: launched.silent.add(address)
    launched.at(launched.clock.time + 20, lambda: launched.silent.discard(address))
    launched.provider.reboot(["proxy"])
    assert launched.aws.changes[-1] == "RebootInstances"
    assert launched.clock.time >= 20


def test_a_machine_that_does_not_reboot_is_named(launched: Cluster) -> None:
    with pytest.raises(ProviderError, match=r"proxy did not begin to reboot \(waited 120 s\)"):
        launched.provider.reboot(["proxy"])


@pytest.mark.parametrize("change", ["stop", "start", "reboot"])
def test_an_unknown_machine_is_answered_with_the_known_ones(launched: Cluster, change: str) -> None:
    launched.aws.calls.clear()
    with pytest.raises(ProviderError, match="no machine 'data9' in cluster 'demo'; known are gatekeeper, proxy"):
        getattr(launched.provider, change)(["proxy", "data9"])
    assert launched.aws.changes == []
