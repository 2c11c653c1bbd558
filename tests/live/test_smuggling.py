"""Requests that two servers might take apart differently: to gunicorn alone, and through nginx.

Each case hides a second request with a good key. Nobody may ever answer it, but where it stands in the open: in a
pipeline, and behind what nginx, unlike gunicorn, takes for an end (a bare line feed, as RFC 9112, section 2.2, allows;
trailers, which it drops). There the sender gets both answers: nginx passes on what it read with a length of its own, so
that the two never see different requests. Sources: RFC 9112, sections 2.2, 3, 5, 6.1, 6.3, 7.1 and 11.2; gunicorn's
CVE-2024-1135 (several Transfer-Encoding) and CVE-2024-6827 (an unknown coding falls back to Content-Length); its old
reading of eight bytes after Sec-WebSocket-Key1.
"""

import secrets

import msgspec
import pytest

from tests.live.nginx_fixtures import LiveNginx, needs_nginx, plain_edge
from tests.live.raw_http import exchange, executed, statuses
from tests.live.system_fixtures import LiveSystem

__all__ = ["plain_edge"]

BODY = b'{"query":"SELECT 1","database":"rental"}'
CHUNKED = b"28|" + BODY + b"|0||"  # 0x28 is its length
TE = b"Transfer-Encoding: chunked"


class Case(msgspec.Struct, frozen=True):
    """What is sent after the request line and the usual headers of a POST; `raw`: instead of all that.

    `|` in it stands for the end of a line; HIDDEN becomes the second request, SIZE its length, HEX the same in
    hexadecimal. `alone` and `behind` are the statuses of the answers of gunicorn, and of nginx with gunicorn behind it;
    `open_alone` and `open_behind`: whether the second request stands in the open there.
    """

    name: str
    sent: bytes
    alone: tuple[int, ...]
    behind: tuple[int, ...]
    raw: bool = False
    open_alone: bool = False
    open_behind: bool = False


REFUSED = (400,)
CASES = (
    # Two lengths.
    Case("cl-te", b"Content-Length: SIZE|Transfer-Encoding: chunked||0||HIDDEN", REFUSED, REFUSED),
    Case("te-cl", b"Transfer-Encoding: chunked|Content-Length: 4||HEX|HIDDEN|0||", REFUSED, REFUSED),
    Case("two-lengths", b"Content-Length: 0|Content-Length: SIZE||HIDDEN", REFUSED, REFUSED),
    Case("the-same-length-twice", b"Content-Length: SIZE|Content-Length: SIZE||HIDDEN", REFUSED, REFUSED),
    Case("list-of-lengths", b"Content-Length: 0, SIZE||HIDDEN", REFUSED, REFUSED),
    # Transfer codings that one takes for chunked and another does not.
    Case("te-te", b"Transfer-Encoding: chunked|Transfer-Encoding: identity||0||HIDDEN", REFUSED, REFUSED),
    Case("te-twice", b"Transfer-Encoding: chunked|Transfer-Encoding: chunked||0||HIDDEN", REFUSED, REFUSED),
    Case("xchunked", b"Transfer-Encoding: xchunked|Content-Length: SIZE||HIDDEN", (501,), (501,)),
    Case("xchunked-alone", b"Transfer-Encoding: xchunked||0||HIDDEN", (501,), (501,)),
    Case("chunked-chunked", b"Transfer-Encoding: chunked, chunked||0||HIDDEN", REFUSED, (501,)),
    Case("chunked-identity", b"Transfer-Encoding: chunked, identity||0||HIDDEN", REFUSED, (501,)),
    Case("identity", b"Transfer-Encoding: identity|Content-Length: SIZE||HIDDEN", REFUSED, (501,)),
    Case("quoted", b'Transfer-Encoding: "chunked"||0||HIDDEN', (501,), (501,)),
    Case("vertical-tab", b"Transfer-Encoding: \x0bchunked||0||HIDDEN", REFUSED, (501,)),
    Case("space-before-colon", b"Transfer-Encoding : chunked||0||HIDDEN", REFUSED, REFUSED),
    Case("folded", b"X: y| Transfer-Encoding: chunked||0||HIDDEN", REFUSED, REFUSED),
    Case("folded-value", b"Transfer-Encoding:| chunked||0||HIDDEN", REFUSED, REFUSED),
    Case("bare-lf", b"X: y\nTransfer-Encoding: chunked||0||HIDDEN", REFUSED, (400, 200), open_behind=True),
    Case("bare-cr", b"X: y\rTransfer-Encoding: chunked||0||HIDDEN", REFUSED, REFUSED),
    Case("underscore", b"Transfer_Encoding: chunked|Content-Length: SIZE||HIDDEN", REFUSED, REFUSED),
    Case("underscore-path", b"PATH_INFO: /nodes|Content-Length: SIZE||HIDDEN", REFUSED, REFUSED),
    # Lengths that are none.
    Case("plus", b"Content-Length: +SIZE||HIDDEN", REFUSED, REFUSED),
    Case("minus", b"Content-Length: -SIZE||HIDDEN", REFUSED, REFUSED),
    Case("hexadecimal", b"Content-Length: 0xHEX||HIDDEN", REFUSED, REFUSED),
    Case("two-numbers", b"Content-Length: 0 SIZE||HIDDEN", REFUSED, REFUSED),
    Case("empty", b"Content-Length: ||HIDDEN", REFUSED, REFUSED),
    Case("superscript", b"Content-Length: \xb9||HIDDEN", REFUSED, REFUSED),
    Case("of-twenty-digits", b"Content-Length: 99999999999999999999||HIDDEN", (413,), REFUSED),
    # Chunks.
    Case("chunked", b"Transfer-Encoding: chunked||" + CHUNKED, (200,), (200,)),
    Case("chunk-extension", b"Transfer-Encoding: chunked||28;a=b|" + CHUNKED[3:], (200,), (200,)),
    Case("extension-lf", TE + b"||28;a\n" + CHUNKED[3:] + b"HIDDEN", REFUSED, (200, 200), open_behind=True),
    Case("size-lf", TE + b"||28\n" + CHUNKED[3:] + b"HIDDEN", REFUSED, (200, 200), open_behind=True),
    Case("size-0x", b"Transfer-Encoding: chunked||0x28|" + CHUNKED[3:] + b"HIDDEN", REFUSED, REFUSED),
    Case("size-plus", b"Transfer-Encoding: chunked||+28|" + CHUNKED[3:] + b"HIDDEN", REFUSED, REFUSED),
    Case("size-minus", b"Transfer-Encoding: chunked||-28|" + CHUNKED[3:] + b"HIDDEN", REFUSED, REFUSED),
    Case("size-empty", b"Transfer-Encoding: chunked|||" + CHUNKED[3:] + b"HIDDEN", REFUSED, REFUSED),
    Case("size-overflow", b"Transfer-Encoding: chunked||10000000000000028|" + CHUNKED[3:], REFUSED, REFUSED),
    Case("chunk-too-long", b"Transfer-Encoding: chunked||28|" + BODY + b"XX0||HIDDEN", REFUSED, REFUSED),
    Case("trailer", b"Transfer-Encoding: chunked||" + CHUNKED[:-1] + b"X: y||", (200,), (200,)),
    Case(
        "trailer-with-length",
        b"Transfer-Encoding: chunked||" + CHUNKED[:-1] + b"Content-Length: 9||HIDDEN",
        REFUSED,
        (200, 200),
        open_behind=True,
    ),
    # Headers that are none.
    Case("nul", b"X: a\x00b|Content-Length: 0||HIDDEN", REFUSED, REFUSED),
    Case("no-colon", b"Content-Length||HIDDEN", REFUSED, REFUSED),
    Case("no-name", b": 0||HIDDEN", REFUSED, REFUSED),
    # Other versions and forms.
    Case(
        "http-1.0",
        b"POST /endpoint HTTP/1.0|Host: x|Transfer-Encoding: chunked||0||HIDDEN",
        REFUSED, REFUSED, raw=True),
    Case("http-0.9", b"GET /healthz|HIDDEN", REFUSED, (), raw=True),
    Case("http-2", b"PRI * HTTP/2.0||SM||HIDDEN", REFUSED, REFUSED, raw=True),
    Case("line-feeds", b"GET /healthz HTTP/1.1\nHost: x\n\nHIDDEN", REFUSED, (200, 200), raw=True, open_behind=True),
    Case("space-in-path", b"GET /healthz x HTTP/1.1|Host: x||HIDDEN", REFUSED, REFUSED, raw=True),
    Case("two-hosts", b"GET /healthz HTTP/1.1|Host: x|Host: y||HIDDEN", REFUSED, REFUSED, raw=True),
    Case(
        "h2c",
        b"GET /healthz HTTP/1.1|Host: x|Connection: Upgrade, HTTP2-Settings|Upgrade: h2c|HTTP2-Settings: AAMA||",
        (200,), (200,), raw=True),
    Case("absolute-form", b"GET http://other/healthz HTTP/1.1|Host: x||", (200,), (200,), raw=True),
    Case("connect", b"CONNECT x:1 HTTP/1.1|Host: x||HIDDEN", (404,), REFUSED, raw=True),
    Case("body-of-a-get", b"GET /healthz HTTP/1.1|Host: x|Content-Length: SIZE||HIDDEN", (200,), (200,), raw=True),
    Case(
        "body-nobody-reads",
        b"POST /healthz HTTP/1.1|Host: x|Content-Length: SIZE||HIDDEN",
        (405,), (405,), raw=True),
    Case("expect", b"Expect: 100-continue|Content-Length: SIZE||HIDDEN", REFUSED, REFUSED),
    Case(
        "websocket-key",
        b"GET /healthz HTTP/1.1|Host: x|Sec-WebSocket-Key1: x||12345678HIDDEN",
        (200, 405), (200, 400), raw=True),
    Case(
        "pipelined",
        b"Content-Length: 40||" + BODY + b"HIDDEN",
        (200, 200), (200, 200), open_alone=True, open_behind=True),
)  # fmt: skip


def written(case: Case, key: str, hidden_id: str) -> bytes:
    """The case's bytes."""
    credentials = b"Host: x\r\nAuthorization: Bearer %s\r\n" % key.encode()
    hidden = b"GET /endpoint?query=SELECT+2&database=rental HTTP/1.1\r\n%sX-Request-ID: %s\r\n\r\n" % (
        credentials,
        hidden_id.encode(),
    )
    sent = case.sent.replace(b"|", b"\r\n")
    if not case.raw:
        sent = b"POST /endpoint HTTP/1.1\r\n%sContent-Type: application/json\r\n" % credentials + sent
    size = len(hidden) + (5 if b"0\r\n\r\nHIDDEN" in sent else 0)
    sent = sent.replace(b"SIZE", b"%d" % size).replace(b"HEX", b"%x" % len(hidden))
    return sent.replace(b"HIDDEN", hidden)


def assert_hides_nothing(
    system: LiveSystem, address: str, case: Case, expected: tuple[int, ...], *, in_the_open: bool
) -> None:
    hidden_id = f"hidden-{secrets.token_hex(4)}"
    received = exchange(address, written(case, system.key, hidden_id))
    assert tuple(statuses(received)) == expected, received
    assert executed(system, hidden_id) == in_the_open


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_request_that_can_be_read_in_two_ways_hides_no_other_from_gunicorn(system: LiveSystem, case: Case) -> None:
    address = system.services.gatekeeper.listen
    assert_hides_nothing(system, address, case, case.alone, in_the_open=case.open_alone)


@needs_nginx
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_request_that_can_be_read_in_two_ways_hides_no_other_from_nginx_and_gunicorn(
    system: LiveSystem, plain_edge: LiveNginx, case: Case
) -> None:
    assert_hides_nothing(system, plain_edge.address, case, case.behind, in_the_open=case.open_behind)
