"""Which image a machine is made from, and what is refused before anything is made."""

from typing import Any

import pytest

from deploy.providers.ec2 import images
from deploy.providers.interface import ProviderError, Wanted
from tests.aws.cluster import Cluster

PROXY = Wanted("proxy", "proxy", volume_gib=20)
ARM = Wanted("proxy", "proxy", "t4g.small", 20)
DEBIAN_PARAMETER = "/aws/service/debian/release/12/latest/amd64"

CHOICES = [
    pytest.param({}, PROXY, "ami-0000000000000d12b", "admin", id="Debian 12, the newest of its maker"),
    pytest.param({"image": "debian-13"}, PROXY, "ami-0000000000000d13a", "admin", id="Debian 13"),
    pytest.param({"image": "ubuntu"}, PROXY, "ami-0000000000000b24a", "ubuntu", id="Ubuntu LTS"),
    pytest.param({}, ARM, "ami-0000000000000d12c", "admin", id="an arm64 type's"),
    pytest.param({"image": "ami-0000000000000b24a"}, PROXY, "ami-0000000000000b24a", "ubuntu", id="Canonical's by id"),
    pytest.param(
        {"image": "ami-0000000000000e13a", "user": "cloud"}, PROXY, "ami-0000000000000e13a", "cloud", id="a company's"
    ),
]


@pytest.mark.parametrize(("settings", "wanted", "image", "user"), CHOICES)
def test_a_machine_is_made_from_the_image_that_was_asked_for(
    cluster: Cluster, settings: dict[str, Any], wanted: Wanted, image: str, user: str
) -> None:
    cluster.choose(**settings)
    cluster.wanting(wanted)
    cluster.launch()
    assert cluster.instance("proxy")["ImageId"] == image
    assert [machine.user_name for machine in cluster.provider.find()] == [user]


def test_the_makers_parameter_comes_before_the_names(cluster: Cluster) -> None:
    cluster.aws.parameters[DEBIAN_PARAMETER] = "ami-0000000000000d12a"
    cluster.wanting(PROXY)
    cluster.launch()
    assert cluster.instance("proxy")["ImageId"] == "ami-0000000000000d12a"


def test_without_the_right_to_read_parameters_names_are_looked_at(cluster: Cluster) -> None:
    cluster.aws.refuse("GetParameter", "AccessDeniedException", "not authorized")
    cluster.wanting(PROXY)
    cluster.launch()
    assert cluster.instance("proxy")["ImageId"] == "ami-0000000000000d12b"


def test_a_parameter_that_names_somebody_elses_image_is_not_believed(cluster: Cluster) -> None:
    cluster.aws.parameters[DEBIAN_PARAMETER] = "ami-0000000000000e12a"
    cluster.wanting(PROXY)
    with pytest.raises(ProviderError, match="has no image of debian for amd64 by its maker"):
        cluster.launch()


def test_both_architectures_can_be_in_one_cluster(cluster: Cluster) -> None:
    cluster.wanting(ARM, Wanted("gatekeeper", "gatekeeper", volume_gib=20))
    cluster.launch()
    assert cluster.instance("proxy")["ImageId"] == "ami-0000000000000d12c"
    assert cluster.instance("gatekeeper")["ImageId"] == "ami-0000000000000d12b"


REFUSED = [
    pytest.param({"image": "ami-00000000000000bad"}, PROXY, "no such image .*own region only", id="unknown image"),
    pytest.param({"image": "ubuntu"}, ARM, "no image of ubuntu for arm64", id="none for that processor"),
    pytest.param({"image": "ami-0000000000000d12b"}, ARM, "is for x86_64, and an instance type", id="wrong processor"),
    pytest.param({}, Wanted("proxy", "proxy", volume_gib=4), "volume of 4 GiB is too small.*needs 15", id="volume"),
    pytest.param({}, Wanted("proxy", "proxy", "m99.huge", 20), "no such instance type .*m99.huge", id="unknown type"),
]


@pytest.mark.parametrize(("settings", "wanted", "said"), REFUSED)
def test_what_can_not_be_launched_is_refused_before_anything_is_made(
    cluster: Cluster, settings: dict[str, Any], wanted: Wanted, said: str
) -> None:
    cluster.choose(**settings)
    cluster.wanting(wanted)
    with pytest.raises(ProviderError, match=said):
        cluster.launch()
    with pytest.raises(ProviderError, match=said):
        cluster.provider.plan(cluster.order)
    assert cluster.aws.changes == []


@pytest.mark.parametrize("name", images.RELEASES)
def test_parameters_and_names_are_the_makers_for_both_processors(name: str) -> None:
    release = images.RELEASES[name]
    assert release.parameter_for("arm64").startswith("/aws/service/")
    assert release.parameter_for("arm64") != release.parameter_for("amd64")
    assert "arm64" in release.pattern.format(architecture="arm64")
