"""The client: statements in, rows out."""

import json
from types import TracebackType
from typing import Self

from client.result import Result
from client.transport import Transport
from client.values import Params, json_params
from contract.errors import BadRequest, InvalidParameters, TooLarge, UpstreamFailed
from contract.messages import DEFAULT_TIMEOUT_MS, MAX_BODY_BYTES, MAX_TIMEOUT_MS, Answer, FleetAnswer, NodesAnswer


class Client:
    """Talks to one gatekeeper with one key; may be shared by threads, and is a context manager.

    `timeout_ms`: from a request's start to its answer, unless a call says otherwise. `ca`: a file of CA certificates
    that the gatekeeper's is checked against; None takes those of the package certifi. Raises ValueError for a URL,
    key or CA file that can't be used.

    Every method raises the errors of contract.errors; `outcome` tells whether the statement may have taken effect.
    """

    def __init__(self, url: str, key: str, *, timeout_ms: int = DEFAULT_TIMEOUT_MS, ca: str | None = None) -> None:
        self._transport = Transport(url, key, ca)
        self._timeout_ms = timeout_ms

    def __repr__(self) -> str:
        return f"Client({self._transport.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the pooled connections."""
        self._transport.close()

    def query(
        self,
        sql: str,
        params: Params | None = None,
        *,
        implementation: str | None = None,
        database: str | None = None,
        timeout_ms: int | None = None,
    ) -> Result:
        """Run one statement; `params` is a sequence for `?` or a mapping for `:name`. The result has Python values."""
        answer = self.answer(sql, params, implementation=implementation, database=database, timeout_ms=timeout_ms)
        try:
            return Result.of_answer(answer)
        except (ValueError, TypeError) as error:
            raise UpstreamFailed(
                f"an answer with a value that is not of its type: {error}", outcome="unknown"
            ) from None

    def answer(
        self,
        sql: str,
        params: Params | None = None,
        *,
        implementation: str | None = None,
        database: str | None = None,
        timeout_ms: int | None = None,
    ) -> Answer:
        """Like `query`, with the values as they travelled (docs/api.md)."""
        wait_ms = self._timeout_ms if timeout_ms is None else timeout_ms
        if not 1 <= wait_ms <= MAX_TIMEOUT_MS:
            raise BadRequest(f"timeout_ms must be from 1 to {MAX_TIMEOUT_MS}")
        members = {
            "query": sql,
            "params": json_params(params),
            "implementation": implementation,
            "database": database,
            "timeout_ms": wait_ms,
        }
        body = _body({name: value for name, value in members.items() if value is not None})
        return self._transport.call("POST", "/endpoint", Answer, timeout_ms=wait_ms, body=body)

    def nodes(self) -> list[NodesAnswer]:
        """What each proxy knows of the nodes."""
        return self._transport.call("GET", "/nodes", FleetAnswer, timeout_ms=self._timeout_ms).proxies


def _body(members: dict[str, object]) -> bytes:
    """The JSON body. Raises TooLarge here, since a server may close the connection on a body that it will not read."""
    try:
        body = json.dumps(members, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise InvalidParameters("the statement or a parameter holds half of a surrogate pair") from None
    if len(body) >= MAX_BODY_BYTES:
        raise TooLarge(f"the request has {len(body)} bytes; fewer than {MAX_BODY_BYTES} are allowed")
    return body
