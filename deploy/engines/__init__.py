"""Database engines, by name: how their servers are installed, configured, started, checked and recovered."""

from deploy.engines.galera import Galera
from deploy.engines.interface import Engine
from deploy.engines.standalone import Standalone

ENGINES: dict[str, Engine] = {engine.name: engine for engine in (Galera(), Standalone())}


class UnknownEngine(ValueError):
    """No engine of that name; the message lists the known ones."""


def engine(name: str) -> Engine:
    """The engine of that name. Raises UnknownEngine."""
    try:
        return ENGINES[name]
    except KeyError:
        raise UnknownEngine(f"unknown engine {name!r}; known are {', '.join(sorted(ENGINES))}") from None
