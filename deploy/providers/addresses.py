"""Free loopback addresses for a local cluster: a block of 127.0.x.11 and up, on which all of its ports can be bound."""

import contextlib
import socket
import zlib
from collections.abc import Iterator, Sequence

import msgspec

_BLOCKS = 250
_FIRST_HOST = 11
_PORTS = {"ssh": 2222, "mysql": 3306, "snapshot": 4444, "group": 4567, "transfer": 4568}
# A server on 0.0.0.0 takes its port from every address: then all ports move. Below 32768, where clients' ports begin.
_SHIFTS = (0, 10_000, 20_000)


class NoAddresses(RuntimeError):
    """No block of loopback addresses is free."""


class Block(msgspec.Struct, frozen=True):
    """Addresses and ports for one cluster; the ports are the same on every address."""

    addresses: tuple[str, ...]
    ssh_port: int
    mysql_port: int
    snapshot_port: int
    group_port: int
    transfer_port: int

    @property
    def ports(self) -> tuple[int, ...]:
        """All ports."""
        return self.ssh_port, self.mysql_port, self.snapshot_port, self.group_port, self.transfer_port


def candidates(name: str, size: int) -> Iterator[Block]:
    """Every block that a cluster could have, best first: "demo" prefers 127.0.0.x, others start as their name says."""
    first = 0 if name == "demo" else 1 + zlib.crc32(name.encode()) % (_BLOCKS - 1)
    for shift in _SHIFTS:
        ports = {f"{purpose}_port": port + shift for purpose, port in _PORTS.items()}
        for step in range(_BLOCKS):
            block = (first + step) % _BLOCKS
            addresses = tuple(f"127.0.{block}.{_FIRST_HOST + index}" for index in range(size))
            yield Block(addresses, **ports)


@contextlib.contextmanager
def reserved(name: str, size: int) -> Iterator[Block]:
    """A free block, kept from other clusters that are just starting. Raises NoAddresses."""
    for block in candidates(name, size):
        with contextlib.ExitStack() as stack:
            try:
                # Two starting clusters must not choose the same block before their servers listen. A bound UDP socket
                # says "taken" to the other one, and goes with its process.
                stack.enter_context(_bound(socket.SOCK_DGRAM, block.addresses[0], block.ssh_port))
            except OSError:
                continue
            if is_free(block.addresses, block.ports):
                yield block
                return
    raise NoAddresses(f"no loopback addresses are free for cluster {name!r}: every block has a server on its ports")


def is_free(addresses: Sequence[str], ports: Sequence[int]) -> bool:
    """Whether each port can be bound on each address."""
    try:
        for address in addresses:
            for port in ports:
                _bound(socket.SOCK_STREAM, address, port).close()
    except OSError:
        return False
    return True


def _bound(kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, kind)
    try:
        if kind == socket.SOCK_STREAM:
            # As servers do: connections of the past that linger in TIME_WAIT don't count.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address, port))
    except OSError:
        bound.close()
        raise
    return bound
