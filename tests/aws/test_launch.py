"""Launch on EC2: what is made, that a second run makes nothing, and how one that failed goes on."""

import base64
import re
from pathlib import Path

import msgspec
import pytest

from deploy.providers.ec2.state import Place
from deploy.providers.interface import ProviderError, Wanted
from tests.aws.cluster import EIGHT, KEY, OTHER_KEY, Cluster

PROXY = Wanted("proxy", "proxy", volume_gib=20)
ALL = sorted(name for name, _ in EIGHT)


def test_all_machines_run_with_their_names_roles_and_addresses(cluster: Cluster) -> None:
    cluster.launch()
    found = cluster.provider.find()
    assert [(machine.name, machine.role) for machine in found] == sorted(EIGHT)
    assert {machine.state for machine in found} == {"running"}
    assert {machine.user_name for machine in found} == {"admin"}
    assert all(machine.public_ip_address and machine.private_ip_address for machine in found)
    assert cluster.knocked == [f"{machine.public_ip_address}:22" for machine in found]


def test_a_second_run_plans_nothing_says_nothing_and_changes_nothing(cluster: Cluster) -> None:
    cluster.launch()
    cluster.aws.calls.clear()
    assert cluster.provider.plan(cluster.order) == []
    cluster.launch()
    assert cluster.said == []
    assert cluster.aws.changes == []


def test_what_is_planned_is_what_is_done(cluster: Cluster) -> None:
    planned = cluster.provider.plan(cluster.order)
    assert cluster.aws.changes == []
    cluster.launch()
    assert [text for text in cluster.said if text in planned] == planned


def test_a_machine_has_its_tags_an_encrypted_volume_and_guarded_metadata(cluster: Cluster) -> None:
    cluster.wanting(Wanted("data1", "data", volume_gib=40))
    cluster.launch()
    instance = cluster.instance("data1")
    tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
    assert tags == {
        "Name": "demo-data1",
        "gatekeeper:cluster": "demo",
        "gatekeeper:name": "data1",
        "gatekeeper:role": "data",
        "gatekeeper:user": "admin",
    }
    assert instance["InstanceType"] == "r6i.large"
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert instance["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    [volume] = cluster.aws.client().describe_volumes()["Volumes"]
    assert (volume["VolumeType"], volume["Encrypted"], volume["Size"]) == ("gp3", True, 40)
    assert {"Key": "gatekeeper:cluster", "Value": "demo"} in volume["Tags"]


def test_user_data_has_no_key_and_turns_passwords_off(cluster: Cluster) -> None:
    cluster.wanting(PROXY)
    cluster.launch()
    [form] = cluster.aws.forms("RunInstances")
    user_data = base64.b64decode(form["UserData"]).decode()
    assert "ssh_pwauth: false" in user_data
    assert "ssh_genkeytypes: [ed25519]" in user_data
    assert "KEY" not in user_data
    assert "AAAA" not in user_data


def test_the_operators_key_is_imported_with_the_clusters_tag(cluster: Cluster) -> None:
    cluster.wanting(PROXY)
    cluster.launch()
    [pair] = cluster.aws.client().describe_key_pairs(IncludePublicKey=True)["KeyPairs"]
    assert (pair["KeyName"], pair["PublicKey"]) == ("gatekeeper-demo", KEY)
    assert {"Key": "gatekeeper:cluster", "Value": "demo"} in pair["Tags"]
    assert cluster.instance("proxy")["KeyName"] == "gatekeeper-demo"


def test_another_operators_key_replaces_the_key_pair_and_says_who_keeps_the_old_one(cluster: Cluster) -> None:
    cluster.wanting(PROXY)
    cluster.launch()
    cluster.order = msgspec.structs.replace(cluster.order, operator_key=OTHER_KEY)
    cluster.launch()
    assert cluster.said == ["key pair: replace it by the operator's key; machines that are there keep the old one"]
    [pair] = cluster.aws.client().describe_key_pairs(IncludePublicKey=True)["KeyPairs"]
    assert pair["PublicKey"] == OTHER_KEY


def test_the_fifth_of_eight_is_over_the_limit_and_the_next_run_goes_on_from_there(cluster: Cluster) -> None:
    cluster.aws.refuse("RunInstances", "InstanceLimitExceeded", "Your quota allows for 4 instances", after=4)
    with pytest.raises(ProviderError, match=r"^data3: the account's limit of instances .* is reached") as caught:
        cluster.launch()
    assert list(cluster.states) == sorted(["standalone", "manager", "data1", "data2"])
    for name in cluster.states:
        assert f"{name} ({cluster.instance(name)['InstanceId']}, running)" in str(caught.value)
    assert "still there and billed" in str(caught.value)

    cluster.aws.allow("RunInstances")
    cluster.aws.calls.clear()
    cluster.launch()
    assert list(cluster.states) == ALL
    assert cluster.aws.changes == ["RunInstances"] * 4
    assert "still there" not in "".join(cluster.said)


def test_a_failure_before_the_first_machine_says_that_none_was_left(cluster: Cluster) -> None:
    cluster.aws.refuse("RunInstances", "InsufficientInstanceCapacity", "no r6i.large in eu-central-1a")
    with pytest.raises(ProviderError, match="no machine was left there"):
        cluster.launch()


def test_a_failure_after_which_nothing_can_be_looked_up_says_where_to_look(cluster: Cluster) -> None:
    cluster.aws.then["RunInstances"] = lambda: cluster.aws.refuse("DescribeInstances", "RequestExpired")
    with pytest.raises(ProviderError, match="look for machines with the tag gatekeeper:cluster=demo"):
        cluster.launch()


def test_a_launch_whose_answer_is_lost_makes_no_second_machine(cluster: Cluster) -> None:
    cluster.wanting(PROXY)
    cluster.aws.lose_answers("RunInstances", 1)
    cluster.launch()
    tokens = [form["ClientToken"] for form in cluster.aws.forms("RunInstances")]
    assert len(tokens) == 2
    assert len(set(tokens)) == 1
    assert list(cluster.states) == ["proxy"]


def test_the_run_after_one_whose_answers_were_lost_asks_with_the_same_token(cluster: Cluster) -> None:
    """EC2 may not list the machine yet: then the second run launches it again, to no effect."""
    cluster.wanting(PROXY)
    cluster.aws.refuse("RunInstances", "InternalError", "An internal error has occurred", status=500)
    with pytest.raises(ProviderError, match="InternalError"):
        cluster.launch()
    cluster.aws.allow("RunInstances")
    cluster.launch()
    assert len({form["ClientToken"] for form in cluster.aws.forms("RunInstances")}) == 1


def test_a_machine_that_was_terminated_by_hand_is_made_anew(cluster: Cluster) -> None:
    cluster.wanting(PROXY)
    cluster.launch()
    first = cluster.instance("proxy")["InstanceId"]
    cluster.aws.client().terminate_instances(InstanceIds=[first])
    cluster.aws.gone(first)
    cluster.launch()
    assert cluster.instance("proxy")["InstanceId"] != first
    assert cluster.states == {"proxy": "running"}


def test_tokens_are_64_characters_and_differ_by_machine_and_generation(cluster: Cluster) -> None:
    cluster.wanting(PROXY, Wanted("gatekeeper", "gatekeeper", volume_gib=20))
    cluster.launch()
    cluster.destroy()
    cluster.launch()
    tokens = [form["ClientToken"] for form in cluster.aws.forms("RunInstances")]
    assert len(set(tokens)) == 4
    assert all(re.fullmatch(r"[0-9a-f]{64}", token) for token in tokens)


def test_a_launch_that_made_nothing_is_not_repeated_after_ten_minutes(tmp_path: Path) -> None:
    began = [1000.0]
    place = Place(tmp_path / "ec2", lambda: began[0])
    first = place.begin("proxy")
    began.append(began.pop() + 599)
    assert place.begin("proxy") == first
    began.append(began.pop() + 2)
    assert place.begin("proxy").generation != first.generation


def test_a_machine_that_ec2_terminates_at_once_ends_the_launch_with_its_reason(cluster: Cluster) -> None:
    cluster.wanting(PROXY)

    def end() -> None:
        cluster.aws.client().terminate_instances(InstanceIds=[cluster.instance("proxy")["InstanceId"]])

    cluster.aws.then["RunInstances"] = end
    with pytest.raises(
        ProviderError, match=r"EC2 terminated what should be running \(i-\w+: .+\); no machine was left"
    ):
        cluster.launch()


def test_an_operator_who_interrupts_is_told_what_is_billed(cluster: Cluster) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    cluster.wanting(PROXY)
    cluster.aws.console = lambda _, __: ""
    cluster.at(60, interrupt)
    with pytest.raises(KeyboardInterrupt):
        cluster.launch()
    assert (
        cluster.said[-1] == f"demo: still there and billed: proxy ({cluster.instance('proxy')['InstanceId']}, running)"
    )


def test_a_machine_that_never_answers_is_named_with_the_operators_addresses(cluster: Cluster) -> None:
    cluster.wanting(PROXY)
    cluster.launch()
    cluster.silent = {cluster.instance("proxy")["PublicIpAddress"]}
    with pytest.raises(ProviderError, match=r"proxy does not answer at .*203\.0\.113\.7/32.*waited 300 s.*still there"):
        cluster.launch()


def test_machines_that_the_order_does_not_name_are_left_alone(cluster: Cluster) -> None:
    cluster.wanting(PROXY, Wanted("proxy2", "proxy", volume_gib=20))
    cluster.launch()
    cluster.wanting(PROXY)
    cluster.aws.calls.clear()
    cluster.launch()
    assert cluster.aws.changes == []
    assert list(cluster.states) == ["proxy", "proxy2"]


CANT_CHANGE = [
    pytest.param(Wanted("proxy", "gatekeeper", volume_gib=20), "is there as proxy, and can't become gate", id="role"),
    pytest.param(Wanted("proxy", "proxy", "m6i.large", 20), "as t3.small, and can't become m6i.large", id="type"),
    pytest.param(Wanted("proxy", "proxy", volume_gib=30), "with 20 GiB, and can't have 30", id="volume"),
]


@pytest.mark.parametrize(("wanted", "said"), CANT_CHANGE)
def test_what_can_not_be_changed_is_refused_before_anything_is_done(
    cluster: Cluster, wanted: Wanted, said: str
) -> None:
    cluster.wanting(PROXY)
    cluster.launch()
    cluster.wanting(wanted, Wanted("data1", "data", volume_gib=20))
    cluster.aws.calls.clear()
    with pytest.raises(ProviderError, match=said):
        cluster.launch()
    assert cluster.aws.changes == []


def test_two_machines_of_one_name_are_told_apart_by_the_operator(cluster: Cluster) -> None:
    cluster.wanting(PROXY, Wanted("proxy2", "proxy", volume_gib=20))
    cluster.launch()
    twin = cluster.instance("proxy2")["InstanceId"]
    cluster.aws.client().create_tags(Resources=[twin], Tags=[{"Key": "gatekeeper:name", "Value": "proxy"}])
    with pytest.raises(ProviderError, match=r"two machines are tagged as proxy: i-\w+ and i-\w+"):
        cluster.provider.find()


def test_tags_that_make_no_sense_are_named(cluster: Cluster) -> None:
    cluster.wanting(PROXY)
    cluster.launch()
    broken = cluster.instance("proxy")["InstanceId"]
    cluster.aws.client().create_tags(Resources=[broken], Tags=[{"Key": "gatekeeper:role", "Value": "king"}])
    with pytest.raises(ProviderError, match=f"gatekeeper:role of {broken} make no sense"):
        cluster.provider.find()


def test_an_order_for_another_cluster_is_refused(cluster: Cluster) -> None:
    with pytest.raises(ProviderError, match="the order is for cluster 'other', not 'demo'"):
        cluster.provider.plan(msgspec.structs.replace(cluster.order, cluster="other"))
