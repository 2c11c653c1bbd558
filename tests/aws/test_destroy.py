"""Destroy on EC2: nothing is left, nobody else's is touched, and what can't be removed is said."""

from typing import Any

import pytest

from deploy.providers.ec2 import tags
from deploy.providers.interface import ProviderError, Wanted
from tests.aws.cluster import Cluster

PROXY = Wanted("proxy", "proxy", volume_gib=20)
GATEKEEPER = Wanted("gatekeeper", "gatekeeper", volume_gib=20)


def everything(cluster: Cluster) -> dict[str, list[str]]:
    """All that is in the account's region and costs, opens or holds something, by kind; terminated machines are not."""
    client = cluster.aws.client()
    instances = [each for page in client.describe_instances()["Reservations"] for each in page["Instances"]]
    groups = client.describe_security_groups()["SecurityGroups"]
    snapshots = client.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    return {
        "instances": [each["InstanceId"] for each in instances if each["State"]["Name"] != "terminated"],
        "volumes": [each["VolumeId"] for each in client.describe_volumes()["Volumes"]],
        "interfaces": [
            each["NetworkInterfaceId"] for each in client.describe_network_interfaces()["NetworkInterfaces"]
        ],
        "groups": [each["GroupName"] for each in groups if each["GroupName"] != "default"],
        "key pairs": [each["KeyName"] for each in client.describe_key_pairs()["KeyPairs"]],
        "addresses": [each["PublicIp"] for each in client.describe_addresses()["Addresses"]],
        # moto's images have theirs in every account.
        "snapshots": [each["SnapshotId"] for each in snapshots if "for AMI" not in each["Description"]],
        "VPCs": [each["VpcId"] for each in client.describe_vpcs()["Vpcs"] if not each["IsDefault"]],
    }


def files(cluster: Cluster) -> list[str]:
    return [str(path.relative_to(cluster.settings.directory)) for path in cluster.settings.directory.rglob("*")]


@pytest.fixture
def launched(cluster: Cluster) -> Cluster:
    """A proxy and a gatekeeper that run."""
    cluster.wanting(PROXY, GATEKEEPER)
    cluster.launch()
    cluster.said.clear()
    return cluster


def test_nothing_of_eight_machines_is_left(cluster: Cluster) -> None:
    before = everything(cluster)
    assert not any(before.values())
    cluster.launch()
    there = everything(cluster)
    assert {kind: len(found) for kind, found in there.items() if found} == {
        "instances": 8,
        "volumes": 8,
        "interfaces": 8,
        "groups": 5,
        "key pairs": 1,
    }
    cluster.destroy()
    assert everything(cluster) == before
    assert cluster.provider.find() == ()
    assert files(cluster) == ["provider"]


def test_each_removal_is_said(launched: Cluster) -> None:
    ids = {name: launched.instance(name)["InstanceId"] for name in ("gatekeeper", "proxy")}
    launched.destroy()
    assert launched.said[:3] == [
        f"gatekeeper: terminated ({ids['gatekeeper']})",
        f"proxy: terminated ({ids['proxy']})",
        "key pair: removed",
    ]
    assert launched.said[3].startswith("security groups: removed: gatekeeper-demo-data, ")


def test_to_destroy_again_changes_nothing(launched: Cluster) -> None:
    launched.destroy()
    launched.aws.calls.clear()
    launched.destroy()
    assert launched.aws.changes == []


def test_one_machine_is_removed_and_the_rest_stays(launched: Cluster) -> None:
    launched.destroy(["proxy"])
    assert launched.states == {"gatekeeper": "running"}
    assert len(everything(launched)["groups"]) == 5
    assert launched.provider.known_hosts().count("\n") == 1
    launched.launch()
    assert launched.states == {"gatekeeper": "running", "proxy": "running"}


def test_an_unknown_machine_is_answered_with_the_known_ones(launched: Cluster) -> None:
    with pytest.raises(ProviderError, match="no machine 'data1' in cluster 'demo'; known are gatekeeper, proxy"):
        launched.destroy(["proxy", "data1"])
    assert launched.states == {"gatekeeper": "running", "proxy": "running"}


def test_machines_of_another_cluster_are_not_touched(launched: Cluster, tmp_path: Any) -> None:
    (tmp_path / "other").mkdir()
    other = Cluster(launched.aws, tmp_path / "other")
    other.name("other")
    other.wanting(PROXY)
    other.launch()
    there = everything(other)
    launched.destroy()
    assert other.states == {"proxy": "running"}
    left = everything(other)
    assert left["groups"] == [name for name in there["groups"] if "-other-" in name]
    assert left["key pairs"] == ["gatekeeper-other"]


def test_a_protected_machine_is_named_and_the_others_go(launched: Cluster) -> None:
    protected = launched.instance("gatekeeper")["InstanceId"]
    client = launched.aws.client()
    client.modify_instance_attribute(InstanceId=protected, DisableApiTermination={"Value": True})
    with pytest.raises(ProviderError, match=r"^not removed, and billed: gatekeeper: the machine is protected"):
        launched.destroy()
    assert launched.states == {"gatekeeper": "running"}
    client.modify_instance_attribute(InstanceId=protected, DisableApiTermination={"Value": False})
    launched.destroy()
    assert not any(everything(launched).values())


def test_a_volume_that_outlived_its_machine_is_removed(launched: Cluster) -> None:
    launched.aws.client().create_volume(
        AvailabilityZone="eu-central-1a",
        Size=20,
        TagSpecifications=[tags.specification("volume", "demo", "demo-data9", name="data9", role="data")],
    )
    launched.destroy()
    assert everything(launched)["volumes"] == []


def test_a_volume_that_can_not_be_removed_is_named_as_billed(launched: Cluster) -> None:
    launched.aws.then["TerminateInstances"] = lambda: launched.aws.client().create_volume(
        AvailabilityZone="eu-central-1a",
        Size=20,
        TagSpecifications=[tags.specification("volume", "demo", "x")],
    )
    launched.aws.keep("DeleteVolume")
    with pytest.raises(ProviderError, match=r"volumes could not be removed and are billed: vol-\w+ \(waited 300 s\)"):
        launched.destroy()


def test_a_group_that_something_else_uses_is_named(launched: Cluster) -> None:
    launched.aws.refuse("DeleteSecurityGroup", "DependencyViolation", "resource sg-1 has a dependent object")
    with pytest.raises(ProviderError, match=r"gatekeeper-demo-data \(sg-\w+\) is used by something else.*300 s"):
        launched.destroy()
    assert launched.provider.find() == ()
    launched.aws.allow("DeleteSecurityGroup")
    launched.destroy()
    assert not any(everything(launched).values())


def test_what_another_operator_launched_is_destroyed_by_its_tags(launched: Cluster) -> None:
    [kept] = (launched.settings.directory / "provider" / "ec2").iterdir()
    kept.unlink()
    launched.destroy()
    assert not any(everything(launched).values())
