"""The gatekeeper's way to a proxy: what a connection that is not made, or not in time, means for a request."""

import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from contract import peers
from contract.errors import Unavailable
from contract.settings import Tls
from deploy import certificates
from gatekeeper.settings import Settings
from gatekeeper.upstream import Proxies

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


class Proxy:
    """A server on loopback in a proxy's place: does something else with each connection, in turn."""

    def __init__(self, directory: Path) -> None:
        self._own = certificates.issue(directory, "proxy", "proxy1")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(20)
        self.threads = ThreadPoolExecutor(1)

    def serve(self, *turns: Callable[[socket.socket], None]) -> "Future[None]":
        def run() -> None:
            for turn in turns:
                plain, _ = self.listener.accept()
                with plain:
                    turn(plain)

        return self.threads.submit(run)

    def answer(self, plain: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(self._own.certificate), str(self._own.key))
        with context.wrap_socket(plain, server_side=True) as secure:
            secure.recv(65536)
            secure.sendall(ANSWER)


def hang_up(plain: socket.socket) -> None:
    """In the middle of the handshake."""
    plain.recv(65536)


def say_nothing(plain: socket.socket) -> None:
    """Until the other side has had enough."""
    while plain.recv(65536):
        pass


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    certificates.create_authority(tmp_path)
    made = Proxy(tmp_path)
    yield made
    made.listener.close()
    made.threads.shutdown()


@pytest.fixture
def proxies(proxy: Proxy, tmp_path: Path) -> Proxies:
    own = certificates.issue(tmp_path, "gatekeeper", "gatekeeper1")
    return Proxies(
        Settings(
            name="gatekeeper1",
            listen="127.0.0.1:1",
            proxies=(f"https://127.0.0.1:{proxy.listener.getsockname()[1]}",),
            policy="",
            keys="",
            runtime_directory=str(tmp_path),
            connect_timeout_ms=500,
            tls=Tls(str(own.certificate), str(own.key), str(own.authority)),
        )
    )


def post(proxies: Proxies, timeout_ms: int = 20_000) -> int:
    return proxies.post(b"{}", request_id="r", accept="*/*", timeout_ms=timeout_ms, is_read=False).status


@pytest.mark.parametrize("first", [hang_up, say_nothing])
def test_a_proxy_that_is_too_busy_for_a_handshake_is_asked_again(
    proxy: Proxy, proxies: Proxies, first: Callable[[socket.socket], None]
) -> None:
    served = proxy.serve(first, proxy.answer)
    assert post(proxies) == 200
    served.result(timeout=20)


@pytest.mark.parametrize("turn", [hang_up, say_nothing])
def test_a_write_whose_handshake_did_not_end_was_not_executed(
    proxy: Proxy, proxies: Proxies, turn: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "_PATIENCE_S", 0.0)
    served = proxy.serve(turn)
    with pytest.raises(Unavailable) as failure:
        post(proxies)
    assert (failure.value.outcome, failure.value.retryable) == ("not_executed", True)
    served.result(timeout=20)
