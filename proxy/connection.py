"""One connection to a node: pinned session, reset between requests without waiting, rows with bounds.

The session is pinned by one SET (see `_pin`) and reset by COM_RESET_CONNECTION. Both are sent when a request gives the
connection back, and their replies read when the next takes it: a reset costs no round trip.
"""

import contextlib
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pymysql
from pymysql.connections import Connection as DriverConnection
from pymysql.constants import COMMAND, SERVER_STATUS

from contract.errors import Forbidden
from contract.messages import DEFAULT_TIMEOUT_MS, Column
from proxy.tunnels import LocalEnd
from proxy.values import DECODERS, column

COM_RESET_CONNECTION = 0x1F  # MySQL 9 source, include/my_command.h; the driver has no name for it

SQL_MODE = "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
# The server's limit comes first, so that its error tells what became of the statement.
_GRACE_S = 0.25
# A session can't be without a default schema again once it had one; this one has nothing of the application's.
_NO_SCHEMA = "information_schema"


def _free(_size: int) -> None:
    """Memory that nobody counts."""


class Login(msgspec.Struct, frozen=True):
    """Who connects: an account, and what its session is.

    `limited`: the server ends what takes longer than it may. `autocommit`: each statement is a transaction; without
    it, rows that are changed are rolled back with the next reset. `more_modes`: besides SQL_MODE. `plugin`: how
    it proves who it is, whatever the server asks for.
    """

    user: str
    password: str
    read_only: bool = False
    limited: bool = True
    autocommit: bool = True
    more_modes: tuple[str, ...] = ()
    plugin: str = "mysql_native_password"

    def __repr__(self) -> str:
        return f"Login(user={self.user!r}, read_only={self.read_only}, password hidden)"


class Rows(msgspec.Struct):
    """What a statement gave: columns and rows (none for a write), and what the server counted.

    `returned_rows`: those that were read, also when they were cut off.
    """

    columns: list[Column]
    rows: list[tuple[Any, ...]]
    affected_rows: int
    last_insert_id: int | None
    truncated: bool
    returned_rows: int


# Values that are read before others get their turn: some 2 ms.
_CELLS_A_TURN = 2_000
# What a value takes in memory besides its bytes: an object and a place in its row (sys.getsizeof("") is 49).
_CELL_BYTES = 64


_HEADER_BYTES = 4
_LARGEST_PACKET = (1 << 24) - 1
# A row of 64 MiB: four times what the servers' max_allowed_packet lets through by default.
_MOST_CHUNKS = 4


class _Driver(DriverConnection):
    """PyMySQL takes a Unix socket for one of the server's own and would send the password as it is.

    Ours is the tunnel's: the server at its other end sees TCP, and with caching_sha2_password (MySQL) expects the
    password encrypted with its RSA key.
    """

    plugin = ""  # what the account is made with
    _chunks = 0

    @property
    def _secure(self) -> bool:
        return False

    @_secure.setter
    def _secure(self, _value: bool) -> None:
        """What PyMySQL thinks of it."""

    def _request_authentication(self) -> None:
        self._check_plugin(self._auth_plugin_name)  # type: ignore[attr-defined]
        super()._request_authentication()  # type: ignore[misc]  # the stubs leave out what is not public

    def _process_auth(self, plugin_name: Any, *args: Any) -> Any:
        self._check_plugin(plugin_name.decode() if isinstance(plugin_name, bytes) else plugin_name)
        return super()._process_auth(plugin_name, *args)  # type: ignore[misc]

    def _check_plugin(self, name: str) -> None:
        """With another the password could be sent in clear to whoever answers: the server chooses."""
        if name != self.plugin:
            raise pymysql.OperationalError(2059, f"the server asks for the authentication plugin {name[:64]!r}")

    def _read_bytes(self, num_bytes: int) -> bytes:
        """A packet of the largest size is followed by another of the same row, which the driver puts together."""
        if num_bytes >= _LARGEST_PACKET:
            self._chunks += 1
            if self._chunks > _MOST_CHUNKS:
                self._force_close()  # type: ignore[attr-defined]
                raise pymysql.OperationalError(2013, "the server sends a row without an end")
        elif num_bytes != _HEADER_BYTES:
            self._chunks = 0
        read: bytes = super()._read_bytes(num_bytes)  # type: ignore[misc]
        return read


class Connection:
    """A driver's connection with this system's session. All methods raise pymysql.MySQLError for what goes wrong.

    `generation` is its pool's, at the time when it was made.
    """

    def __init__(self, end: LocalEnd, login: Login, connect_timeout_s: float) -> None:
        driver: Any = _Driver(
            user=login.user,
            password=login.password,
            unix_socket=end.unix_socket,
            host="127.0.0.1",
            port=end.port,
            charset="utf8mb4",
            conv=DECODERS,
            autocommit=None,
            connect_timeout=connect_timeout_s,
            read_timeout=connect_timeout_s,
            write_timeout=connect_timeout_s,
            ssl_disabled=True,  # the SSH tunnel encrypts
            program_name="gatekeeper-proxy",
            defer_connect=True,
        )
        driver.plugin = login.plugin
        driver.connect()
        self._driver = driver
        self._database: str | None = None
        self._limited = login.limited
        self._timeout_ms = DEFAULT_TIMEOUT_MS
        self._unread = 0
        self.generation = 0
        self._mariadb = "MariaDB" in driver.server_version
        self._pin = _pin(login, mariadb=self._mariadb)
        self._driver.query(self._pin.decode())
        self._driver._read_timeout = DEFAULT_TIMEOUT_MS / 1000 + _GRACE_S

    @property
    def thread_id(self) -> int:
        """The server's number for this connection, which KILL takes."""
        return int(self._driver.thread_id())

    @property
    def broken(self) -> bool:
        """Whether the connection is closed, or holds an answer that nobody read to its end."""
        result = self._driver._result
        return self._driver._sock is None or (result is not None and (result.unbuffered_active or result.has_next))

    def close(self) -> None:
        """Closes the socket at once, without a word to the server; rows that are still to come are given up."""
        if (result := self._driver._result) is not None:
            # Else the driver reads them all when the result is collected.
            result.unbuffered_active = False
        self._driver._force_close()

    def interrupt(self) -> None:
        """Ends, from another thread, what waits for the server: the connection is lost there."""
        with contextlib.suppress(OSError):
            if (sock := self._driver._sock) is not None:
                sock.shutdown(socket.SHUT_RDWR)

    def begin_reset(self) -> None:
        """Asks for a fresh session; `finish_reset` reads the replies."""
        self._driver._result = None
        self._driver._write_bytes(_packet(COM_RESET_CONNECTION, b"") + _packet(COMMAND.COM_QUERY, self._pin))
        self._unread += 2
        self._set_timeout(DEFAULT_TIMEOUT_MS)

    def finish_reset(self) -> None:
        """Reads what is still to be read of a reset, and finds a connection that the server has closed since."""
        self._read_replies()
        waiting = select.poll()
        waiting.register(self._driver._sock, select.POLLIN)
        if waiting.poll(0):
            self.close()
            raise pymysql.OperationalError(2006, "the server closed the idle connection")

    def use(self, database: str | None, timeout_ms: int, setting: str | None = None) -> None:
        """Sets the default schema, the time limit for what comes next, and one thing more in the session.

        Another schema than last time costs a round trip: were it sent together with the statement, a refused schema
        would leave the statement to run in the one before. `timeout_ms` is enforced by the server, unless the login
        is not limited, and by the socket's time-out shortly after; it is sent together with the statement.
        """
        schema = database or (_NO_SCHEMA if self._database else None)
        if schema is not None and schema != self._database:
            self._driver.select_db(schema)
            self._database = schema
        settings = [setting] if setting else []
        if timeout_ms != self._timeout_ms and self._limited:
            settings.append(_time_setting(timeout_ms, mariadb=self._mariadb))
        if settings:
            self._driver._write_bytes(_packet(COMMAND.COM_QUERY, f"SET {', '.join(settings)}".encode()))
            self._unread += 1
        if timeout_ms != self._timeout_ms:
            self._set_timeout(timeout_ms)

    def start(self, sql: str) -> "Answering":
        """Sends the statement and reads as far as its columns."""
        if self._unread:
            return self._start_pipelined(sql)
        self._driver.query(sql, unbuffered=True)
        return Answering(self._driver)

    def query(
        self, sql: str, max_rows: int, max_bytes: int, *, to_the_end: bool = False, grow: Callable[[int], None] = _free
    ) -> Rows:
        """Runs the statement and collects its rows, up to a number and a size; more than that is cut off.

        The size is what the server sends. `to_the_end` reads what is cut off, too: a write with RETURNING that is not
        read to its end is rolled back; its size is what the rows take here, as that of `grow`, which is called with
        each row's and may raise.
        """
        return self.start(sql).collect(max_rows, max_bytes, to_the_end=to_the_end, grow=grow)

    def send_all(self, *statements: str) -> list[int | pymysql.MySQLError]:
        """Runs statements that give no rows, sent in one write: each one's affected rows, or the server's error.

        Each is run whatever became of those before it. Raises pymysql.MySQLError where the connection is lost.
        """
        self._driver._write_bytes(b"".join(_packet(COMMAND.COM_QUERY, text.encode()) for text in statements))
        self._read_settings()
        return [self._affected() for _ in statements]

    def hurry(self, timeout_s: float) -> None:
        """Waits for so long at most for each of the next answers; the server keeps the limit that it has."""
        self._driver._read_timeout = timeout_s + _GRACE_S

    def define(self, sql: str, max_rows: int, max_bytes: int) -> Rows:
        """Runs DDL, which commits by itself. Raises Forbidden for what leaves a transaction open: that changed rows.

        For a login without autocommit.
        """
        rows = self.query(sql, max_rows, max_bytes, to_the_end=True)
        if self._driver.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS:
            self.query("ROLLBACK", 1, 1)
            raise Forbidden(
                "this is no definition, but changes rows; it was rolled back",
                rule="not_a_definition",
                outcome="rolled_back",
            )
        return rows

    def _start_pipelined(self, sql: str) -> "Answering":
        self._driver._write_bytes(_packet(COMMAND.COM_QUERY, sql.encode()))
        self._read_settings()
        self._driver._next_seq_id = 1
        self._driver._read_query_result(unbuffered=True)
        return Answering(self._driver)

    def _affected(self) -> int | pymysql.MySQLError:
        self._driver._next_seq_id = 1
        try:
            return int(self._driver._read_query_result(unbuffered=False))
        except pymysql.MySQLError as error:
            if self._driver._sock is None:
                raise
            return error

    def _read_settings(self) -> None:
        """Reads the replies to what was sent ahead of a statement, which must not run in a session that it left."""
        try:
            self._read_replies()
        except pymysql.MySQLError as error:
            self.close()
            raise pymysql.OperationalError(2013, f"the session could not be set: {error.args[-1]}") from None

    def _read_replies(self) -> None:
        while self._unread:
            self._unread -= 1
            self._driver._next_seq_id = 1
            self._driver._read_packet()

    def _set_timeout(self, timeout_ms: int) -> None:
        self._timeout_ms = timeout_ms
        self._driver._read_timeout = timeout_ms / 1000 + _GRACE_S


class Answering:
    """An answer that is being read, row by row."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._result: Any = driver._result
        fields: Any = getattr(self._result, "fields", ())
        self._deadline = time.monotonic() + driver._read_timeout
        self.columns = [column(f.name, f.type_code, f.flags, f.charsetnr, f.length) for f in fields]
        self.affected_rows = 0 if self.columns else int(self._result.affected_rows or 0)
        self.last_insert_id = None if self.columns else (self._result.insert_id or None)

    def rows(self) -> Iterator[tuple[tuple[Any, ...], int]]:
        """Each row, and its size in bytes as the server sent it.

        Others get their turn every now and then: where rows are always there to be read, nothing else would give it.
        """
        result: Any = self._result
        read = self._driver._read_packet
        cells = 0
        while result.unbuffered_active:
            cells += len(self.columns)
            if cells > _CELLS_A_TURN:
                cells = 0
                time.sleep(0)
            if time.monotonic() > self._deadline:
                # As the driver says it of a socket that has nothing to read.
                raise pymysql.OperationalError(2013, "the answer did not end in time (timed out)")
            packet = read()
            if result._check_packet_is_eof(packet):
                result.unbuffered_active = False
                result.connection = None
                return
            yield result._read_row_from_packet(packet), len(packet.get_all_data())

    def collect(
        self, max_rows: int, max_bytes: int, *, to_the_end: bool = False, grow: Callable[[int], None] = _free
    ) -> Rows:
        """The rows, as Connection.query describes."""
        rows: list[tuple[Any, ...]] = []
        size, count, truncated = 0, 0, False
        held_more = _CELL_BYTES * len(self.columns)
        for row, row_bytes in self.rows():
            size += row_bytes + (held_more if to_the_end else 0)
            count += 1
            truncated = truncated or len(rows) == max_rows or size > max_bytes
            if not truncated:
                grow(row_bytes + held_more)
                rows.append(row)
            elif not to_the_end:
                break
        return Rows(self.columns, rows, self.affected_rows, self.last_insert_id, truncated, count)

    def following(self) -> "Answering | None":
        """The next result of a CALL, once this one was read to its end; None after the last."""
        if not self._result.has_next:
            return None
        self._driver._read_query_result(unbuffered=True)
        return Answering(self._driver)


def _packet(command: int, payload: bytes) -> bytes:
    """A command as one packet of the protocol; only for payloads under 16 MiB, which the limit on bodies ensures."""
    return struct.pack("<iB", len(payload) + 1, command) + payload


def _pin(login: Login, *, mariadb: bool) -> bytes:
    """The SET that pins a session. tx_read_only is transaction_read_only in MySQL 8 and later."""
    read_only = "tx_read_only" if mariadb else "transaction_read_only"
    settings = (
        "NAMES utf8mb4",
        f"SESSION sql_mode = '{','.join((SQL_MODE, *login.more_modes))}'",
        "SESSION time_zone = '+00:00'",
        "SESSION sql_auto_is_null = 0",
        f"SESSION autocommit = {int(login.autocommit)}",
        f"SESSION {read_only} = {int(login.read_only)}",
    )
    limit = _time_setting(DEFAULT_TIMEOUT_MS if login.limited else 0, mariadb=mariadb)
    return f"SET {', '.join(settings)}, {limit}".encode()


def _time_setting(timeout_ms: int, *, mariadb: bool) -> str:
    """max_statement_time is in seconds and for all statements; MySQL's max_execution_time is in ms and for SELECT.

    0 ms: no limit.
    """
    if mariadb:
        return f"SESSION max_statement_time = {timeout_ms / 1000}"
    return f"SESSION max_execution_time = {timeout_ms}"
