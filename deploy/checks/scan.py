"""Which TCP ports answer from where this runs: a program of the standard library alone, for any machine's Python 3.

usage: scan.py TIMEOUT_S FIRST-LAST,PORT,... ADDRESS...

Prints a line for each port that answers: the address, the port, and `open`, or `refused`: then nothing listens, and no
firewall is before it.
"""

import contextlib
import errno
import itertools
import resource
import selectors
import socket
import sys
import time
from collections.abc import Iterator

_MOST_AT_ONCE = 2000
_OTHER_FILES = 50
_BEGUN = {0, errno.EINPROGRESS, errno.ECONNREFUSED}
_ANSWERS = {errno.ECONNREFUSED: "refused", 0: "open"}


def main(arguments: list[str]) -> None:
    """Tries every port of every address."""
    timeout_s, ports, *addresses = arguments
    targets = [(address, port) for port in _numbers(ports) for address in addresses]
    for address, port, answer in scan(targets, float(timeout_s)):
        sys.stdout.write(f"{address} {port} {answer}\n")


def scan(targets: list[tuple[str, int]], timeout_s: float) -> Iterator[tuple[str, int, str]]:
    """Those that answer, and how. Each is waited for as long as the time-out says."""
    left = iter(targets)
    at_once = _files_at_once()
    while batch := list(itertools.islice(left, at_once)):
        yield from _together(batch, timeout_s)


def _together(targets: list[tuple[str, int]], timeout_s: float) -> Iterator[tuple[str, int, str]]:
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as sockets:
        for target in targets:
            trying = sockets.enter_context(socket.socket())
            trying.setblocking(False)
            if (begun := trying.connect_ex(target)) not in _BEGUN:
                raise OSError(begun, f"{target[0]} port {target[1]}: {errno.errorcode[begun]}")
            selector.register(trying, selectors.EVENT_WRITE, target)
        end = time.monotonic() + timeout_s
        while selector.get_map() and (left_s := end - time.monotonic()) > 0:
            for key, _ in selector.select(left_s):
                selector.unregister(key.fileobj)
                assert isinstance(key.fileobj, socket.socket)
                answer = _ANSWERS.get(key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
                if answer:
                    yield *key.data, answer


def _files_at_once() -> int:
    """As many sockets as this process may have, up to a limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = _MOST_AT_ONCE if most == resource.RLIM_INFINITY else min(most, _MOST_AT_ONCE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
    return allowed - _OTHER_FILES


def _numbers(ports: str) -> Iterator[int]:
    for part in ports.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


if __name__ == "__main__":
    main(sys.argv[1:])
