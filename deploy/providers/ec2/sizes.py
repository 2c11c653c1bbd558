"""Instance types: the default of each role, and what a type's processor is."""

from collections.abc import Iterable, Mapping
from typing import Final, Literal

from contract.inventory import SQL_ROLES, MachineRole
from deploy.providers.ec2.api import Api
from deploy.providers.interface import ProviderError, Wanted

Architecture = Literal["amd64", "arm64"]

# Databases live from memory (NDB keeps all rows in it): 2 CPUs and 16 GiB, not burstable, so that what is measured does
# not depend on credits; all SQL servers alike, so that they can be compared. Of the sixth generation because every
# region has it.
SQL_TYPE: Final = "r6i.large"
# A service needs a core's part and some hundred MiB: 2 CPUs and 2 GiB, burstable.
SERVICE_TYPE: Final = "t3.small"
_ARCHITECTURES: Final[Mapping[str, Architecture]] = {"x86_64": "amd64", "arm64": "arm64"}


def default(role: MachineRole) -> str:
    """The instance type of a machine whose description names none."""
    return SQL_TYPE if role in SQL_ROLES else SERVICE_TYPE


def of(wanted: Wanted) -> str:
    """The machine's instance type."""
    return wanted.size or default(wanted.role)


def architectures(api: Api, types: Iterable[str]) -> Mapping[str, Architecture]:
    """The architecture of each type, as distributions call it. Raises ProviderError for one of neither."""
    listed = sorted(set(types))
    found = {}
    for page in api.ec2.get_paginator("describe_instance_types").paginate(InstanceTypes=listed):  # type: ignore[arg-type]  # the stubs list known types, AWS makes new ones
        for each in page["InstanceTypes"]:
            supported = [_ARCHITECTURES.get(name) for name in each["ProcessorInfo"]["SupportedArchitectures"]]
            found[str(each["InstanceType"])] = next((name for name in supported if name), None)
    for name in listed:
        if found.get(name) is None:
            raise ProviderError(f"region {api.region} has no instance type {name} with an amd64 or arm64 processor")
    return {name: architecture for name, architecture in found.items() if architecture}


def offered(api: Api, types: Iterable[str]) -> Mapping[str, frozenset[str]]:
    """The zones that offer each type."""
    zones: dict[str, set[str]] = {name: set() for name in types}
    pages = api.ec2.get_paginator("describe_instance_type_offerings").paginate(
        LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": sorted(zones)}]
    )
    for page in pages:
        for each in page["InstanceTypeOfferings"]:
            zones[str(each["InstanceType"])].add(each["Location"])
    return {name: frozenset(found) for name, found in zones.items()}
