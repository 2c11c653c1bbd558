"""The pure-Python backend: sshtunnel over paramiko. Slower than openssh (docs/benchmarks.md), needs no ssh program."""

import contextlib
import logging
import socket
import threading
from typing import Any, cast

import paramiko
import sshtunnel

from proxy.tunnels.base import HostKeyMismatch, LocalEnd, Target, TunnelError


class _FirstError(logging.Handler):
    """Keeps the library's first error, which it logs instead of raising; what follows are its consequences."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = self.text or record.getMessage()


class SshtunnelTunnel:
    """A forwarder on a port of 127.0.0.1 that the system chose."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._forwarder: Any = None

    def open(self) -> LocalEnd:
        """Connects with the host key that known_hosts has, and no other. Raises HostKeyMismatch, TunnelError."""
        machine = self._target.machine
        errors = _FirstError()
        logger = logging.Logger("sshtunnel")  # one of its own, so that no line reaches ours
        logger.addHandler(errors)
        timeout_s = self._target.connect_timeout_ms / 1000
        self._forwarder = sshtunnel.SSHTunnelForwarder(
            (machine.ssh_address, machine.ssh_port),
            ssh_username=machine.user_name,
            ssh_pkey=paramiko.Ed25519Key.from_private_key_file(str(self._target.ssh_key)),
            ssh_host_key=self._host_key(),
            ssh_config_file=None,
            allow_agent=False,
            host_pkey_directories=[],
            remote_bind_address=(machine.sql_address, machine.mysql_port),
            local_bind_address=("127.0.0.1", 0),
            set_keepalive=1.0,
            mute_exceptions=True,
            logger=logger,
        )
        self._forwarder.skip_tunnel_checkup = True
        self._forwarder.daemon_forward_servers = True
        self._forwarder.daemon_transport = True
        opening = threading.Thread(target=self._start, daemon=True)
        opening.start()
        opening.join(timeout_s)
        if opening.is_alive() or not self.alive():
            self.close()
            raise _reason(errors.text)
        self._ask_for_no_delay()
        return LocalEnd(port=self._forwarder.local_bind_port)

    def alive(self) -> bool:
        """Whether it was started and the SSH transport is active; after a refused host key that alone still is."""
        return self._forwarder is not None and bool(self._forwarder.is_alive and self._forwarder.is_active)

    def close(self) -> None:
        """Closes the transport first: the library's stop waits for open connections (pahaz/sshtunnel #138)."""
        forwarder, self._forwarder = self._forwarder, None
        if forwarder is None:
            return
        if (transport := getattr(forwarder, "_transport", None)) is not None:
            transport.close()
        threading.Thread(target=_stop, args=(forwarder,), daemon=True).start()

    def _ask_for_no_delay(self) -> None:
        """Sets TCP_NODELAY here, and opens a session so that sshd does: proxy/tunnels/openssh.py has the reason."""
        transport: paramiko.Transport = self._forwarder._transport
        with contextlib.suppress(paramiko.SSHException, OSError):
            cast("socket.socket", transport.sock).setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = transport.open_session(timeout=self._target.connect_timeout_ms / 1000)
            session.exec_command("true")
            session.close()

    def _start(self) -> None:
        forwarder = self._forwarder
        with contextlib.suppress(Exception):  # reported as "not alive": the library raises many kinds
            forwarder.start()

    def _host_key(self) -> paramiko.PKey:
        machine = self._target.machine
        known = paramiko.HostKeys(str(self._target.known_hosts))
        name = machine.ssh_address if machine.ssh_port == 22 else f"[{machine.ssh_address}]:{machine.ssh_port}"
        keys = known.lookup(name)
        if not keys:
            raise HostKeyMismatch("known_hosts has no key of this host; refused")
        return next(iter(keys.values()))


def _reason(text: str) -> TunnelError:
    """The error that the library's words stand for; paramiko's Transport.connect says "Bad host key"."""
    if "Bad host key" in text:
        return HostKeyMismatch("the host's key is not the one in known_hosts; refused")
    return TunnelError(text or "the SSH connection was not made in time")


def _stop(forwarder: Any) -> None:
    with contextlib.suppress(Exception):  # it is abandoned either way
        forwarder.stop(force=True)
