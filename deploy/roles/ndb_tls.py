"""Certificates for the traffic among NDB's nodes: made by ndb_sign_keys on the manager, each machine gets its own.

The authority's key stays on the manager, root's alone: who has it can join the cluster.
See: https://dev.mysql.com/doc/refman/9.7/en/mysql-cluster-tls.html
"""

import base64
from typing import Final

from deploy import steps
from deploy.host import Host
from deploy.roles import tarball
from deploy.site import Site

DIRECTORY: Final = "/etc/mysql-cluster/tls"
_AUTHORITY: Final = "/etc/mysql-cluster/authority"
DAYS: Final = 398
# ndb_sign_keys' names of the kinds of nodes, and of the files that it makes for each.
_KINDS: Final = {
    "manager": {"mgmd": "ndb-mgm-server", "api": "ndb-api"},
    "data": {"db": "ndb-data-node", "api": "ndb-api"},
}


def install(site: Site) -> None:
    """Makes the authority and the certificates that are missing, and brings each machine its own."""
    manager = site.of("manager")[0]
    tool = f"{tarball.PROGRAMS}/ndb_sign_keys --no-defaults --passphrase="
    manager.sudo(
        f"umask 077; [ -e {_AUTHORITY}/NDB-Cluster-cert ] || {{ mkdir -p {_AUTHORITY};"
        f" {tool} --create-CA --to-dir={_AUTHORITY} >&2; }}"
    )
    for host in site.nodes:
        site.report(host, "node certificates", _install(manager, host, tool))


def _install(manager: Host, host: Host, tool: str) -> tuple[str, ...]:
    kinds = _KINDS[host.machine.role]
    names = [f"{stem}-{part}" for stem in kinds.values() for part in ("cert", "private-key")]
    there = host.sudo(f"cd {DIRECTORY} 2>/dev/null && ls || true").split()
    if set(names) <= set(there):
        return ()
    made = f"{_AUTHORITY}/{host.name}"
    for kind in kinds:
        manager.sudo(
            f"umask 077; mkdir -p {made}; {tool} --no-config --create-key --node-type={kind}"
            f" --CA-search-path={_AUTHORITY} --bound-hostname={host.machine.private_ip_address}"
            f" --duration={DAYS * 86400} --to-dir={made} >&2"
        )
    files: list[steps.Entry] = [steps.Directory(DIRECTORY, "0750", "root:mysql")]
    for name in [*names, "NDB-Cluster-cert"]:
        source = f"{made}/{name}" if name in names else f"{_AUTHORITY}/{name}"
        content = base64.b64decode(manager.sudo(f"base64 {source}"))
        mode = "0400" if name.endswith("key") else "0444"
        files.append(steps.File(f"{DIRECTORY}/{name}", content, mode, "mysql:mysql"))
    changed = steps.paths(host, files)
    manager.sudo(f"rm -r {made}")
    return changed
