"""What stands behind the gatekeeper: proxies, and the orchestrators that keep what may wait."""

from typing import Protocol

from contract.peers import Peers, Reply
from gatekeeper.settings import Settings


class Upstream(Protocol):
    """What the gatekeeper forwards to; a test hands in another."""

    def post(
        self, body: bytes, *, request_id: str, accept: str, timeout_ms: int, is_read: bool, is_keyed: bool = False
    ) -> Reply:
        """Sends a judged request; one that is a read or has an idempotency key may be sent again.

        Raises GatekeeperError.
        """
        ...

    def ask(
        self,
        method: str,
        path: str,
        body: bytes,
        *,
        request_id: str,
        accept: str,
        timeout_ms: int,
        is_read: bool,
        is_keyed: bool = False,
        at: str | None = None,
        nowhere_else: bool = False,
    ) -> Reply:
        """Sends any other request, to the proxy at that URL first or alone. Raises GatekeeperError."""
        ...

    def urls(self) -> list[str]:
        """The proxies, the one that would be asked next first."""
        ...

    def get_each(self, path: str) -> list[bytes]:
        """The bodies of those proxies that answer a GET."""
        ...


class Proxies(Peers):
    """The deployment's proxies."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            settings.proxies,
            "proxy",
            settings.tls,
            connect_timeout_ms=settings.connect_timeout_ms,
            most_in_flight=settings.connections_per_proxy,
        )


def orchestrators_of(settings: Settings) -> Peers | None:
    """The deployment's orchestrators, None where it has none."""
    if not settings.orchestrators:
        return None
    return Peers(
        settings.orchestrators,
        "orchestrator",
        settings.tls,
        connect_timeout_ms=settings.connect_timeout_ms,
        most_in_flight=settings.connections_per_proxy,
    )
