"""A place outside of the clusters' networks that has a way into them, as a stranger on the internet has to a cloud."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from deploy.providers.fleet import commands, network

# Of the addresses that are kept for documentation: https://www.rfc-editor.org/rfc/rfc5737
_HERE: Final = "203.0.113.1"
_THERE: Final = "203.0.113.2"
_NAME: Final = "outside"


@contextmanager
def outside() -> Iterator[list[str]]:
    """How a command is run there: what it is to be preceded by. Only in a private place (sandbox.py).

    This host is a router meanwhile. Raises ProviderError.
    """
    commands.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    try:
        commands.run(["ip", "netns", "add", _NAME])
        network.batch(
            f"link add {_NAME} type veth peer name eth0 netns {_NAME}",
            f"address add {_HERE}/24 dev {_NAME}",
            f"link set {_NAME} up",
        )
        network.batch(
            "link set lo up",
            f"address add {_THERE}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {_HERE}",
            namespace=_NAME,
        )
        yield ["ip", "netns", "exec", _NAME]
    finally:
        commands.run(["ip", "netns", "delete", _NAME])
        commands.run(["sysctl", "-qw", "net.ipv4.ip_forward=0"])
