"""The load on HTTP targets, the same for all: wrk, a closed loop, a keep-alive connection for each client."""

import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmark import commands
from benchmark.errors import LoadFailed, NotMeasured
from benchmark.exchanges import Exchange
from benchmark.measurement import WARM_UP_S, Sample
from benchmark.raw_http import Channel
from benchmark.shapes import KEY_MARK, SEED, Keys
from deploy.secrets import write_file

_SCRIPT = Path(__file__).with_name("wrk.lua")
_ANSWER_TIMEOUT_S = 10
_GRACE_S = 20
_CHECKED = 5


class HttpLoad:
    """Asks one HTTP target. `address` is HOST:PORT; `file` takes the exchanges, which may hold a key, for wrk."""

    def __init__(self, address: str, exchanges: Sequence[Exchange], file: Path) -> None:
        self.address = address
        self.exchanges = exchanges
        self._file = file
        if shutil.which("wrk") is None:
            raise NotMeasured("wrk is missing")
        parts = (part for exchange in exchanges for part in (exchange.request, exchange.expected))
        write_file(file, b"".join(part + b"\0" for part in parts))

    def check(self) -> None:
        """Asks for a few films. Raises LoadFailed unless each is answered with its row."""
        keys = Keys(0)
        for exchange in self.exchanges[:: max(1, len(self.exchanges) // _CHECKED)]:
            try:
                with Channel(self.address) as channel:
                    answer = channel.exchange(keys.put_into(exchange.request))
            except OSError as error:
                raise LoadFailed(f"does not answer: {error!r}") from None
            if answer.status != 200 or exchange.expected not in answer.body:
                found = answer.body[:300].decode(errors="replace")
                raise LoadFailed(f"answered {answer.status} without the row: {found}")

    def measure(self, clients: int, seconds: int) -> Sample:
        """One run, with a thread of wrk for each client (wrk.lua says why). Raises LoadFailed."""
        command = ["wrk", f"-t{clients}", f"-c{clients}", f"-d{seconds}s", f"--timeout={_ANSWER_TIMEOUT_S}s"]
        command += ["-s", str(_SCRIPT), f"http://{self.address}/", "--", str(self._file), str(SEED)]
        command += [f"{WARM_UP_S * 1e6:.0f}", KEY_MARK.decode()]
        try:
            done = commands.run(command, seconds + _GRACE_S)
        except subprocess.TimeoutExpired:
            raise LoadFailed("wrk did not end in time") from None
        if done.returncode:
            raise LoadFailed(f"wrk ended with status {done.returncode}: {done.stdout.strip()[-300:]}")
        return sample_of(done.stdout)


def sample_of(printed: str) -> Sample:
    """The sample in what wrk.lua printed, among wrk's own lines. Raises LoadFailed."""
    duration_us = 0
    latencies: Counter[int] = Counter()
    errors = 0
    for line in printed.splitlines():
        match line.split():
            case ["duration_us", value]:
                duration_us = int(value)
            case ["failed", count, _kind]:
                errors += int(count)
            case ["wrong", count]:
                errors += int(count)
            case ["latency", latency, count]:
                latencies[int(latency)] += int(count)
    if not duration_us:
        raise LoadFailed(f"wrk did not report: {printed.strip()[-300:]}")
    return Sample(duration_us / 1e6 - WARM_UP_S, dict(latencies), errors)
