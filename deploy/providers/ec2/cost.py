"""What machines cost a month, from a small table: pure.

On-demand prices of Linux in USD without tax, written down from memory of AWS's lists as they were in AS_OF, not read
from them: check them before you rely on them, at SOURCE. Not in it: traffic out of AWS (about 0.09 a GiB), traffic
between zones (0.01 a GiB each way), a NAT gateway of private subnets, credits that a burstable type uses beyond its
own, and the discount of a savings plan.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from deploy.providers.ec2 import sizes
from deploy.providers.interface import Wanted

AS_OF: Final = "2025-01"
SOURCE: Final = "https://aws.amazon.com/ec2/pricing/on-demand/ and https://aws.amazon.com/ebs/pricing/"
# AWS's own month: 365 days by 24 hours by 1/12.
HOURS_A_MONTH: Final = 730
# Since 2024-02, of each public IPv4 address that is in use: https://aws.amazon.com/vpc/pricing/
ADDRESS_AN_HOUR: Final = 0.005

# USD an hour, by region and type.
MACHINES: Final[Mapping[str, Mapping[str, float]]] = {
    "us-east-1": {
        "t3.micro": 0.0104,
        "t3.small": 0.0208,
        "t3.medium": 0.0416,
        "t3.large": 0.0832,
        "t4g.small": 0.0168,
        "t4g.medium": 0.0336,
        "c6i.large": 0.085,
        "c6i.xlarge": 0.17,
        "m6i.large": 0.096,
        "m6i.xlarge": 0.192,
        "m6i.2xlarge": 0.384,
        "m6g.large": 0.077,
        "r6i.large": 0.126,
        "r6i.xlarge": 0.252,
        "r6i.2xlarge": 0.504,
        "r6g.large": 0.1008,
        "r6g.xlarge": 0.2016,
    },
    "eu-central-1": {
        "t3.micro": 0.012,
        "t3.small": 0.024,
        "t3.medium": 0.048,
        "t3.large": 0.096,
        "t4g.small": 0.0192,
        "t4g.medium": 0.0384,
        "c6i.large": 0.097,
        "c6i.xlarge": 0.194,
        "m6i.large": 0.115,
        "m6i.xlarge": 0.23,
        "m6i.2xlarge": 0.46,
        "r6i.large": 0.152,
        "r6i.xlarge": 0.304,
        "r6i.2xlarge": 0.608,
    },
}
# USD a GiB and month of a gp3 volume, with the 3000 operations and 125 MiB a second that it has without extra pay.
VOLUMES: Final[Mapping[str, float]] = {"us-east-1": 0.08, "eu-central-1": 0.0952}


class Item(msgspec.Struct, frozen=True):
    """A machine's cost in USD a month. `machine`: none where the table does not have the type."""

    name: str
    size: str
    machine: float | None
    volume: float
    address: float


class Cost(msgspec.Struct, frozen=True):
    """What a cluster costs. `unknown`: the machines whose types have no price here, and which the total leaves out."""

    region: str
    as_of: str
    source: str
    items: tuple[Item, ...]

    @property
    def total(self) -> float:
        """USD a month, of all that is known."""
        return round(sum((item.machine or 0.0) + item.volume + item.address for item in self.items), 2)

    @property
    def unknown(self) -> tuple[str, ...]:
        """The machines without a price, with their types."""
        return tuple(f"{item.name} ({item.size})" for item in self.items if item.machine is None)


class UnknownRegion(ValueError):
    """The table has no prices for the region; the message lists those it has."""


def monthly(wanted: Sequence[Wanted], region: str, *, private: bool = False) -> Cost:
    """What the machines cost when they run all month. Raises UnknownRegion.

    `private`: only gatekeepers have public addresses.
    """
    if region not in MACHINES:
        raise UnknownRegion(f"there are no prices for region {region}; known are {', '.join(sorted(MACHINES))}")
    return Cost(region, AS_OF, SOURCE, tuple(_item(machine, region, private=private) for machine in wanted))


def _item(wanted: Wanted, region: str, *, private: bool) -> Item:
    size = sizes.of(wanted)
    hourly = MACHINES[region].get(size)
    has_address = not private or wanted.role == "gatekeeper"
    return Item(
        name=wanted.name,
        size=size,
        machine=None if hourly is None else round(hourly * HOURS_A_MONTH, 2),
        volume=round(wanted.volume_gib * VOLUMES[region], 2),
        address=round(ADDRESS_AN_HOUR * HOURS_A_MONTH, 2) if has_address else 0.0,
    )
