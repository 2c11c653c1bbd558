"""Requests without a good key are slowed down, by the network that they come from, over all workers together.

A right key is never refused here, whatever others in its network try: only what fails is counted. The counts are in one
file of a fixed size. Each network has the slot that its hash gives; two that share one are counted together, which can
only turn a 401 into a 429.
"""

import hashlib
import math
import os
import struct
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Final

import structlog

from contract.errors import RateLimited
from gatekeeper.rates import counted, locked

log = structlog.get_logger()

RULE: Final = "wrong_keys"
# A person who mistypes a key, or a service that was given an old one, stays below.
RATE_PER_SECOND: Final = 10.0
BURST: Final = 50

_SLOTS = 1 << 14
_SLOT = struct.Struct("ddQ")  # full again at, logged at, refused since then
_LOGGED_EVERY_S = 1.0


class Guesses:
    """Counts them in the file at `path`, which is made. `clock` gives seconds, for all processes."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = path
        self._clock = clock

    def count(self, network: str) -> None:
        """Counts a request without a good key. Raises RateLimited for one too many, which is logged once a second.

        Where nothing can be counted (a full disk), nothing is raised: the request is refused for its key all the same.
        """
        try:
            wait_s, refused = self._counted(network)
        except OSError:
            return
        if refused:
            log.warning("refused_keys", network=network, count=refused)
        if wait_s > 0:
            raise RateLimited(
                "too many requests without a known key came from your network",
                rule=RULE,
                retry_after_s=math.ceil(wait_s),
            )

    def _counted(self, network: str) -> tuple[float, int]:
        """The seconds to wait, 0 for none; and how many have been refused, where it is time to log them."""
        at = _slot(network) * _SLOT.size
        with locked(self._path) as file:
            stored = os.pread(file, _SLOT.size, at).ljust(_SLOT.size, b"\0")
            full_at, logged_at, refused = _SLOT.unpack(stored)
            now = self._clock()
            full_at, wait_s = counted(full_at, now, RATE_PER_SECOND, BURST)
            refused += wait_s > 0
            # A clock that began anew with the machine is before what was stored.
            is_time = wait_s > 0 and not logged_at <= now < logged_at + _LOGGED_EVERY_S
            kept = (full_at, now, 0) if is_time else (full_at, logged_at, refused)
            os.pwrite(file, _SLOT.pack(*kept), at)
        return wait_s, refused if is_time else 0


def network_of(peer: str, forwarded_for: str, trusted_proxy: str | None) -> str:
    """Where a request comes from: an IPv4 address, or an IPv6 network of 64 bits, which one client has whole.

    From the trusted proxy, the last entry of X-Forwarded-For, which is the proxy's own; what stands before it, and the
    header from anybody else, is what the client says.
    """
    forwarded = forwarded_for.rpartition(",")[2].strip() if peer == trusted_proxy else ""
    address = _address(forwarded) or _address(peer)
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or IPv6Network((address, 64), strict=False))
    return str(address or "unknown")


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _slot(network: str) -> int:
    return int.from_bytes(hashlib.blake2b(network.encode(), digest_size=8).digest()) % _SLOTS
