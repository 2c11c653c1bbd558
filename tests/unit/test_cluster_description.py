"""The description of a cluster on machines: what is taken, what it means, and what is refused."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.cluster import ClusterError, Ec2, check_name, checked, members, names
from deploy.providers.ec2 import Settings

SHA256 = "0" * 64
NDB: dict[str, Any] = {"provider": "fleet", "engine": "ndb", "ndb": {"source": "/a.tar.xz", "sha256": SHA256}}
GALERA: dict[str, Any] = {"provider": "fleet", "engine": "galera"}


def machines(**counts: int) -> dict[str, Any]:
    return {"machines": {role: {"count": count} for role, count in counts.items()}}


def ec2(**settings: Any) -> dict[str, Any]:
    return {**GALERA, "provider": "ec2", "ec2": {"operator": "203.0.113.7/32", **settings}}


def test_eight_machines_stand_by_default() -> None:
    wanted = checked(NDB).wanted()
    assert [machine.name for machine in wanted] == [
        *("standalone", "manager", "data1", "data2", "data3", "proxy", "orchestrator", "gatekeeper")
    ]


def test_a_role_that_gives_some_members_keeps_its_defaults_for_the_others() -> None:
    data = checked({**GALERA, "machines": {"data": {"size": "4096"}}}).machines.data
    assert (data.count, data.size, data.volume_gib) == (3, "4096", 20)


def test_a_roles_only_machine_is_called_as_the_role_and_data_nodes_are_always_numbered() -> None:
    assert names("proxy", 1) == ("proxy",)
    assert names("proxy", 2) == ("proxy1", "proxy2")
    assert names("data", 1) == ("data1",)
    assert names("standalone", 0) == ()


@pytest.mark.parametrize(
    ("data", "replicas", "copies"), [(2, None, 2), (3, None, 3), (4, None, 2), (6, None, 2), (6, 3, 3), (4, 4, 4)]
)
def test_copies_are_as_asked_or_such_that_they_divide_the_nodes(data: int, replicas: int | None, copies: int) -> None:
    asked = {"replicas": replicas} if replicas else {}
    assert checked({**NDB, **machines(data=data), **asked}).copies == copies


MISTAKES = [
    pytest.param({**NDB, **machines(manager=2)}, "machines.manager.count is 2: a cluster has one", id="two managers"),
    pytest.param({**NDB, **machines(data=1)}, "machines.data.count is 1", id="one data node"),
    pytest.param({**NDB, **machines(data=3), "replicas": 2}, "3 data nodes can't be divided", id="replicas"),
    pytest.param({**NDB, **machines(data=5)}, "5 data nodes can't be divided", id="five data nodes"),
    pytest.param({**GALERA, "replicas": 2}, "replicas is for ndb", id="replicas with galera"),
    pytest.param({"provider": "fleet", "engine": "oracle"}, "`$.engine`", id="unknown engine"),
    pytest.param({"provider": "azure", "engine": "galera"}, "`$.provider`", id="unknown provider"),
    pytest.param({"provider": "fleet", "engine": "ndb"}, "ndb.source and ndb.sha256 are missing", id="no archive"),
    pytest.param({**NDB, "ndb": {"source": "x", "sha256": "12"}}, "`$.ndb.sha256`", id="no checksum"),
    pytest.param({**NDB, "ndb": {"source": "http://x/y", "sha256": SHA256}}, "must be a path or an https", id="http"),
    pytest.param({**GALERA, "edge": {"key": "/k"}}, "certificate and key belong together", id="half a certificate"),
    pytest.param({**GALERA, "provider": "ec2"}, "ec2.operator is missing", id="no operator"),
    pytest.param({**GALERA, "provider": "ec2", "ec2": {"operator": "home"}}, "ec2.operator: 'home'", id="no address"),
    pytest.param({**GALERA, "provider": "ec2", "ec2": {"operator": "0.0.0.0/0"}}, "whole world", id="open to all"),
    pytest.param(ec2(operator="203.0.113.7/24"), "ec2.operator: 203.0.113.7/24 has host bits", id="host bits"),
    pytest.param(ec2(region="Frankfurt"), "ec2.region 'Frankfurt' is no name of a region", id="no region"),
    pytest.param(ec2(image="gentoo"), "ec2.image 'gentoo' is no AMI's id; known names are debian, ", id="no image"),
    pytest.param(ec2(user="Root User"), "ec2.user 'Root User' can't be an account", id="no account"),
    pytest.param(ec2(subnets=["10.0.0.0/8"]), "ec2: '10.0.0.0/8' is no subnet's id", id="no subnet"),
    pytest.param(ec2(private_subnets=["x"]), "ec2: 'x' is no subnet's id", id="no private subnet"),
    pytest.param(ec2(private_subnets=True), "`$.ec2.private_subnets`", id="private subnets without their ids"),
    pytest.param(
        {**ec2(), "machines": {"data": {"count": 3, "size": "4096/2"}}},
        "machines.data.size '4096/2' is no instance type",
        id="the fleet's size",
    ),
    pytest.param({**GALERA, **machines(proxy=0)}, "machines.proxy.count is 0", id="no proxy"),
    pytest.param({**GALERA, **machines(standalone=2)}, "it is a single server", id="two stand-alone servers"),
    pytest.param({**GALERA, "colour": "red"}, "unknown field `colour`", id="unknown member"),
]


@pytest.mark.parametrize(("described", "said"), MISTAKES)
def test_a_description_that_makes_no_sense_is_refused_with_the_member(described: dict[str, Any], said: str) -> None:
    with pytest.raises(ClusterError, match="the description: ") as caught:
        checked(described)
    assert said in str(caught.value)


def test_the_providers_settings_are_those_of_the_description() -> None:
    described = {field.name: field.default for field in msgspec.structs.fields(Ec2)}
    settings = {field.name: field.default for field in msgspec.structs.fields(Settings)}
    assert settings.keys() - described.keys() == {"cluster", "directory"}
    assert described == {name: settings[name] for name in described}


EC2 = [
    pytest.param({}, id="the operator alone"),
    pytest.param({"region": "us-gov-east-1", "image": "ubuntu-24.04"}, id="a region and a release"),
    pytest.param({"image": "ami-0123456789abcdef0", "user": "cloud-user"}, id="an image of one's own"),
    pytest.param({"operator": "2001:db8::/64", "spread_over_zones": True}, id="IPv6 and zones"),
    pytest.param({"subnets": ["subnet-0123456789abcdef0"], "private_subnets": ["subnet-01234567"]}, id="subnets"),
]


@pytest.mark.parametrize("settings", EC2)
def test_what_makes_sense_on_ec2_is_taken(settings: dict[str, Any]) -> None:
    found = checked(ec2(**settings)).ec2
    assert found is not None
    for name, value in settings.items():
        assert getattr(found, name) == (tuple(value) if isinstance(value, list) else value)


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(ClusterError, match=r"manager.count is 0.*data.count is 1.*can't be divided"):
        checked({**NDB, **machines(manager=0, data=1)})


@pytest.mark.parametrize("name", ["", "A", "1a", "a_b", "a" * 24, "a.b", "../x"])
def test_a_name_that_can_not_be_a_tag_or_a_path_is_refused(name: str) -> None:
    with pytest.raises(ClusterError, match="can't be a cluster's name"):
        check_name(name)


@pytest.mark.parametrize(("content", "said"), [(None, "can't be read"), ("a = ", "cluster.toml: ")])
def test_a_file_that_can_not_be_read_is_named(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "cluster.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ClusterError, match=said):
        members(path)
