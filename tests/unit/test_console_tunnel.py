"""How `fab console` reaches an orchestrator on a machine: through SSH, the first machine that can be reached."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from contract.inventory import Machine
from deploy.firewall import ORCHESTRATOR_PORT
from deploy.host import HostError
from deploy.tasks.console import _tunnel


class Connection:
    """A connection that notes what is forwarded while it is."""

    def __init__(self) -> None:
        self.forwarded: list[tuple[Any, ...]] = []

    @contextmanager
    def forward_local(self, *arguments: Any) -> Iterator[None]:
        self.forwarded.append(arguments)
        yield
        self.forwarded.clear()


class Host:
    def __init__(self, address: str, *, there: bool = True) -> None:
        self.machine = Machine(address, "orchestrator", "admin", "", "", "", address, 22, 3306, "running")
        self.there = there
        self.opened = Connection()

    def connection(self) -> Connection:
        if not self.there:
            raise HostError(f"{self.machine.name}: could not be reached")
        return self.opened


def tunnel(*hosts: Host) -> Any:
    return _tunnel(hosts)  # type: ignore[arg-type]  # they have what is called


def test_the_first_machine_that_is_reached_leads_to_its_own_orchestrator_from_loopback_alone() -> None:
    gone, there, other = Host("10.0.0.1", there=False), Host("10.0.0.2"), Host("10.0.0.3")
    with tunnel(gone, there, other) as url:
        ((port, *to),) = there.opened.forwarded
        assert url == f"https://127.0.0.1:{port}"
        assert to == [ORCHESTRATOR_PORT, "10.0.0.2", "127.0.0.1"]
        assert other.opened.forwarded == []
    assert there.opened.forwarded == []


@pytest.mark.parametrize(
    ("hosts", "said"),
    [((), "has no orchestrator"), ((Host("10.0.0.1", there=False),), "10.0.0.1: could not be reached")],
    ids=["none", "unreachable"],
)
def test_where_there_is_none_that_is_said(hosts: tuple[Host, ...], said: str) -> None:
    with pytest.raises(HostError, match=said), tunnel(*hosts):
        pass
