"""What the live tests run on: the versions in the header, one cluster with the sample database, proxies in front."""

import subprocess

import pytest

from deploy.local import sample_seed
from deploy.providers.seed import Seed
from tests.live.cluster_fixtures import cluster
from tests.live.system_fixtures import system

__all__ = ["cluster", "system"]


def pytest_report_header() -> list[str]:
    """The versions of what the tests run against."""
    commands = (["/usr/sbin/mariadbd", "--version"], ["ssh", "-V"])
    done = [subprocess.run(command, capture_output=True, text=True, timeout=10, check=False) for command in commands]
    return [(run.stdout or run.stderr).strip() for run in done]


@pytest.fixture(scope="session")
def cluster_seed() -> Seed:
    """The sample database, loaded once and kept in the cache."""
    return sample_seed()
