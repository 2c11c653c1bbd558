"""What the live tests run on: one cluster with the sample database, proxies in front.

What is secret in a system or cluster may stand in none of its logs, however the tests end (tests/planted.py).
"""

import tomllib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from deploy.local import sample_seed
from deploy.providers.seed import Seed
from deploy.providers.state import Place
from tests import planted
from tests.live.cluster_fixtures import LiveCluster, cluster
from tests.live.proxy_fixtures import any_beginning
from tests.live.system_fixtures import LiveSystem, system

__all__ = ["any_beginning", "cluster", "system"]


class Planting:
    """Plants the secrets of every system and cluster, and has its logs looked through before they are removed.

    A plugin of its own: a conftest's hook of this kind is not called for fixtures of the whole session.
    """

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
        live = yield
        if isinstance(live, LiveSystem | LiveCluster):
            directory = live.directory if isinstance(live, LiveCluster) else live.files.directory
            plant_secrets_of(directory)
            fixturedef.addfinalizer(lambda: planted.look_through(directory))
        return live


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Planting(), "planting")


def plant_secrets_of(state: Path) -> None:
    """The keys and passwords in a system's or cluster's directory, and what the tests send as values."""
    for name, value in planted.MARKERS.items():
        planted.plant(name, value)
    for name, value in tomllib.loads(Place(state).accounts.read_text(encoding="utf-8")).items():
        if "password" in name:
            planted.plant(f"{name} of {state.name}", value)
    for path in (state / "demo-key", Place(state).private_key, *(state / "certificates").glob("*.key")):
        if path.exists():
            planted.plant(f"{path.name} of {state.name}", middle_of(path.read_text(encoding="utf-8")))


def middle_of(text: str) -> str:
    """A line of a key's file that is the key's alone: the only one, or one within a PEM."""
    lines = text.split()
    return lines[0] if len(lines) == 1 else lines[len(lines) // 2]


@pytest.fixture(scope="session")
def cluster_seed() -> Seed:
    """The sample database, loaded once and kept in the cache."""
    return sample_seed()
