"""A cluster's instances: as EC2 has them, and the request that makes one."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, get_args

import msgspec

from contract.inventory import Machine, MachineRole, MachineState
from deploy.providers.ec2 import tags
from deploy.providers.ec2.api import Api
from deploy.providers.ec2.images import Image
from deploy.providers.ec2.subnets import Subnet
from deploy.providers.interface import ProviderError, Wanted

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import InstanceTypeDef

SSH_PORT: Final = 22
_MYSQL_PORT: Final = 3306
GOING: Final = frozenset({"shutting-down", "terminated"})
# Keys of one kind, made by the machine itself at its first boot; cloud-init then tells the public ones on the console.
_USER_DATA: Final = """\
#cloud-config
hostname: {name}
ssh_deletekeys: true
ssh_genkeytypes: [ed25519]
ssh_pwauth: false
disable_root: true
"""


class Box(msgspec.Struct, frozen=True):
    """An instance. `interfaces`: its network's; `guarded_by`: the ids of all their security groups."""

    id: str
    name: str
    role: MachineRole
    user: str
    size: str
    zone: str
    vpc: str
    state: MachineState
    interfaces: tuple[str, ...]
    guarded_by: frozenset[str]
    needs_token: bool
    public_address: str
    private_address: str
    public_name: str
    private_name: str

    @property
    def is_there(self) -> bool:
        """Whether it exists and will go on to."""
        return self.state not in GOING

    @property
    def machine(self) -> Machine:
        """Its row of the inventory."""
        return Machine(
            name=self.name,
            role=self.role,
            user_name=self.user,
            public_dns_name=self.public_name,
            private_dns_name=self.private_name,
            public_ip_address=self.public_address,
            private_ip_address=self.private_address,
            ssh_port=SSH_PORT,
            mysql_port=_MYSQL_PORT,
            state=self.state,
        )


class Making(msgspec.Struct, frozen=True):
    """All that an instance is made of. `group`: its security group's id."""

    cluster: str
    wanted: Wanted
    size: str
    image: Image
    subnet: Subnet
    is_public: bool
    group: str
    key_name: str


def request(making: Making, token: str) -> dict[str, Any]:
    """RunInstances' request for one machine: pure.

    Instance metadata is for requests with a token alone, from the machine itself (IMDSv2, one hop): a service that can
    be talked into fetching a URL can't fetch those.
    """
    wanted, cluster = making.wanted, making.cluster
    title = f"{cluster}-{wanted.name}"
    known = {"name": wanted.name, "role": wanted.role}
    return {
        "ImageId": making.image.id,
        "InstanceType": making.size,
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": token,
        "KeyName": making.key_name,
        "UserData": _USER_DATA.format(name=wanted.name),
        "MetadataOptions": {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "BlockDeviceMappings": [{"DeviceName": making.image.root_device, "Ebs": _volume(wanted.volume_gib)}],
        "NetworkInterfaces": [
            {
                "DeviceIndex": 0,
                "SubnetId": making.subnet.id,
                "Groups": [making.group],
                "AssociatePublicIpAddress": making.is_public,
                "DeleteOnTermination": True,
            }
        ],
        "TagSpecifications": [
            tags.specification("instance", cluster, title, user=making.image.user, **known),
            tags.specification("volume", cluster, title, **known),
            tags.specification("network-interface", cluster, title, **known),
        ],
    }


def find(api: Api, cluster: str) -> tuple[Box, ...]:
    """The cluster's instances that are not terminated, sorted by name; one that goes only while no other has its name.

    Raises ProviderError for tags that make no sense.
    """
    pages = api.ec2.get_paginator("describe_instances").paginate(Filters=tags.filters(cluster))
    found = [
        _box(instance)
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
        if instance["State"]["Name"] != "terminated"
    ]
    there = [box for box in found if box.is_there]
    _check_unique(there)
    names = {box.name for box in there}
    going = {box.name: box for box in found if box.name not in names}
    return tuple(sorted([*there, *going.values()], key=lambda box: box.name))


def reasons(api: Api, ids: Sequence[str]) -> dict[str, str]:
    """Why instances are terminated, by their ids; those that are not, or are not known any more, are left out."""
    if not ids:
        return {}
    pages = api.ec2.get_paginator("describe_instances").paginate(Filters=[{"Name": "instance-id", "Values": list(ids)}])
    found = [each for page in pages for reservation in page["Reservations"] for each in reservation["Instances"]]
    return {each["InstanceId"]: _reason(each) for each in found if each["State"]["Name"] in GOING}


def is_checked(api: Api, instance: str) -> bool:
    """Whether EC2's own checks say that the system and its network answer."""
    found = api.ec2.describe_instance_status(InstanceIds=[instance])["InstanceStatuses"]
    return bool(found) and all(found[0][part]["Status"] == "ok" for part in ("InstanceStatus", "SystemStatus"))


def _volume(gib: int) -> dict[str, object]:
    return {"VolumeSize": gib, "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}


def _check_unique(boxes: Iterable[Box]) -> None:
    seen: dict[str, Box] = {}
    for box in boxes:
        if box.name in seen:
            raise ProviderError(
                f"two machines are tagged as {box.name}: {seen[box.name].id} and {box.id}; terminate one of them"
            )
        seen[box.name] = box


def _box(found: "InstanceTypeDef") -> Box:
    known = tags.of(found.get("Tags", ()))
    name, role = known.get(tags.NAME, ""), known.get(tags.ROLE, "")
    if not name or role not in get_args(MachineRole):
        raise ProviderError(f"the tags {tags.NAME} and {tags.ROLE} of {found['InstanceId']} make no sense; mend them")
    interfaces = found.get("NetworkInterfaces", ())
    return msgspec.convert(
        {
            "id": found["InstanceId"],
            "name": name,
            "role": role,
            "user": known.get(tags.USER, "admin"),
            "size": found["InstanceType"],
            "zone": found["Placement"]["AvailabilityZone"],
            "vpc": found.get("VpcId", ""),  # none when it is nearly gone
            "state": found["State"]["Name"],
            "interfaces": tuple(each["NetworkInterfaceId"] for each in interfaces),
            "guarded_by": frozenset(group["GroupId"] for each in interfaces for group in each["Groups"]),
            "needs_token": found.get("MetadataOptions", {}).get("HttpTokens") == "required",
            "public_address": found.get("PublicIpAddress", ""),
            "private_address": found.get("PrivateIpAddress", ""),
            "public_name": found.get("PublicDnsName", ""),
            "private_name": found.get("PrivateDnsName", ""),
        },
        Box,
    )


def _reason(found: "InstanceTypeDef") -> str:
    return found.get("StateReason", {}).get("Message", "") or found.get("StateTransitionReason", "")
