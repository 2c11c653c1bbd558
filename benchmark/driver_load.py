"""The limit: PyMySQL straight through the tunnels. A process for each client, so that no lock of Python's is shared.

The processes are forked, so that nothing is imported while others measure, and wait for one another before they start.
"""

import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Barrier

import pymysql

from benchmark.errors import LoadFailed
from benchmark.measurement import WARM_UP_S, Sample
from benchmark.workload import SCHEMA, SEED, STATEMENT, Film
from proxy.connection import Login
from proxy.tunnels import LocalEnd

_CONNECT_TIMEOUT_S = 10
_GRACE_S = 20
_STATEMENT = STATEMENT.replace("?", "%s")
_processes = multiprocessing.get_context("fork")


class DriverLoad:
    """Asks through the tunnels' ends; clients take them in turn."""

    def __init__(self, ends: Sequence[LocalEnd], login: Login, films: Sequence[Film]) -> None:
        self._ends = ends
        self._login = login
        self._films = films

    def check(self) -> None:
        """Asks once through every tunnel. Raises LoadFailed."""
        for end in self._ends:
            try:
                with _connect(end, self._login) as connection:
                    if not _ask(connection.cursor(), self._films[0]):
                        raise LoadFailed("answered without the row")
            except pymysql.MySQLError as error:
                raise LoadFailed(f"can't be asked: {error}") from None

    def measure(self, clients: int, seconds: int) -> Sample:
        """One run. Raises LoadFailed."""
        barrier = _processes.Barrier(clients)
        pipes, workers = [], []
        for number in range(clients):
            parent, child = _processes.Pipe(duplex=False)
            arguments = (self._ends[number % len(self._ends)], number, seconds, barrier, child)
            workers.append(_processes.Process(target=self._client, args=arguments, daemon=True))
            pipes.append(parent)
        try:
            for worker in workers:
                worker.start()
            return _merged([_received(pipe, seconds + _GRACE_S) for pipe in pipes])
        finally:
            for worker in workers:
                worker.kill()
                worker.join()

    def _client(self, end: LocalEnd, number: int, seconds: int, barrier: Barrier, results: Pipe) -> None:
        with _connect(end, self._login) as connection:
            barrier.wait(_CONNECT_TIMEOUT_S)
            results.send(_loop(connection, self._films, random.Random(SEED + number), seconds))


def _loop(
    connection: "pymysql.Connection[pymysql.cursors.Cursor]",
    films: Sequence[Film],
    dice: random.Random,
    seconds: float,
) -> Sample:
    """Asks one film after another until the time is over."""
    latencies: Counter[int] = Counter()
    wrong = 0
    begin = time.perf_counter()
    counted_from, end = begin + WARM_UP_S, begin + seconds
    with connection.cursor() as cursor:
        received = begin
        while received < end:
            film = dice.choice(films)
            sent = time.perf_counter()
            right = _ask(cursor, film)
            received = time.perf_counter()
            if not right:
                wrong += 1
            elif received >= counted_from:
                latencies[int((received - sent) * 1e6)] += 1
    return Sample(received - counted_from, dict(latencies), wrong)


def _ask(cursor: pymysql.cursors.Cursor, film: Film) -> bool:
    cursor.execute(_STATEMENT, (film.film_id,))
    return cursor.fetchall() == ((film.film_id, film.title, film.rental_rate),)


def _connect(end: LocalEnd, login: Login) -> "pymysql.Connection[pymysql.cursors.Cursor]":
    return pymysql.connect(
        user=login.user,
        password=login.password,
        unix_socket=end.unix_socket,
        host="127.0.0.1",
        port=end.port,
        database=SCHEMA,
        charset="utf8mb4",
        autocommit=True,
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_CONNECT_TIMEOUT_S,
        ssl_disabled=True,  # the SSH tunnel encrypts
    )


def _received(pipe: Pipe, timeout_s: float) -> Sample:
    if not pipe.poll(timeout_s):
        raise LoadFailed("a client did not end in time")
    try:
        sample: Sample = pipe.recv()
    except EOFError:
        raise LoadFailed("a client failed") from None
    return sample


def _merged(samples: Sequence[Sample]) -> Sample:
    latencies: Counter[int] = Counter()
    for sample in samples:
        latencies.update(sample.latencies_us)
    return Sample(max(sample.seconds for sample in samples), dict(latencies), sum(sample.errors for sample in samples))
