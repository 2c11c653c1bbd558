"""A cluster's network on this host: a bridge, and for each machine a network namespace with a cable to the bridge.

The namespace outlives its machine's stops, power cuts and reboots. All is changed with ip(8), nothing of the host's.
"""

import ipaddress
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from deploy.providers.fleet import commands
from deploy.providers.interface import ProviderError
from deploy.providers.state import Busy, locked

_SUBNETS: Final = 256
# Choosing a subnet and taking it must not fall between another cluster's two.
_LOCK: Final = Path("/run/lock/gatekeeper-fleet")
_LOCK_TIMEOUT_S: Final = 30.0
# An alias is set when all else of a cable is there: one that a killed command left unfinished has none.
_FINISHED: Final = "gatekeeper-fleet"


class Network(msgspec.Struct, frozen=True):
    """A cluster's network 10.99.N.0/24. `key`: what its names begin with, at most 10 characters; `subnet`: the N."""

    key: str
    subnet: int

    @property
    def prefix(self) -> str:
        """The network's addresses."""
        return f"10.99.{self.subnet}.0/24"

    @property
    def operator(self) -> str:
        """This host's address in the network: the operator's."""
        return self.address(1)

    @property
    def bridge(self) -> str:
        """The bridge's name."""
        return self.key

    def address(self, host: int) -> str:
        """The address with that last number."""
        return f"10.99.{self.subnet}.{host}"

    def cable(self, host: int) -> str:
        """The name of a machine's namespace, and of the end of its cable at the bridge: at most 15 characters."""
        return f"{self.key}-{host}"


def claim(key: str, preferred: int | None, note: Callable[[int], None]) -> Network:
    """A network whose subnet no other on this host overlaps, with its bridge. Raises ProviderError.

    `preferred`: what the cluster's machines have been given before; another one would be no use to them. `note` is
    called with the subnet before anything is made.
    """
    try:
        with locked(_LOCK, timeout_s=_LOCK_TIMEOUT_S):
            network = _free(key, preferred)
            note(network.subnet)
            _make_bridge(network)
            return network
    except Busy as error:
        raise ProviderError(str(error)) from None


def is_ready(network: Network) -> bool:
    """Whether the bridge is there, up, with the operator's address."""
    return any(
        link["ifname"] == network.bridge
        and "UP" in link["flags"]
        and any(address.get("local") == network.operator for address in link["addr_info"])
        for link in _ip("-d", "address", "show", "type", "bridge")
    )


def connect(network: Network, host: int) -> None:
    """See to a machine's namespace and its cable. A namespace that is there stays: a machine may run in it."""
    cable, address = network.cable(host), network.address(host)
    known = cable in namespaces()
    if known and cable in _cables(network):
        return
    _remove_link(cable)
    if not known:
        commands.run(["ip", "netns", "add", cable])
    batch(
        f"link add {cable} type veth peer name eth0 netns {cable}",
        f"link set {cable} master {network.bridge} up",
    )
    batch(
        "link set lo up",
        f"address add {address}/24 dev eth0",
        "link set eth0 up",
        f"route add default via {network.operator}",
        namespace=cable,
    )
    batch(f"link set {cable} alias {_FINISHED}")


def disconnect(network: Network, host: int) -> None:
    """Remove a machine's namespace and its cable, as far as they are there."""
    cable = network.cable(host)
    _remove_link(cable)
    if cable in namespaces():
        commands.run(["ip", "netns", "delete", cable])


def remove(network: Network) -> None:
    """Remove everything of the network that is there."""
    names = {link["ifname"] for link in _ip("link", "show")} | namespaces()
    hosts = [name.rpartition("-")[2] for name in names if name.startswith(f"{network.key}-")]
    for host in sorted(set(hosts)):
        disconnect(network, int(host))
    _remove_link(network.bridge)
    if _has_blackhole(network):
        batch(f"route delete {_blackhole(network)}")


def plug(network: Network, host: int, *, into_bridge: bool) -> None:
    """Plug a machine's cable in, or pull it."""
    batch(f"link set {network.cable(host)} {'up' if into_bridge else 'down'}")


def namespaces() -> set[str]:
    """The names of the host's network namespaces."""
    # Not as JSON: ip 6.1 prints none where there are none, and names alone are one a line, an id after them.
    return {line.split()[0] for line in commands.run(["ip", "netns", "list"]).splitlines() if line.split()}


def batch(*lines: str, namespace: str | None = None) -> None:
    """Carry out lines of ip(8), none after the first that fails. Raises ProviderError."""
    inside = ["-netns", namespace] if namespace else []
    commands.run(["ip", *inside, "-batch", "-"], given="\n".join(lines) + "\n")


def is_free(subnet: int, routes: Iterable[str]) -> bool:
    """Whether 10.99.N.0/24 overlaps none of the routes' destinations; the default route's doesn't count."""
    prefix = ipaddress.IPv4Network(f"10.99.{subnet}.0/24")
    return not any(
        prefix.overlaps(ipaddress.IPv4Network(route, strict=False)) for route in routes if route != "default"
    )


def _free(key: str, preferred: int | None) -> Network:
    if preferred is not None and _exists(key):
        return Network(key, preferred)
    # A blackhole of the cluster's own may be left over from a bridge that was removed by hand.
    own = "" if preferred is None else Network(key, preferred).prefix
    routes = [route["dst"] for route in _routes() if route["dst"] != own or route.get("type") != "blackhole"]
    for subnet in range(_SUBNETS) if preferred is None else (preferred,):
        if is_free(subnet, routes):
            return Network(key, subnet)
    raise ProviderError(f"no network is free on this host: {own or 'every 10.99.N.0/24'} is used by something else")


def _make_bridge(network: Network) -> None:
    """First of all the blackhole: without the bridge, packets to its machines would take the default route."""
    if not _has_blackhole(network):
        batch(f"route add {_blackhole(network)}")
    if not _exists(network.bridge):
        batch(f"link add {network.bridge} type bridge")
    batch(f"address replace {network.operator}/24 dev {network.bridge}", f"link set {network.bridge} up")


def _blackhole(network: Network) -> str:
    return f"blackhole {network.prefix} metric 9999"


def _has_blackhole(network: Network) -> bool:
    return any(route.get("type") == "blackhole" and route["dst"] == network.prefix for route in _routes())


def _exists(interface: str) -> bool:
    return any(link["ifname"] == interface for link in _ip("link", "show"))


def _remove_link(interface: str) -> None:
    if _exists(interface):
        batch(f"link delete {interface}")


def _cables(network: Network) -> set[str]:
    links = _ip("link", "show", "master", network.bridge)
    return {link["ifname"] for link in links if link.get("ifalias") == _FINISHED}


def _routes() -> list[Mapping[str, Any]]:
    return _ip("-4", "route", "show", "table", "all")


def _ip(*words: str) -> list[Mapping[str, Any]]:
    """What ip(8) shows, without the empty objects that it puts where a filter left something out."""
    text = commands.run(["ip", "-json", *words])
    found: list[Mapping[str, Any]] = [each for each in json.loads(text or "[]") if each]
    return found
