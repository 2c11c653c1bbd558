"""A TCP relay that delays what passes through it: a slow way to a node, made on this machine."""

import contextlib
import selectors
import socket
import threading
import time
from collections import deque


class Relay:
    """Listens on the target's address, on a port that the system chose, and passes on after `delay_s` each way.

    `delay_s` may be changed at any time; `silent` swallows everything, as a vanished host does.
    """

    def __init__(self, target: tuple[str, int], delay_s: float = 0.0) -> None:
        self._target = target
        self.delay_s = delay_s
        self.silent = False
        self._listener = socket.create_server((target[0], 0))
        self.port: int = self._listener.getsockname()[1]
        self._closing = threading.Event()
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Ends the relay and every connection through it."""
        self._closing.set()
        self._listener.close()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._closing.is_set():
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target, timeout=5)
                self._sockets += (near, far)
                for source, sink in ((near, far), (far, near)):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        """Keeps what was read with the time at which it is due, and sends it then."""
        waiting: deque[tuple[float, bytes]] = deque()
        with selectors.DefaultSelector() as selector, contextlib.suppress(OSError, ValueError):
            selector.register(source, selectors.EVENT_READ)
            while not self._closing.is_set():
                pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else 0.2
                if selector.select(pause):
                    data = source.recv(65536)
                    if not data:
                        break
                    waiting.append((time.monotonic() + self.delay_s, data))
                while waiting and waiting[0][0] <= time.monotonic():
                    _, data = waiting.popleft()
                    if not self.silent:
                        sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
