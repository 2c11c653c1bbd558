"""A cluster's security groups in its VPC: one for each role.

What machines ask for outside is open (a new group's default): packages come from mirrors whose addresses change.
"""

import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec
from botocore.exceptions import ClientError

from deploy.providers.ec2 import errors, tags
from deploy.providers.ec2.api import Api
from deploy.providers.ec2.rules import Allowed, Present
from deploy.providers.interface import ProviderError

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import IpPermissionTypeDef, SecurityGroupRuleTypeDef

# A terminated machine's network interface is gone some seconds later.
_REMOVAL_TIMEOUT_S: Final = 300.0
_REMOVAL_POLL_S: Final = 5.0
_IN_USE: Final = "DependencyViolation"
_GONE: Final = "InvalidGroup.NotFound"


class Group(msgspec.Struct, frozen=True):
    """The security group of a role, with the rules for what comes in."""

    id: str
    name: str
    role: str
    rules: tuple[Present, ...]


def name_of(cluster: str, role: str) -> str:
    """The name of a role's group."""
    return f"gatekeeper-{cluster}-{role}"


def find(api: Api, cluster: str, vpc: str | None = None) -> tuple[Group, ...]:
    """The cluster's groups, in that VPC or in all of them."""
    filters = tags.filters(cluster) + ([{"Name": "vpc-id", "Values": [vpc]}] if vpc else [])
    pages = api.ec2.get_paginator("describe_security_groups").paginate(Filters=filters)
    found = [group for page in pages for group in page["SecurityGroups"]]
    roles = {group["GroupId"]: tags.of(group.get("Tags", ())).get(tags.ROLE, "") for group in found}
    rules = _rules(api, roles)
    return tuple(
        Group(group["GroupId"], group["GroupName"], roles[group["GroupId"]], tuple(rules[group["GroupId"]]))
        for group in sorted(found, key=lambda group: group["GroupName"])
    )


def make(api: Api, cluster: str, role: str, vpc: str) -> str:
    """A new group without rules for what comes in; its id."""
    name = name_of(cluster, role)
    try:
        made = api.ec2.create_security_group(
            GroupName=name,
            Description=f"{role} of the cluster {cluster}",
            VpcId=vpc,
            TagSpecifications=[tags.specification("security-group", cluster, name, role=role)],
        )["GroupId"]
    except ClientError as error:
        if errors.code(error) != "InvalidGroup.Duplicate":
            raise
        # Where an answer was lost, boto3 has asked again, and it is there by the first call.
        there = next((group.id for group in find(api, cluster, vpc) if group.role == role), None)
        if there is None:
            raise
        made = there
    # A new group may not be found by other calls for some seconds.
    api.ec2.get_waiter("security_group_exists").wait(GroupIds=[made])
    return made


def allow(api: Api, group: str, allowed: Allowed, ids: Mapping[str, str]) -> None:
    """Add a rule. `ids`: the groups' by their roles."""
    with errors.passing("InvalidPermission.Duplicate"):
        api.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[_permission(allowed, ids)])


def revoke(api: Api, group: str, present: Present) -> None:
    """Take a rule away."""
    with errors.passing("InvalidSecurityGroupRuleId.NotFound", "InvalidPermission.NotFound"):
        api.ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[present.id])


def remove(api: Api, groups: tuple[Group, ...]) -> None:
    """Remove the groups: first their rules, which name other groups. Raises ProviderError for one that is in use."""
    for group in groups:
        for rule in group.rules:
            revoke(api, group.id, rule)
    for group in groups:
        _remove(api, group)


def _remove(api: Api, group: Group) -> None:
    def removed() -> bool:
        try:
            api.ec2.delete_security_group(GroupId=group.id)
        except ClientError as error:
            if errors.code(error) == _IN_USE:
                return False
            if errors.code(error) != _GONE:
                raise
        return True

    def late() -> str:
        return f"the security group {group.name} ({group.id}) is used by something else and could not be removed"

    api.world.wait(removed, timeout_s=_REMOVAL_TIMEOUT_S, every_s=_REMOVAL_POLL_S, late=late)


def _rules(api: Api, roles: Mapping[str, str]) -> Mapping[str, list[Present]]:
    found: dict[str, list[Present]] = {group: [] for group in roles}
    if not roles:
        return found
    filters = [{"Name": "group-id", "Values": sorted(roles)}]
    for page in api.ec2.get_paginator("describe_security_group_rules").paginate(Filters=filters):  # type: ignore[arg-type]  # mypy takes the literal for a plain dict
        for rule in page["SecurityGroupRules"]:
            if not rule["IsEgress"]:
                found[rule["GroupId"]].append(_present(rule, roles))
    return found


def _present(rule: "SecurityGroupRuleTypeDef", roles: Mapping[str, str]) -> Present:
    group = rule.get("ReferencedGroupInfo", {}).get("GroupId", "")
    source = rule.get("CidrIpv4") or rule.get("CidrIpv6") or rule.get("PrefixListId") or roles.get(group) or group
    return Present(
        id=rule["SecurityGroupRuleId"],
        protocol=rule["IpProtocol"],
        first=rule.get("FromPort", -1),
        last=rule.get("ToPort", -1),
        source=source,
    )


def _permission(allowed: Allowed, ids: Mapping[str, str]) -> "IpPermissionTypeDef":
    permission: IpPermissionTypeDef = {"IpProtocol": "tcp", "FromPort": allowed.port, "ToPort": allowed.port}
    if allowed.source in ids:
        permission["UserIdGroupPairs"] = [{"GroupId": ids[allowed.source]}]
    elif "/" not in allowed.source:
        raise ProviderError(f"there is no security group for the role {allowed.source}")
    elif ipaddress.ip_network(allowed.source).version == 4:
        permission["IpRanges"] = [{"CidrIp": allowed.source}]
    else:
        permission["Ipv6Ranges"] = [{"CidrIpv6": allowed.source}]
    return permission
