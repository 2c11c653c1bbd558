"""The load on a proxy over mutual TLS, which wrk can't: it presents no certificate. A process for each client."""

import contextlib
import random
import ssl
from collections.abc import Iterator, Sequence

from benchmark import forked
from benchmark.errors import LoadFailed
from benchmark.exchanges import Exchange
from benchmark.forked import Ask
from benchmark.measurement import Sample
from benchmark.raw_http import Channel
from benchmark.shapes import Keys
from contract.roles import dns_name
from deploy.certificates import Credentials


def context_of(credentials: Credentials) -> ssl.SSLContext:
    """What a client with these credentials shows, and what it trusts."""
    context = ssl.create_default_context(cafile=str(credentials.authority))
    context.load_cert_chain(credentials.certificate, credentials.key)
    return context


class TlsLoad:
    """Asks a proxy, HOST:PORT, over TLS if there is a context, with a kept connection for each client."""

    def __init__(self, address: str, exchanges: Sequence[Exchange], context: ssl.SSLContext | None) -> None:
        self._address = address
        self._exchanges = exchanges
        self._context = context

    def check(self) -> None:
        """Asks once. Raises LoadFailed unless the answer is right."""
        try:
            with self.connected(0) as ask:
                if not ask(random.Random(0)):
                    raise LoadFailed("answered without the row")
        except OSError as error:
            raise LoadFailed(f"does not answer: {error!r}") from None

    def measure(self, clients: int, seconds: int) -> Sample:
        """One run. Raises LoadFailed."""
        return forked.measure(self.connected, clients, seconds)

    @contextlib.contextmanager
    def connected(self, number: int) -> Iterator[Ask]:
        """A connection of the client of that number. Raises OSError."""
        keys = Keys(number)

        def ask(dice: random.Random) -> bool:
            exchange = dice.choice(self._exchanges)
            answer = channel.exchange(keys.put_into(exchange.request))
            return answer.status == exchange.status and exchange.expected in answer.body

        with Channel(self._address, self._context, dns_name("proxy")) as channel:
            yield ask
