"""Where machines are put: zones, the default VPC's subnets or named ones, private ones without public addresses."""

from typing import Any

import pytest

from deploy.providers.interface import ProviderError, Wanted
from tests.aws.cluster import EIGHT, Cluster

PROXY = Wanted("proxy", "proxy", volume_gib=20)
GATEKEEPER = Wanted("gatekeeper", "gatekeeper", volume_gib=20)


def zones(cluster: Cluster) -> dict[str, str]:
    return {name: cluster.instance(name)["Placement"]["AvailabilityZone"][-1] for name, _ in EIGHT}


def own_network(cluster: Cluster) -> tuple[str, str]:
    """A VPC of the company's: a public and a private subnet."""
    client = cluster.aws.client()
    vpc = client.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    made = [
        client.create_subnet(VpcId=vpc, CidrBlock=f"10.7.{at}.0/24", AvailabilityZone="eu-central-1b") for at in (1, 2)
    ]
    return made[0]["Subnet"]["SubnetId"], made[1]["Subnet"]["SubnetId"]


def test_all_machines_are_in_one_zone(cluster: Cluster) -> None:
    cluster.launch()
    assert set(zones(cluster).values()) == {"a"}


def test_machines_are_spread_over_zones_when_that_is_asked_for(cluster: Cluster) -> None:
    cluster.choose(spread_over_zones=True)
    cluster.launch()
    assert zones(cluster) == {
        "data1": "a",
        "data2": "b",
        "data3": "c",
        "manager": "a",
        "standalone": "a",
        "proxy1": "a",
        "proxy2": "b",
        "gatekeeper": "a",
    }


def test_a_machine_that_is_added_comes_into_the_clusters_zone(cluster: Cluster) -> None:
    client = cluster.aws.client()
    cluster.choose(subnets=(client.describe_subnets()["Subnets"][1]["SubnetId"],))
    cluster.wanting(PROXY)
    cluster.launch()
    first = cluster.instance("proxy")["Placement"]["AvailabilityZone"]
    cluster.choose(subnets=())
    cluster.wanting(PROXY, GATEKEEPER)
    cluster.launch()
    assert cluster.instance("gatekeeper")["Placement"]["AvailabilityZone"] == first


def test_with_private_subnets_only_the_gatekeeper_has_a_public_address(cluster: Cluster) -> None:
    public, private = own_network(cluster)
    cluster.choose(subnets=(public,), private_subnets=(private,))
    cluster.wanting(PROXY, GATEKEEPER)
    cluster.aws.answer_status_checks()
    cluster.launch()
    asked = {
        form["TagSpecification.1.Tag.1.Value"]: (
            form["NetworkInterface.1.SubnetId"],
            form["NetworkInterface.1.AssociatePublicIpAddress"],
        )
        for form in cluster.aws.forms("RunInstances")
    }
    assert asked == {"demo-proxy": (private, "false"), "demo-gatekeeper": (public, "true")}
    assert "PublicIpAddress" not in cluster.instance("proxy")
    assert cluster.group("proxy")["VpcId"] == cluster.instance("proxy")["VpcId"]


def test_a_machine_without_a_public_address_is_ready_when_ec2s_checks_say_so(cluster: Cluster) -> None:
    public, private = own_network(cluster)
    cluster.choose(subnets=(public,), private_subnets=(private,))
    cluster.wanting(PROXY)
    cluster.aws.answer_status_checks("initializing", "ok")
    cluster.launch()
    assert cluster.knocked == []
    assert cluster.clock.time == 10
    address = cluster.instance("proxy")["PrivateIpAddress"]
    assert cluster.provider.known_hosts().startswith(f"{address} ssh-ed25519 ")


REFUSED = [
    pytest.param({"subnets": ("subnet-00000000000000bad",)}, "region eu-central-1 has no such subnet", id="unknown"),
    pytest.param({"region": "us-east-1"}, "region us-east-1 has no default VPC with subnets", id="no default VPC"),
]


@pytest.mark.parametrize(("settings", "said"), REFUSED)
def test_a_region_without_the_subnets_is_refused(cluster: Cluster, settings: dict[str, Any], said: str) -> None:
    client = cluster.aws.client("us-east-1")
    for subnet in client.describe_subnets()["Subnets"]:
        client.delete_subnet(SubnetId=subnet["SubnetId"])
    cluster.choose(**settings)
    cluster.aws.calls.clear()
    with pytest.raises(ProviderError, match=said):
        cluster.launch()
    assert cluster.aws.changes == []


def test_a_cluster_does_not_grow_into_another_vpc(cluster: Cluster) -> None:
    cluster.wanting(PROXY)
    cluster.launch()
    public, _ = own_network(cluster)
    cluster.choose(subnets=(public,))
    cluster.wanting(PROXY, GATEKEEPER)
    cluster.aws.calls.clear()
    with pytest.raises(ProviderError, match=r"proxy is in vpc-\w+, and the subnets for new machines are of vpc-\w+"):
        cluster.launch()
    assert cluster.aws.changes == []


@pytest.mark.parametrize("what", ["launch", "destroy"])
def test_a_cluster_is_not_forgotten_in_its_region_when_another_one_is_described(cluster: Cluster, what: str) -> None:
    cluster.wanting(PROXY)
    cluster.launch()
    cluster.choose(region="us-east-1")
    cluster.aws.calls.clear()
    with pytest.raises(ProviderError, match=r"launched in region eu-central-1, and ec2\.region is us-east-1 now"):
        getattr(cluster, what)()
    assert cluster.aws.calls == []
    cluster.choose(region="eu-central-1")
    cluster.destroy()
    cluster.choose(region="us-east-1")
    cluster.launch()
    assert cluster.states == {"proxy": "running"}


def test_subnets_of_two_vpcs_are_refused(cluster: Cluster) -> None:
    _, private = own_network(cluster)
    cluster.choose(private_subnets=(private,))
    with pytest.raises(ProviderError, match=r"the subnets are of 2 VPCs \(vpc-\w+, vpc-\w+\)"):
        cluster.launch()
