"""A receiver of webhooks, and a system that may send to it: its policy allows that, and its orchestrator is told so."""

import contextlib
import ssl
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

from deploy import toml
from deploy.edge_certificate import edge_certificate
from deploy.ports import Ports
from gatekeeper import keys
from tests.live.gatekeeper_fixtures import ADDRESS, OwnGatekeeper
from tests.live.proxy_fixtures import wait_until
from tests.live.system_fixtures import LiveSystem

# An address inside that the orchestrators may send to, and one that they may not.
RECEIVER, INSIDE = "127.0.0.3", "127.0.0.2"

POLICY = """
[roles.app]
kinds = ["select"]
read = ["rental.film"]
default_database = "rental"
webhooks = ["https://{receiver}/hooks/", "https://{inside}/", "https://localhost:{port}/"]

[roles.without]
kinds = ["select"]
read = ["rental.film"]
"""


class Told:
    """A webhook that came."""

    def __init__(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.path, self.headers, self.body = path, headers, body


class Receiver:
    """Takes webhooks over HTTPS. `answers`: the statuses in turn, by path, the last for ever; others are 204.

    While `held` is not set, nothing is answered.
    """

    def __init__(self, directory: Path) -> None:
        names = {"names": ["localhost"], "addresses": [RECEIVER]}
        self.certificate, key = edge_certificate(directory, "receiver", **names)
        self.came: list[Told] = []
        self.answers: dict[str, list[int]] = {}
        self.go_on = threading.Event()
        self.go_on.set()
        self._server = ThreadingHTTPServer((RECEIVER, 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def url(self, path: str) -> str:
        return f"https://{RECEIVER}:{self.port}{path}"

    def at(self, path: str) -> list[Told]:
        return [told for told in self.came if told.path == path]

    def close(self) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.came.append(Told(self.path, dict(self.headers), body))
                receiver.go_on.wait(60)
                left = receiver.answers.get(self.path, [204])
                with contextlib.suppress(OSError):  # whoever asked may be gone
                    self.send_response(left.pop(0) if len(left) > 1 else left[0])
                    self.send_header("Location", receiver.url("/hooks/elsewhere"))
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 its name there
                """Says nothing."""

        return Handler


class Telling(OwnGatekeeper):
    """A gatekeeper in front of a system's orchestrator whose policy lets a role have webhooks; with a second key."""

    def __init__(self, directory: Path, ports: Ports, system: LiveSystem, receiver: Receiver) -> None:
        settings = tomllib.loads(system.services.gatekeeper.settings.read_text(encoding="utf-8"))
        settings.pop("metrics_listen")
        tables = {"tls": settings.pop("tls")}
        parts = {"receiver": f"{RECEIVER}:{receiver.port}", "inside": f"{INSIDE}:{receiver.port}"}
        policy = POLICY.format(**parts, port=receiver.port)
        super().__init__(directory, ports, policy, "app", settings=settings, tables=tables)
        self.other = keys.add(self.keys, "other", "app")
        self.without = keys.add(self.keys, "without", "without")

    def ask(
        self, method: str, path: str, key: str = "", idempotency_key: str | None = None, **body: Any
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {key or self.key}"}
        headers |= {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return requests.request(method, f"http://{self.address}{path}", json=body or None, headers=headers, timeout=60)

    def accepting(self, webhook: str, query: str = "SELECT 1", **members: Any) -> requests.Response:
        return self.ask("POST", "/new-requests", query=query, webhook=webhook, **members)

    def post(self, webhook: str, query: str = "SELECT 1", **members: Any) -> str:
        """The id of a request that must be accepted."""
        response = self.accepting(webhook, query, **members)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def post_at_last(self, webhook: str, idempotency_key: str) -> str:
        """The same, asked for until it is accepted while an orchestrator is being started again."""
        answers: list[requests.Response] = []

        def accepted() -> bool:
            answers.append(self.accepting(webhook, idempotency_key=idempotency_key))
            assert answers[-1].status_code == 202 or answers[-1].json()["retryable"], answers[-1].text
            return answers[-1].status_code == 202

        wait_until(accepted, 60)
        return str(answers[-1].json()["id"])

    def webhook(self, id_: str) -> dict[str, Any]:
        """How the webhook of a request is, asked for again while an orchestrator is being started again."""
        answers: list[requests.Response] = []

        def answered() -> bool:
            answers.append(self.ask("GET", f"/new-requests/{id_}"))
            return answers[-1].status_code == 200

        wait_until(answered, 60)
        found: dict[str, Any] = answers[-1].json()["webhook"]
        return found

    def ended(self, id_: str) -> dict[str, Any]:
        """How the webhook ended, which it must."""
        wait_until(lambda: self.webhook(id_)["state"] in {"sent", "failed"}, 90)
        return self.webhook(id_)


@contextlib.contextmanager
def telling(system: LiveSystem, receiver: Receiver, directory: Path) -> Iterator[Telling]:
    """The system's orchestrator may send to the receiver, and soon tries again, until this ends."""
    path = system.services.orchestrators[0].settings
    before = path.read_text(encoding="utf-8")
    settings = tomllib.loads(before)
    tls = settings.pop("tls")
    settings |= {"webhook_networks": [f"{RECEIVER}/32"], "webhook_authority": str(receiver.certificate)}
    settings |= {"webhook_attempts": 3, "webhook_pause_ms": 50, "webhook_timeout_ms": 3000, "lease_ms": 2000}
    try:
        path.write_text(toml.render(settings, {"tls": tls}))
        system.kill_whole("orchestrator1")
        with Ports(ADDRESS) as ports:
            made = Telling(directory, ports, system, receiver)
            with made.running():
                yield made
    finally:
        path.write_text(before)
        system.kill_whole("orchestrator1")
