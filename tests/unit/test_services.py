"""What the services of a local cluster are told: settings as TOML that reads back, ports, directories."""

import socket
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.settings import Tls, load
from deploy import toml
from deploy.ports import Ports
from deploy.services import ADDRESS, Installation, Services, configure, configured, forget


def installation(state: Path, proxies: int = 1) -> Installation:
    state.mkdir(parents=True, exist_ok=True)
    return Installation(
        root=state,
        state=state,
        inventory=state / "cluster_config.csv",
        engine="galera",
        ssh_key=state / "ssh_key",
        known_hosts=state / "known_hosts",
        accounts=state / "accounts.toml",
        policy=state / "policy.toml",
        keys=state / "keys.toml",
        proxies=proxies,
    )


def configure_now(of: Installation) -> Services:
    with Ports(ADDRESS) as ports:
        return configure(of, ports)


@pytest.fixture
def two_proxies(tmp_path: Path) -> Iterator[Services]:
    """The services of a cluster with two proxies, in a directory whose name has what TOML and shells trip over."""
    made = configure_now(installation(tmp_path / 'a "b" \\c é #;', proxies=2))
    yield made
    forget(made)


@given(st.dictionaries(st.from_regex(r"[A-Za-z0-9_-]+", fullmatch=True), st.text() | st.integers(-(2**63), 2**63 - 1)))
def test_what_is_written_reads_back(members: dict[str, toml.Value]) -> None:
    assert tomllib.loads(toml.render(members, {"table": {"list": ["a", '"', "\x7f"], "flag": True}})) == {
        **members,
        "table": {"list": ["a", '"', "\x7f"], "flag": True},
    }


def test_the_gatekeeper_knows_every_proxy_where_it_listens(two_proxies: Services) -> None:
    gatekeeper = tomllib.loads(two_proxies.gatekeeper.settings.read_text())
    listening = [tomllib.loads(proxy.settings.read_text())["listen"] for proxy in two_proxies.proxies]
    assert gatekeeper["proxies"] == [f"https://{address}" for address in listening]
    orchestrators = [orchestrator.listen for orchestrator in two_proxies.orchestrators]
    assert gatekeeper["orchestrators"] == [f"https://{address}" for address in orchestrators]
    assert two_proxies.gatekeeper_url == f"http://{gatekeeper['listen']}"


def test_the_members_are_those_that_the_services_read(two_proxies: Services) -> None:
    members = {service.name: set(tomllib.loads(service.settings.read_text())) for service in two_proxies.services}
    common = {"name", "listen", "metrics_listen", "runtime_directory", "tls"}
    proxy = common | {"inventory", "engine", "tunnel", "ssh_key", "known_hosts", "accounts"}
    assert members == {
        "proxy1": proxy,
        "proxy2": proxy,
        "orchestrator1": common | {"proxies", "secret"},
        "gatekeeper1": common | {"workers", "proxies", "orchestrators", "policy", "keys", "audit", "records"},
    }


def test_certificates_are_where_the_settings_say(two_proxies: Services) -> None:
    class Settings(msgspec.Struct):
        tls: Tls

    for service in two_proxies.services:
        tls = load(service.settings, Settings).tls
        assert all(Path(path).is_file() for path in (tls.certificate, tls.key, tls.authority))


def test_every_service_has_ports_and_a_closed_short_directory_of_its_own(two_proxies: Services) -> None:
    ports = [address for service in two_proxies.services for address in (service.listen, service.metrics_listen)]
    assert len(set(ports)) == 8
    directories = [Path(tomllib.loads(each.settings.read_text())["runtime_directory"]) for each in two_proxies.services]
    assert len(set(directories)) == 4
    assert all(stat.S_IMODE(directory.stat().st_mode) == 0o700 for directory in directories)
    assert all(len(str(directory)) < 50 for directory in directories), "a Unix socket's path may have 107 bytes"


def test_settings_are_the_owners_only(two_proxies: Services) -> None:
    assert {stat.S_IMODE(service.settings.stat().st_mode) for service in two_proxies.services} == {0o600}


def test_a_wanted_port_is_taken_when_it_is_free_and_left_alone_when_not(tmp_path: Path) -> None:
    with socket.create_server((ADDRESS, 0)) as server:
        port = server.getsockname()[1]
        wanted = msgspec.structs.replace(installation(tmp_path), gatekeeper_port=port)
        other = configure_now(wanted)
    same = configure_now(wanted)
    for made in (other, same):
        forget(made)
    assert other.gatekeeper_url != f"http://{ADDRESS}:{port}"
    assert same.gatekeeper_url == f"http://{ADDRESS}:{port}"


def test_systems_that_start_at_the_same_time_take_different_ports() -> None:
    with Ports(ADDRESS) as first, Ports(ADDRESS) as second:
        port = first.take()
        assert second.take(preferred=port) != port
    with Ports(ADDRESS) as third:
        assert third.take(preferred=port) == port


def test_the_configured_services_are_found_again_until_they_are_forgotten(tmp_path: Path) -> None:
    assert configured(tmp_path) is None
    made = configure_now(installation(tmp_path))
    assert configured(tmp_path) == made
    forget(made)
    assert not made.runtime_directory.exists()
