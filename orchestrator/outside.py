"""Which addresses are the world's, so that nobody reaches what is inside by having a webhook sent there.

What is not listed as inside by IANA's registries of special addresses counts as outside in IPv4; in IPv6 only 2000::/3
does, less what is special in it: so an IPv4 address within one of IPv6 (mapped, compatible, NAT64) is never outside.
See: https://www.iana.org/assignments/iana-ipv4-special-registry, https://www.iana.org/assignments/iana-ipv6-special-registry
"""

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from typing import Final

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_INSIDE_V4: Final = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # Azure's for its machines: a public address that is none
    )
)
_GLOBAL_V6: Final = ipaddress.IPv6Network("2000::/3")
# IETF's own with Teredo, documentation, 6to4, documentation.
_INSIDE_V6: Final = tuple(
    ipaddress.IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)


class Inside(Exception):
    """An address is inside."""


class Outside:
    """What may be sent to: what is outside, and the `allowed` networks."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed

    def check_literal(self, host: str) -> None:
        """Raises Inside for an address in the place of a name, in any form that a resolver takes, if it is inside."""
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            return
        self._checked(str(each[4][0]) for each in found)

    def addresses(self, host: str, port: int) -> list[str]:
        """All addresses of the host. Raises Inside where any of them is, and OSError where it has none."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return self._checked(dict.fromkeys(str(each[4][0]) for each in found))

    def _checked(self, texts: Iterable[str]) -> list[str]:
        addresses = [ipaddress.ip_address(text) for text in texts]
        if not all(self.may_be_sent_to(address) for address in addresses):
            raise Inside
        return [str(address) for address in addresses]

    def may_be_sent_to(self, address: Address) -> bool:
        """Whether it is outside or in an allowed network."""
        allowed = any(address.version == network.version and address in network for network in self._allowed)
        return allowed or _is_outside(address)


def _is_outside(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _INSIDE_V4)
    return address in _GLOBAL_V6 and not any(address in network for network in _INSIDE_V6)


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """The networks. Raises ValueError."""
    return tuple(ipaddress.ip_network(text) for text in texts)
