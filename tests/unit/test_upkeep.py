"""What the operator's tasks decide: which release, which accounts, which node, which words of ssh; without machines."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contract.inventory import Machine
from deploy import backup, passwords, terminal
from deploy.backup import BackupError, Manifest, Table
from deploy.cluster import ClusterError, checked
from deploy.engines.mariadb import new_accounts
from deploy.host import Access
from deploy.nodes import check_removable, check_total
from deploy.providers.state import UnknownNode
from deploy.roles import newer
from deploy.roles.galera import Galera
from deploy.roles.ndb import Ndb
from deploy.upkeep import NoRelease, previous

ACCESS = Access(Path("/operator/key"), Path("/operator/known hosts"))


def machine(**members: Any) -> Machine:
    known: dict[str, Any] = {
        "name": "data1",
        "role": "data",
        "user_name": "admin",
        "public_dns_name": "",
        "private_dns_name": "",
        "public_ip_address": "203.0.113.9",
        "private_ip_address": "10.0.0.9",
        "ssh_port": 22,
        "mysql_port": 3306,
        "state": "running",
    }
    return Machine(**{**known, **members})


# current, versions (the one that was switched to last first), the one to go back to
BEFORE = [
    pytest.param("c", ["c", "b", "a"], "b", id="the one before"),
    pytest.param("b", ["b", "c", "a"], "c", id="and forward again"),
    pytest.param("b", ["c", "b"], "c", id="a newer one that was put but not switched to"),
]


@pytest.mark.parametrize(("current", "versions", "expected"), BEFORE)
def test_a_rollback_goes_to_the_release_that_was_current_before(
    current: str, versions: list[str], expected: str
) -> None:
    assert previous("proxy", current, versions) == expected


def test_a_first_release_can_not_be_rolled_back() -> None:
    with pytest.raises(NoRelease, match="proxy has no release but a"):
        previous("proxy", "a", ["a"])


def test_two_sets_of_accounts_take_turns_and_no_password_is_used_twice() -> None:
    first = new_accounts()
    second = passwords.successors(first)
    third = passwords.successors(second)
    assert passwords.users_of(second) == [f"{user}_b" for user in passwords.users_of(first)]
    assert passwords.users_of(third) == passwords.users_of(first)
    secrets = [
        value
        for accounts in (first, second, third)
        for member, value in msgspec.structs.asdict(accounts).items()
        if member.endswith("_password")
    ]
    assert len(set(secrets)) == 15


def test_ssh_trusts_the_known_host_key_only_and_offers_one_key() -> None:
    words = terminal.command(ACCESS, machine(), ["echo", "a b"])
    assert words[:5] == ["ssh", "-F", "none", "-i", "/operator/key"]
    for setting in ("StrictHostKeyChecking=yes", "IdentitiesOnly=yes", "IdentityAgent=none"):
        assert setting in words
    assert 'UserKnownHostsFile="/operator/known hosts"' in words
    assert words[-2:] == ["admin@203.0.113.9", "echo 'a b'"]


def test_ssh_goes_through_the_jump_host_to_the_private_address() -> None:
    jump = machine(name="gatekeeper", role="gatekeeper", public_ip_address="203.0.113.1")
    words = terminal.command(msgspec.structs.replace(ACCESS, jump=jump), machine(public_ip_address=""))
    through = next(word for word in words if word.startswith("ProxyCommand="))
    assert through.startswith("ProxyCommand=ssh -F none -i /operator/key")
    assert "StrictHostKeyChecking=yes" in through
    assert through.endswith("-W [%h]:%p admin@203.0.113.1")
    assert words[-1] == "admin@10.0.0.9"


LOGS = [
    pytest.param(Galera(), "data", ["mariadb.service"], id="galera"),
    pytest.param(Ndb(), "data", ["gk-mysql.service", "gk-ndbmtd.service"], id="a data node of ndb"),
    pytest.param(Ndb(), "manager", ["gk-mysql.service", "gk-ndb-mgmd.service"], id="the manager of ndb"),
    pytest.param(Ndb(), "standalone", ["gk-mysql.service"], id="the stand-alone server"),
    pytest.param(Ndb(), "gatekeeper", ["gk-gatekeeper", "nginx"], id="a gatekeeper"),
    pytest.param(Galera(), "proxy", ["gk-proxy"], id="a proxy"),
]


@pytest.mark.parametrize(("engine", "role", "units"), LOGS)
def test_the_log_is_that_of_all_units_of_a_machine(engine: Galera | Ndb, role: str, units: list[str]) -> None:
    words = terminal.journal(engine, role, lines=7, follow=True)
    assert [word.removeprefix("--unit=") for word in words if word.startswith("--unit=")] == units
    assert words[words.index("--lines") + 1] == "7"
    assert "--follow" in words


WHOLE = [
    pytest.param("3 of 3 data nodes", True, id="all"),
    pytest.param("2 of 3 data nodes", False, id="one is missing"),
    pytest.param("0 of 0 data nodes", False, id="none"),
    pytest.param("10 of 10 data nodes", True, id="ten"),
    pytest.param("1 of 10 data nodes", False, id="one of ten"),
    pytest.param("stopped", False, id="stopped"),
]


@pytest.mark.parametrize(("state", "whole"), WHOLE)
def test_no_node_of_ndb_is_taken_out_while_another_is_missing(state: str, whole: bool) -> None:
    assert Ndb().is_whole(state) is whole


SIMULATION = """\
Reading package lists...
Inst mariadb-server [1:10.11.6] (1:10.11.19 Debian:12 [amd64]) []
Inst galera-4 [26.4.13] (26.4.20 Debian:12 [amd64])
Conf galera-4 (26.4.20 Debian:12 [amd64])
"""


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param(SIMULATION, ("galera-4", "mariadb-server"), id="two"),
        pytest.param("Reading package lists...\nmariadb-server is already the newest version.\n", (), id="none"),
    ],
)
def test_newer_packages_are_read_from_apts_simulation(told: str, expected: tuple[str, ...]) -> None:
    assert newer.replaced(told) == expected


NDB = {"provider": "fleet", "engine": "ndb", "ndb": {"source": "/a.tar.xz", "sha256": "0" * 64}}


def galera(data: int) -> dict[str, Any]:
    return {"provider": "fleet", "engine": "galera", "machines": {"data": {"count": data}}}


REFUSED = [
    pytest.param(galera(3), "data2", ClusterError, "only the last one, data3", id="not the last"),
    pytest.param(galera(3), "data4", UnknownNode, "they are data1, data2, data3", id="unknown"),
    pytest.param(galera(3), "manager", UnknownNode, "'manager' is no data node", id="the manager"),
    pytest.param(galera(2), "data2", ClusterError, "two data nodes must stay", id="the second"),
    pytest.param(NDB, "data3", ClusterError, "fab backup, fab destroy, fab deploy .*, fab restore", id="ndb"),
]


@pytest.mark.parametrize(("described", "name", "error", "said"), REFUSED)
def test_a_node_that_can_not_go_is_refused(
    described: dict[str, Any], name: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        check_removable(checked(described), name)


def ndb(data: int, **members: Any) -> dict[str, Any]:
    return {**NDB, "machines": {"data": {"count": data}}, **members}


TOTALS = [
    pytest.param(galera(3), 2, "there are 3 data nodes, and adding can't make them 2", id="fewer"),
    pytest.param(ndb(4), 2, "there are 4 data nodes, and adding can't make them 2", id="fewer, with ndb"),
    pytest.param(ndb(2), 3, r"3 data nodes can't be divided into groups of 2 \(replicas\)", id="half a node group"),
    pytest.param(ndb(3), 4, r"4 data nodes can't be divided into groups of 3 \(replicas\)", id="copies stay"),
]


@pytest.mark.parametrize(("described", "total", "said"), TOTALS)
def test_a_number_that_a_cluster_can_not_grow_to_is_refused(described: dict[str, Any], total: int, said: str) -> None:
    with pytest.raises(ClusterError, match=said):
        check_total(checked(described), total)


@pytest.mark.parametrize(
    ("described", "total"),
    [
        pytest.param(galera(2), 3, id="galera"),
        pytest.param(ndb(2), 4, id="another node group"),
        pytest.param(ndb(2), 2, id="the same again"),
        pytest.param(ndb(3), 6, id="three copies"),
    ],
)
def test_a_number_that_a_cluster_can_grow_to_is_taken(described: dict[str, Any], total: int) -> None:
    check_total(checked(described), total)


def test_the_last_data_node_may_go() -> None:
    check_removable(checked(galera(3)), "data3")


@pytest.mark.parametrize(
    ("rows", "checksum", "expected"),
    [
        pytest.param("3", "rental.film\t123", Table(3, 123), id="rows"),
        pytest.param("0", "rental.a\tb\t0", Table(0, 0), id="a tab in the name"),
        pytest.param("3", "rental.film\tNULL", Table(3, None), id="no checksum"),
    ],
)
def test_a_table_is_measured_by_count_and_checksum(rows: str, checksum: str, expected: Table) -> None:
    assert backup.measured(rows, checksum) == expected


def test_a_table_that_was_written_while_it_was_dumped_is_not_vouched_for() -> None:
    before = {"s.same": Table(1, 5), "s.written": Table(1, 5), "s.dropped": Table(1, 1)}
    after = {"s.same": Table(1, 5), "s.written": Table(2, 6), "s.new": Table(0, 0)}
    unknown = Table(None, None)
    assert backup.agreed(before, after) == {"s.same": Table(1, 5), "s.written": unknown, "s.new": unknown}


def test_after_a_restore_every_table_is_there_and_as_it_was_where_that_is_known() -> None:
    wanted = {
        "s.same": Table(1, 5),
        "s.other": Table(1, 5),
        "s.unknown": Table(None, None),
        "s.lost": Table(None, None),
    }
    found = {"s.same": Table(1, 5), "s.other": Table(1, 6), "s.unknown": Table(9, 9)}
    assert backup.differing(wanted, found) == ["s.other", "s.lost"]


MANIFEST = Manifest(
    format=1,
    cluster="main",
    engine="galera",
    version="10.11",
    began=datetime(2026, 11, 23, tzinfo=UTC),
    ended=datetime(2026, 11, 23, tzinfo=UTC),
    schemas=("rental",),
    sha256="3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7",  # of b"data"
    tables={},
)


def kept(directory: Path, manifest: bytes, data: bytes | None) -> Path:
    (directory / "manifest.json").write_bytes(manifest)
    if data is not None:
        (directory / "data.sql.gz").write_bytes(data)
    return directory


def test_a_backup_is_read_when_its_data_are_as_they_were(tmp_path: Path) -> None:
    assert backup.read(kept(tmp_path, msgspec.json.encode(MANIFEST), b"data")) == MANIFEST


DAMAGED = [
    pytest.param(msgspec.json.encode(MANIFEST), b"date", "its SHA-256 is another", id="changed data"),
    pytest.param(msgspec.json.encode(MANIFEST), None, "is no complete backup", id="no data"),
    pytest.param(b"{", b"data", "can't be read", id="half a manifest"),
    pytest.param(
        msgspec.json.encode(msgspec.structs.replace(MANIFEST, format=2)), b"data", "this version reads 1", id="format"
    ),
]


@pytest.mark.parametrize(("manifest", "data", "said"), DAMAGED)
def test_a_damaged_backup_is_refused(tmp_path: Path, manifest: bytes, data: bytes | None, said: str) -> None:
    with pytest.raises(BackupError, match=said):
        backup.read(kept(tmp_path, manifest, data))


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        pytest.param(msgspec.structs.replace(MANIFEST, engine="ndb"), "the backup is of ndb", id="another engine"),
        pytest.param(msgspec.structs.replace(MANIFEST, schemas=("rental", "shop")), "shop", id="another schema"),
    ],
)
def test_a_backup_that_does_not_fit_the_cluster_is_refused(manifest: Manifest, said: str) -> None:
    with pytest.raises(BackupError, match=said):
        backup.check_fits("main", checked(galera(3)), manifest)


def test_a_backup_that_fits_is_taken() -> None:
    backup.check_fits("main", checked(galera(3)), MANIFEST)


@pytest.mark.parametrize("engine", [Galera(), Ndb()], ids=["galera", "ndb"])
def test_a_dump_is_of_one_moment_and_of_all_that_schemas_have(engine: Galera | Ndb) -> None:
    command = engine.dump(("rental", "a$b"))
    for option in ("--single-transaction", "--routines", "--triggers", "--events", "--add-drop-database"):
        assert option in command
    assert command.endswith("--databases rental 'a$b'")
