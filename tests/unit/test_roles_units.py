"""What systemd and sshd are told on machines: who runs what, and what is closed to it."""

import pytest

from contract.inventory import MachineRole
from deploy.release import Service
from deploy.roles import ndb_units, node, service
from tests.unit.pretended_hosts import Pretended

# See systemd.exec(5). What is not closed for the vendor's programs (system calls, namespaces) was not tried with them.
EVERYWHERE = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectKernelModules": "yes",
    "ProtectControlGroups": "yes",
    "RestrictSUIDSGID": "yes",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
    "LockPersonality": "yes",
    "Restart": "always",
    "UMask": "0077",
}
SERVICES = {
    "AmbientCapabilities": "",
    "ProtectKernelLogs": "yes",
    "ProtectClock": "yes",
    "ProtectHostname": "yes",
    "ProtectProc": "invisible",
    "ProcSubset": "pid",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RemoveIPC": "yes",
    "SystemCallArchitectures": "native",
    "SystemCallErrorNumber": "EPERM",
    "RuntimeDirectoryMode": "0700",
    "StateDirectoryMode": "0700",
}

UNITS = {
    "proxy": (service.unit("proxy"), "gk-proxy", EVERYWHERE | SERVICES),
    "gatekeeper": (service.unit("gatekeeper"), "gk-gatekeeper", EVERYWHERE | SERVICES),
    "management server": (ndb_units.management("10.0.0.9"), "mysql", EVERYWHERE),
    "data node": (ndb_units.data_node("10.0.0.9:1186"), "mysql", EVERYWHERE),
    "sql node": (ndb_units.sql(), "mysql", EVERYWHERE),
}
each_unit = pytest.mark.parametrize(("text", "account", "directives"), UNITS.values(), ids=UNITS.keys())


def settings(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.replace("\\\n", "").splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@each_unit
def test_a_unit_closes_what_its_program_does_not_need(text: str, account: str, directives: dict[str, str]) -> None:
    found = settings(text)
    assert {name: found.get(name, ["is missing"])[-1] for name in directives} == directives


@each_unit
def test_a_unit_runs_as_an_account_of_its_own_and_never_as_root(
    text: str, account: str, directives: dict[str, str]
) -> None:
    found = settings(text)
    assert (found["User"], found["Group"]) == ([account], [account])
    for name in ("ExecStart", "ExecReload", "ExecStartPre", "ExecStop"):
        assert not any(command.startswith(("+", "!")) for command in found.get(name, []))


@each_unit
def test_a_unit_is_tried_again_without_end_and_starts_with_the_machine(
    text: str, account: str, directives: dict[str, str]
) -> None:
    found = settings(text)
    assert found["StartLimitIntervalSec"] == ["0"]
    assert found["WantedBy"] == ["multi-user.target"]


@each_unit
def test_a_unit_names_files_and_holds_no_secret(text: str, account: str, directives: dict[str, str]) -> None:
    named = {word.partition("=")[0] for line in settings(text).get("Environment", []) for word in line.split()}
    assert named <= {"PROXY_CONFIG", "GATEKEEPER_CONFIG", "PWD", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE"}
    for word in ("password", "passphrase", "secret"):
        assert word not in text.lower()


@pytest.mark.parametrize("of", ["proxy", "gatekeeper"])
def test_a_service_may_not_call_what_only_root_needs_but_for_dropping_capabilities(of: Service) -> None:
    assert settings(service.unit(of))["SystemCallFilter"] == ["@system-service", "~@privileged", "capset"]


def test_a_node_of_the_cluster_talks_by_tls_only_and_the_management_server_listens_where_nodes_reach_it() -> None:
    for text in (ndb_units.management("10.0.0.9"), ndb_units.data_node("10.0.0.9:1186")):
        assert "--ndb-mgm-tls=strict" in text
    assert "--bind-address=10.0.0.9 " in ndb_units.management("10.0.0.9")


@pytest.mark.parametrize(
    ("role", "units"),
    [
        ("manager", {"gk-mysql.service", "gk-ndb-mgmd.service"}),
        ("data", {"gk-mysql.service", "gk-ndbmtd.service"}),
        ("standalone", {"gk-mysql.service"}),
    ],
)
def test_a_machine_has_the_units_of_its_role_once(role: MachineRole, units: set[str]) -> None:
    host = Pretended(role, role)
    assert ndb_units.write(host, "10.0.0.9:1186")
    assert not ndb_units.write(host, "10.0.0.9:1186")
    assert {path.rpartition("/")[2] for path in host.written} == units


# See sshd_config(5).
SSHD = {
    "PermitRootLogin": "no",
    "PasswordAuthentication": "no",
    "KbdInteractiveAuthentication": "no",
}
TUNNELS = {
    "AuthenticationMethods": "publickey",
    "AllowTcpForwarding": "local",
    "PermitOpen": "127.0.0.1:3307",
    "PermitListen": "none",
    "AllowStreamLocalForwarding": "no",
    "AllowAgentForwarding": "no",
    "X11Forwarding": "no",
    "PermitTunnel": "no",
    "GatewayPorts": "no",
    "MaxSessions": "1",
    "PermitTTY": "no",
    "PermitUserRC": "no",
    "ForceCommand": "/bin/false",
}


def test_sshd_lets_the_tunnels_account_forward_to_one_port_and_do_nothing_else() -> None:
    everybody, _, tunnels = node.options(3307).partition("\nMatch User gk-tunnel\n")
    assert dict(line.split(None, 1) for line in everybody.splitlines() if line).items() >= SSHD.items()
    assert dict(line.split(None, 1) for line in tunnels.splitlines() if "#" not in line).items() >= TUNNELS.items()


def test_the_tunnels_account_is_let_in_by_one_key_that_forwards_and_sshd_is_told_once() -> None:
    host = Pretended()
    changed = node.tunnel(host, "ssh-ed25519 AAAA")
    assert changed == ["account", "/etc/ssh/gk-tunnel.keys", "/etc/ssh/sshd_config.d/50-gatekeeper.conf"]
    assert host.written["/etc/ssh/gk-tunnel.keys"] == b"restrict,port-forwarding ssh-ed25519 AAAA\n"
    assert node.tunnel(host, "ssh-ed25519 AAAA") == []
    assert host.scripts.count("sshd -t; systemctl reload ssh || systemctl reload sshd") == 1


def test_another_key_takes_the_old_ones_place_and_sshd_is_left_alone() -> None:
    host = Pretended()
    node.tunnel(host, "ssh-ed25519 AAAA")
    reloads = len(host.ran("systemctl reload"))
    assert node.tunnel(host, "ssh-ed25519 BBBB") == ["/etc/ssh/gk-tunnel.keys"]
    assert b"AAAA" not in host.written["/etc/ssh/gk-tunnel.keys"]
    assert len(host.ran("systemctl reload")) == reloads
