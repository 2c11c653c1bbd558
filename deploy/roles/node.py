"""Every machine with an SQL server: the account that proxies tunnel as, and what sshd lets it do."""

from textwrap import indent
from typing import Final

from deploy import steps
from deploy.host import Host
from deploy.providers.sshd import tunnel_only

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
    """The text of sshd's options. See sshd_config(5); a Match block ends with the included file."""
    return f"""\
PermitRootLogin no
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 32:30:100
UseDNS no

Match User {TUNNEL_ACCOUNT}
    AuthenticationMethods publickey
    AuthorizedKeysFile {_KEYS}
{indent(tunnel_only("127.0.0.1", mysql_port), "    ")}"""
