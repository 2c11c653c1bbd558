"""A closed loop with a process for each client, so that no lock of Python's is shared in the load generator.

The processes are forked, so that nothing is imported while others measure, and wait for one another before they start.
"""

import multiprocessing
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Barrier
from typing import TypeAlias

import pymysql

from benchmark.errors import LoadFailed
from benchmark.measurement import WARM_UP_S, Sample
from benchmark.shapes import SEED

_START_TIMEOUT_S = 20
_GRACE_S = 30
_processes = multiprocessing.get_context("fork")

Ask: TypeAlias = Callable[[random.Random], bool]
"""Asks once, what the dice say, and returns whether the answer was right."""
Connect: TypeAlias = Callable[[int], AbstractContextManager[Ask]]
"""A connection for the client of that number."""


def measure(connect: Connect, clients: int, seconds: int) -> Sample:
    """One run. Raises LoadFailed."""
    barrier = _processes.Barrier(clients)
    pipes, workers = [], []
    for number in range(clients):
        parent, child = _processes.Pipe(duplex=False)
        workers.append(_processes.Process(target=_client, args=(connect, number, seconds, barrier, child), daemon=True))
        pipes.append(parent)
    try:
        for worker in workers:
            worker.start()
        return merged([_received(pipe, seconds + _GRACE_S) for pipe in pipes])
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def merged(samples: Sequence[Sample]) -> Sample:
    """The clients' samples as one; its duration is the longest."""
    latencies: Counter[int] = Counter()
    for sample in samples:
        latencies.update(sample.latencies_us)
    return Sample(max(sample.seconds for sample in samples), dict(latencies), sum(sample.errors for sample in samples))


def _client(connect: Connect, number: int, seconds: int, barrier: Barrier, results: Pipe) -> None:
    try:
        with connect(number) as ask:
            barrier.wait(_START_TIMEOUT_S)
            results.send(_loop(ask, random.Random(SEED + number), seconds))
    except (OSError, LoadFailed, pymysql.MySQLError, threading.BrokenBarrierError) as error:
        barrier.abort()
        results.send(f"{type(error).__name__}: {error}")


def _loop(ask: Ask, dice: random.Random, seconds: float) -> Sample:
    """Asks again and again until the time is over."""
    latencies: Counter[int] = Counter()
    wrong = 0
    begin = received = time.perf_counter()
    counted_from, end = begin + WARM_UP_S, begin + seconds
    while received < end:
        sent = time.perf_counter()
        right = ask(dice)
        received = time.perf_counter()
        if not right:
            wrong += 1
        elif received >= counted_from:
            latencies[int((received - sent) * 1e6)] += 1
    return Sample(received - counted_from, dict(latencies), wrong)


def _received(pipe: Pipe, timeout_s: float) -> Sample:
    if not pipe.poll(timeout_s):
        raise LoadFailed("a client did not end in time")
    found: Sample | str = pipe.recv()
    if isinstance(found, str):
        raise LoadFailed(f"a client failed: {found}")
    return found
