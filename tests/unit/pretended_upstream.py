"""A proxy in the gatekeeper's words, for tests to give it what they need of it."""

from typing import Any

from contract.peers import Reply

URL = "https://127.0.0.1:1"


class PretendedUpstream:
    """One proxy that answers everything alike."""

    def __init__(self) -> None:
        self.reply = Reply(200, {"Content-Type": "application/json", "X-Gatekeeper-Node": "data1"}, b'{"x":1}')

    def post(self, body: bytes, **_arguments: Any) -> Reply:
        assert body
        return self.reply

    def ask(self, method: str, path: str, body: bytes, **_arguments: Any) -> Reply:
        assert (method, path[:1]) == ("POST", "/"), body
        return self.reply

    def urls(self) -> list[str]:
        return [URL]

    def get_each(self, _path: str) -> list[bytes]:
        return []
