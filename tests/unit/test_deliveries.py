"""Webhooks are sent beside the queue's work: to hostile receivers too, and none holds up those of other owners."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contract.errors import Unavailable
from contract.later import QueueRequest
from contract.messages import ProxyRequest
from contract.peers import Reply
from contract.settings import SettingsError
from deploy import processes
from deploy.edge_certificate import edge_certificate
from orchestrator.deliveries import Deliveries
from orchestrator.outside import Outside, networks
from orchestrator.sending import NotDelivered, Sender
from orchestrator.settings import Settings, outside_of, sender_of
from orchestrator.statements import Statements
from orchestrator.store import Store
from orchestrator.webhooks import Due, chosen
from tests.unit.test_webhooks import DUE, SECRET

ADDRESS = "127.0.0.1"
SLOTS = 8


class Queue:
    """Webhooks that are due, in memory. `ends`: what was written of each; `error`: what that meets."""

    def __init__(self, *waiting: Due) -> None:
        self.waiting = list(waiting)
        self.ends: list[tuple[str, str, str | None]] = []
        self._lock = threading.Lock()
        self.is_down = False
        self.refused = 0

    def take(self, slots: int, busy: Mapping[str, int]) -> list[Due]:
        ids = chosen([(due.id, due.owner) for due in self.waiting], slots, busy)
        taken = [due for due in self.waiting if due.id in ids]
        self.waiting = [due for due in self.waiting if due.id not in ids]
        return taken

    def sent(self, due: Due) -> None:
        self._end(due, "sent", None)

    def failed(self, due: Due, problem: str) -> None:
        self._end(due, "failed", problem)

    def put_back(self, due: Due, problem: str, pause_ms: int) -> None:
        assert 2_500 <= pause_ms <= 3_600_000
        self._end(due, "due", problem)

    def _end(self, due: Due, state: str, problem: str | None) -> None:
        if self.is_down:
            with self._lock:
                self.refused += 1
            raise Unavailable("no proxy")
        self.ends.append((due.id, state, problem))


class Receivers:
    """Those at slow.example answer when `go` is set; `failure`: what the others meet. `most` were sent at once."""

    def __init__(self, failure: NotDelivered | None = None) -> None:
        self.go = threading.Event()
        self.failure = failure
        self.now = self.most = 0
        self._lock = threading.Lock()

    def send(self, url: str, headers: dict[str, str], body: bytes) -> None:
        assert headers["webhook-id"] in body.decode()
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        if "slow" in url:
            assert self.go.wait(30)
        with self._lock:
            self.now -= 1
        if self.failure:
            raise self.failure


@contextmanager
def delivering(queue: Queue, receivers: Receivers) -> Iterator[Deliveries]:
    settings = Settings(
        name="o", listen="", proxies=("x",), secret="", runtime_directory="", webhook_slots=SLOTS, webhook_attempts=3
    )
    deliveries = Deliveries(queue, receivers, SECRET, settings)  # type: ignore[arg-type]  # it has what is called
    deliveries.start()
    try:
        yield deliveries
    finally:
        receivers.go.set()
        deliveries.close()


def due(id_: str, owner: str = "ann", host: str = "a", attempts: int = 1) -> Due:
    return msgspec.structs.replace(DUE, id=id_, owner=owner, url=f"https://{host}.example/", attempts=attempts)


def wait_until(holds: Callable[[], bool]) -> None:
    processes.wait_until(holds, timeout_s=30, what="the deliveries")


def test_a_slow_receiver_holds_up_its_owner_alone() -> None:
    queue = Queue(*(due(f"s{number}", host="slow") for number in range(20)), due("bob's", "bob"))
    receivers = Receivers()
    with delivering(queue, receivers):
        wait_until(lambda: ("bob's", "sent", None) in queue.ends)
        assert (receivers.now, len(queue.ends)) == (SLOTS // 4, 1)
        receivers.go.set()
        wait_until(lambda: len(queue.ends) == 21)
    assert receivers.most <= SLOTS


@pytest.mark.parametrize(
    ("failure", "attempts", "end"),
    [
        (None, 3, ("sent", None)),
        (NotDelivered("status_500"), 1, ("due", "status_500")),
        (NotDelivered("status_500"), 3, ("failed", "status_500")),
        (NotDelivered("address_inside", is_final=True), 1, ("failed", "address_inside")),
        (None, 4, ("failed", "vanished")),
    ],
    ids=["sent", "again", "the last time", "final", "its orchestrators vanished"],
)
def test_what_becomes_of_one_is_written(
    failure: NotDelivered | None, attempts: int, end: tuple[str, str | None]
) -> None:
    queue = Queue(due("d", attempts=attempts))
    with delivering(queue, Receivers(failure)):
        wait_until(lambda: bool(queue.ends))
    assert queue.ends == [("d", *end)]


def test_an_end_that_can_not_be_written_leaves_its_slot_free() -> None:
    queue = Queue(*(due(f"d{number}") for number in range(SLOTS)))
    queue.is_down = True
    receivers = Receivers()
    with delivering(queue, receivers):
        wait_until(lambda: queue.refused == SLOTS)
        queue.is_down = False
        queue.waiting.append(due("last"))
        wait_until(lambda: queue.ends == [("last", "sent", None)])


def test_one_that_is_told_to_end_begins_nothing_more_and_ends_what_it_has_begun() -> None:
    queue = Queue(due("s", host="slow"))
    receivers = Receivers()
    with delivering(queue, receivers) as deliveries:
        wait_until(lambda: receivers.now == 1)
        deliveries.stop()
        queue.waiting.append(due("later"))
        closing = threading.Thread(target=deliveries.close)
        closing.start()
        receivers.go.set()
        closing.join(30)
        assert queue.ends == [("s", "sent", None)]
        assert len(queue.waiting) == 1


class Proxies:
    """Proxies that keep what they are sent."""

    def __init__(self) -> None:
        self.sent: list[ProxyRequest] = []

    def post(self, body: bytes, **_: Any) -> Reply:
        self.sent.append(msgspec.json.decode(body, type=ProxyRequest))
        return Reply(200, {}, b'{"rows": [], "affected_rows": 1}')


@pytest.mark.parametrize("webhook", [None, DUE.url])
def test_a_webhook_is_queued_in_one_transaction_with_its_request(webhook: str | None) -> None:
    proxies = Proxies()
    request = ProxyRequest(query="SELECT 1", effect="read")
    asked = QueueRequest(id=DUE.id, owner="ann", fingerprint="0" * 64, request=request, webhook=webhook)
    Store(Statements(proxies)).add(asked, "r")
    (sent,) = proxies.sent
    tables = [each.query.split()[2] for each in sent.all_statements()]
    assert (sent.effect, tables) == ("queue", ["gatekeeper.requests", *(["gatekeeper.webhooks"] if webhook else [])])


def test_settings_for_webhooks_that_make_no_sense_are_refused() -> None:
    settings = Settings(
        name="o",
        listen="",
        proxies=("x",),
        secret="",
        runtime_directory="",
        webhook_networks=("10.0.0.1/8",),
        webhook_authority="/nonexistent",
    )
    with pytest.raises(SettingsError, match="webhook_networks"):
        outside_of(settings)
    with pytest.raises(SettingsError, match="webhook_authority"):
        sender_of(settings, Outside(()))


class Hostile:
    """A receiver over TLS that answers with these bytes, one piece after the other, and then no more."""

    def __init__(self, directory: Path, pieces: Callable[[], Iterator[bytes]], name: str = ADDRESS) -> None:
        names = [] if name == ADDRESS else [name]
        certificate, key = edge_certificate(directory, "hostile", names=names, addresses=[name] if not names else [])
        self.certificate = str(certificate)
        self.came = b""
        self._pieces = pieces
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._listener = socket.create_server((ADDRESS, 0))
        self.port = self._listener.getsockname()[1]
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(30)

    def send(self, timeout_s: float = 30.0, allowed: str = "127.0.0.0/8") -> None:
        sender = Sender(Outside(networks([allowed])), timeout_s, self.certificate)
        sender.send(f"https://{ADDRESS}:{self.port}/hook?a=b", {"webhook-id": "i"}, b"{}")

    def _serve(self) -> None:
        with suppress(OSError):
            plain, _ = self._listener.accept()
            with plain, self._context.wrap_socket(plain, server_side=True) as connection:
                while not self.came.endswith(b"{}"):
                    self.came += connection.recv(4096)
                for piece in self._pieces():
                    if self._closing.is_set():
                        break
                    connection.sendall(piece)


@contextmanager
def hostile(directory: Path, pieces: Callable[[], Iterator[bytes]], name: str = ADDRESS) -> Iterator[Hostile]:
    made = Hostile(directory, pieces, name)
    try:
        yield made
    finally:
        made.close()


def answering(*pieces: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: iter(pieces)


def endless(piece: bytes, pause_s: float = 0.0) -> Callable[[], Iterator[bytes]]:
    def pieces() -> Iterator[bytes]:
        while True:
            yield piece
            time.sleep(pause_s)

    return pieces


def test_what_is_sent_is_one_request_that_asks_for_no_more(tmp_path: Path) -> None:
    with hostile(tmp_path, answering(b"HTTP/1.1 20", b"4 No Content\r\n\r\n")) as receiver:
        receiver.send()
    head, _, body = receiver.came.partition(b"\r\n\r\n")
    first, *others = head.decode().split("\r\n")
    assert (first, body) == ("POST /hook?a=b HTTP/1.1", b"{}")
    expected = {f"Host: {ADDRESS}:{receiver.port}", "Content-Length: 2", "Connection: close", "webhook-id: i"}
    assert expected <= set(others)


@pytest.mark.parametrize(
    ("pieces", "reason", "is_final"),
    [
        (answering(b"HTTP/1.1 500 \r\n"), "status_500", False),
        (answering(b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1/\r\n\r\n"), "status_302", False),
        (answering(b"HTTP/1.1 410 Gone\r\n\r\n"), "status_410", True),
        (answering(), "no_answer", False),
        (answering(b"HTTP/1.1 200"), "no_answer", False),
        (answering(b"HTTP/1.1 100 Continue\r\n\r\n"), "no_answer", False),
        (answering(b"SSH-2.0-OpenSSH\r\n"), "no_answer", False),
        (endless(b"HTTP/1.1 200 " + b"x" * 1000), "no_answer", False),
    ],
    ids=["500", "302", "410", "nothing", "half a line", "100", "no HTTP", "an endless line"],
)
def test_whatever_is_answered_is_known_from_its_first_line(
    tmp_path: Path, pieces: Callable[[], Iterator[bytes]], reason: str, is_final: bool
) -> None:
    with hostile(tmp_path, pieces) as receiver, pytest.raises(NotDelivered) as failure:
        receiver.send()
    assert (str(failure.value), failure.value.is_final) == (reason, is_final)


def test_an_answer_in_drops_is_given_up_in_time(tmp_path: Path) -> None:
    with hostile(tmp_path, endless(b"H", 0.05)) as receiver, pytest.raises(NotDelivered, match="timed_out"):
        receiver.send(timeout_s=1.0)


def test_a_receiver_with_another_ones_certificate_is_told_nothing(tmp_path: Path) -> None:
    with hostile(tmp_path, answering(), "other.example") as receiver, pytest.raises(NotDelivered, match="certificate"):
        receiver.send()
    assert receiver.came == b""


def test_a_receiver_inside_is_not_even_connected_to(tmp_path: Path) -> None:
    with hostile(tmp_path, answering()) as receiver, pytest.raises(NotDelivered) as failure:
        receiver.send(allowed="127.9.0.0/16")
    assert (str(failure.value), failure.value.is_final, receiver.came) == ("address_inside", True, b"")


def test_a_host_that_is_not_there_is_unreachable() -> None:
    with socket.create_server((ADDRESS, 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(NotDelivered, match="unreachable"):
        Sender(Outside(networks(["127.0.0.0/8"])), 5.0).send(f"https://{ADDRESS}:{port}/", {}, b"")
