"""Security groups on EC2: exactly the rules, whatever was there before; machines in their role's group alone."""

from typing import Any

import msgspec
import pytest

from deploy import firewall
from deploy.providers.interface import ProviderError, Wanted
from tests.aws.cluster import EIGHT, OPERATOR, Cluster

DATA = Wanted("data1", "data", volume_gib=20)
WORLD = ("0.0.0.0/0", "::/0")
# By role: the port, and who may connect to it.
NDB = {
    "standalone": {(22, OPERATOR), (22, "proxy")},
    "manager": {(22, OPERATOR), (22, "proxy"), (1186, "data")},
    "data": {(22, OPERATOR), (22, "proxy"), (11860, "data"), (11860, "manager")},
    "proxy": {(22, OPERATOR), (8443, "gatekeeper")},
    "gatekeeper": {(22, OPERATOR), *((port, world) for port in (80, 443) for world in WORLD)},
}


def incoming(cluster: Cluster) -> dict[str, set[tuple[int, str]]]:
    """What each role's group lets in, as AWS tells it."""
    groups = cluster.aws.client().describe_security_groups(
        Filters=[{"Name": "tag:gatekeeper:cluster", "Values": ["demo"]}]
    )["SecurityGroups"]
    roles = {group["GroupId"]: group["GroupName"].removeprefix("gatekeeper-demo-") for group in groups}
    return {roles[group["GroupId"]]: set(_pairs(group["IpPermissions"], roles)) for group in groups}


def _pairs(permissions: list[Any], roles: dict[str, str]) -> list[tuple[int, str]]:
    found = []
    for each in permissions:
        assert (each["IpProtocol"], each["FromPort"]) == ("tcp", each["ToPort"])
        sources = [source["CidrIp"] for source in each.get("IpRanges", ())]
        sources += [source["CidrIpv6"] for source in each.get("Ipv6Ranges", ())]
        sources += [roles[source["GroupId"]] for source in each.get("UserIdGroupPairs", ())]
        found += [(each["FromPort"], source) for source in sources]
    return found


def test_groups_are_exactly_as_computed(cluster: Cluster) -> None:
    cluster.wanting(DATA)
    cluster.launch()
    assert incoming(cluster) == NDB


def test_each_machine_is_in_its_roles_group_alone(cluster: Cluster) -> None:
    cluster.launch()
    for name, role in EIGHT:
        [interface] = cluster.instance(name)["NetworkInterfaces"]
        assert [group["GroupName"] for group in interface["Groups"]] == [f"gatekeeper-demo-{role}"]


def test_groups_have_the_clusters_tags(cluster: Cluster) -> None:
    cluster.wanting(DATA)
    cluster.launch()
    tags = {tag["Key"]: tag["Value"] for tag in cluster.group("data")["Tags"]}
    assert tags == {
        "Name": "gatekeeper-demo-data",
        "gatekeeper:cluster": "demo",
        "gatekeeper:role": "data",
    }


FOREIGN = [
    pytest.param(
        {"IpProtocol": "tcp", "FromPort": 3306, "ToPort": 3306, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
        "TCP 3306 from 0.0.0.0/0",
        id="SQL for the world",
    ),
    pytest.param(
        {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "198.51.100.0/24"}]},
        "all traffic from 198.51.100.0/24",
        id="all traffic",
    ),
    pytest.param(
        {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 65535, "Ipv6Ranges": [{"CidrIpv6": "2001:db8::/32"}]},
        "TCP 1 to 65535 from 2001:db8::/32",
        id="a range over IPv6",
    ),
    pytest.param(
        {"IpProtocol": "udp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": OPERATOR}]},
        f"UDP 22 from {OPERATOR}",
        id="another protocol",
    ),
]


@pytest.mark.parametrize(("permission", "told"), FOREIGN)
def test_a_rule_that_somebody_added_is_revoked_and_said(
    cluster: Cluster, permission: dict[str, Any], told: str
) -> None:
    cluster.wanting(DATA)
    cluster.launch()
    group = cluster.group("data")["GroupId"]
    cluster.aws.client().authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    cluster.aws.calls.clear()
    cluster.launch()
    assert cluster.said == [f"data's group: revoke {told}"]
    assert cluster.aws.changes == ["RevokeSecurityGroupIngress"]
    assert incoming(cluster) == NDB


def test_a_rule_for_a_group_of_somebody_else_is_revoked(cluster: Cluster) -> None:
    cluster.wanting(DATA)
    cluster.launch()
    client = cluster.aws.client()
    foreign = client.create_security_group(GroupName="x", Description="x", VpcId=cluster.group("data")["VpcId"])
    permission = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    client.authorize_security_group_ingress(
        GroupId=cluster.group("data")["GroupId"],
        IpPermissions=[{**permission, "UserIdGroupPairs": [{"GroupId": foreign["GroupId"]}]}],
    )
    cluster.launch()
    assert cluster.said == [f"data's group: revoke TCP 22 from {foreign['GroupId']}"]
    assert incoming(cluster) == NDB


def test_a_rule_that_somebody_took_away_is_back(cluster: Cluster) -> None:
    cluster.wanting(DATA)
    cluster.launch()
    manager = cluster.group("manager")
    [cluster_port] = [each for each in manager["IpPermissions"] if each["FromPort"] == 1186]
    cluster.aws.client().revoke_security_group_ingress(GroupId=manager["GroupId"], IpPermissions=[cluster_port])
    cluster.launch()
    assert cluster.said == ["manager's group: allow TCP 1186 from data"]
    assert incoming(cluster) == NDB


def test_another_address_of_the_operator_takes_the_place_of_the_first_one(cluster: Cluster) -> None:
    cluster.wanting(DATA)
    cluster.launch()
    cluster.choose(operator="2001:db8::7/128")
    cluster.launch()
    assert incoming(cluster)["proxy"] == {(22, "2001:db8::7/128"), (8443, "gatekeeper")}
    revoked = [text for text in cluster.said if "revoke" in text]
    allowed = [text for text in cluster.said if "allow" in text]
    assert (len(revoked), len(allowed)) == (5, 5)
    assert cluster.said == [*revoked, *allowed]


def test_another_engines_rules_replace_those_before(cluster: Cluster) -> None:
    cluster.wanting(DATA)
    cluster.launch()
    rules = firewall.rules("galera", frozenset(role for _, role in EIGHT))
    cluster.order = msgspec.structs.replace(cluster.order, rules=rules)
    cluster.launch()
    galera = {
        (22, OPERATOR),
        (22, "proxy"),
        *((port, who) for port in (4444, 4567, 4568) for who in ("data", "manager")),
    }
    assert incoming(cluster)["data"] == galera


def test_a_machine_that_was_put_into_another_group_is_put_back(cluster: Cluster) -> None:
    cluster.wanting(DATA)
    cluster.launch()
    [interface] = cluster.instance("data1")["NetworkInterfaces"]
    groups = [cluster.group("data")["GroupId"], cluster.group("gatekeeper")["GroupId"]]
    cluster.aws.client().modify_network_interface_attribute(
        NetworkInterfaceId=interface["NetworkInterfaceId"], Groups=groups
    )
    cluster.launch()
    assert cluster.said == ["data1: put it into data's group alone"]
    [interface] = cluster.instance("data1")["NetworkInterfaces"]
    assert [group["GroupName"] for group in interface["Groups"]] == ["gatekeeper-demo-data"]


def test_a_machine_whose_metadata_was_opened_gets_it_closed(cluster: Cluster) -> None:
    cluster.wanting(DATA)
    cluster.launch()
    instance = cluster.instance("data1")["InstanceId"]
    cluster.aws.client().modify_instance_metadata_options(InstanceId=instance, HttpTokens="optional")
    cluster.launch()
    assert cluster.said == ["data1: require IMDSv2"]
    assert cluster.instance("data1")["MetadataOptions"]["HttpTokens"] == "required"


def test_with_private_subnets_ssh_is_open_at_the_gatekeeper_alone(cluster: Cluster) -> None:
    cluster.wanting(DATA)
    rules = firewall.rules("ndb", frozenset(role for _, role in EIGHT), jump_host=True)
    cluster.order = msgspec.structs.replace(cluster.order, rules=rules)
    cluster.launch()
    open_to_operator = {role for role, pairs in incoming(cluster).items() if (22, OPERATOR) in pairs}
    assert open_to_operator == {"gatekeeper"}
    assert (22, "gatekeeper") in incoming(cluster)["data"]


def test_a_group_of_that_name_without_the_tag_is_not_taken_for_the_clusters(cluster: Cluster) -> None:
    client = cluster.aws.client()
    vpc = client.describe_subnets()["Subnets"][0]["VpcId"]
    client.create_security_group(GroupName="gatekeeper-demo-data", Description="x", VpcId=vpc)
    cluster.wanting(DATA)
    with pytest.raises(ProviderError, match="data's group: a security group of that name is there without"):
        cluster.launch()
