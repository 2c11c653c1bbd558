"""What runs side by side where several processes run the tests, as `make test` has it: a plugin of pytest-xdist.

A share is what one process runs, one test after the other: files whose tests take the same cluster, system or machines,
each of which is slow to start, or else a file. Any division gives the same results; a good one takes less time.
"""

import contextlib
import os
import signal
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# How long a process may take to take down what it runs. pytest-xdist would wait for 10 s.
_ENDED_WITHIN_S = 60.0

_processes: list[Any] = []


def _live(names: str) -> tuple[str, ...]:
    return tuple(f"tests/live/test_{name}.py" for name in names.split())


# What the names of a share's files begin with. Shares begin in this order, the longest first, and then the other files.
_SHARES = {
    # Both wait for an image of machines that one of them makes.
    "rehearsal": ("tests/rehearsal/",),
    "fleet": ("tests/fleet/",),
    "system, killed": _live("chaos exactly_once_killed orchestrator webhooks"),
    "system, disturbed": _live("console_page faults readme slow succession"),
    "system": _live(
        "audit benchmark borders console gateway learning nginx orm planted queue_border schema smuggling"
        " tls transactions turns types"
    ),
    # A process gets another share when two tests are left: behind the rehearsal, which has few, comes this short one.
    "short": ("tests/unit/test_docs.py",),
    "cluster": _live(
        "accounts calls cluster cluster_ssh consistency crashing exactly_once hedging routing second_wall trouble"
    ),
}


class Shares(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """Gives each process a share, and another one when it is done with it."""

    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid)


def share_of(name: str) -> str:
    """The share of the test of that name."""
    file = name.partition("::")[0]
    return next((share for share, begins in _SHARES.items() if file.startswith(begins)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Shares:
    """Divides the tests by their shares, whatever `--dist` says."""
    config.option.loadscopereorder = False
    return Shares(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In one of several processes, puts the shares in their order."""
    if hasattr(config, "workerinput"):
        order = {share: number for number, share in enumerate(_SHARES)}
        items.sort(key=lambda item: order.get(share_of(item.nodeid), len(order)))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodeready(node: Any) -> None:
    """Remembers the processes."""
    _processes.append(node)


def pytest_keyboard_interrupt() -> None:
    """Lets every process, which has had the terminal's signal too, take down what it runs."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    for process in _processes:
        with contextlib.suppress(process.channel.TimeoutError, process.channel.RemoteError):
            process.channel.waitclose(_ENDED_WITHIN_S)
