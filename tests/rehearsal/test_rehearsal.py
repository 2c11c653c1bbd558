"""`fab rehearse`, whole: seven machines from nothing to answered queries, and a second run that changes nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.deployment import ROOT
from deploy.providers.fleet import commands
from tests.fuzz.programs import mysql_tarball

# Minutes: an image may have to be made first, on a machine of two cores that is busy.
_LIMIT_S = 1500


def rehearse(*options: str) -> str:
    """What the rehearsal said; its failure is the test's."""
    fab = Path(sys.executable).with_name("fab")
    done = subprocess.run(
        [fab, "rehearse", *options], cwd=ROOT, capture_output=True, text=True, timeout=_LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def machines() -> None:
    if missing := commands.missing():
        pytest.skip(f"no machines can be made here: {'; '.join(missing)}")


def check(said: str) -> None:
    for implementation in ("direct_hit", "random_hit", "customized_hit"):
        assert said.count(f"answered {implementation}") == 2
    assert "deployed again, unchanged" in said
    assert "taken down" in said


def test_a_galera_cluster_is_deployed_to_machines_and_a_second_time_changes_nothing() -> None:
    check(rehearse("--engine", "galera"))


def test_an_ndb_cluster_is_deployed_to_machines_and_a_second_time_changes_nothing() -> None:
    tarball = mysql_tarball()
    if tarball is None:
        pytest.skip("MySQL NDB Cluster's archive is not here; GATEKEEPER_NDB_TARBALL may name it")
    check(rehearse("--engine", "ndb", "--tarball", tarball))
