"""The tags that everything of a cluster has; whatever is looked for is looked for by them."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from types_boto3_ec2.literals import ResourceTypeType
    from types_boto3_ec2.type_defs import FilterTypeDef, TagSpecificationTypeDef, TagTypeDef

CLUSTER: Final = "gatekeeper:cluster"
ROLE: Final = "gatekeeper:role"
NAME: Final = "gatekeeper:name"
USER: Final = "gatekeeper:user"
# What people see; nothing is found by it.
TITLE: Final = "Name"


def specification(kind: "ResourceTypeType", cluster: str, title: str, **more: str) -> "TagSpecificationTypeDef":
    """The tags of a new resource; `more`: without their prefix."""
    tags = {TITLE: title, CLUSTER: cluster, **{f"gatekeeper:{name}": value for name, value in more.items()}}
    return {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def filters(cluster: str) -> "list[FilterTypeDef]":
    """Finds what belongs to the cluster."""
    return [{"Name": f"tag:{CLUSTER}", "Values": [cluster]}]


def of(tags: "Iterable[TagTypeDef]") -> dict[str, str]:
    """The tags by their keys."""
    return {tag["Key"]: tag["Value"] for tag in tags}
