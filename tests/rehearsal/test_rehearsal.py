"""`fab rehearse`, whole: seven machines from nothing to answered queries, a second run without a change, the checks.

What breaks under load is tried with NDB: its faults are what the time of a CI run is spent on.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.checks.breakage import FAULTS
from deploy.deployment import ROOT
from deploy.providers.fleet import commands
from tests.fuzz.programs import mysql_tarball

MACHINES = ("standalone", "manager", "data1", "data2", "data3", "proxy", "orchestrator", "gatekeeper")
# Minutes: an image may have to be made first, on a machine of two cores that is busy.
_LIMIT_S = 1800


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
    assert "copies, equal checksums from 4 SQL nodes" in said
    assert "once under a key, together or not at all, on 4 SQL nodes" in said
    assert said.count(" tried, these answer: ") == len(MACHINES) + len(("a stranger", "the operator"))
    assert "taken down" in said


def test_a_galera_cluster_on_machines_is_deployed_once_and_only_what_shall_be_reached_is_reached() -> None:
    check(rehearse("--engine", "galera", "--no-faults"))


def test_an_ndb_cluster_on_machines_loses_nodes_and_power_and_fails_no_read() -> None:
    tarball = mysql_tarball()
    if tarball is None:
        pytest.skip("MySQL NDB Cluster's archive is not here; GATEKEEPER_NDB_TARBALL may name it")
    said = rehearse("--engine", "ndb", "--tarball", tarball)
    check(said)
    assert said.count(", 0 reads failed, 0 writes refused, ") == len(FAULTS["ndb"])
