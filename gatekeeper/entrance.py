"""The entrance: who comes in, and how much at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from contract.errors import Unauthenticated
from contract.watched import Watched
from gatekeeper.guesses import Guesses, network_of
from gatekeeper.judge import Judge
from gatekeeper.keys import Key, KeyStore
from gatekeeper.rates import Budget, Limits, Rates


class Caller(msgspec.Struct, frozen=True):
    """Who asks, as the request says it: its Authorization, the peer's address, and its X-Forwarded-For."""

    authorization: str | None
    peer: str
    forwarded_for: str


class Entrance:
    """Lets in who has a good key, within its limits and those of its role; `trusted_proxy` names clients' addresses."""

    def __init__(self, keys: KeyStore, guesses: Guesses, rates: Rates, trusted_proxy: str | None) -> None:
        self._keys = keys
        self._guesses = guesses
        self._rates = rates
        self._trusted_proxy = trusted_proxy

    def authenticate(self, caller: Caller) -> Key:
        """The key of a request. Raises Unauthenticated, or RateLimited where too many others have been before."""
        try:
            return self._keys.authenticate(caller.authorization)
        except Unauthenticated:
            self._guesses.count(network_of(caller.peer, caller.forwarded_for, self._trusted_proxy))
            raise

    def take(self, key: Key, shared: Limits) -> Callable[[], None]:
        """Counts a request of the key, also in what its role's keys share; what is returned ends it, to be called once.

        Raises RateLimited and Unavailable, as Rates does.
        """
        return self._rates.take(Budget("key", key.name, key.limits), Budget("role", key.role, shared))


@contextmanager
def visit(entrance: Entrance, judges: Watched[Judge], caller: Caller) -> Iterator[Key]:
    """The key of a request without a statement, which counts for its limits like any other. Raises GatekeeperError."""
    key = entrance.authenticate(caller)
    judge = judges.current()
    leave = entrance.take(key, judge.limits(key.role))
    try:
        if expired := judge.expired(key.role):
            raise expired.exception()
        yield key
    finally:
        leave()
