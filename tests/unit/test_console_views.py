"""The console's resources without TLS: what is guarded, what is there, and what an outage does to the answers."""

import re
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask import Flask

from contract import web
from contract.console import HEADERS, ConsoleState, StatsAnswer, Summary
from contract.errors import Unavailable
from contract.messages import NodesAnswer
from deploy import processes
from orchestrator.console import asked, views
from orchestrator.console.asked import Asked
from orchestrator.console.state import Watching, owners_of
from tests.unit.clock_fixtures import Clock, clock

__all__ = ["clock"]

DIRECTORY = Path(views.__file__).parent
STATS = StatsAnswer(NodesAnswer("proxy1", "galera", "openssh", None, []), (1.0,), [], {})


class Proxies:
    """Proxies that answer when they are let."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.asked = 0

    def get_each(self, path: str) -> list[bytes]:
        assert path == "/stats"
        self.asked += 1
        assert self.go.wait(30)
        return [msgspec.json.encode(STATS)]


class Slots:
    busy = 3


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy this machine is, what answers is waited for."""
    monkeypatch.setattr(asked, "_PATIENCE_S", 30.0)


@pytest.fixture
def proxies() -> Proxies:
    return Proxies()


def watching(proxies: Proxies, queue: Any = lambda: {"demo": {"queued": 2, "running": 1}}) -> Watching:
    return Watching("orchestrator1", (proxies, 2), queue, (Slots(), 8), lambda: {"done": 5})


def app_of(watching: Watching) -> Flask:
    app = Flask("orchestrator")
    web.install(app)
    views.add(app, watching)
    return app


@pytest.mark.parametrize("path", ["/console", "/console/page.js", "/console/state"])
def test_without_a_certificate_the_console_is_for_nobody(proxies: Proxies, path: str) -> None:
    answer = app_of(watching(proxies)).test_client().get(path)
    assert answer.status_code == 403
    assert answer.json is not None
    assert answer.json["code"] == "forbidden"


def test_the_policy_of_the_page_lets_in_its_own_files_and_nothing_inline() -> None:
    policy = dict(part.strip().split(" ", 1) for part in HEADERS["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert {value for name, value in policy.items() if name != "default-src"} == {"'self'", "'none'"}
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"


def test_the_page_has_nothing_inline_and_no_other_host() -> None:
    page = (DIRECTORY / "page.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|\s(style|on[a-z]+)=|javascript:", page)
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == [""]
    named = {
        path.name: re.findall(r"\w+://[^\s\"']+", path.read_text(encoding="utf-8"))
        for path in DIRECTORY.iterdir()
        if path.suffix in {".html", ".css", ".js", ".svg"}
    }
    assert {address for addresses in named.values() for address in addresses} == {"http://www.w3.org/2000/svg"}


def test_no_script_makes_html_of_a_text() -> None:
    scripts = "".join(path.read_text(encoding="utf-8") for path in DIRECTORY.glob("*.js"))
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "setHTML"):
        assert way not in scripts


def test_the_state_has_what_is_known(proxies: Proxies) -> None:
    state = watching(proxies).state()
    assert [each.name for each in state.proxies] == ["proxy1"]
    assert state.proxies_configured == 2
    assert (state.queue.queued, state.queue.running, state.queue.busy, state.queue.slots) == (2, 1, 3, 8)
    assert (state.queue.problem, state.queue.ended) == (None, {"done": 5})
    assert msgspec.json.decode(msgspec.json.encode(state), type=ConsoleState) == state


def test_proxies_that_do_not_answer_delay_no_page(proxies: Proxies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "_PATIENCE_S", 0.01)
    known = watching(proxies)
    proxies.go.clear()
    try:
        processes.wait_until(lambda: known.state().queue.queued == 2, timeout_s=30, what="the queue")
        assert known.state().proxies == []
        assert proxies.asked == 1
    finally:
        proxies.go.set()


def test_a_queue_that_does_not_answer_is_shown_as_it_was_with_the_reason(
    proxies: Proxies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked, "_GOOD_FOR_S", 0.0)
    outcomes: list[Any] = [{"demo": {"queued": 7}}, Unavailable("no proxy can be reached")]

    def queue() -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    known = watching(proxies, queue)
    assert known.state().queue.problem is None
    shown = known.state().queue
    assert (shown.queued, shown.problem) == (7, "unavailable")


def test_before_the_first_answer_the_age_of_the_queue_is_not_known(proxies: Proxies) -> None:
    def queue() -> Any:
        raise Unavailable("no proxy can be reached")

    shown = watching(proxies, queue).state().queue
    assert (shown.age_ms, shown.queued, shown.problem) == (None, 0, "unavailable")


def test_however_many_look_the_others_are_asked_once_a_second(clock: Clock) -> None:
    asked_at: list[float] = []
    value = Asked("test", lambda: asked_at.append(clock.now), clock)
    for step in range(25):
        clock.now = 1000 + step / 10
        value.look()
    assert asked_at == [1000.0, 1001.0, 1002.0]


def test_an_unexpected_error_ends_no_asking() -> None:
    outcomes: list[Any] = [ValueError("odd"), 5]

    def ask() -> int:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return int(outcome)

    clock = iter(range(0, 1000, 10))
    value = Asked("test", ask, lambda: float(next(clock)))
    value.look()
    assert (value.value, value.problem) == (None, "internal")
    value.look()
    assert (value.value, value.problem) == (5, None)


def test_owners_with_the_most_come_first_and_many_are_cut() -> None:
    counts: Any = {f"key{number:02}": {"queued": number} for number in range(30)}
    assert [each.queued for each in owners_of(counts)] == list(range(29, -1, -1))
    shown = watching(Proxies(), lambda: counts).state().queue
    assert (len(shown.owners), shown.more_owners, shown.queued) == (20, 10, 435)


def test_a_summary_is_taken_and_a_large_one_is_not(proxies: Proxies) -> None:
    known = watching(proxies)
    client = app_of(known).test_client()
    body = msgspec.json.encode(Summary(1, 2000, 4, 0, 0, 0, [], []))
    assert client.post("/summaries", data=body, content_type="application/json").status_code == 204
    assert [each.per_s for each in known.told.gatekeepers()] == [2.0]
    large = client.post("/summaries", data=b" " * 70_000, content_type="application/json")
    assert large.status_code == 413
    assert client.post("/summaries", data=body, content_type="text/plain").status_code == 415
