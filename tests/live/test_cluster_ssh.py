"""A node's sshd forwards to the node's own SQL port, for the deployment's key, and does nothing else."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql
import pytest

from deploy import processes
from deploy.providers import sshd
from tests.live.cluster_fixtures import LiveCluster

TIMEOUT_S = 20


@pytest.fixture
def tunnel_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("t")


def command(
    cluster: LiveCluster, node: str, *words: str, key: Path | None = None, known: Path | None = None
) -> list[str]:
    """An ssh command as the proxy would give it: no configuration of the user's, the host key checked."""
    machine = cluster.machine(node)
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": "10",
        "ExitOnForwardFailure": "yes",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(known or cluster.place.known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
    }
    flags = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    identity = ["-i", str(key or cluster.place.private_key), "-p", str(machine.ssh_port)]
    return [
        "ssh",
        "-F",
        "none",
        *flags,
        *identity,
        *words[:-1],
        f"{machine.user_name}@{machine.ssh_address}",
        words[-1],
    ]


def ssh(cluster: LiveCluster, node: str, *words: str, **files: Path) -> subprocess.CompletedProcess[str]:
    """Run ssh; the last word is the remote command, empty for none."""
    whole = command(cluster, node, *words, **files)
    return subprocess.run(
        whole if words[-1] else whole[:-1],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=TIMEOUT_S,
        check=False,
    )


@contextmanager
def tunnel(cluster: LiveCluster, node: str, directory: Path) -> Iterator[str]:
    """A forwarding from a Unix socket to the node's SQL port."""
    machine, path = cluster.machine(node), directory / "s"
    target = f"{path}:{machine.sql_address}:{machine.mysql_port}"
    with subprocess.Popen(command(cluster, node, "-N", "-L", target, "")[:-1], stdin=subprocess.DEVNULL) as client:
        try:
            processes.wait_until(path.exists, timeout_s=TIMEOUT_S, what="the tunnel")
            yield str(path)
        finally:
            client.terminate()


@pytest.mark.parametrize("node", ["manager", "data3"])
def test_sql_is_reached_through_the_tunnel(cluster: LiveCluster, tunnel_directory: Path, node: str) -> None:
    accounts = cluster.accounts
    with (
        tunnel(cluster, node, tunnel_directory) as path,
        pymysql.connect(
            unix_socket=path, user=accounts["reader_user"], password=accounts["reader_password"]
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT CURRENT_USER(), @@bind_address")
        assert cursor.fetchall() == (("gk_reader@127.0.0.1", cluster.machine(node).sql_address),)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("echo ran",), id="a command"),
        pytest.param(("-tt", "echo ran"), id="a command with a terminal"),
        pytest.param(("-T", "/bin/sh -c 'echo ran'"), id="a shell"),
        pytest.param(("-s", "sftp"), id="the file transfer subsystem"),
        pytest.param(("-A", "-X", "echo ran"), id="a command with agent and X11 forwarding"),
    ],
)
def test_nothing_can_be_run(cluster: LiveCluster, words: tuple[str, ...]) -> None:
    done = ssh(cluster, "data1", *words)
    assert done.returncode in {1, 255}
    assert done.stdout == ""


def test_forwarding_goes_nowhere_else(cluster: LiveCluster) -> None:
    data1, data2 = cluster.machine("data1"), cluster.machine("data2")
    allowed = ssh(cluster, "data1", "-W", f"{data1.sql_address}:{data1.mysql_port}", "")
    assert "MariaDB" in allowed.stdout
    for target in (
        f"{data2.sql_address}:{data2.mysql_port}",
        f"127.0.0.1:{data1.mysql_port}",
        f"localhost:{data1.mysql_port}",
        f"{data1.sql_address}:{data1.ssh_port}",
        f"{data1.sql_address}:{cluster.node('data1').group_port}",
    ):
        refused = ssh(cluster, "data1", "-W", target, "")
        assert refused.returncode != 0, target
        assert "administratively prohibited" in refused.stderr, target


def test_listening_on_the_node_is_refused(cluster: LiveCluster) -> None:
    done = ssh(cluster, "data1", "-N", "-R", "127.0.0.1:0:127.0.0.1:1", "")
    assert done.returncode != 0
    assert "remote port forwarding failed" in done.stderr


def test_unix_sockets_of_the_node_are_out_of_reach(cluster: LiveCluster, tunnel_directory: Path) -> None:
    path = tunnel_directory / "s"
    words = command(cluster, "data1", "-N", "-L", f"{path}:{cluster.node('data1').socket}", "")[:-1]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as client:
        try:
            processes.wait_until(path.exists, timeout_s=TIMEOUT_S, what="the tunnel")
            with socket.socket(socket.AF_UNIX) as caller:
                caller.settimeout(TIMEOUT_S)
                caller.connect(str(path))
                assert caller.recv(1) == b""
        finally:
            client.terminate()


def test_another_key_is_refused(cluster: LiveCluster, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text(sshd.new_key_pair().private)
    done = ssh(cluster, "data1", "-W", "127.0.0.1:1", "", key=key)
    assert done.returncode == 255
    assert "Permission denied (publickey)" in done.stderr


def test_a_host_key_that_is_not_the_known_one_is_refused(cluster: LiveCluster, tmp_path: Path) -> None:
    machine = cluster.machine("data1")
    known = tmp_path / "known_hosts"
    known.write_text(sshd.known_host(machine.ssh_address, machine.ssh_port, sshd.new_key_pair().public))
    done = ssh(cluster, "data1", "-W", f"{machine.sql_address}:{machine.mysql_port}", "", known=known)
    assert done.returncode == 255
    assert "Host key verification failed" in done.stderr


def test_killing_a_node_with_its_sshd_ends_its_tunnels(cluster: LiveCluster, tunnel_directory: Path) -> None:
    machine, path = cluster.machine("data2"), tunnel_directory / "s"
    target = f"{path}:{machine.sql_address}:{machine.mysql_port}"
    words = command(cluster, "data2", "-N", "-L", target, "")[:-1]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
        try:
            processes.wait_until(path.exists, timeout_s=TIMEOUT_S, what="the tunnel")
            cluster.kill("data2", ssh=True)
            assert client.wait(timeout=TIMEOUT_S) == 255
        finally:
            client.kill()
            cluster.start("data2")
