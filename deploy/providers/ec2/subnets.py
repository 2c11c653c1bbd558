"""Which subnet a machine is put in: those named in the description, or the default VPC's."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from contract.inventory import MachineRole
from deploy.providers.ec2 import sizes
from deploy.providers.ec2.api import Api
from deploy.providers.interface import ProviderError, Wanted

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import SubnetTypeDef


class Subnet(msgspec.Struct, frozen=True, order=True):
    """A subnet. `zone`: the availability zone it is in."""

    zone: str
    id: str
    vpc: str


class Ground(msgspec.Struct, frozen=True):
    """Where machines may be, sorted by zone. `private`: empty where all machines have public addresses."""

    public: tuple[Subnet, ...]
    private: tuple[Subnet, ...] = ()

    @property
    def vpc(self) -> str:
        """The VPC of them all."""
        return self.public[0].vpc

    def is_public(self, role: MachineRole) -> bool:
        """Whether machines of the role have a public address: with private subnets the gatekeepers alone."""
        return not self.private or role == "gatekeeper"

    def of(self, role: MachineRole) -> tuple[Subnet, ...]:
        """The subnets for machines of the role."""
        return self.public if self.is_public(role) else self.private


def find(api: Api, named: Sequence[str], private: Sequence[str]) -> Ground:
    """The subnets of these ids; without `named`, the default ones. Raises ProviderError where there are none."""
    closed = _by_id(api, private)
    ground = Ground(_by_id(api, named) if named else _default(api), closed)
    vpcs = {subnet.vpc for subnet in (*ground.public, *ground.private)}
    if len(vpcs) > 1:
        raise ProviderError(
            f"the subnets are of {len(vpcs)} VPCs ({', '.join(sorted(vpcs))}), and a cluster is in one;"
            " name those of one VPC in ec2.subnets and ec2.private_subnets"
        )
    return ground


def place(
    wanted: Sequence[Wanted], ground: Ground, offered: Mapping[str, frozenset[str]], *, home: str | None, spread: bool
) -> Mapping[str, Subnet]:
    """The subnet of each machine, by its name. Raises ProviderError for a type that no zone of them offers.

    `offered`: the zones that have each type; `home`: the zone that the cluster is in already. Without `spread` all are
    in one zone where that can be, because traffic between zones is slower and costs.
    """
    places = {machine.name: _possible(machine, ground, offered) for machine in wanted}
    if not spread:
        home = home or _common(places)
        return {name: _in_zone(home, subnets) for name, subnets in places.items()}
    return {machine.name: _by_turn(places[machine.name], turn) for machine, turn in _turns(wanted)}


def _possible(machine: Wanted, ground: Ground, offered: Mapping[str, frozenset[str]]) -> tuple[Subnet, ...]:
    size = sizes.of(machine)
    found = tuple(subnet for subnet in ground.of(machine.role) if subnet.zone in offered.get(size, frozenset()))
    if not found:
        zones = ", ".join(sorted({subnet.zone for subnet in ground.of(machine.role)}))
        raise ProviderError(f"{machine.name}: the instance type {size} is not offered in {zones}; choose another")
    return found


def _common(places: Mapping[str, tuple[Subnet, ...]]) -> str | None:
    """The first zone that can have all of them."""
    zones = [{subnet.zone for subnet in subnets} for subnets in places.values()]
    return min(set.intersection(*zones), default=None) if zones else None


def _in_zone(zone: str | None, subnets: Sequence[Subnet]) -> Subnet:
    return next((subnet for subnet in subnets if subnet.zone == zone), subnets[0])


def _by_turn(subnets: Sequence[Subnet], turn: int) -> Subnet:
    zones = sorted({subnet.zone for subnet in subnets})
    return _in_zone(zones[turn % len(zones)], subnets)


def _turns(wanted: Sequence[Wanted]) -> list[tuple[Wanted, int]]:
    """Each machine's number within its role. The manager comes after the data nodes, so as to share no zone if it can.

    It takes part in deciding which half of a torn cluster goes on (NDB's arbitrator, a Galera node).
    """
    data = sum(machine.role == "data" for machine in wanted)
    counts: dict[str, int] = {"manager": data}
    turns = []
    for machine in wanted:
        turn = counts.get(machine.role, 0)
        counts[machine.role] = turn + 1
        turns.append((machine, turn))
    return turns


def _by_id(api: Api, ids: Sequence[str]) -> tuple[Subnet, ...]:
    if not ids:
        return ()
    return _sorted(api.ec2.describe_subnets(SubnetIds=list(ids))["Subnets"])


def _default(api: Api) -> tuple[Subnet, ...]:
    found = _sorted(api.ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"])
    if not found:
        raise ProviderError(
            f"region {api.region} has no default VPC with subnets; name subnets in ec2.subnets,"
            " or make one: aws ec2 create-default-vpc"
        )
    return found


def _sorted(found: "Sequence[SubnetTypeDef]") -> tuple[Subnet, ...]:
    return tuple(sorted(Subnet(each["AvailabilityZone"], each["SubnetId"], each["VpcId"]) for each in found))
