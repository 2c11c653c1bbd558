"""The image that machines are made from: the newest of a Debian or Ubuntu LTS release, or a given one."""

import re
from typing import TYPE_CHECKING, Final

import msgspec
from botocore.exceptions import ClientError

from deploy.providers.ec2 import errors
from deploy.providers.ec2.api import Api
from deploy.providers.ec2.sizes import Architecture
from deploy.providers.interface import ProviderError

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import ImageTypeDef

AMI_ID: Final = re.compile(r"ami-[0-9a-f]{8,17}")
_DEBIAN: Final = "136693071363"
_CANONICAL: Final = "099720109477"


class Release(msgspec.Struct, frozen=True):
    """A distribution's release: its owner's account, its public parameter, its images' names, its login account."""

    owner: str
    parameter: str
    pattern: str
    user: str

    def parameter_for(self, architecture: Architecture) -> str:
        """The name of the parameter that has the newest image's id."""
        return self.parameter.format(architecture=architecture)


def _debian(number: int) -> Release:
    """See https://wiki.debian.org/Cloud/AmazonEC2Image."""
    parameter = f"/aws/service/debian/release/{number}/latest/{{architecture}}"
    return Release(_DEBIAN, parameter, f"debian-{number}-{{architecture}}-*", "admin")


def _ubuntu(number: str, word: str) -> Release:
    """See https://documentation.ubuntu.com/aws/ ("Find Ubuntu images on AWS")."""
    parameter = f"/aws/service/canonical/ubuntu/server/{number}/stable/current/{{architecture}}/hvm/ebs-gp3/ami-id"
    pattern = f"ubuntu/images/hvm-ssd-gp3/ubuntu-{word}-{number}-{{architecture}}-server-*"
    return Release(_CANONICAL, parameter, pattern, "ubuntu")


# `debian` is the release that the fleet rehearses with: what ran there is what runs on EC2.
RELEASES: Final = {
    "debian": _debian(12),
    "debian-12": _debian(12),
    "debian-13": _debian(13),
    "ubuntu": _ubuntu("24.04", "noble"),
    "ubuntu-24.04": _ubuntu("24.04", "noble"),
}
_USERS: Final = {_DEBIAN: "admin", _CANONICAL: "ubuntu"}
_DEFAULT_USER: Final = "admin"


class Image(msgspec.Struct, frozen=True):
    """An image. `gib`: what its root volume must have at least; `user`: the account that one logs in to."""

    id: str
    root_device: str
    gib: int
    architecture: str
    user: str


def is_known(name: str) -> bool:
    """Whether an image can be asked for so."""
    return name in RELEASES or AMI_ID.fullmatch(name) is not None


def find(api: Api, name: str, architecture: Architecture, user: str | None) -> Image:
    """The image for machines of that architecture. Raises ProviderError where the region has none.

    `user`: the login account of an image that is neither Debian's nor Canonical's.
    """
    found = _newest(api, name, architecture) if name in RELEASES else _by_id(api, name)
    image = _image(found, user)
    if image.architecture != {"amd64": "x86_64"}.get(architecture, architecture):
        raise ProviderError(
            f"the image {name} is for {image.architecture}, and an instance type of it for {architecture}"
        )
    return image


def _newest(api: Api, name: str, architecture: Architecture) -> "ImageTypeDef":
    release = RELEASES[name]
    told = _parameter(api, release.parameter_for(architecture))
    found = _by_id(api, told) if told else _by_name(api, release, architecture)
    if found is None or found.get("OwnerId") != release.owner:
        raise ProviderError(
            f"region {api.region} has no image of {name} for {architecture} by its maker; name an AMI's id"
        )
    return found


def _parameter(api: Api, name: str) -> str | None:
    """What the public parameter says; none where there is none, or where the credentials may not read it."""
    try:
        return api.ssm.get_parameter(Name=name)["Parameter"].get("Value")
    except ClientError as error:
        if errors.code(error) in {"ParameterNotFound", "AccessDeniedException"}:
            return None
        raise


def _by_id(api: Api, image_id: str) -> "ImageTypeDef":
    found = api.ec2.describe_images(ImageIds=[image_id])["Images"]
    if not found:
        raise ProviderError(f"region {api.region} has no image {image_id}; an AMI's id is good in its own region only")
    return found[0]


def _by_name(api: Api, release: Release, architecture: Architecture) -> "ImageTypeDef | None":
    pages = api.ec2.get_paginator("describe_images").paginate(
        Owners=[release.owner],
        Filters=[
            {"Name": "name", "Values": [release.pattern.format(architecture=architecture)]},
            {"Name": "state", "Values": ["available"]},
        ],
    )
    found = [image for page in pages for image in page["Images"]]
    return max(found, key=lambda image: image["CreationDate"], default=None)


def _image(found: "ImageTypeDef", user: str | None) -> Image:
    root = found["RootDeviceName"]
    sizes = [
        each.get("Ebs", {}).get("VolumeSize", 0) for each in found["BlockDeviceMappings"] if each["DeviceName"] == root
    ]
    return Image(
        id=found["ImageId"],
        root_device=root,
        gib=max(sizes, default=0),
        architecture=str(found["Architecture"]),
        user=user or _USERS.get(found.get("OwnerId", ""), _DEFAULT_USER),
    )
