"""The console's page before an orchestrator that says anything: in a real browser, every text stays a text."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from contract.console import (
    ConsoleState,
    DigestView,
    GatekeeperView,
    ImplementationView,
    NodeAsSeen,
    NodeView,
    OwnerView,
    ProxyView,
    QueueView,
    RefusalView,
)
from contract.messages import NodeStatus
from contract.peers import Reply
from deploy.console import listening
from orchestrator.console import views
from tests.live.browser_fixtures import PHONE, needs_chromium, opened

pytestmark = needs_chromium

DIRECTORY = Path(views.__file__).parent
TEXT = "<img src=x onerror=\"document.title='taken'\"></td><script>document.title='taken'</script>"
MANY = 40


def state(text: str, count: int) -> ConsoleState:
    """A state in which every text is that one, and there are so many of each thing."""
    status = NodeStatus(text, text, text, text, 1.0, 1, 1, 1, 1, text)  # type: ignore[arg-type]
    node = NodeView(text, text, text, 0, 1.0, 1.0, 1.0, 0.5, [NodeAsSeen(text, status)])  # type: ignore[arg-type]
    queue = QueueView(0, text, 1, 1, 8, 1, [OwnerView(text, 1, 1)] * count, 1, {text: 1})
    return ConsoleState(
        text,
        1_795_850_000_000,
        12,
        300,
        1,
        [ProxyView(text, text, text, text, 0, {text: 1.0})] * count,
        [node] * count,
        [ImplementationView(text, 1.0, 1.0, 1.0, 1.0)] * count,
        queue,
        [GatekeeperView(text, 0, 1, 1.0, 1.0, 1.0)] * count,
        [RefusalView(text, 1, 1, text, text, text, text, False)] * count,
        [DigestView(text, text, 1, 1.0, 1.0)] * count,
        7,
    )


class Saying:
    """An orchestrator with the real page, whose figures are these bytes."""

    def __init__(self, figures: bytes) -> None:
        self.figures = figures

    def ask(self, _method: str, path: str, _body: bytes, **_: Any) -> Reply:
        if path == "/console/state":
            return Reply(200, {"Content-Type": "application/json"}, self.figures)
        name = path.removeprefix("/console").lstrip("/") or "page.html"
        kinds = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
        content = (DIRECTORY / name).read_bytes()
        return Reply(200, {"Content-Type": f"{kinds[name.rpartition('.')[2]]}; charset=utf-8"}, content)

    def close(self) -> None:
        """There is nothing to close."""


def test_a_text_that_is_html_is_shown_as_the_text_that_it_is() -> None:
    with opened(listening(Saying(msgspec.json.encode(state(TEXT, 2))))) as page:
        page.shows(TEXT, selector="#nodes")
        page.shows(TEXT, selector="#refusals")
        assert page.run("return document.querySelectorAll('img, td script, tbody script').length") == 0
        assert page.run("return document.title") == "Gatekeeper for MySQL Cluster: console"
        assert page.complaints() == []


def test_many_of_everything_with_long_names_still_fit_a_phone() -> None:
    figures = msgspec.json.encode(state("n" * 64, MANY))
    with opened(listening(Saying(figures))) as page:
        page.resize(PHONE)
        page.shows("n" * 64, selector="#digests")
        assert page.run("return document.querySelectorAll('#nodes tbody tr').length") == MANY
        assert page.run("return document.documentElement.scrollWidth") == PHONE[0]
        assert page.complaints() == []


@pytest.mark.parametrize("figures", [b"{}", b"[1, 2", b"null"], ids=["empty", "broken", "null"])
def test_figures_that_are_none_leave_a_page_that_says_so(figures: bytes) -> None:
    saying = Saying(msgspec.json.encode(state("text", 1)))
    with opened(listening(saying)) as page:
        page.shows("text", selector="#nodes")
        saying.figures = figures
        page.shows("The orchestrator does not answer", selector="#headline")
        assert "text" in page.text("#nodes")
