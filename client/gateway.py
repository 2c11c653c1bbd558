"""The client: statements in, rows out."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar

from client.repeating import repeated
from client.result import Result
from client.steps import Steps
from client.transport import Transport
from client.values import Params, json_params
from contract.errors import BadRequest, InvalidParameters, TooLarge, UpstreamFailed
from contract.messages import DEFAULT_TIMEOUT_MS, MAX_BODY_BYTES, MAX_TIMEOUT_MS, Answer, FleetAnswer, NodesAnswer
from contract.transactions import Begun, End

# requests sends a space at the end, and servers drop it.
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")

Converted = TypeVar("Converted")


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
        idempotency_key: str | None = None,
        consistency_token: str | None = None,
    ) -> Result:
        """Run one statement; `params` is a sequence for `?` or a mapping for `:name`. The result has Python values.

        With the `consistency_token` of an earlier result it sees what that wrote, on whichever node it runs.

        A write with an `idempotency_key`, which must be its alone (`uuid.uuid4().hex` is one), takes effect once: it is
        sent again, within `timeout_ms`, when the answer is lost, and the caller may do the same.
        """
        answer = self.answer(
            sql,
            params,
            implementation=implementation,
            database=database,
            timeout_ms=timeout_ms,
            idempotency_key=idempotency_key,
            consistency_token=consistency_token,
        )
        return _converted(Result.of_answer, answer)

    def answer(
        self,
        sql: str,
        params: Params | None = None,
        *,
        implementation: str | None = None,
        database: str | None = None,
        timeout_ms: int | None = None,
        idempotency_key: str | None = None,
        consistency_token: str | None = None,
    ) -> Answer:
        """Like `query`, with the values as they travelled (docs/api.md)."""
        members = {
            "query": sql,
            "params": json_params(params),
            "implementation": implementation,
            "database": database,
            "consistency_token": consistency_token,
        }
        return self._ask(members, timeout_ms, idempotency_key)

    def transaction(
        self,
        statements: Sequence[tuple[str, Params | None]],
        *,
        implementation: str | None = None,
        database: str | None = None,
        timeout_ms: int | None = None,
        idempotency_key: str | None = None,
    ) -> list[Result]:
        """Run several statements, each with its parameters or None: all of them or none. A result for each.

        An `idempotency_key` as in `query`.
        """
        members = {
            "statements": [_statement(sql, params) for sql, params in statements],
            "implementation": implementation,
            "database": database,
        }
        return _converted(Result.all_of_answer, self._ask(members, timeout_ms, idempotency_key))

    def begin(
        self,
        *,
        implementation: str | None = None,
        read_only: bool = False,
        limit_ms: int | None = None,
        idle_limit_ms: int | None = None,
        consistency_token: str | None = None,
    ) -> Steps:
        """Begin a transaction whose statements come one by one; the key's role must have a `max_transactions`.

        `limit_ms`: how long it may be open, `idle_limit_ms`: how long without a statement, where that is to be less
        than the proxy's own limits.
        """
        members = {
            "implementation": implementation,
            "read_only": read_only,
            "timeout_ms": limit_ms,
            "idle_timeout_ms": idle_limit_ms,
            "consistency_token": consistency_token,
        }
        begun = self._transport.call(
            "POST", "/transactions", Begun, timeout_ms=self._timeout_ms, body=_body(_given(members))
        )
        return Steps(begun, self._run_step, self._finish, self._timeout_ms)

    def _run_step(
        self, path: str, sql: str, params: Params | None, database: str | None, timeout_ms: int | None
    ) -> Result:
        wait_ms = self._wait_ms(timeout_ms)
        members = {"query": sql, "params": json_params(params), "database": database, "timeout_ms": wait_ms}
        answer = self._transport.call("POST", path, Answer, timeout_ms=wait_ms, body=_body(_given(members)))
        return _converted(Result.of_answer, answer)

    def _finish(self, path: str, left_ms: int) -> End:
        return self._transport.call("POST", path, End, timeout_ms=left_ms)

    def _wait_ms(self, timeout_ms: int | None) -> int:
        wait_ms = self._timeout_ms if timeout_ms is None else timeout_ms
        if not 1 <= wait_ms <= MAX_TIMEOUT_MS:
            raise BadRequest(f"timeout_ms must be from 1 to {MAX_TIMEOUT_MS}")
        return wait_ms

    def _ask(self, members: Mapping[str, object], timeout_ms: int | None, idempotency_key: str | None) -> Answer:
        wait_ms = self._wait_ms(timeout_ms)
        if idempotency_key is not None and not _IDEMPOTENCY_KEY.fullmatch(idempotency_key):
            raise BadRequest("an idempotency key is 1 to 255 printable ASCII characters, with no space at its ends")

        def send(left_ms: int) -> Answer:
            body = _body(_given({**members, "timeout_ms": left_ms}))
            return self._transport.call(
                "POST", "/endpoint", Answer, timeout_ms=left_ms, body=body, idempotency_key=idempotency_key
            )

        return send(wait_ms) if idempotency_key is None else repeated(send, wait_ms)

    def nodes(self) -> list[NodesAnswer]:
        """What each proxy knows of the nodes."""
        return self._transport.call("GET", "/nodes", FleetAnswer, timeout_ms=self._timeout_ms).proxies


def _given(members: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in members.items() if value is not None}


def _statement(sql: str, params: Params | None) -> dict[str, object]:
    return {"query": sql} if params is None else {"query": sql, "params": json_params(params)}


def _converted(convert: Callable[[Answer], Converted], answer: Answer) -> Converted:
    try:
        return convert(answer)
    except (ValueError, TypeError) as error:
        raise UpstreamFailed(f"an answer with a value that is not of its type: {error}", outcome="unknown") from None


def _body(members: dict[str, object]) -> bytes:
    """The JSON body. Raises TooLarge here, since a server may close the connection on a body that it will not read."""
    try:
        body = json.dumps(members, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise InvalidParameters("the statement or a parameter holds half of a surrogate pair") from None
    if len(body) >= MAX_BODY_BYTES:
        raise TooLarge(f"the request has {len(body)} bytes; fewer than {MAX_BODY_BYTES} are allowed")
    return body
