"""The routing strategies, which a request calls its implementation. Pure: they choose among values.

A strategy is a preference among the nodes that are fit to be used: where none of the kind that it prefers is left, it
chooses among the others, since an answer from another node (the answer names it) is better than none.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from contract.implementations import CUSTOMIZED_HIT, DIRECT_HIT, RANDOM_HIT

# Nodes whose ping is within a tenth of the best share the load, so that the fastest is not drowned.
_AS_FAST_AS_THE_BEST = 1.1


class Candidate(Protocol):
    """What a strategy looks at."""

    @property
    def role(self) -> str:
        """The machine's role in the inventory."""
        ...

    @property
    def ping_ms(self) -> float | None:
        """The smoothed round trip through the tunnel."""
        ...

    @property
    def in_flight(self) -> int:
        """Requests that the node is running for this proxy."""
        ...


Node = TypeVar("Node", bound=Candidate)


def direct_hit(nodes: Sequence[Node]) -> Node:
    """The manager, or the stand-alone server."""
    return min(_preferred(nodes, {"manager", "standalone"}), key=_ping)


def random_hit(nodes: Sequence[Node]) -> Node:
    """A data node by chance, each as likely as the other."""
    return random.choice(_preferred(nodes, {"data"}))  # noqa: S311 no secret


def customized_hit(nodes: Sequence[Node]) -> Node:
    """The data node that answers a ping fastest; among those about as fast, the one with fewest requests in flight."""
    preferred = _preferred(nodes, {"data"})
    limit = min(map(_ping, preferred)) * _AS_FAST_AS_THE_BEST
    return min((node for node in preferred if _ping(node) <= limit), key=lambda node: (node.in_flight, _ping(node)))


def _preferred(nodes: Sequence[Node], roles: set[str]) -> Sequence[Node]:
    return [node for node in nodes if node.role in roles] or nodes


def _ping(node: Candidate) -> float:
    return float("inf") if node.ping_ms is None else node.ping_ms


def choose(implementation: str, nodes: Sequence[Node]) -> Node:
    """The node for a request, of one or more, by the implementation's full name (contract/implementations.py)."""
    strategy: Callable[[Sequence[Node]], Node] = _STRATEGIES[implementation]
    return strategy(nodes)


_STRATEGIES: dict[str, Callable[..., Any]] = {
    DIRECT_HIT: direct_hit,
    RANDOM_HIT: random_hit,
    CUSTOMIZED_HIT: customized_hit,
}
