"""What AWS refuses ends in one clear sentence, and nothing is made or left unsaid."""

from pathlib import Path

import boto3.session
import msgspec
import pytest

from deploy.providers.ec2 import Ec2
from deploy.providers.interface import ProviderError, Wanted
from tests.aws.cluster import Cluster

PROXY = Wanted("proxy", "proxy", volume_gib=20)

REFUSALS = [
    pytest.param(
        *("DescribeSubnets", "RequestLimitExceeded", "Request limit exceeded."),
        "AWS says that the account asks too often, also after 2 attempts; run it again in a minute",
        id="throttling",
    ),
    pytest.param(
        *("DescribeSubnets", "RequestExpired", "Request has expired."),
        "the AWS credentials have expired; set up boto3's credentials",
        id="expired credentials",
    ),
    pytest.param(
        *("DescribeSubnets", "AuthFailure", "AWS was not able to validate the provided access credentials"),
        "AWS does not take these credentials in region eu-central-1: they are wrong, or the region is not enabled",
        id="wrong credentials or region",
    ),
    pytest.param(
        *("CreateSecurityGroup", "UnauthorizedOperation", "You are not authorized to perform this operation."),
        "data's group: these AWS credentials may not do ec2:CreateSecurityGroup; docs/operations.md lists",
        id="unauthorised",
    ),
    pytest.param(
        "RunInstances",
        "UnauthorizedOperation",
        "You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/x is not authorized to"
        " perform: ec2:CreateTags on resource: arn:aws:ec2:*:*:instance/* because no identity-based policy allows the"
        " ec2:CreateTags action. Encoded authorization failure message: 6ws9-hxW2s",
        "proxy: these AWS credentials may not do ec2:CreateTags;",
        id="unauthorised, another action",
    ),
    pytest.param(
        *("RunInstances", "VcpuLimitExceeded", "You have requested more vCPU capacity than your limit of 5."),
        "proxy: the account's limit of instances in region eu-central-1 is reached (You have requested more vCPU",
        id="limit",
    ),
    pytest.param(
        *("RunInstances", "InsufficientInstanceCapacity", "We do not have sufficient t3.small capacity."),
        "proxy: AWS has no such machine free at the moment (We do not have sufficient t3.small capacity); wait",
        id="no capacity",
    ),
    pytest.param(
        *("RunInstances", "InvalidAMIID.NotFound", "The image id '[ami-1]' does not exist"),
        "proxy: region eu-central-1 has no such image",
        id="image gone",
    ),
    pytest.param(
        *("RunInstances", "IdempotentParameterMismatch", "The client token you have provided is associated with ..."),
        "proxy: an earlier launch of this machine with other settings may still be under way",
        id="an earlier launch",
    ),
    pytest.param(
        *("RunInstances", "PendingVerification", "Your request for accessing resources is being validated"),
        "proxy: AWS has not opened the account for this yet",
        id="new account",
    ),
    pytest.param(
        *("ImportKeyPair", "InvalidKeyPair.Duplicate", "The keypair already exists"),
        "key pair: a key pair of the cluster's name is there without the cluster's tag; remove it",
        id="key pair of somebody else",
    ),
    pytest.param(
        *("RunInstances", "SomethingNew", "Nobody\nknows."),
        "proxy: AWS refused RunInstances: Nobody knows (SomethingNew)",
        id="a code that nobody knows",
    ),
]


@pytest.mark.parametrize(("call", "code", "message", "said"), REFUSALS)
def test_a_refusal_ends_in_one_sentence(cluster: Cluster, call: str, code: str, message: str, said: str) -> None:
    cluster.wanting(PROXY)
    cluster.aws.refuse(call, code, message)
    with pytest.raises(ProviderError) as caught:
        cluster.launch()
    told = str(caught.value)
    assert told.startswith(said)
    assert "\n" not in told
    assert "Encoded" not in told
    assert "6ws9" not in told


def test_a_call_that_is_throttled_once_is_repeated(cluster: Cluster) -> None:
    cluster.wanting(PROXY)
    cluster.aws.refuse("DescribeSubnets", "RequestLimitExceeded", "Request limit exceeded.", times=1)
    cluster.launch()
    assert cluster.states == {"proxy": "running"}


CHANGES = [
    "ImportKeyPair",
    "CreateSecurityGroup",
    "AuthorizeSecurityGroupIngress",
    "RunInstances",
    "StopInstances",
    "StartInstances",
    "TerminateInstances",
    "DeleteKeyPair",
    "RevokeSecurityGroupIngress",
    "DeleteSecurityGroup",
]


@pytest.mark.parametrize("call", CHANGES)
def test_a_change_whose_answer_is_lost_is_repeated_without_harm(cluster: Cluster, call: str) -> None:
    cluster.wanting(PROXY)
    cluster.aws.lose_answers(call, 1)
    cluster.launch()
    assert cluster.provider.plan(cluster.order) == []
    cluster.provider.stop(["proxy"])
    cluster.provider.start(["proxy"])
    cluster.destroy()
    assert cluster.aws.changes.count(call) >= 2
    client = cluster.aws.client()
    assert [group["GroupName"] for group in client.describe_security_groups()["SecurityGroups"]] == ["default"]
    assert client.describe_key_pairs()["KeyPairs"] == []
    assert cluster.provider.find() == ()


@pytest.mark.parametrize("what", ["find", "known_hosts"])
def test_looking_fails_in_one_sentence_too(cluster: Cluster, what: str) -> None:
    cluster.aws.refuse("DescribeInstances", "ExpiredToken", "expired")
    with pytest.raises(ProviderError, match=r"^the AWS credentials have expired"):
        getattr(cluster.provider, what)()


def test_without_credentials_it_is_said_how_to_get_some(cluster: Cluster) -> None:
    world = msgspec.structs.replace(cluster.world, session=lambda: boto3.session.Session(region_name="eu-central-1"))
    with pytest.raises(ProviderError, match=r"^there are no AWS credentials; set up boto3's"):
        Ec2(cluster.settings, world).plan(cluster.order)
    assert cluster.aws.calls == []


def test_an_unknown_profile_is_named(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "holiday")
    world = msgspec.structs.replace(cluster.world, session=boto3.session.Session)
    with pytest.raises(ProviderError, match=r"^there is no such AWS profile .*holiday"):
        Ec2(cluster.settings, world).find()


def test_without_a_region_it_is_said_where_to_name_one(cluster: Cluster) -> None:
    def without_region() -> boto3.session.Session:
        return boto3.session.Session(aws_access_key_id="testing", aws_secret_access_key="testing")

    world = msgspec.structs.replace(cluster.world, session=without_region)
    with pytest.raises(ProviderError, match=r"^no region is given; set ec2\.region"):
        Ec2(cluster.settings, world).find()


def test_a_region_that_can_not_be_reached_is_named(cluster: Cluster) -> None:
    cluster.choose(region="eu-atlantis-1")
    world = msgspec.structs.replace(cluster.world, endpoint="http://127.0.0.1:1")
    with pytest.raises(ProviderError, match=r"^AWS can't be reached in eu-atlantis-1: no such region, or no way to it"):
        Ec2(cluster.settings, world).find()


def test_an_answer_that_is_not_awss_is_said(cluster: Cluster) -> None:
    cluster.aws.keep("DescribeSubnets", body="<html>Log in to the hotel's network</html")
    with pytest.raises(ProviderError, match=r"^what AWS answered can't be read"):
        cluster.provider.plan(cluster.order)


def test_damaged_files_are_named(cluster: Cluster) -> None:
    place: Path = cluster.settings.directory / "provider" / "ec2"
    place.mkdir(parents=True)
    (place / "ec2.json").write_text("{")
    with pytest.raises(ProviderError, match=r"ec2\.json is damaged"):
        cluster.provider.known_hosts()
