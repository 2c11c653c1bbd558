"""The names of the routing strategies, called `implementation` in a request, and their aliases."""

from contract.errors import UnknownImplementation

DIRECT_HIT = "direct_hit"
RANDOM_HIT = "random_hit"
CUSTOMIZED_HIT = "customized_hit"
IMPLEMENTATIONS = (DIRECT_HIT, RANDOM_HIT, CUSTOMIZED_HIT)

_ALIASES = {
    "direct": DIRECT_HIT,
    "random": RANDOM_HIT,
    "customized": CUSTOMIZED_HIT,
    "ping": CUSTOMIZED_HIT,
    **{name: name for name in IMPLEMENTATIONS},
}


def canonical(name: str) -> str:
    """The implementation's full name for a name or an alias. Raises UnknownImplementation, which lists the known."""
    try:
        return _ALIASES[name]
    except KeyError:
        raise UnknownImplementation(f"unknown implementation; known are {', '.join(IMPLEMENTATIONS)}") from None
