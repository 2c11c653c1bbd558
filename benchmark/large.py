"""Large results: a million rows as a stream through the whole path, beside the driver through the same tunnel.

The rows are those of the films joined with themselves, so that no table has to be filled: what is measured is the way,
not the storage engine. The gatekeeper is a variant whose policy lets a million rows through; the proxy is the deployed
one.
"""

import contextlib
import http.client
import time
from collections.abc import Callable, Iterator

import msgspec
import pymysql

from benchmark import supervised, usage
from benchmark.errors import LoadFailed
from benchmark.gateway import Variant
from benchmark.shapes import SCHEMA
from benchmark.world import World
from contract.implementations import CUSTOMIZED_HIT
from contract.settings import split_address
from contract.web import CSV, NDJSON
from deploy.secrets import write_file
from deploy.services import Services
from proxy.tunnels.openssh import OpensshTunnel

ROWS = 1_000_000
DRIVER = "limit: PyMySQL, tunnel, unbuffered"
_STATEMENT = (
    "SELECT a.film_id, b.film_id AS other, a.title, a.rental_rate, a.last_update FROM film a CROSS JOIN film b LIMIT {}"
)
_CHUNK_BYTES = 64 << 10
_TIMEOUT_S = 120
# Lines that are no rows: NDJSON's first and last, CSV's labels.
_OTHER_LINES = {NDJSON: 2, CSV: 1}
_BEFORE_FIRST_ROW = 1
_POLICY = f"""\
[roles.demo]
kinds = ["select"]
read = ["{SCHEMA}.*"]
default_database = "{SCHEMA}"
max_rows = {ROWS}
max_timeout_ms = 600000
"""


class Large(msgspec.Struct, frozen=True):
    """One large result. `peaks_mib`: the most memory of each role during it; `cpu_s`: all that it took."""

    way: str
    rows: int
    mib: float
    first_row_ms: float
    seconds: float
    peaks_mib: dict[str, float]
    cpu_s: dict[str, float]

    @property
    def rows_per_second(self) -> float:
        """From the request to the last row."""
        return self.rows / self.seconds


class _Timed(msgspec.Struct, frozen=True):
    rows: int
    octets: int
    first_row_s: float
    seconds: float


def measure(world: World, rows: int = ROWS) -> Iterator[Large]:
    """The driver, then NDJSON, then CSV. Raises LoadFailed, TunnelError, pymysql.MySQLError."""
    file = world.scratch / "large.toml"
    write_file(file, _POLICY.encode())
    upstream = tuple(f"https://{proxy.listen}" for proxy in world.services.proxies)
    services = world.variant(Variant("large", gatekeeper={"policy": str(file)}, upstream=upstream))
    roots = {**supervised.roots(world.services), **supervised.roots(services), **world.database_roots()}
    yield _watched(DRIVER, world.database_roots(), lambda: _driver(world, rows))
    for media_type in (NDJSON, CSV):
        yield _watched(media_type, roots, lambda kind=media_type: _stream(services, world.key, kind, rows))  # type: ignore[misc]


def _watched(way: str, roots: usage.Roots, run: Callable[[], _Timed]) -> Large:
    of = usage.pids(roots)
    usage.forget_peaks(of)
    before = usage.snapshot(roots)
    timed = run()
    after = usage.snapshot(roots)
    return Large(
        way=way,
        rows=timed.rows,
        mib=round(timed.octets / 2**20, 1),
        first_row_ms=round(timed.first_row_s * 1000, 2),
        seconds=round(timed.seconds, 3),
        peaks_mib=usage.peaks_mib(of),
        cpu_s={role: round(spent - before.cpu_s.get(role, 0.0), 2) for role, spent in after.cpu_s.items()},
    )


def _stream(services: Services, key: str, media_type: str, rows: int) -> _Timed:
    body = {"implementation": CUSTOMIZED_HIT, "query": _STATEMENT.format(rows), "timeout_ms": _TIMEOUT_S * 1000}
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Accept": media_type}
    connection = http.client.HTTPConnection(*split_address(services.gatekeeper.listen), timeout=_TIMEOUT_S)
    begin = time.perf_counter()
    try:
        with contextlib.closing(connection):
            connection.request("POST", "/endpoint", msgspec.json.encode(body), headers)
            timed = _read(connection.getresponse(), begin, _OTHER_LINES[media_type])
    except (OSError, http.client.HTTPException) as error:
        raise LoadFailed(f"{media_type} broke off: {error!r}") from None
    if timed.rows != rows:
        raise LoadFailed(f"{media_type}: {timed.rows} rows instead of {rows}")
    return timed


def _read(response: http.client.HTTPResponse, begin: float, other_lines: int) -> _Timed:
    lines = octets = 0
    first_row_s = 0.0
    while chunk := response.read1(_CHUNK_BYTES):
        octets += len(chunk)
        lines += chunk.count(b"\n")
        if not first_row_s and lines > _BEFORE_FIRST_ROW:
            first_row_s = time.perf_counter() - begin
    return _Timed(lines - other_lines, octets, first_row_s, time.perf_counter() - begin)


def _driver(world: World, rows: int) -> _Timed:
    """PyMySQL, which makes Python's values of them, as it does for everyone who uses it."""
    tunnel = OpensshTunnel(world.tunnel_target(world.data_nodes[0]))
    try:
        with (
            pymysql.connect(
                unix_socket=tunnel.open().unix_socket,
                user=world.reader.user,
                password=world.reader.password,
                database=SCHEMA,
                read_timeout=_TIMEOUT_S,
                ssl_disabled=True,  # the SSH tunnel encrypts
            ) as connection,
            connection.cursor(pymysql.cursors.SSCursor) as cursor,
        ):
            begin = time.perf_counter()
            cursor.execute(_STATEMENT.format(rows))
            cursor.fetchone()
            first_row_s = time.perf_counter() - begin
            found = 1 + sum(1 for _ in cursor)
            return _Timed(found, 0, first_row_s, time.perf_counter() - begin)
    finally:
        tunnel.close()
