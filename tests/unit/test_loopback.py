"""The local provider without its servers: addresses, state and lock, the files that are written, what is refused."""

import os
import socket
from pathlib import Path

import pytest

from contract import inventory
from deploy import processes, providers
from deploy.engines import ENGINES
from deploy.engines.interface import Server
from deploy.processes import Account
from deploy.providers import addresses, loopback, seed, sshd, state
from deploy.providers.loopback import CannotRun, Settings
from deploy.providers.state import Busy, Cluster, NoCluster, Place, UnknownNode

OWN = processes.own_account()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "local" / "test")


@pytest.fixture
def kept(place: Place) -> Cluster:
    """A cluster whose description is there, but of which nothing runs."""
    place.directory.mkdir(parents=True)
    home = state.fresh_home(place, OWN)
    nodes = (
        Server(name="manager", role="manager", address="127.0.9.1", directory=f"{home}/manager"),
        Server(name="data1", role="data", address="127.0.9.2", directory=f"{home}/data1"),
    )
    cluster = Cluster("test", "galera", OWN, str(home), "group", 2222, nodes)
    place.save(cluster)
    return cluster


def test_the_demo_prefers_the_first_block_and_others_stay_away_from_it() -> None:
    demo = next(addresses.candidates("demo", 4))
    assert demo.addresses == ("127.0.0.11", "127.0.0.12", "127.0.0.13", "127.0.0.14")
    assert (demo.ssh_port, demo.mysql_port) == (2222, 3306)
    assert next(addresses.candidates("test", 4)).addresses[0] != "127.0.0.11"


def test_candidates_are_all_different() -> None:
    blocks = list(addresses.candidates("test", 4))
    assert len(set(blocks)) == len(blocks) == 750


def test_a_block_with_a_port_taken_is_passed_over() -> None:
    first, second = list(addresses.candidates("a name of this test", 4))[:2]
    taken = socket.create_server((first.addresses[2], first.mysql_port))
    with taken, addresses.reserved("a name of this test", 4) as block:
        assert block == second


def test_two_that_start_at_once_get_different_blocks() -> None:
    with addresses.reserved("another name", 4) as one, addresses.reserved("another name", 4) as other:
        assert not set(one.addresses) & set(other.addresses)


def test_ports_move_when_a_server_has_taken_one_on_every_address() -> None:
    first = next(addresses.candidates("third name", 1))
    with socket.create_server(("0.0.0.0", first.snapshot_port)), addresses.reserved("third name", 1) as block:
        assert block.snapshot_port == first.snapshot_port + 10_000


def test_a_busy_cluster_is_left_alone(place: Place) -> None:
    with (
        state.locked(place.lock, timeout_s=0),
        pytest.raises(Busy, match="another command is at work"),
        state.locked(place.lock, timeout_s=0.1),
    ):
        pytest.fail("two had the lock")
    assert not place.lock.exists()
    with state.locked(place.lock, timeout_s=0):
        assert place.lock.exists()


def test_what_was_kept_is_read_again(place: Place, kept: Cluster) -> None:
    assert place.load() == kept
    assert kept.node("data1").role == "data"
    with pytest.raises(UnknownNode, match="unknown node 'data9'; known are manager, data1"):
        kept.node("data9")


def test_commands_on_no_cluster_say_so(place: Place) -> None:
    for command in (loopback.status, loopback.machines):
        with pytest.raises(NoCluster, match="no local cluster 'test'"):
            command(place.directory)
    with pytest.raises(NoCluster):
        loopback.kill(place.directory, "data1")
    assert loopback.down(place.directory) is False


def test_a_damaged_description_is_said_and_can_be_taken_down(place: Place, kept: Cluster) -> None:
    place.cluster_file.write_text("{")
    with pytest.raises(NoCluster, match="damaged"):
        place.load()
    assert loopback.down(place.directory) is True
    assert not place.directory.exists()
    assert not Path(kept.home).exists()


def test_a_new_seed_takes_the_place_of_those_that_were_not_used_for_longest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seed, "_digest", lambda wanted, *_: wanted.key)
    monkeypatch.setattr(seed, "_make", lambda _seed, _engine, _account, data: data.mkdir())
    for number in range(6):
        seed.ensure(seed.Seed(key=str(number)), ENGINES["galera"], processes.own_account(), tmp_path)
        os.utime(tmp_path / f"seed-{number}", (number, number))
        if number == 3:
            seed.ensure(seed.Seed(key="0"), ENGINES["galera"], processes.own_account(), tmp_path)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {f"seed-{number}" for number in (0, 3, 4, 5)}
    assert not (tmp_path / "seed-1.lock").exists()


def test_a_directory_of_somebody_elses_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    for command in (loopback.down, lambda directory: loopback.up(Settings(directory, tmp_path / "cache"))):
        with pytest.raises(CannotRun, match="nothing was removed"):
            command(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_a_link_to_anywhere_is_not_followed(place: Place, tmp_path: Path) -> None:
    place.directory.mkdir(parents=True)
    place.nodes.symlink_to(tmp_path)
    with pytest.raises(NoCluster, match="no home of nodes"):
        loopback.down(place.directory)


@pytest.mark.parametrize(
    ("name", "uid", "own"),
    [
        pytest.param("short", OWN.uid, True, id="the user's own, in the state"),
        pytest.param("long" * 30, OWN.uid, False, id="a path too long for a socket"),
        pytest.param("with space", OWN.uid, False, id="a path that option files quote"),
        pytest.param("short", OWN.uid + 1, False, id="another account's"),
    ],
)
def test_the_nodes_live_where_their_account_can_reach_them(tmp_path: Path, name: str, uid: int, own: bool) -> None:
    place = Place(tmp_path / name)
    place.directory.mkdir()
    home = state.fresh_home(place, Account("somebody", uid, OWN.gid))
    try:
        assert (home == place.nodes) is own
        assert state.home_of(place) == home
        assert len(str(home / "standalone" / "sql.sock")) <= 107
    finally:
        home.rmdir()


def test_the_inventory_has_every_node_and_what_is_added(place: Place, kept: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "cluster_config.csv"
    proxy = inventory.Machine("proxy1", "proxy", "me", "", "", "", "127.0.0.1", 22, 3306, "running")
    loopback.write_inventory(place.directory, path, [proxy])
    machines = inventory.load(path)
    assert [(machine.name, machine.role, machine.state) for machine in machines] == [
        ("manager", "manager", "stopped"),
        ("data1", "data", "stopped"),
        ("proxy1", "proxy", "running"),
    ]
    assert (machines[0].private_ip_address, machines[0].ssh_port, machines[0].user_name) == (
        "127.0.9.1",
        2222,
        OWN.name,
    )


def test_sshd_lets_in_one_user_with_a_key_to_one_port() -> None:
    server = Server(name="data1", role="data", address="127.0.0.12", directory="/nodes/data1", mysql_port=3306)
    lines = set(sshd.options(server, 2222, "mysql").splitlines())
    assert lines >= {
        "ListenAddress 127.0.0.12:2222",
        "PermitOpen 127.0.0.12:3306",
        "AllowTcpForwarding local",
        "AllowUsers mysql",
        "AuthenticationMethods publickey",
        "PermitTTY no",
        "ForceCommand /bin/false",
    }


def test_keys_are_new_and_their_private_half_is_hidden() -> None:
    one, other = sshd.new_key_pair(), sshd.new_key_pair()
    assert one != other
    assert "PRIVATE" not in repr(one)
    assert sshd.known_host("127.0.0.12", 2222, one.public).startswith("[127.0.0.12]:2222 ssh-ed25519 ")


def test_an_interrupted_start_leaves_nothing(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(seed, "ensure", lambda *_: tmp_path / "cache")
    monkeypatch.setattr(loopback, "_account", lambda: OWN)
    monkeypatch.setattr(loopback, "_lay_out", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loopback.up(Settings(place.directory, tmp_path / "cache"))
    assert list(place.directory.parent.iterdir()) == []


def test_providers_are_found_by_name_and_an_unknown_one_is_answered_with_the_known(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "none", tmp_path / "cache")
    assert providers.provider("loopback", settings).find() == ()
    with pytest.raises(providers.UnknownProvider, match="unknown provider 'moon'; known are loopback"):
        providers.provider("moon", settings)
