"""One machine by SSH: run a script there as root, with what it printed, its status, and an end to every wait.

`look` is for scripts that change nothing; `sudo` and `attempt` are for all others. A dry run's hosts (deploy/dry.py)
send what `look` takes and nothing else.

Host keys are known beforehand and always checked. Fabric connects (through the jump host where there is one); scripts
run over a channel of the same connection, because Fabric's own `run` takes standard input byte by byte and has no
bound on opening a session on a host that has vanished.
"""

import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import paramiko
from fabric import Config, Connection

from contract.inventory import Machine

CONNECT_TIMEOUT_S: Final = 15
COMMAND_TIMEOUT_S: Final = 120.0
# A peer that acknowledges nothing for this long is gone: TCP_USER_TIMEOUT of tcp(7), in ms.
_UNACKNOWLEDGED_MS: Final = 20_000
_KEEPALIVE_S: Final = 5
_CHUNK: Final = 1 << 16
_TOLD: Final = 2000
# Runs its arguments where every file is read-only: a mount namespace of its own (unshare(1)), not the machine's.
_READ_ONLY: Final = """\
while read -r _ path _; do mount -o remount,bind,ro "$(printf %b "$path")" 2>/dev/null || [ "$path" != / ] || exit 1
done </proc/self/mounts; exec "$@"
"""


class HostError(RuntimeError):
    """A machine could not be reached, or a script on it failed; the message names the machine."""


class Done(msgspec.Struct, frozen=True):
    """What a script printed on standard output, what on standard error, and its exit status."""

    text: str
    errors: str
    status: int


class Access(msgspec.Struct, frozen=True):
    """How the operator reaches the cluster's machines. Both files are the operator's alone."""

    private_key: Path
    known_hosts: Path
    jump: Machine | None = None


class Host:
    """A machine and the connection to it, which is opened when it is first needed. One thread at a time may use it.

    `is_dry`: nothing is changed by it; `unwritten`: the files that would have been written or switched.
    """

    is_dry = False

    def __init__(self, machine: Machine, access: Access) -> None:
        self.machine = machine
        self.name = machine.name
        self.access = access
        self._connection: Connection | None = None
        self.unwritten: set[str] = set()
        self._turn = threading.Lock()

    def look(
        self,
        script: str,
        *,
        new: str = "",  # noqa: ARG002 - a dry run's
        timeout_s: float = COMMAND_TIMEOUT_S,
        given: bytes | BinaryIO = b"",
        read_only: bool = False,
    ) -> str:
        """Runs a bash script that changes nothing, as root, and returns what it printed. Raises HostError.

        `new`: what a machine would print that has just been made. `read_only`: the script can't write to any file.
        """
        return self._text(script, self._run(script, timeout_s, given, read_only=read_only))

    def sudo(self, script: str, *, timeout_s: float = COMMAND_TIMEOUT_S, given: bytes | BinaryIO = b"") -> str:
        """Runs a bash script as root and returns what it printed; `given` is its standard input. Raises HostError."""
        return self._text(script, self.attempt(script, timeout_s=timeout_s, given=given))

    def attempt(self, script: str, *, timeout_s: float = COMMAND_TIMEOUT_S, given: bytes | BinaryIO = b"") -> Done:
        """The same, whatever the status is. Raises HostError when it can't be run, or not to its end in time."""
        return self._run(script, timeout_s, given)

    def _run(self, script: str, timeout_s: float, given: bytes | BinaryIO, *, read_only: bool = False) -> Done:
        """All that is sent to the machine.

        `sudo` elevates a single command, so the script is one argument of one bash. No secret belongs in it: it can
        be seen in the process list, what is given on standard input can't.
        """
        words = ["bash", "-euo", "pipefail", "-c"]
        apart = ["unshare", "--mount", "--propagation", "private", *words, _READ_ONLY, "bash"] if read_only else []
        command = shlex.join(["sudo", "-n", *apart, *words, script])
        deadline = time.monotonic() + timeout_s
        with self._turn:
            with self._failing("connect", CONNECT_TIMEOUT_S):
                transport = self._transport()
            with self._failing(script, timeout_s), transport.open_session(timeout=CONNECT_TIMEOUT_S) as channel:
                channel.settimeout(timeout_s)
                channel.exec_command(command)
                _send(channel, given)
                return _result(channel, deadline)

    def _text(self, script: str, done: Done) -> str:
        if done.status != 0:
            told = (done.errors or done.text).strip()[-_TOLD:]
            raise HostError(f"{self.name}: {_first_line(script)!r} ended with status {done.status}: {told}")
        return done.text

    def close(self) -> None:
        """Ends the connection; the next script opens another."""
        if self._connection is not None:
            with suppress(Exception):  # it may be broken already
                self._connection.close()
            self._connection = None

    def connection(self) -> Connection:
        """The Fabric connection, open. Raises HostError."""
        with self._failing("connect", CONNECT_TIMEOUT_S):
            self._transport()
        assert self._connection is not None
        return self._connection

    def _transport(self) -> paramiko.Transport:
        if self._connection is None or not self._connection.is_connected:
            self._connection = _open(self.machine, self.access)
        transport: paramiko.Transport = self._connection.transport
        return transport

    @contextmanager
    def _failing(self, script: str, timeout_s: float) -> Iterator[None]:
        what = _first_line(script)
        try:
            yield
        except paramiko.BadHostKeyException:
            self.close()
            raise HostError(f"{self.name}: its host key is not the known one; somebody may be in between") from None
        except paramiko.AuthenticationException:
            raise HostError(f"{self.name}: it does not accept the key {self.access.private_key.name}") from None
        except TimeoutError:
            self.close()
            raise HostError(f"{self.name}: {what!r} did not end within {timeout_s:g} s") from None
        except (OSError, EOFError, paramiko.SSHException) as error:
            self.close()
            raise HostError(f"{self.name}: {what!r} could not be run: {str(error) or type(error).__name__}") from None


def _open(machine: Machine, access: Access) -> Connection:
    jump = None if machine.public_ip_address else access.jump
    gateway = _open(jump, msgspec.structs.replace(access, jump=None)) if jump else None
    address = machine.ssh_address if gateway else machine.public_ip_address or machine.private_ip_address
    connection = Connection(
        address,
        user=machine.user_name,
        port=machine.ssh_port,
        gateway=gateway,
        config=Config(overrides={"load_ssh_configs": False}),
        connect_timeout=CONNECT_TIMEOUT_S,
        connect_kwargs={
            "key_filename": str(access.private_key),
            "allow_agent": False,
            "look_for_keys": False,
            "banner_timeout": CONNECT_TIMEOUT_S,
            "auth_timeout": CONNECT_TIMEOUT_S,
        },
    )
    connection.client.load_host_keys(str(access.known_hosts))
    connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    connection.open()
    connection.transport.set_keepalive(_KEEPALIVE_S)
    with suppress(OSError, AttributeError):  # through a jump host it is a channel, which has no such option
        connection.transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
    return connection


def _send(channel: paramiko.Channel, given: bytes | BinaryIO) -> None:
    """Gives the script its input; one that ended without reading all of it is judged by its status."""
    with suppress(OSError):
        if isinstance(given, bytes):
            channel.sendall(given)
        else:
            while chunk := given.read(_CHUNK):
                channel.sendall(chunk)
        channel.shutdown_write()


def _result(channel: paramiko.Channel, deadline: float) -> Done:
    """Reads both outputs to their ends: whichever is read first, the other has 2 MiB of room (paramiko's window)."""
    text = _read(channel, channel.recv, deadline)
    errors = _read(channel, channel.recv_stderr, deadline)
    if not channel.status_event.wait(max(0.0, deadline - time.monotonic())):
        raise TimeoutError
    if channel.exit_status < 0:
        raise OSError("a signal ended it, or the connection was lost")
    return Done(text, errors, channel.exit_status)


def _read(channel: paramiko.Channel, receive: Callable[[int], bytes], deadline: float) -> str:
    parts: list[bytes] = []
    while True:
        channel.settimeout(max(0.001, deadline - time.monotonic()))
        if not (part := receive(_CHUNK)):
            return b"".join(parts).decode(errors="replace")
        parts.append(part)


def _first_line(script: str) -> str:
    """What a message calls the script: its first line, which may be a comment that says what it does."""
    return next((line.strip() for line in script.splitlines() if line.strip()), "").removeprefix("# ")[:100]
