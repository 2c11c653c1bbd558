"""Runs a command while clients ask a cluster at a steady pace, and says how many requests failed.

    python -m tests.fleet.under_load CLUSTER COMMAND...

A fifth of the requests write; all go through nginx and both services. Afterwards each row that was
acknowledged must be there, and each that is there must have been acknowledged. The figures of docs/operations.md are
its. Where the cluster is a fleet in namespaces of its own, run it in these.
"""

import subprocess
import sys
import threading
import time
from collections import Counter

from client import Client
from contract.errors import GatekeeperError
from deploy import clusters
from deploy.deployment import Deployment
from deploy.host import Host
from deploy.site import printing

PER_SECOND = 50
SENDERS = 10
# Every fifth request writes.
WRITERS = 2
TIMEOUT_MS = 60_000
COMMAND_TIMEOUT_S = 3600
MAKE = """\
DROP TABLE IF EXISTS rental.beats;
CREATE TABLE rental.beats (sender INT, number INT, PRIMARY KEY (sender, number));
"""


class Load:
    """Reads and writes at a steady pace until told to stop; what failed is kept in words."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment, self._site = deployment, deployment.site()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(SENDERS)]
        self.failed: list[str] = []
        self.written: list[tuple[int, int]] = []
        self.took_s: list[float] = []
        self.attempts: Counter[int] = Counter()

    def __enter__(self) -> "Load":
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=2 * TIMEOUT_MS / 1000)

    def _run(self, sender: int) -> None:
        interval_s, due, number = SENDERS / PER_SECOND, time.monotonic(), 0
        with clusters.client(self._deployment, self._site) as client:
            # One that is so late that it can't keep the pace goes on from now.
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                due = max(due + interval_s, time.monotonic() - 1.0)
                number += 1
                self._send(client, sender, number)

    def _send(self, client: Client, sender: int, number: int) -> None:
        began = time.monotonic()
        try:
            if sender < WRITERS:
                query, params = "INSERT INTO rental.beats (sender, number) VALUES (?, ?)", (sender, number)
            else:
                query, params = "SELECT title, ? + 0 FROM rental.film WHERE film_id = ?", (number, 1 + number % 1000)
            answer = client.query(query, params, timeout_ms=TIMEOUT_MS, implementation=_implementation(number))
        except GatekeeperError as error:
            self.failed.append(f"{began - self._began:.1f} s: {query.split()[0]}: {error}")
            return
        self.took_s.append(time.monotonic() - began)
        self.attempts[answer.attempts] += 1
        if sender < WRITERS:
            self.written.append((sender, number))


def main(cluster: str, *command: str) -> int:
    """Prints the figures; the command's exit status, or 1 when a request failed or a row is not as it should be."""
    deployment = clusters.known(cluster, printing())
    manager = deployment.site().of("manager")[0]
    deployment.engine.sql(manager, MAKE)
    began = time.monotonic()
    with Load(deployment) as load:
        status = subprocess.run(command, check=False, timeout=COMMAND_TIMEOUT_S).returncode
    took_s = time.monotonic() - began
    wrong = set(load.written) ^ _there(deployment, manager)
    sent = len(load.took_s) + len(load.failed)
    again = sum(count * (attempts - 1) for attempts, count in load.attempts.items())
    print(  # noqa: T201 its answer
        f"{took_s:.0f} s, {sent} requests ({sent / took_s:.0f} a second), {len(load.written)} rows written,"
        f" {len(load.failed)} failed, {again} tried again, longest {max(load.took_s):.1f} s, {len(wrong)} rows wrong",
        *load.failed[:20],
        sep="\n",
    )
    return status or bool(load.failed or wrong)


def _implementation(number: int) -> str:
    return ("direct_hit", "random_hit", "customized_hit")[number % 3]


def _there(deployment: Deployment, manager: Host) -> set[tuple[int, int]]:
    rows = deployment.engine.sql(manager, "SELECT sender, number FROM rental.beats")
    return {(int(sender), int(number)) for sender, number in (row.split() for row in rows.splitlines())}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
