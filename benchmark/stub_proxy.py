"""A proxy that does nothing: to every statement it gives a ready answer, so that a gatekeeper before it can be timed.

`python -m benchmark.stub_proxy PORT FILE`: FILE maps the first parameter of a statement to the body, JSON.
"""

import json
import socketserver
import sys
from pathlib import Path

from benchmark.exchanges import answer_of
from benchmark.shapes import Asked

_READY = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nready\n"
_ANSWER = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Gatekeeper-Node: stub\r\nContent-Length: {}\r\n\r\n"


def answers_to(asked: Asked) -> dict[str, str]:
    """What FILE is to hold for these questions."""
    return {str(question.params[0]): answer_of(asked.shape, question) for question in asked.questions}


def command(port: int, file: Path) -> list[str]:
    """What starts it."""
    return [sys.executable, "-m", "benchmark.stub_proxy", str(port), str(file)]


class _Handler(socketserver.StreamRequestHandler):
    """A connection. Requests have a body of a given length, or none."""

    disable_nagle_algorithm = True
    answers: dict[str, bytes]

    def handle(self) -> None:
        while line := self.rfile.readline():
            length = 0
            while (header := self.rfile.readline()) not in {b"\r\n", b""}:
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            body = self.rfile.read(length)
            self.wfile.write(_READY if line.startswith(b"GET") else self.answers[_first_parameter(body)])


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def _first_parameter(body: bytes) -> str:
    return str(json.loads(body)["params"][0])


def main() -> None:
    """Serves until it is ended."""
    port, file = sys.argv[1:]
    texts: dict[str, str] = json.loads(Path(file).read_text(encoding="utf-8"))
    bodies = {name: text.encode() for name, text in texts.items()}
    _Handler.answers = {name: _ANSWER.format(len(body)).encode() + body for name, body in bodies.items()}
    with _Server(("127.0.0.1", int(port)), _Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
