"""What `fab rehearse` takes for tables that are as they should be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.checks import tables
from deploy.checks.failed import CheckFailed
from deploy.cluster import Tarball
from deploy.host import Host
from deploy.site import Site
from tests.unit.pretended_cluster import World

Change = Callable[[Host, str], str | None]


class Seen:
    """A site whose nodes all see two tables with the same rows; `changed`: what one answers to a query instead."""

    def __init__(self, world: World, kind: str) -> None:
        cluster = msgspec.structs.replace(
            world.deployment.cluster, engine=kind, ndb=Tarball("/nowhere", "0" * 64) if kind == "ndb" else None
        )
        self.site: Site = msgspec.structs.replace(world.deployment.site(), cluster=cluster)
        self.engine: Any = world.engine
        self.said: list[tuple[str, str]] = []
        self._table_engine = "ndbcluster" if kind == "ndb" else "InnoDB"
        self._copies = "3" if kind == "ndb" else "4"
        self.changed: Change = lambda _host, _script: None

    def check(self) -> None:
        tables.check(self.site, self.engine, lambda *said: self.said.append(said))

    def sql(self, host: Host, script: str, **_: float) -> str:
        if changed := self.changed(host, script):
            return changed
        if "table_type" in script:
            return f"shop\tgoods\t{self._table_engine}\nshop\torders\t{self._table_engine}\n"
        return "shop.goods\t17\nshop.orders\t4\n" if "CHECKSUM" in script else f"{self._copies}\n"


@pytest.fixture(params=["ndb", "galera"])
def seen(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Seen:
    made = Seen(World(tmp_path, monkeypatch), request.param)
    monkeypatch.setattr(made.engine, "sql", made.sql)
    return made


def test_equal_tables_on_every_node_are_told(seen: Seen) -> None:
    seen.check()
    ((name, text),) = seen.said
    assert name == "tables"
    assert text.startswith("2 of ")
    assert text.endswith(" copies, equal checksums from 4 SQL nodes")


def only(node: str, part: str, answer: str) -> Change:
    return lambda host, script: answer if host.name == node and part in script else None


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        pytest.param(
            only("data2", "table_type", "shop\tgoods\tMyISAM\n"), r"data2: .* are shop.goods \(MyISAM\)", id="engine"
        ),
        pytest.param(only("data1", "table_type", "\n"), "data1 sees no table", id="no table"),
        pytest.param(only("data3", "CHECKSUM", "shop.goods\t18\n"), "data3 sees other rows than manager", id="rows"),
    ],
)
def test_a_node_that_differs_is_named(seen: Seen, change: Change, mistake: str) -> None:
    seen.changed = change
    with pytest.raises(CheckFailed, match=mistake):
        seen.check()


def test_another_number_of_copies_is_told(seen: Seen) -> None:
    asked = {"ndb": "num_alive_replicas", "galera": "wsrep_cluster_size"}[seen.site.cluster.engine]
    seen.changed = only("data1", asked, "2\n")
    with pytest.raises(CheckFailed, match=r"^data1: its tables have 2 copies, not "):
        seen.check()
