"""The SSH side of a local node: keys, and an sshd that forwards to the node's own SQL port and does nothing else."""

from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from deploy import processes
from deploy.engines.interface import Server
from deploy.processes import Account, CommandFailed, Process

_START_TIMEOUT_S = 10.0
# sshd starts itself anew for each connection, so it wants an absolute path.
PROGRAM = "/usr/sbin/sshd"


class KeyPair(msgspec.Struct, frozen=True):
    """An ed25519 key pair: the private key in OpenSSH's format, the public key as one line without a comment."""

    private: str
    public: str

    def __repr__(self) -> str:
        return f"KeyPair({self.public})"


def new_key_pair() -> KeyPair:
    """A new key pair, without a passphrase."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return KeyPair(private.decode(), public.decode())


def configuration_file(directory: Path) -> Path:
    """Where a node's sshd has its options."""
    return directory / "sshd_config"


def write(directory: Path, options: str, host_key: KeyPair, client_public_key: str) -> None:
    """Write what a node's sshd needs into its directory: options, host key, and whom it lets in."""
    configuration_file(directory).write_text(options)
    private = directory / "host_key"
    private.touch(mode=0o600)
    private.write_text(host_key.private)
    # A second wall: what the options allow, the key allows too, and no more.
    (directory / "authorized_keys").write_text(f"restrict,port-forwarding {client_public_key}\n")


def launch(directory: Path, runs_as: Account) -> Process:
    """Start the node's sshd. Raises CommandFailed or TimeoutError when it does not listen."""
    listens = directory / "sshd.pid"
    listens.unlink(missing_ok=True)
    log = directory / "sshd.log"
    command = [PROGRAM, "-D", "-e", "-f", str(configuration_file(directory))]
    process = processes.spawn(command, runs_as=runs_as, directory=directory, log=log)

    def answers() -> bool:
        if not processes.alive(process):
            raise CommandFailed(f"sshd ended while it was starting:\n{processes.tail(log)}")
        return listens.exists()

    processes.wait_until(answers, timeout_s=_START_TIMEOUT_S, what="sshd listening")
    return process


def processes_in(directory: Path) -> list[Process]:
    """The sshd that runs in the node's directory; none or one."""
    return processes.find(Path(PROGRAM).name, str(configuration_file(directory)))


def known_host(address: str, port: int, public_key: str) -> str:
    """The line of a known_hosts file for a server on a port of its own; see sshd(8)."""
    return f"[{address}]:{port} {public_key}\n"


def options(server: Server, port: int, user: str) -> str:
    """The text of sshd_config. See sshd_config(5)."""
    directory = server.directory
    return f"""\
ListenAddress {server.address}:{port}
HostKey {directory}/host_key
PidFile {directory}/sshd.pid
AuthorizedKeysFile {directory}/authorized_keys
# The directory is the account's alone, but lies under one that all may write to, which StrictModes would refuse.
StrictModes no
AllowUsers {user}
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
LoginGraceTime 10
MaxAuthTries 3
MaxStartups 32:30:100

{tunnel_only(server.address, server.mysql_port)}Compression no
UseDNS no
PrintMotd no
"""


def tunnel_only(address: str, port: int) -> str:
    """The options that let an account forward to this port and do nothing else, one a line.

    One session is let in, and gets /bin/false whatever it asks for: only when a session starts does sshd turn off the
    delaying of small packets on the connection (proxy/tunnels/openssh.py tells more).
    """
    return f"""\
AllowTcpForwarding local
PermitOpen {address}:{port}
PermitListen none
AllowStreamLocalForwarding no
AllowAgentForwarding no
X11Forwarding no
PermitTunnel no
GatewayPorts no
MaxSessions 1
PermitTTY no
PermitUserRC no
ForceCommand /bin/false
# A client that vanished without a word is dropped after 15 s.
ClientAliveInterval 5
ClientAliveCountMax 3
"""
