"""What counts as a statement that was answered before, and so makes no server crash (proxy/router.py)."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from contract.messages import ProxyRequest
from proxy.cluster import Cluster
from proxy.router import Lease, Router
from proxy.settings import Settings

LARGE = "x" * 1000


class Answering(Router):
    """A router whose nodes answer everything."""

    def reach(self, *_: Any, **__: Any) -> tuple[Any, Lease]:
        return None, cast("Lease", None)


def reading(*params: Any) -> ProxyRequest:
    return ProxyRequest(query="SELECT ?", params=list(params), effect="read")


@pytest.fixture
def router() -> Router:
    return Answering(cast("Cluster", None), cast("Settings", SimpleNamespace(max_in_flight=1)))


def test_a_statement_is_known_with_whatever_small_values(router: Router) -> None:
    assert not router.has_answered(reading(1))
    router.run(reading(1), lambda _lease, _statements: None)
    assert router.has_answered(reading("another"))


def test_a_statement_that_was_answered_is_another_one_with_large_values(router: Router) -> None:
    router.run(reading(1), lambda _lease, _statements: None)
    router.run(reading(LARGE), lambda _lease, _statements: None)
    assert router.has_answered(reading(LARGE))
    assert not router.has_answered(reading(LARGE + "x"))
    assert not router.has_answered(reading({"$bytes": LARGE}))
