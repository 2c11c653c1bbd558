"""nginx on a gatekeeper's machine: TLS from clients, and everything that deploy/nginx.py says."""

from pathlib import Path
from typing import Final

from deploy import nginx, steps
from deploy.cluster import Edge
from deploy.edge_certificate import edge_certificate
from deploy.host import Host
from deploy.roles import gatekeeper
from deploy.roles.files import Material

_CONFIGURATION: Final = "/etc/nginx/nginx.conf"
_CERTIFICATE: Final = Path("/etc/nginx/edge.pem")
_KEY: Final = Path("/etc/nginx/edge.key")
_UNIT: Final = "nginx.service"
# A reload returns before the new workers serve: who asks at once may be shown the certificate that was replaced.
_SERVED: Final = f"""
for _ in {{1..100}}; do
  python3 - {_CERTIFICATE} 2>/dev/null <<'END' && exit 0
import ssl, sys
served = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", 443), timeout=5))
wanted = open(sys.argv[1]).read()
end = "-----END CERTIFICATE-----"
sys.exit(served != ssl.PEM_cert_to_DER_cert(wanted[: wanted.index(end)] + end))
END
  sleep 0.1
done
echo "nginx does not serve its new certificate" >&2; exit 1
"""


def install(host: Host, edge: Edge, material: Material) -> tuple[str, ...]:
    """Nginx's files, and nginx running with them; what differed. A mistake leaves the running one as it is."""
    certificate, key = _pair(host, edge, material)
    wanted = [
        steps.File(str(_KEY), key.read_bytes(), "0600"),
        steps.File(str(_CERTIFICATE), certificate.read_bytes()),
        steps.File(_CONFIGURATION, configuration(host, edge).encode()),
    ]
    changed = steps.paths(host, wanted)
    if steps.service(host, _UNIT):
        return (*changed, "started")
    if changed:
        host.sudo(f"nginx -q -t; systemctl reload {_UNIT}; {_SERVED}")
    return changed


def configuration(host: Host, edge: Edge) -> str:
    """The text of nginx.conf for this machine."""
    settings = nginx.Edge(
        server_name=server_name(host, edge),
        listen="0.0.0.0:443",
        gatekeeper=gatekeeper.LISTEN,
        certificate=nginx.Certificate(_CERTIFICATE, _KEY),
        plain_listen=None if edge.http == "closed" else "0.0.0.0:80",
        plain="serve" if edge.http == "serve" else "redirect",
    )
    return nginx.render(settings)


def server_name(host: Host, edge: Edge) -> str:
    """The name that clients use for this machine."""
    machine = host.machine
    return edge.server_name or machine.public_dns_name or machine.public_ip_address or machine.private_ip_address


def _pair(host: Host, edge: Edge, material: Material) -> tuple[Path, Path]:
    if edge.certificate and edge.key:
        return Path(edge.certificate), Path(edge.key)
    machine = host.machine
    addresses = {address for address in (machine.public_ip_address, machine.private_ip_address) if address}
    names = {name for name in (edge.server_name, machine.public_dns_name) if name}
    return edge_certificate(material.certificates, host.name, names=sorted(names), addresses=sorted(addresses))
