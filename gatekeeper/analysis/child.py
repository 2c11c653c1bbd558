"""The process that analyses statements for a gatekeeper's worker (apart.py). Its standard input is the socket.

It ends when the worker's end of the socket is closed. A job that takes too long ends it: SIGPROF and SIGALRM do so by
default, in the kernel, whatever the parser is doing. No core is written, as it would hold statements.
"""

import resource
import signal
import socket
from collections.abc import Callable

import msgspec

from contract.errors import Forbidden, StatementUnparsable
from gatekeeper.analysis import Analysis, analyse
from gatekeeper.analysis.apart import CLOCK_LIMIT_MS, PROCESSOR_LIMIT_MS, Done, Job, Refused, receive, send

# Far beyond what the limits on statements let a parser use (measured: under 100 MB).
_MAX_MEMORY = 1 << 30
_TIMERS = (signal.SIGPROF, signal.SIGALRM)


def main(work: Callable[[str, str | None], Analysis] = analyse) -> None:
    """Serves until the end of file."""
    _restrict()
    work("SELECT a FROM t WHERE b = 1", None)  # first calls are slow, and are not a job's
    with socket.socket(fileno=0) as worker:
        worker.setblocking(True)
        send(worker, b"ready")
        try:
            while True:
                job = msgspec.msgpack.decode(receive(worker), type=Job)
                send(worker, msgspec.msgpack.encode(_timed(work, job)))
        except (EOFError, OSError):
            return


def _restrict() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY, _MAX_MEMORY))
    # Signals for the whole process group are the worker's to follow; this process ends with it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for number in _TIMERS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _TIMERS)


def _timed(work: Callable[[str, str | None], Analysis], job: Job) -> Done:
    signal.setitimer(signal.ITIMER_PROF, PROCESSOR_LIMIT_MS / 1000)
    signal.setitimer(signal.ITIMER_REAL, CLOCK_LIMIT_MS / 1000)
    try:
        return Done(analysis=work(job.text, job.schema))
    except (Forbidden, StatementUnparsable) as error:
        return Done(refused=Refused(isinstance(error, Forbidden), error.detail, error.rule))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    main()
