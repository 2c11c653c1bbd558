"""Providers give machines, by name. `deploy` doesn't know which one it runs on."""

from collections.abc import Callable
from typing import Protocol

from contract.inventory import Machine
from deploy.providers.loopback import Loopback, Settings


class Provider(Protocol):
    """What a provider does. All three may be repeated without harm."""

    def launch(self) -> tuple[Machine, ...]:
        """See to it that the machines exist and can be reached, and return them."""

    def find(self) -> tuple[Machine, ...]:
        """The machines that exist, with their states; none when nothing was launched."""

    def destroy(self) -> None:
        """Remove the machines and everything that belongs to them."""


PROVIDERS: dict[str, Callable[[Settings], Provider]] = {"loopback": Loopback}


class UnknownProvider(ValueError):
    """No provider of that name; the message lists the known ones."""


def provider(name: str, settings: Settings) -> Provider:
    """The provider of that name, for one cluster. Raises UnknownProvider."""
    try:
        return PROVIDERS[name](settings)
    except KeyError:
        raise UnknownProvider(f"unknown provider {name!r}; known are {', '.join(sorted(PROVIDERS))}") from None
