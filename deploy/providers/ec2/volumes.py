"""The volumes of a cluster's machines. EC2 removes a volume with its machine, unless somebody has said otherwise."""

from typing import TYPE_CHECKING, Final

from deploy.providers.ec2 import errors, tags
from deploy.providers.ec2.api import Api

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import VolumeTypeDef

_REMOVAL_TIMEOUT_S: Final = 300.0
_REMOVAL_POLL_S: Final = 5.0


def sizes(api: Api, cluster: str) -> dict[str, int]:
    """The GiB of each machine's volume, by the instance's id."""
    return {each["InstanceId"]: volume["Size"] for volume in _find(api, cluster) for each in volume["Attachments"]}


def remove(api: Api, cluster: str) -> None:
    """Remove what is left when the machines are gone. Raises ProviderError for those that stay."""
    left: list[str] = []

    def removed() -> bool:
        found = _find(api, cluster)
        for volume in found:
            if volume["State"] == "available":
                with errors.passing("InvalidVolume.NotFound"):
                    api.ec2.delete_volume(VolumeId=volume["VolumeId"])
        left[:] = [volume["VolumeId"] for volume in found]
        return not left

    api.world.wait(
        removed,
        timeout_s=_REMOVAL_TIMEOUT_S,
        every_s=_REMOVAL_POLL_S,
        late=lambda: f"volumes could not be removed and are billed: {', '.join(left)}",
    )


def _find(api: Api, cluster: str) -> "list[VolumeTypeDef]":
    pages = api.ec2.get_paginator("describe_volumes").paginate(Filters=tags.filters(cluster))
    return [volume for page in pages for volume in page["Volumes"] if volume["State"] not in {"deleting", "deleted"}]
