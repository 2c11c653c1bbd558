"""Analysis in a child process: the same answers, and nothing worse than a refusal when the parser hangs or crashes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contract.errors import Forbidden, GatekeeperError, StatementUnparsable, Unavailable
from gatekeeper.analysis import Analysis, analyse
from gatekeeper.analysis.apart import Apart, Stopped
from gatekeeper.judge import Analyse, Judge
from gatekeeper.policy import parse

ROOT = Path(__file__).parents[2]
# A parser that does what the statement says.
FAULTY = """
import os, signal, time
from gatekeeper.analysis import analyse
from gatekeeper.analysis.child import main

def work(text, schema):
    if "spin" in text:
        while True: pass
    if "sleep" in text:
        while True: time.sleep(1)
    if "crash" in text:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "fail" in text:
        raise RuntimeError("a bug")
    if "noise" in text:
        os.write(0, b"\\0\\0\\0\\5noise")
    return analyse(text, schema)

main(work)
"""
FAULTY_COMMAND = (sys.executable, "-c", FAULTY)
GOOD = "SELECT a FROM t WHERE b = 1"


@pytest.fixture
def apart() -> Iterator[Apart]:
    with_child = Apart()
    yield with_child
    with_child.close()


@pytest.fixture
def faulty() -> Iterator[Apart]:
    with_child = Apart(FAULTY_COMMAND)
    yield with_child
    with_child.close()


def children() -> set[int]:
    """The processes of this one, zombies too."""
    return {int(pid) for pid in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()}


def gone(pid: int) -> bool:
    """Whether the process ends, within ten seconds; an orphan's zombie counts as ended."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def outcome(text: str, how: Analyse) -> object:
    try:
        return how(text, "s")
    except GatekeeperError as error:
        return type(error), error.detail, error.rule


SAME = {
    "select": "SELECT a.x, b.y FROM a JOIN u.b ON a.i = b.i WHERE a.x > ? ORDER BY 1",
    "insert": "INSERT INTO t (a, b) VALUES (1, UPPER('é')) ON DUPLICATE KEY UPDATE a = VALUES(a)",
    "forbidden": "SELECT a FROM t FOR UPDATE",
    "limit": "SELECT a FROM t" + ", t" * 300,
    "unparsable": "SELECT FROM WHERE",
}


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_a_child_comes_to_the_same(apart: Apart, text: str) -> None:
    assert outcome(text, apart.analyse) == outcome(text, analyse)


FAULTS = ("spin", "sleep", "crash", "fail", "noise")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_parser_that_hangs_or_crashes_is_stopped_and_the_next_statement_served(faulty: Apart, fault: str) -> None:
    assert faulty.analyse(GOOD, "s") == analyse(GOOD, "s")
    with pytest.raises(Stopped):
        faulty.analyse(f"SELECT {fault} FROM t", "s")
    assert faulty.analyse(GOOD, "s") == analyse(GOOD, "s")


def test_a_child_that_does_not_start_stops_the_statement() -> None:
    with pytest.raises(Stopped):
        Apart((sys.executable, "-c", "")).analyse(GOOD, "s")


def test_a_child_that_was_killed_while_idle_costs_no_statement(faulty: Apart) -> None:
    before = children()
    faulty.analyse(GOOD, "s")
    (child,) = children() - before
    os.kill(child, signal.SIGKILL)
    assert gone(child)
    assert faulty.analyse(GOOD, "s").kind == "select"
    assert child not in children()


def test_a_started_child_is_the_one_that_is_asked(faulty: Apart) -> None:
    before = children()
    faulty.start()
    started = children() - before
    assert len(started) == 1
    faulty.analyse(GOOD, "s")
    assert children() - before == started


def test_a_forked_process_has_a_child_of_its_own_and_leaves_the_others(faulty: Apart) -> None:
    faulty.analyse(GOOD, "s")
    before = children()
    forked = os.fork()
    if not forked:
        os._exit(_asked_and_closed(faulty))
    assert os.waitpid(forked, 0)[1] == 0
    assert faulty.analyse(GOOD, "s").kind == "select"
    assert children() == before


def _asked_and_closed(apart: Apart) -> int:
    """The exit code of the forked process, which runs nothing else of the test."""
    try:
        apart.analyse(GOOD, "s")
        apart.close()
    except BaseException:
        return 1
    return 0


def test_no_child_and_no_zombie_is_left(faulty: Apart) -> None:
    before = children()
    for text in (GOOD, "SELECT crash", GOOD, "SELECT spin", GOOD):
        try:
            faulty.analyse(text, "s")
        except Stopped:
            assert children() == before
    faulty.close()
    assert children() == before


def test_a_hanging_statement_hurts_no_other_thread(faulty: Apart) -> None:
    texts = [f"SELECT a{number} FROM t" for number in range(40)]
    texts.insert(5, "SELECT spin")
    with ThreadPoolExecutor(8) as threads:
        found = [threads.submit(faulty.analyse, text, "s") for text in texts]
    failed = {text for text, each in zip(texts, found, strict=True) if each.exception()}
    assert "SELECT spin" in failed
    # On a machine that is overrun the limit by the clock may end others too: these can be asked again.
    good = [
        (faulty.analyse(text, "s") if text in failed else each.result()).digest
        for text, each in zip(texts, found, strict=True)
        if text != "SELECT spin"
    ]
    assert good == [analyse(text, "s").digest for text in texts if text != "SELECT spin"]


def test_a_statement_that_waits_too_long_for_its_turn_is_answered_unavailable() -> None:
    impatient = Apart(FAULTY_COMMAND, turn_s=0.01)
    try:
        impatient.analyse(GOOD, "s")
        with ThreadPoolExecutor(2) as threads:
            found = [threads.submit(impatient.analyse, "SELECT sleep", "s") for _ in range(2)]
        assert {type(each.exception()) for each in found} == {Stopped, Unavailable}
    finally:
        impatient.close()


WORKER = f"""
import sys
from gatekeeper.analysis.apart import Apart
apart = Apart((sys.executable, "-c", {FAULTY!r}))
apart.analyse("SELECT 1", None)
print(apart._child._process.pid, flush=True)
apart.analyse(sys.argv[1], None)
sys.stdin.read()
"""


@pytest.mark.parametrize("doing", ["SELECT 1", "SELECT spin", "SELECT sleep"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_is_killed_leaves_no_child(doing: str, how: signal.Signals) -> None:
    command = [sys.executable, "-c", WORKER, doing]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as worker:
        assert worker.stdout
        child = int(worker.stdout.readline())
        worker.send_signal(how)
        worker.wait(timeout=60)
        assert gone(child)


GEVENT = f"""
from gevent import monkey
monkey.patch_all()
import sys, time, gevent
from gatekeeper.analysis.apart import Apart, Stopped
apart = Apart((sys.executable, "-c", {FAULTY!r}))
apart.analyse("SELECT 1", None)
gaps = []
def tick():
    while True:
        begin = time.monotonic()
        gevent.sleep(0.005)
        gaps.append(time.monotonic() - begin)
ticking = gevent.spawn(tick)
def ask(text):
    try:
        return apart.analyse(text, "s").kind
    except Stopped:
        return "stopped"
texts = ["SELECT 1", "SELECT spin", "SELECT 2", "SELECT crash", "SELECT 3"]
jobs = [gevent.spawn(ask, text) for text in texts]
gevent.joinall(jobs, timeout=100)
ticking.kill()
apart.close()
print([job.value for job in jobs], len(gaps) > 5)
"""


def test_greenlets_go_on_while_a_statement_hangs() -> None:
    found = subprocess.run(
        [sys.executable, "-c", GEVENT], capture_output=True, text=True, timeout=120, cwd=ROOT, check=False
    )
    assert found.stderr == ""
    assert found.stdout == "['select', 'stopped', 'select', 'stopped', 'select'] True\n"


POLICY = parse('[roles.r]\nkinds = ["select"]\nread = ["s.*"]\ndefault_database = "s"')
LARGE = "SELECT {} FROM t WHERE " + " AND ".join(["a = b"] * 200)


def test_a_judge_refuses_a_stopped_statement_by_the_rule_limit_and_does_not_remember(faulty: Apart) -> None:
    judge = Judge(POLICY, faulty.analyse)
    with pytest.raises(Forbidden) as refusal:
        judge.judge("r", LARGE.format("crash"), None)
    assert refusal.value.rule == "limit"
    assert judge.judge("r", LARGE.format("a"), None).kind == "select"


def test_only_what_is_not_simple_goes_to_the_child() -> None:
    def never(_text: str, _schema: str | None) -> Analysis:
        raise StatementUnparsable("asked")

    judge = Judge(POLICY, never)
    assert judge.judge("r", "SELECT a, b FROM t JOIN u USING (i) WHERE a IN (1, 2)", None).kind == "select"
    for text in (LARGE.format("a"), "SELECT " + "(" * 10 + "1" + ")" * 10):
        with pytest.raises(StatementUnparsable, match="asked"):
            judge.judge("r", text, None)


def test_half_a_character_is_refused_before_it_is_sent(apart: Apart) -> None:
    with pytest.raises(Forbidden) as refusal:
        Judge(POLICY, apart.analyse).judge("r", LARGE.format("'\ud800'"), None)
    assert refusal.value.rule == "character"
