"""Every machine with an SQL server: the account that proxies tunnel as, and what sshd lets it do."""

from typing import Final

from deploy import steps
from deploy.host import Host

TUNNEL_ACCOUNT: Final = "gk-tunnel"
_KEYS = "/etc/ssh/gk-tunnel.keys"
_OPTIONS = "/etc/ssh/sshd_config.d/50-gatekeeper.conf"
_HOME = "/nonexistent"


def tunnel(host: Host, public_key: str) -> list[str]:
    """The account, whom it lets in, and sshd's options; returns what differed. Raises HostError."""
    new = ["account"] if steps.account(host, TUNNEL_ACCOUNT, home=_HOME) else []
    files = [
        # A second wall: what the options allow, the key allows too, and no more.
        steps.File(_KEYS, f"restrict,port-forwarding {public_key}\n".encode()),
        steps.File(_OPTIONS, options(host.machine.mysql_port).encode()),
    ]
    changed = [*new, *steps.paths(host, files)]
    if _OPTIONS in changed:
        # Sessions that are open stay; a mistake in the options leaves the running sshd as it is.
        host.sudo("sshd -t; systemctl reload ssh || systemctl reload sshd")
    return changed


def options(mysql_port: int) -> str:
    """The text of sshd's options. See sshd_config(5); a Match block ends with the included file.

    One session is let in, and gets /bin/false whatever it asks for: only when a session starts does sshd turn off the
    delaying of small packets on the connection (proxy/tunnels/openssh.py tells more).
    """
    return f"""\
PermitRootLogin no
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 32:30:100
UseDNS no

Match User {TUNNEL_ACCOUNT}
    AuthenticationMethods publickey
    AuthorizedKeysFile {_KEYS}
    AllowTcpForwarding local
    PermitOpen 127.0.0.1:{mysql_port}
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
