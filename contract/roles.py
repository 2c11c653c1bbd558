"""The roles that certificates carry: a DNS name under a domain of this system's own, in the subject alternative name.

A client of a service verifies the server's certificate against the role that it wants to talk to, whatever the
address; a service looks for the roles that it accepts in its client's certificate. So a gatekeeper's certificate
can't stand for a proxy's.
"""

from collections.abc import Mapping
from typing import Any, Literal

Role = Literal["gatekeeper", "orchestrator", "proxy", "operator"]

DOMAIN = "gatekeeper.internal"


def dns_name(role: Role) -> str:
    """The DNS name that stands for a role in a certificate."""
    return f"{role}.{DOMAIN}"


def roles_of(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """The roles in a verified peer certificate, as `ssl.SSLSocket.getpeercert()` gives it; none without one."""
    names = (value for kind, value in (certificate or {}).get("subjectAltName", ()) if kind == "DNS")
    return frozenset(name.removesuffix(f".{DOMAIN}") for name in names if name.endswith(f".{DOMAIN}"))


def name_of(certificate: Mapping[str, Any] | None) -> str | None:
    """The name of the service that a verified peer certificate was issued to."""
    subject = ((kind, value) for part in (certificate or {}).get("subject", ()) for kind, value in part)
    return next((str(value) for kind, value in subject if kind == "commonName"), None)
