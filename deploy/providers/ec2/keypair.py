"""The operator's public key as a key pair of the account: new machines let it in."""

from botocore.exceptions import ClientError

from deploy.providers.ec2 import tags
from deploy.providers.ec2.api import Api


def name_of(cluster: str) -> str:
    """The key pair's name."""
    return f"gatekeeper-{cluster}"


def find(api: Api, cluster: str) -> str | None:
    """The public key of the cluster's key pair, one line; none if there is no such key pair."""
    found = api.ec2.describe_key_pairs(Filters=tags.filters(cluster), IncludePublicKey=True)["KeyPairs"]
    return found[0].get("PublicKey", "") if found else None


def is_same(one: str, other: str) -> bool:
    """Whether two lines have the same key, whatever their comments are."""
    return one.split()[:2] == other.split()[:2]


def put(api: Api, cluster: str, public_key: str) -> None:
    """Import the key, in place of the one that is there."""
    remove(api, cluster)
    name = name_of(cluster)
    try:
        api.ec2.import_key_pair(
            KeyName=name,
            PublicKeyMaterial=public_key.encode(),
            TagSpecifications=[tags.specification("key-pair", cluster, name)],
        )
    except ClientError:
        # Where an answer was lost, boto3 has asked again, and it is there by the first call.
        there = find(api, cluster)
        if there is None or not is_same(there, public_key):
            raise


def remove(api: Api, cluster: str) -> bool:
    """Remove the cluster's key pair; whether there was one."""
    found = api.ec2.describe_key_pairs(Filters=tags.filters(cluster))["KeyPairs"]
    for each in found:
        api.ec2.delete_key_pair(KeyName=each["KeyName"])
    return bool(found)
