"""Analysis in a process apart, for the statements that are not simple: one that hangs or crashes the parser is refused.

sqlglot can't be interrupted, and its compiled form can crash the process. So a worker sends what is not simple
(limits.Load) to a child of its own: one at a time, over a socket pair, which gevent makes cooperative. The limits
are kept by the kernel: two timers whose default action ends the child (child.py). The worker starts another one when it
is needed next. The child reads an end of file when its worker dies, however that happens, and ends.
"""

import atexit
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from contract.errors import Forbidden, GatekeeperError, StatementUnparsable, Unavailable
from gatekeeper.analysis import Analysis

MODULE: Final = "gatekeeper.analysis.child"
# What a statement may take: processor time, and time by the clock where the machine is busy.
PROCESSOR_LIMIT_MS: Final = 250
CLOCK_LIMIT_MS: Final = 1_000
# How long a statement waits for those before it, in seconds.
TURN_S: Final = 5.0
# The worker's own limits, for a child that does not even end: seconds for its start and its answer.
_START_S = 15.0
_ANSWER_S = CLOCK_LIMIT_MS / 1000 + 1.0
_MAX_ANSWER = 64 << 20
_ROOT = Path(__file__).parents[2]


class Stopped(Exception):
    """The analysis was ended, or ended itself, without an answer. Not remembered: the machine may have been busy."""


class Job(msgspec.Struct, frozen=True, array_like=True):
    """A statement for the child, and the default schema."""

    text: str
    schema: str | None


class Refused(msgspec.Struct, frozen=True, array_like=True):
    """A refusal on its way back: `forbidden` or StatementUnparsable."""

    forbidden: bool
    detail: str
    rule: str | None

    def error(self) -> GatekeeperError:
        """The error that the child raised."""
        return (Forbidden if self.forbidden else StatementUnparsable)(self.detail, rule=self.rule)


class Done(msgspec.Struct, frozen=True, array_like=True):
    """What came of a job: one of the two."""

    analysis: Analysis | None = None
    refused: Refused | None = None


class Apart:
    """Analyses in a child process, which is started where there is none. Safe between threads and greenlets.

    `command` starts the child; a test hands in another. `turn_s`: how long a statement waits for those before it.
    """

    def __init__(self, command: Sequence[str] = (sys.executable, "-m", MODULE), turn_s: float = TURN_S) -> None:
        self._command = command
        self._turn_s = turn_s
        self._turn = threading.Lock()
        self._child: _Child | None = None

    def analyse(self, text: str, schema: str | None) -> Analysis:
        """As analysis.analyse. Raises what that raises, Stopped, or Unavailable when others take too long before."""
        job = msgspec.msgpack.encode(Job(text, schema))
        if not self._turn.acquire(timeout=self._turn_s):
            raise Unavailable("too many large statements at once", rule="limit")
        try:
            done = self._asked(job)
        finally:
            self._turn.release()
        if done.refused:
            raise done.refused.error()
        if done.analysis is None:
            raise Stopped("no answer")
        return done.analysis

    def start(self) -> None:
        """Starts the child, and does not wait for it: the first statement that needs it waits less."""
        with self._turn, contextlib.suppress(OSError):  # which the first statement meets again
            self._serving()

    def close(self) -> None:
        """Ends the child; the next analysis starts another."""
        child, self._child = self._child, None
        if child and child.is_mine():
            child.end()

    def _asked(self, job: bytes) -> Done:
        """The child's answer. Whatever goes wrong, a child that owes one is not asked again."""
        whole = False
        try:
            done = msgspec.msgpack.decode(self._serving().ask(job), type=Done)
            whole = True
        except (OSError, EOFError, msgspec.DecodeError) as error:
            raise Stopped(type(error).__name__) from None
        finally:
            if not whole:
                self.close()
        return done

    def _serving(self) -> "_Child":
        """The child, or a new one in the place of one that ended, or that only the process before a fork has."""
        if self._child and not self._child.is_alive():
            self.close()
        self._child = self._child or _Child(self._command)
        return self._child


@cache
def shared() -> Apart:
    """The one of this process, started, and ended with the process."""
    apart = Apart()
    atexit.register(apart.close)
    apart.start()
    return apart


class _Child:
    """The process and the socket to it. Raises OSError and EOFError where it does not serve."""

    def __init__(self, command: Sequence[str]) -> None:
        self._owner = os.getpid()
        self._socket, theirs = socket.socketpair()
        with theirs:
            # No environment: the child needs none, and what is not there can't be read from it.
            self._process = subprocess.Popen(
                command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=_ROOT, env={}
            )
        self._started = False

    def is_mine(self) -> bool:
        """Whether it is this process's child, and not that of the process which this one was forked from."""
        return self._owner == os.getpid()

    def is_alive(self) -> bool:
        """Whether it can be asked, as far as is known."""
        return self.is_mine() and self._process.poll() is None

    def ask(self, job: bytes) -> bytes:
        """Sends a job and waits for the answer."""
        if not self._started:
            self._socket.settimeout(_START_S)
            receive(self._socket)
            self._started = True
        self._socket.settimeout(_ANSWER_S)
        send(self._socket, job)
        return receive(self._socket)

    def end(self) -> None:
        """Kills it, and leaves no zombie."""
        self._socket.close()
        self._process.kill()
        self._process.wait()


def send(peer: socket.socket, message: bytes) -> None:
    """Sends a message with its length before it."""
    peer.sendall(len(message).to_bytes(4, "big") + message)


def receive(peer: socket.socket) -> bytes:
    """The next message. Raises EOFError at the end, OSError (also TimeoutError) where it does not come."""
    length = int.from_bytes(_exactly(peer, 4), "big")
    if length > _MAX_ANSWER:
        raise EOFError("no message is that long")
    return _exactly(peer, length)


def _exactly(peer: socket.socket, length: int) -> bytes:
    parts = []
    while length:
        part = peer.recv(min(length, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
