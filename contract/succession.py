"""How a new process takes the place of a running service without a request refused.

The running master gets SIGUSR2 and starts another one, with the code that is on the disk then, which inherits the
listening socket. When a worker of the new one serves, it tells the old master to end, which drains (serving.py). A
new one that does not get so far ends, and the old one goes on. See: https://gunicorn.org/reference/signals/ (upgrading
to a new binary on the fly).
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog
from gunicorn import systemd

log = structlog.get_logger()

# How long a new process and its predecessor may both be there: it starts, and the other ends what is under way.
TAKEOVER_LIMIT_S = 120.0

_PREDECESSOR = "GUNICORN_PID"  # gunicorn's own name for it, in the environment of the one that it starts
_PAUSE_S = 0.2


def has_predecessor() -> bool:
    """Whether this process, or its master, was started by a running service to take its place."""
    return _PREDECESSOR in os.environ


def retire_predecessor(worker: Any) -> None:
    """For gunicorn's `post_worker_init`: ends the predecessor, now that this worker serves.

    systemd is told before which process is the unit's main one from now on: not when the new master starts, because
    systemd would end the whole unit with a main process that failed.
    """
    master = os.getppid()
    pid = _predecessor()
    # The new master is its predecessor's child; one whose predecessor died has another parent.
    if pid and pid == _parent_of(master):
        systemd.sd_notify(f"MAINPID={master}", worker.log)
        log.info("predecessor_retired", predecessor=pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def limit_takeover(_server: Any) -> None:
    """For gunicorn's `when_ready`: ends this master when it has not taken over in time, so that the next one can try.

    The predecessor starts no other while this one is there.
    """
    if has_predecessor():
        threading.Thread(target=_give_up, args=(_predecessor(), TAKEOVER_LIMIT_S), daemon=True).start()


def say_failure(server: Any) -> None:
    """For gunicorn's `on_exit`: says when this process ends before it has taken over."""
    if has_predecessor() and os.getppid() == _predecessor():
        server.log.error("The succession failed: this process ends before its predecessor (pid:%s)", _predecessor())


def when_free(bind: Callable[[], object], what: str) -> None:
    """Binds an address that one who is just ending may still hold: now, or in the background when it is free.

    `what` does without it when that takes longer than a takeover; that is logged.
    """
    try:
        bind()
    except OSError:
        threading.Thread(target=_bind, args=(bind, what), name=what, daemon=True).start()


def _bind(bind: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + TAKEOVER_LIMIT_S
    reason: str | None = None
    while time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
        try:
            bind()
        except OSError as error:
            reason = error.strerror
        else:
            return
    log.error(f"no_{what}", reason=reason)


def _give_up(predecessor: int, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
        if os.getppid() != predecessor:
            return
    os.kill(os.getpid(), signal.SIGINT)  # at once: it serves nothing


def _predecessor() -> int:
    return int(os.environ.get(_PREDECESSOR, "0"))


def _parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:  # noqa: PTH123 as proc(5) has it
        # The name stands in parentheses and may hold any character.
        return int(file.read().rpartition(")")[2].split()[1])
