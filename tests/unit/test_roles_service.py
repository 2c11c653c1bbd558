"""A service on a machine: releases side by side, the switch between them, when it is restarted, what it reads."""

import tarfile
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from deploy.cluster import Edge
from deploy.deployment import SAMPLE_POLICY
from deploy.host import Done, HostError
from deploy.release import Release
from deploy.roles import edge, gatekeeper, orchestrator, proxy, service
from deploy.roles.files import Material
from gatekeeper.settings import Settings as GatekeeperSettings
from orchestrator.settings import Settings as OrchestratorSettings
from proxy.settings import Settings as ProxySettings
from tests.unit.pretended_hosts import Pretended

RELEASE = Release("proxy", "0.2.0-abc", b"the archive", "flask==3")
DIRECTORY = "/opt/gatekeeper/releases/0.2.0-abc"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with wheels, which are none."""
    wheels = tmp_path / "wheels.tar"
    tarfile.open(wheels, "w").close()
    monkeypatch.setattr(service, "wheels", lambda *_: wheels)
    return tmp_path


def machine() -> Pretended:
    return Pretended("proxy", "proxy", {"version_info": "3.11\nx86_64\n"})


def test_a_release_is_put_once_and_is_complete_only_when_everything_is_there(cache: Path) -> None:
    host = machine()
    assert service.put(host, RELEASE, cache)
    assert b"the archive" in host.given
    assert host.scripts[-1].endswith("touch complete")
    count = len(host.scripts)
    assert not service.put(host, RELEASE, cache)
    assert len(host.scripts) == count + 1


def test_packages_are_installed_from_what_came_along_and_checked_by_the_locks_hashes(cache: Path) -> None:
    host = machine()
    service.put(host, RELEASE, cache)
    (script,) = host.ran("pip")
    for option in ("--no-index", "--require-hashes", "--no-deps", "--find-links wheels"):
        assert option in script


def test_a_release_that_was_cut_off_is_begun_anew(cache: Path) -> None:
    host = machine()
    host.answers["pip"] = Done("", "no space left", 1)
    with pytest.raises(HostError, match="no space left"):
        service.put(host, RELEASE, cache)
    del host.answers["pip"]
    assert service.put(host, RELEASE, cache)
    assert len(host.ran(f"rm -rf {DIRECTORY}; mkdir -p {DIRECTORY}")) == 2


def test_a_release_is_switched_to_once_and_the_last_three_are_kept() -> None:
    host = machine()
    host.answers["ls -1t */complete"] = "0.2.0-abc\nb\nc\nd\ne\n"
    assert service.switch(host, "0.2.0-abc")
    assert not service.switch(host, "0.2.0-abc")
    assert host.links == {"/opt/gatekeeper/current": DIRECTORY}
    assert [script.rpartition("/")[2] for script in host.ran("rm -rf -- ")] == ["d", "e"]


RUNS = [
    pytest.param("not-found inactive", False, False, ("restarted",), id="new"),
    pytest.param("enabled active", True, False, (), id="unchanged"),
    pytest.param("enabled failed", True, False, ("started",), id="stopped"),
    pytest.param("enabled active", True, True, ("succeeded by a new process",), id="other files"),
    pytest.param("enabled active", False, True, ("restarted",), id="another unit"),
]


@pytest.mark.parametrize(("state", "known", "changed", "done"), RUNS)
def test_a_service_is_started_restarted_or_succeeded_as_little_as_is_needed(
    state: str, done: tuple[str, ...], *, known: bool, changed: bool
) -> None:
    host = machine()
    host.units["gk-proxy.service"] = state
    if known:
        host.files["/etc/systemd/system/gk-proxy.service"] = (
            "regular file|0644|root:root",
            service.unit("proxy").encode(),
        )
    host.answers["ExecMainStartTimestamp"] = "y\n" if changed else ""
    assert service.run(host, "proxy", ["/etc/gatekeeper/proxy.toml", "/etc/gatekeeper/key.pem"]) == done
    assert not [script for script in host.ran("ExecMainStartTimestamp") if "key.pem" in script]
    assert len(host.ran("systemctl reload gk-proxy")) == (done == ("succeeded by a new process",))
    assert len(host.ran("systemctl restart gk-proxy")) == (done == ("restarted",))


@pytest.mark.parametrize("engine", ["galera", "ndb"])
def test_a_proxys_settings_are_such_as_it_takes(engine: str) -> None:
    host = machine()
    found = msgspec.toml.decode(proxy.settings(host, engine), type=ProxySettings)
    assert found.listen == f"{host.machine.private_ip_address}:8443"
    assert (found.engine, found.writes) == (engine, {"galera": "manager", "ndb": "any"}[engine])


def test_an_orchestrators_settings_are_such_as_it_takes() -> None:
    host = Pretended("orchestrator", "orchestrator")
    found = msgspec.toml.decode(orchestrator.settings(host, ["10.0.0.5:8443"]), type=OrchestratorSettings)
    assert found.listen == f"{host.machine.private_ip_address}:8444"
    assert list(found.proxies) == ["https://10.0.0.5:8443"]
    assert str(found.metrics_listen).startswith("127.0.0.1:")


def test_a_gatekeepers_settings_are_such_as_it_takes_and_it_listens_on_loopback_only() -> None:
    host = Pretended("gatekeeper", "gatekeeper")
    text = gatekeeper.settings(host, ["10.0.0.5:8443", "10.0.0.6:8443"], ["10.0.0.7:8444"])
    found = msgspec.toml.decode(text, type=GatekeeperSettings)
    assert list(found.proxies) == ["https://10.0.0.5:8443", "https://10.0.0.6:8443"]
    assert list(found.orchestrators) == ["https://10.0.0.7:8444"]
    assert found.listen.startswith("127.0.0.1:")
    assert str(found.metrics_listen).startswith("127.0.0.1:")
    assert found.trusted_proxy == "127.0.0.1"


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    made = Material(tmp_path_factory.mktemp("edge") / "demo", SAMPLE_POLICY)
    made.make("demo")
    return made


def test_nginx_is_reloaded_only_when_something_changed_and_after_it_tried_its_files(material: Material) -> None:
    host = Pretended("gatekeeper", "gatekeeper")
    assert edge.install(host, Edge(), material)[-1] == "started"
    assert edge.install(host, Edge(), material) == ()
    assert host.ran("reload nginx") == []
    assert edge.install(host, Edge(http="closed"), material) == ("/etc/nginx/nginx.conf",)
    (script,) = host.ran("reload nginx")
    assert script.startswith("nginx -q -t; systemctl reload nginx.service; \nfor "), "and waits until it serves them"


@pytest.mark.parametrize(
    ("http", "listens", "sends"),
    [("redirect", True, True), ("serve", True, False), ("closed", False, False)],
    ids=["redirect", "serve", "closed"],
)
def test_port_80_does_what_the_description_says(
    http: Literal["redirect", "serve", "closed"], *, listens: bool, sends: bool
) -> None:
    text = edge.configuration(Pretended("gatekeeper", "gatekeeper"), Edge(http=http))
    assert ("listen 0.0.0.0:80" in text, "return 308" in text) == (listens, sends)
    assert "listen 0.0.0.0:443 ssl" in text


def test_nginxs_key_is_roots_alone_and_a_given_certificate_is_taken_as_it_is(
    material: Material, tmp_path: Path
) -> None:
    for name in ("certificate", "key"):
        (tmp_path / name).write_text(f"given {name}")
    host = Pretended("gatekeeper", "gatekeeper")
    edge.install(host, Edge(certificate=str(tmp_path / "certificate"), key=str(tmp_path / "key")), material)
    assert host.files["/etc/nginx/edge.key"] == ("regular file|0600|root:root", b"given key")
    assert host.written["/etc/nginx/edge.pem"] == b"given certificate"
