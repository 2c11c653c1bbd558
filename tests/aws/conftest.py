"""An EC2 API on loopback, and a cluster in it. Never AWS: endpoint and credentials are given, those here are hidden."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.ec2.models import amis

from tests.aws.cluster import Cluster
from tests.aws.endpoint import Endpoint

# What moto is to have instead of its own, which are old and many: their name, architecture, owner and day.
IMAGES = [
    ("ami-0000000000000d12a", "debian-12-amd64-20240101-1", "x86_64", "136693071363", "2024-01-01"),
    ("ami-0000000000000d12b", "debian-12-amd64-20250601-1", "x86_64", "136693071363", "2025-06-01"),
    ("ami-0000000000000d12c", "debian-12-arm64-20250601-1", "arm64", "136693071363", "2025-06-01"),
    ("ami-0000000000000d13a", "debian-13-amd64-20250901-1", "x86_64", "136693071363", "2025-09-01"),
    (
        "ami-0000000000000b24a",
        "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20250601",
        "x86_64",
        "099720109477",
        "2025-06-01",
    ),
    ("ami-0000000000000e12a", "debian-12-amd64-20260101-1", "x86_64", "666666666666", "2026-01-01"),
    ("ami-0000000000000e13a", "company-linux-7", "x86_64", "666666666666", "2026-01-01"),
]


@pytest.fixture(scope="session")
def endpoint() -> Iterator[Endpoint]:
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    found = Endpoint()
    found.start()
    yield found
    found.stop()


@pytest.fixture
def aws(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """An account in which nothing was made yet."""
    monkeypatch.setenv("MOTO_AMIS_PATH", "as given")
    monkeypatch.setattr(amis, "AMIS", [_image(*image) for image in IMAGES])
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    endpoint.reset()
    return endpoint


@pytest.fixture
def cluster(aws: Endpoint, tmp_path: Path) -> Cluster:
    """Eight machines that were ordered and not launched."""
    return Cluster(aws, tmp_path)


def _image(ami_id: str, name: str, architecture: str, owner_id: str, day: str) -> dict[str, object]:
    return {
        "ami_id": ami_id,
        "name": name,
        "architecture": architecture,
        "owner_id": owner_id,
        "creation_date": f"{day}T00:00:00.000Z",
        "public": True,
        "state": "available",
        "root_device_type": "ebs",
        "root_device_name": "/dev/xvda",
        "virtualization_type": "hvm",
        "description": name,
        "image_type": "machine",
        "image_location": name,
        "hypervisor": "xen",
        "sriov": "simple",
    }
