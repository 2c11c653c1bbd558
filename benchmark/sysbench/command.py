"""sysbench's arguments. Pure. `sysbench --help` of 1.0.20 (Debian bookworm) is the reference.

What holds for every target alike, and why:

--auto_inc=off        ids are 1 to N everywhere. With AUTO_INCREMENT, Galera's nodes take every fourth number each, and
                      three of four point selects would look for rows that are not there.
--rand-type=uniform   sysbench's default ("special") sends three of four accesses to one row in a hundred: they fit
                      into any buffer pool, and on a cluster with several writers they meet.
--mysql-ignore-errors 1213, 1020, 1205 are sysbench's default: what every client must try again. 1297 is NDB's name
                      for the same. They are counted, and such a measurement is marked.
"""

from collections.abc import Mapping
from typing import Final

from benchmark.sysbench.matrix import Size

PROGRAM: Final = "sysbench"
PERCENTILE: Final = 99
_IGNORED: Final = "1213,1020,1205,1297"
# How long threads may take to end after the time; then sysbench gives up and says so.
_FORCED_SHUTDOWN_S: Final = 10


def option_file(socket: str, user: str, password: str, schema: str) -> str:
    """The file that sysbench reads how to connect from: a password among arguments could be seen by everybody."""
    return f"mysql-socket={socket}\nmysql-user={user}\nmysql-password={password}\nmysql-db={schema}\ndb-driver=mysql\n"


def prepare(options: str, size: Size, engine: str) -> list[str]:
    """Makes and fills the tables. `options`: the option file's path; `engine`: the tables'."""
    data = [*_data(size), f"--threads={size.tables}", f"--mysql-storage-engine={engine}"]
    return [PROGRAM, "oltp_read_write", f"--config-file={options}", *data, "prepare"]


def measure(options: str, size: Size, workload: str, load: Mapping[str, int]) -> list[str]:
    """Runs a workload. `load`: `threads`, `warmup_s` (0: none), `seconds` and `seed`.

    The checkpoint at the end of the warm-up sets sysbench's counters and its histogram to nothing.
    """
    warmup = load["warmup_s"]
    return [
        *(PROGRAM, workload, f"--config-file={options}", *_data(size)),
        f"--threads={load['threads']}",
        f"--time={warmup + load['seconds']}",
        *([f"--report-checkpoints={warmup}"] if warmup else []),
        "--report-interval=1",
        *("--histogram=on", f"--percentile={PERCENTILE}"),
        *(f"--rand-seed={load['seed']}", "--rand-type=uniform"),
        *(f"--mysql-ignore-errors={_IGNORED}", f"--forced-shutdown={_FORCED_SHUTDOWN_S}"),
        "run",
    ]


def limit_s(warmup_s: int, seconds: int) -> int:
    """When a measurement that has not ended is killed."""
    return warmup_s + seconds + _FORCED_SHUTDOWN_S + 10


def _data(size: Size) -> list[str]:
    return [f"--tables={size.tables}", f"--table-size={size.rows}", "--auto_inc=off"]
