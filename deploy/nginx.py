"""nginx in front of the gatekeeper: its whole configuration, from settings (nginx.conf.template has the text).

nginx takes TLS from clients, reads requests whole before the gatekeeper sees them, and lets through what is public.
What it answers itself is a problem, as docs/api.md describes. Written for nginx 1.22, which Debian 12 has.
"""

import re
import string
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from contract.errors import (
    PROBLEM_MEDIA_TYPE,
    BadRequest,
    DeadlineExceeded,
    GatekeeperError,
    InternalError,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    Unavailable,
    UpstreamFailed,
)
from contract.idle import REUSED_WITHIN_S
from contract.messages import MAX_BODY_BYTES, MAX_TIMEOUT_MS

# What the gatekeeper serves to the public: paths, those below which each thing has one by its id, and what can be done
# with such a thing.
PATHS = ("/endpoint", "/webhook-secret", "/nodes", "/openapi.json", "/healthz", "/readyz")
COLLECTIONS: tuple[str, ...] = ("/new-requests", "/transactions")
DEEDS: tuple[str, ...] = ("/transactions/ID/commit", "/transactions/ID/rollback")

_TEMPLATE = Path(__file__).with_name("nginx.conf.template")
_ID = "[A-Za-z0-9._-]{1,64}"
_ANSWER_GRACE_S = 10
# Two years, as the guideline below has it.
_HSTS = '"max-age=63072000"'

# Mozilla's guideline for servers, "intermediate", version 5.7, without its DHE suites, which want parameters of their
# own and which no client of ours needs. See: https://wiki.mozilla.org/Security/Server_Side_TLS
_TLS = """
    ssl_certificate "{certificate}";
    ssl_certificate_key "{key}";
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers {ciphers};
    ssl_ecdh_curve X25519:prime256v1:secp384r1;
    ssl_prefer_server_ciphers off;
    ssl_session_cache shared:tls:10m;
    ssl_session_timeout 1d;
    ssl_session_tickets off;
"""
_CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)

_REDIRECT = """    server {{
        listen {plain_listen};
        server_name "{server_name}";
        return 308 https://{server_name}{port}$request_uri;
    }}

"""

# Over plain HTTP the header must not be sent: RFC 6797, section 7.2. nginx leaves out one whose value is empty.
_SERVED_TOO = """    map $https $strict_transport {{
        default "";
        on {hsts};
    }}

"""

# nginx's own statuses: 494 headers too large, 495 and 496 a client's certificate, 497 plain HTTP where TLS is spoken.
_SHOWN_AS = {494: 431, 495: 400, 496: 400, 497: 400}
_MISTAKE = "this is no request that can be read; nothing was executed"
_PROBLEMS: dict[int, GatekeeperError] = {
    400: BadRequest(_MISTAKE),
    404: NotFound("no such resource"),
    405: MethodNotAllowed("not with this method"),
    413: TooLarge("the body is too large"),
    414: TooLarge("the request line is too long"),
    431: TooLarge("the headers are too large"),
    500: InternalError("an internal error", outcome="unknown"),
    501: BadRequest(_MISTAKE),
    502: UpstreamFailed("the gatekeeper did not answer", outcome="unknown"),
    503: Unavailable("too many requests at once from this address"),
    504: DeadlineExceeded("the gatekeeper did not answer in time", outcome="unknown"),
    505: BadRequest(_MISTAKE),
}
# Of which nginx says at run time what is known.
_KNOWN_LATER = frozenset({502, 504})

_ADDRESS = re.compile(r"(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-fA-F:]+\]):\d{1,5}")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_PLACE = re.compile(r"/[A-Za-z0-9/._-]*")


class EdgeError(ValueError):
    """Settings from which no configuration can be made; the text has all mistakes."""


class Certificate(msgspec.Struct, frozen=True):
    """Paths of a certificate (with its chain) and its key, in PEM. The key is read by nginx's master only."""

    certificate: Path
    key: Path


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """nginx's settings. Addresses are HOST:PORT with a numeric host; paths are absolute.

    `listen`: for clients, with TLS if `certificate` is given. `plain_listen`: plain HTTP beside it, and `plain` what it
    does: `redirect` sends clients to `listen`, `serve` answers them, and keys and rows can be read on their way.
    `gatekeeper`: where it listens. `user`: the workers' account, None where nginx does not run as root. `logs` and
    `state` are directories, which must be there. The defaults of the paths and `user` are Debian's.
    """

    server_name: str
    listen: str
    gatekeeper: str
    certificate: Certificate | None = None
    plain_listen: str | None = None
    plain: Literal["redirect", "serve"] = "redirect"
    user: str | None = "www-data"
    pid: Path = Path("/run/nginx.pid")
    logs: Path = Path("/var/log/nginx")
    state: Path = Path("/var/lib/nginx")
    connections: int = 4_096
    connections_per_address: int = 64
    head_timeout_s: int = 10
    read_timeout_s: int = 10
    send_timeout_s: int = 30


class _Template(string.Template):
    delimiter = "%%"
    idpattern = "[a-z_]+"


def render(edge: Edge) -> str:
    """The text of nginx.conf. Raises EdgeError."""
    _check(edge)
    headers = _headers(edge)
    return _Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        msgspec.structs.asdict(edge),
        user=f"user {edge.user};\n" if edge.user else "",
        files=2 * edge.connections + 64,  # a connection of a client and one to the gatekeeper
        listen=_listen(edge),
        tls=_tls(edge.certificate) if edge.certificate else "",
        beside=_beside(edge),
        known_paths="|".join(re.escape(path) for path in (*PATHS, *COLLECTIONS)),
        most_body_bytes=MAX_BODY_BYTES - 1,
        answer_timeout_s=MAX_TIMEOUT_MS // 1000 + _ANSWER_GRACE_S,
        upstream_idle_s=int(REUSED_WITHIN_S),
        error_pages="".join(_error_pages()),
        headers=_lines(headers, 8),
        locations="".join(_locations()),
        problems="".join(_problem(status, error, headers) for status, error in _PROBLEMS.items()),
    )


def _check(edge: Edge) -> None:
    """Every text of the settings stands in the configuration as it is, so each must be of its kind."""
    addresses = [edge.listen, edge.gatekeeper, *([edge.plain_listen] if edge.plain_listen else [])]
    paths = [edge.pid, edge.logs, edge.state]
    if edge.certificate:
        paths += [edge.certificate.certificate, edge.certificate.key]
    wrong = [f"{text!r} is not HOST:PORT" for text in addresses if not _ADDRESS.fullmatch(text)]
    wrong += [f"{str(path)!r} can't be a path here" for path in paths if not _PLACE.fullmatch(str(path))]
    if not _HOST.fullmatch(edge.server_name):
        wrong.append(f"{edge.server_name!r} is no host's name")
    if edge.user is not None and not _ACCOUNT.fullmatch(edge.user):
        wrong.append(f"{edge.user!r} is no account's name")
    if edge.plain_listen and not edge.certificate:
        wrong.append("plain HTTP beside TLS is only where there is a certificate; without one, `listen` is plain HTTP")
    if wrong:
        raise EdgeError("; ".join(wrong))


def _tls(certificate: Certificate) -> str:
    return _TLS.format(certificate=certificate.certificate, key=certificate.key, ciphers=":".join(_CIPHERS))


def _listen(edge: Edge) -> str:
    own = f"{edge.listen} {'ssl ' if edge.certificate else ''}default_server"
    served_too = edge.plain_listen and edge.plain == "serve"
    return f"{own};\n        listen {edge.plain_listen} default_server" if served_too else own


def _beside(edge: Edge) -> str:
    """What plain HTTP beside TLS asks for outside of the server."""
    if not edge.plain_listen:
        return ""
    if edge.plain == "serve":
        return _SERVED_TOO.format(hsts=_HSTS)
    port = edge.listen.rpartition(":")[2]
    return _REDIRECT.format(
        plain_listen=edge.plain_listen, server_name=edge.server_name, port="" if port == "443" else f":{port}"
    )


def _headers(edge: Edge) -> list[str]:
    """The headers of every answer, as directives: nginx's `add_header`, which a location takes or replaces whole."""
    headers = ["X-Content-Type-Options nosniff", "Cache-Control no-store"]
    if edge.certificate:
        served_too = edge.plain_listen and edge.plain == "serve"
        headers.append(f"Strict-Transport-Security {'$strict_transport' if served_too else _HSTS}")
    return [f"add_header {header} always;" for header in headers]


def _error_pages() -> Iterable[str]:
    yield "\n"
    for status in _PROBLEMS:
        yield f"    error_page {status} /problem/{status};\n"
    for own, shown in _SHOWN_AS.items():
        yield f"    error_page {own} ={shown} /problem/{shown};\n"


def _locations() -> Iterable[str]:
    for path in (*PATHS, *COLLECTIONS):
        # With a path of its own, so that the gatekeeper gets the one that was compared here, whatever was sent.
        yield _location(f"= {path}", [f"proxy_pass http://gatekeeper{path};"])
    for path in COLLECTIONS:
        yield _location(f'~ "^{path}/{_ID}$"', ["proxy_pass http://gatekeeper;"])
    for path in DEEDS:
        yield _location(f'~ "^{path.replace("ID", _ID)}$"', ["proxy_pass http://gatekeeper;"])


def _problem(status: int, error: GatekeeperError, headers: list[str]) -> str:
    problem = msgspec.structs.replace(error.problem("$gatekeeper_request_id"), status=status)
    text = msgspec.json.encode(problem).decode()
    if status in _KNOWN_LATER:
        text = text.replace('"outcome":"unknown"', '"outcome":"$known_outcome"')
        text = text.replace('"retryable":false', '"retryable":$known_retryable')
    own = [*headers, "add_header X-Request-ID $gatekeeper_request_id always;"]
    if error.retry_after_s is not None:
        own.append(f"add_header Retry-After {error.retry_after_s} always;")
    directives = ["internal;", f"default_type {PROBLEM_MEDIA_TYPE};", *own, f"return {status} '{text}';"]
    return _location(f"= /problem/{status}", directives)


def _location(match: str, directives: list[str]) -> str:
    return f"        location {match} {{\n{_lines(directives, 12)}        }}\n"


def _lines(directives: Iterable[str], indent: int) -> str:
    return "".join(f"{' ' * indent}{directive}\n" for directive in directives)
