"""Whether SSH answers, and how long something is waited for."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploy.providers.ec2.api import World, answers
from deploy.providers.interface import ProviderError


@contextmanager
def server(banner: bytes) -> Iterator[int]:
    """Says that to who comes first, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def say() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(banner)

        saying = threading.Thread(target=say)
        saying.start()
        yield listening.getsockname()[1]
        saying.join(timeout=60)


@pytest.mark.parametrize(
    ("banner", "answered"),
    [(b"SSH-2.0-OpenSSH_9.2p1\r\n", True), (b"HTTP/1.1 400 Bad Request\r\n", False), (b"", False)],
    ids=["SSH", "something else", "closed at once"],
)
def test_only_an_ssh_server_answers(banner: bytes, answered: bool) -> None:
    with server(banner) as port:
        assert answers("127.0.0.1", port) is answered


def test_a_port_that_nobody_listens_at_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert answers("127.0.0.1", port) is False


def test_what_is_waited_for_is_waited_for_no_longer_than_said() -> None:
    times = iter([0.0, 3.0, 6.0, 9.0, 12.0])
    slept: list[float] = []
    world = World(sleep=slept.append, now=lambda: next(times))
    with pytest.raises(ProviderError, match=r"^it never came \(waited 9 s\)$"):
        world.wait(lambda: False, timeout_s=9, every_s=3, late=lambda: "it never came")
    assert slept == [3, 3]


def test_what_is_there_is_not_waited_for() -> None:
    slept: list[float] = []
    World(sleep=slept.append).wait(lambda: True, timeout_s=9, every_s=3, late=lambda: "")
    assert slept == []
