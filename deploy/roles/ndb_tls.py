"""Certificates for the traffic among NDB's nodes: each machine makes its keys, the operator's authority signs.

/etc/mysql-cluster/certificates/
    MOMENT/     keys and certificates that were made at that moment, and the authority's certificate
    current  -> MOMENT, switched when all of it is there; a process takes it up when it starts
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from deploy import steps
from deploy.host import Host
from deploy.roles import tarball
from deploy.roles.ndb_authority import CLIENT, DATA_NODE, MANAGEMENT, Authority, Kind, first_end
from deploy.site import Site, on_each

_ROOT: Final = "/etc/mysql-cluster/certificates"
DIRECTORY: Final = f"{_ROOT}/current"
_AUTHORITY_FILE: Final = "NDB-Cluster-cert"
# Where an earlier version kept the authority, and what it gave each machine.
_AUTHORITY_BEFORE: Final = "/etc/mysql-cluster/authority"
_BEFORE: Final = "/etc/mysql-cluster/tls"
_KINDS: Final = {"manager": (MANAGEMENT, CLIENT), "data": (DATA_NODE, CLIENT)}


def install(site: Site) -> None:
    """Gives each machine the certificates that it misses, or that end soon or are of another authority."""
    authority = _authority(site)
    _renew(site, authority, lambda host: not _is_good(host, authority))


def renew(site: Site) -> None:
    """Gives each machine new keys and certificates; its processes take them up when they are restarted."""
    _renew(site, _authority(site), lambda _host: True)


def end(host: Host) -> datetime | None:
    """When the first of the machine's certificates ends, in UTC; None where it has none."""
    found = _certificates(host) if host.machine.role in _KINDS else {}
    return first_end(content for content in found.values() if content)


def _renew(site: Site, authority: Authority, is_needed: Callable[[Host], bool]) -> None:
    """On all machines at once: old and new certificates are trusted alike, as they are of one authority."""

    def work(host: Host) -> None:
        needed = is_needed(host)
        if needed and not host.is_dry:  # keys that are not made can't be signed
            _replace(host, authority)
        site.report(host, "node certificates", ("new",) if needed else ())

    on_each(site.nodes, work)


def _authority(site: Site) -> Authority:
    """The cluster's authority, made if there is none; that which an earlier version left on the manager is taken."""
    authority = Authority(site.directory / "certificates")
    manager = site.of("manager")[0]
    if not authority.exists:
        certificate = manager.look(f"cat {_AUTHORITY_BEFORE}/{_AUTHORITY_FILE} 2>/dev/null || true").encode()
        if certificate:
            key = manager.look(f"openssl pkey -passin pass: -in {_AUTHORITY_BEFORE}/NDB-Cluster-private-key")
            authority.take(certificate, key.encode())
        else:
            authority.make()
    manager.sudo(f"rm -rf {_AUTHORITY_BEFORE}")
    return authority


def _is_good(host: Host, authority: Authority) -> bool:
    found = _certificates(host)
    return all(authority.is_good(found[kind], kind) for kind in _KINDS[host.machine.role])


def _certificates(host: Host) -> dict[Kind, bytes]:
    """What stands in the machine's files of certificates; nothing for one that is missing, or has no key beside it."""
    return {
        kind: host.look(
            f"cd {DIRECTORY} 2>/dev/null && [ -e {kind.stem}-private-key ] && cat {kind.stem}-cert || true"
        ).encode()
        for kind in _KINDS[host.machine.role]
    }


def _replace(host: Host, authority: Authority) -> None:
    """New keys, made on the machine, which keeps them; their certificates; then the switch, and the old ones go."""
    kinds, address = _KINDS[host.machine.role], host.machine.private_ip_address
    moment = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    place = f"{_ROOT}/{moment}"
    host.sudo(f"umask 077; mkdir -p {place}")
    files: list[steps.Entry] = [steps.File(f"{place}/{_AUTHORITY_FILE}", authority.pem, "0444", "mysql:mysql")]
    for kind in kinds:
        host.sudo(
            f"umask 077; {tarball.PROGRAMS}/ndb_sign_keys --no-defaults --no-config --create-key --skip-sign"
            f" --node-type={kind.word} --bound-hostname={address} --to-dir={place} >&2"
        )
        request = host.sudo(f"cat {place}/{kind.stem}-cert-request").encode()
        signed = authority.signed(request, kind, address)
        files.append(steps.File(f"{place}/{kind.stem}-cert", signed, "0444", "mysql:mysql"))
    steps.paths(host, files)
    host.sudo(f"rm -f {place}/*-request; chown mysql:mysql {place} {place}/*; chmod 0755 {_ROOT}; sync")
    steps.link(host, DIRECTORY, moment)
    host.sudo(f"find {_ROOT} -mindepth 1 -maxdepth 1 -type d ! -name {moment} -exec rm -r {{}} +; rm -rf {_BEFORE}")
