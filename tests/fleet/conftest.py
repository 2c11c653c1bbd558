"""Real machines for tests: skipped where the host can't have them, and run in a private place (private.py)."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.clusters import fleet_recipe
from deploy.providers.fleet import commands, image
from tests.fleet import private
from tests.fleet.cluster import CACHE, Cluster

HERE = Path(__file__).parent
IS_INSIDE = private.VARIABLE in os.environ
_reports = pytest.StashKey[dict[str, list[pytest.TestReport]]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this host can't do, with the reason."""
    missing = _missing()
    for item in items:
        if missing and HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=f"no machines on this host: {'; '.join(missing)}"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Outside, a test of this directory is what its reports from inside say."""
    if IS_INSIDE or HERE not in item.path.parents or _missing():
        return None
    session = item.session
    if _reports not in session.stash:
        session.stash[_reports] = _run(session)
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in session.stash[_reports][item.nodeid]:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


class Keeper:
    """Inside: gives each report on to outside."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        private.keep(self._config, report)


def pytest_configure(config: pytest.Config) -> None:
    if IS_INSIDE:
        config.pluginmanager.register(Keeper(config))


@functools.cache
def _missing() -> list[str]:
    return commands.missing()


def _run(session: pytest.Session) -> dict[str, list[pytest.TestReport]]:
    # The private place has no way out to Debian's packages.
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")  # one of several processes has none
    say = (lambda name, text: reporter.write_line(f"[{name}] {text}")) if reporter else (lambda *_: None)
    image.ensure(fleet_recipe(), CACHE, say)
    nodes = [item.nodeid for item in session.items if HERE in item.path.parents]
    return private.run(session.config, nodes)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three machines: a manager, a data node and a gatekeeper."""
    made = Cluster(tmp_path_factory.mktemp("cluster"), {"manager": "manager", "data1": "data", "gate": "gatekeeper"})
    try:
        made.launch()
        yield made
    finally:
        made.destroy()
