"""What the tasks that look print."""

from pathlib import Path

import pytest
from invoke.context import Context

from contract import inventory
from deploy import clusters
from deploy.deployment import ROOT, deploy
from deploy.tasks import look
from tests.unit.pretended_cluster import World


def test_the_inventory_is_printed_as_proxies_read_it_and_no_file_of_the_project_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(tmp_path, monkeypatch)
    committed = (ROOT / "cluster_config.csv").read_bytes()
    deploy(world.deployment)
    monkeypatch.setattr(clusters, "known", lambda *_: world.deployment)
    capsys.readouterr()
    look.inventory(Context())
    printed = capsys.readouterr().out
    assert printed == world.deployment.material.inventory.read_text(encoding="utf-8")
    assert {machine.name for machine in inventory.parse(printed)} == set(world.hosts)
    assert (ROOT / "cluster_config.csv").read_bytes() == committed
