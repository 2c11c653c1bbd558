"""The system's ssh as a child process: a Unix socket here, one SSH connection, a channel a database connection."""

import contextlib
import os
import secrets
import subprocess
import tempfile
import time
from typing import IO

from proxy.tunnels.base import HostKeyMismatch, LocalEnd, Target, TunnelError

# ssh_config(5). Alive checks find a dead peer in 3 s; the prober's own time-out is usually first.
_OPTIONS = (
    "BatchMode=yes",
    "IdentitiesOnly=yes",
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=/dev/null",
    "UpdateHostKeys=no",
    "ExitOnForwardFailure=yes",
    "ServerAliveInterval=1",
    "ServerAliveCountMax=3",
    "StreamLocalBindUnlink=yes",
    "StreamLocalBindMask=0177",
    "Compression=no",
    "ForwardAgent=no",
    "LogLevel=ERROR",
    # AES-GCM first: hardware does it on every server of the last ten years (measured in docs/benchmarks.md).
    "Ciphers=aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com",
)
_POLL_S = 0.01


class OpensshTunnel:
    """`ssh -N -L SOCKET:SQL_ADDRESS:SQL_PORT` to one node; the kernel ends it when this process dies."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._socket = target.runtime_directory / f"{target.machine.name}-{secrets.token_hex(3)}.sock"
        self._control = self._socket.with_suffix(".ctl")
        self._process: subprocess.Popen[bytes] | None = None

    def open(self) -> LocalEnd:
        """Starts ssh and waits for its socket, which it makes once it has logged in. Raises TunnelError."""
        with tempfile.TemporaryFile() as errors:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"},
            )
            try:
                self._wait(self._process, errors)
                self._ask_for_no_delay()
            except BaseException:
                self.close()
                raise
        return LocalEnd(unix_socket=str(self._socket))

    def alive(self) -> bool:
        """Whether the ssh process runs."""
        return self._process is not None and self._process.poll() is None

    def close(self) -> None:
        """Ends the ssh process, with SIGKILL if need be, and removes the socket."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(timeout=1)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._socket.unlink(missing_ok=True)
        self._control.unlink(missing_ok=True)

    def _ask_for_no_delay(self) -> None:
        """Opens a session, which the host's settings end at once, so that sshd sets TCP_NODELAY on the connection.

        sshd does so when a session starts, not for forwarding alone (session.c, do_exec_no_pty; packet.c,
        ssh_packet_set_interactive). Without it the second of two small replies waits for the client's delayed
        acknowledgement, 40 ms, which a pipelined reset runs into (benchmark/tunnels.py). A refusal costs speed only.
        """
        command = ["ssh", "-F", "none", "-T", "-S", str(self._control), "--", "tunnel", "true"]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=self._target.connect_timeout_ms / 1000,
                check=False,
            )

    def _command(self) -> list[str]:
        machine = self._target.machine
        sql_address = f"[{machine.sql_address}]" if ":" in machine.sql_address else machine.sql_address
        options = (
            *_OPTIONS,
            f'UserKnownHostsFile="{self._target.known_hosts}"',
            f"ConnectTimeout={max(1, self._target.connect_timeout_ms // 1000)}",
        )
        return [
            # The child is told to end when the thread that started it does, so that kill -9 leaves no ssh behind.
            *("setpriv", "--pdeathsig", "TERM"),
            *("ssh", "-F", "none", "-N", "-T", "-i", str(self._target.ssh_key)),
            *(word for option in options for word in ("-o", option)),
            *("-M", "-S", str(self._control)),
            *("-L", f"{self._socket}:{sql_address}:{machine.mysql_port}"),
            *("-p", str(machine.ssh_port), "-l", machine.user_name, "--", machine.ssh_address),
        ]

    def _wait(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        deadline = time.monotonic() + self._target.connect_timeout_ms / 1000
        while not self._socket.exists():
            if process.poll() is not None:
                errors.seek(0)
                raise _reason(errors.read(4096).decode(errors="replace"))
            if time.monotonic() > deadline:
                raise TunnelError("ssh did not open the tunnel in time")
            time.sleep(_POLL_S)


def _reason(text: str) -> TunnelError:
    """The error that ssh's own words stand for."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if "Host key verification failed" in text:
        return HostKeyMismatch("the host's key is not the one in known_hosts; refused")
    return TunnelError(lines[-1] if lines else "ssh ended without a word")
