"""The console's page in a real browser: what it shows, to whom, and that it asks nobody but its own origin.

CONSOLE_SCREENSHOTS=docs/console .venv/bin/pytest tests/live/test_console_page.py -k screenshots
makes the pictures in docs/console anew.
"""

import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from contract.implementations import IMPLEMENTATIONS
from tests.live.browser_fixtures import DESK, PHONE, Page, forwarder_of, needs_chromium, opened
from tests.live.proxy_fixtures import wait_until
from tests.live.system_fixtures import LiveSystem
from tests.live.test_faults import all_up

pytestmark = needs_chromium

QUERY = "SELECT title FROM film WHERE film_id = ?"
REFUSED = "SELECT password FROM staff"
MOST_PICTURE_BYTES = 200_000
LEAST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3


@pytest.fixture(scope="module")
def page(system: LiveSystem) -> Iterator[Page]:
    with opened(forwarder_of(system)) as page:
        page.shows("nodes are up")
        yield page


@pytest.fixture(autouse=True)
def as_it_was(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "page" in request.fixturenames:
        page: Page = request.getfixturevalue("page")
        page.resize(DESK)
        page.prefer()


def use(system: LiveSystem, times: int = 20) -> None:
    """Some traffic of every kind."""
    with ThreadPoolExecutor(4) as pool:
        for implementation in IMPLEMENTATIONS:
            body = {"query": QUERY, "params": [1], "database": "rental", "implementation": implementation}
            sent = [pool.submit(system.send, json=body) for _ in range(times)]
            assert {each.result().status_code for each in sent} == {200}
    assert system.send(json={"query": REFUSED, "database": "rental"}).status_code == 403
    assert system.send(json={"query": "SELECT 1"}, key=None).status_code == 401


def test_the_page_has_every_part_of_the_requests_way(system: LiveSystem, page: Page) -> None:
    use(system)
    page.shows("manager", "data1", "data2", "data3", selector="#nodes")
    page.shows("gatekeeper1", "proxy1", selector="#services")
    names = page.run("return [...document.querySelectorAll('#picture .name')].map((each) => each.textContent)")
    assert set(names) == {"clients", "gatekeeper1", "orchestrator1", "proxy1", "manager", "data1", "data2", "data3"}


def test_throughput_and_times_by_implementation_are_shown(system: LiveSystem, page: Page) -> None:
    def rates() -> list[str]:
        use(system)
        rows = page.run("return [...document.querySelectorAll('#implementations tbody tr')].map((r) => r.innerText)")
        return [row for row in rows if " ms" in row and "0.0 /s" not in row]

    wait_until(lambda: all(any(name in row for row in rates()) for name in IMPLEMENTATIONS), 60)


def test_refusals_are_shown_with_key_and_rule_and_slow_statements_without_their_text(
    system: LiveSystem, page: Page
) -> None:
    use(system)
    page.shows("demo", "column", "unauthenticated", selector="#refusals")
    page.shows("select", selector="#digests")
    assert re.search(r"\b[0-9a-f]{16}\b", page.text("#digests"))
    assert "film_id" not in page.run("return document.documentElement.innerHTML")


def test_the_queue_is_shown(system: LiveSystem, page: Page) -> None:
    later = {"query": "SELECT COUNT(*) FROM film", "run_at": tomorrow(), "database": "rental"}
    response = system.send(path="/new-requests", json=later)
    assert response.status_code == 202, response.text
    try:
        page.shows("demo", selector="#queue table")
        assert "of 8" in page.text("#queue-figures")
    finally:
        assert system.send("DELETE", f"/new-requests/{response.json()['id']}").status_code == 200
    page.shows("The queue is empty.", selector="#queue")


def tomorrow() -> str:
    return (datetime.now(UTC) + timedelta(days=1)).isoformat()


def test_a_lost_node_is_said_in_words_and_in_the_picture(system: LiveSystem, page: Page) -> None:
    system.kill_node("data2")
    try:
        page.shows("data2 is down", selector="#headline")
        assert page.run("return document.querySelectorAll('#picture rect.bad').length") == 1
        assert "✕ down" in page.text("#nodes")
    finally:
        system.start_node("data2")
    all_up(system)
    page.shows("All 4 nodes are up.", selector="#headline")


@contextmanager
def paused(system: LiveSystem, service: str) -> Iterator[None]:
    """The service answers nobody meanwhile, and closes nothing."""
    family = system.family(service)
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in family:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("service", "said"), [("proxy1", "No proxy answers"), ("gatekeeper1", "gatekeeper1 is silent")]
)
def test_a_service_that_hangs_is_said_and_delays_no_page(
    system: LiveSystem, page: Page, service: str, said: str
) -> None:
    with paused(system, service):
        page.shows(said, selector="#headline")
        assert not page.run("return document.body.classList.contains('old')")
        assert "? silent" in page.text("#services")
    page.shows("All 4 nodes are up.", selector="#headline")


def test_a_page_that_gets_no_answers_says_that_it_is_old(system: LiveSystem, page: Page) -> None:
    page.offline(off=True)
    try:
        page.shows("The orchestrator does not answer", selector="#headline")
        assert page.run("return document.body.classList.contains('old')")
    finally:
        page.offline(off=False)
    page.shows("nodes are up", selector="#headline")
    assert not page.run("return document.body.classList.contains('old')")
    page.complaints()  # of the answers that did not come


def test_the_browser_has_nothing_to_complain_of_and_asks_no_other_host(system: LiveSystem, page: Page) -> None:
    page.complaints()
    page.requests()
    page.driver.refresh()
    page.shows("nodes are up")
    asked = page.requests()
    assert any(url.endswith("/console/state") for url in asked)
    assert {url for url in asked if not url.startswith(f"{page.origin}/")} == set()
    assert page.complaints() == []
    assert page.run("return document.cookie") == ""


def test_everything_that_can_be_used_is_reached_by_keyboard_and_seen_there(system: LiveSystem, page: Page) -> None:
    page.driver.refresh()
    page.shows("nodes are up")
    wanted = page.run("return document.querySelectorAll('a[href], button, input, select, [tabindex=\"0\"]').length")
    reached = []
    for _ in range(wanted):
        page.press(Keys.TAB)
        reached.append(page.focused())
    assert len({(each["id"], each["href"]) for each in reached}) == wanted > 8
    assert all(each["outline"] != "none" and each["width"] >= 2 for each in reached)


def test_it_can_be_paused_by_keyboard(system: LiveSystem, page: Page) -> None:
    page.run("document.getElementById('pause').focus()")
    page.press(Keys.SPACE)
    try:
        page.shows("Paused", selector="#when")
        assert page.run("return document.getElementById('pause').getAttribute('aria-pressed')") == "true"
    finally:
        page.press(Keys.ENTER)
    page.shows("As of", selector="#when")


def test_a_screen_reader_finds_tables_with_names_and_heads(system: LiveSystem, page: Page) -> None:
    for size in (DESK, PHONE):
        page.resize(size)
        tree = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        found = [(each.get("role", {}).get("value"), each.get("name", {}).get("value", "")) for each in tree]
        assert sum(role == "table" and bool(name) for role, name in found) >= 4
        assert ("columnheader", "State") in found
        assert ("rowheader", "data1") in {(role, name.removeprefix("Node").strip()) for role, name in found}
        assert any(role in {"image", "img"} and name == "The request's way" for role, name in found)
        assert any(role == "status" for role, _ in found)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_are_read_well_in_light_and_in_dark(system: LiveSystem, page: Page, scheme: str) -> None:
    page.prefer(color_scheme=scheme)
    colours = page.run(
        "const style = getComputedStyle(document.documentElement);"
        "return Object.fromEntries(['ground', 'raised', 'text', 'quiet', 'link', 'good', 'warn', 'bad', 'stale']"
        ".map((name) => [name, style.getPropertyValue('--' + name).trim()]))"
    )
    assert (luminance(colours["ground"]) < 0.5) == (scheme == "dark")
    texts = colours.keys() - {"ground", "raised"}
    for ground in ("ground", "raised"):
        low = {name for name in texts if contrast(colours[name], colours[ground]) < LEAST_CONTRAST}
        assert low == set(), ground


def luminance(colour: str) -> float:
    """WCAG 2.2's relative luminance of #rrggbb."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_on_a_phone_nothing_sticks_out_and_all_is_large_enough(system: LiveSystem, page: Page) -> None:
    use(system, 2)
    page.shows("column", selector="#refusals")
    page.resize(PHONE)
    wait_until(lambda: page.run("return document.getElementById('picture').viewBox.baseVal.width") == 340, 30)
    assert page.run("return document.documentElement.scrollWidth") == PHONE[0]
    outside = page.run(
        "return [...document.querySelectorAll('main *')].filter((each) => each.getBoundingClientRect().right >"
        " innerWidth + 1 && !each.closest('thead')).map((each) => each.outerHTML.slice(0, 80))"
    )
    assert outside == []
    sizes = page.run(
        "const scale = document.getElementById('picture').getBoundingClientRect().width / 340;"
        "return [...document.querySelectorAll('#picture text')].map((e) => parseFloat(getComputedStyle(e).fontSize)"
        " * scale)"
    )
    assert min(sizes) >= 11


def test_who_wants_less_motion_gets_none(system: LiveSystem, page: Page) -> None:
    page.prefer(reduced_motion="reduce")
    assert page.run("return getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    page.prefer(reduced_motion="no-preference")
    assert page.run("return getComputedStyle(document.documentElement).scrollBehavior") == "smooth"


@pytest.mark.parametrize("name", ["light", "dark", "phone"])
def test_screenshots(system: LiveSystem, page: Page, tmp_path: Path, name: str) -> None:
    directory = Path(os.environ.get("CONSOLE_SCREENSHOTS", tmp_path))
    directory.mkdir(exist_ok=True)
    use(system, 40)
    page.shows("demo", "column", selector="#refusals")
    page.prefer(color_scheme="light" if name == "phone" else name)
    page.resize(PHONE if name == "phone" else DESK)
    use(system, 200)
    wait_until(lambda: " ms" in page.text("#implementations"), 60)
    page.picture(directory / f"{name}.png")
    assert 10_000 < (directory / f"{name}.png").stat().st_size < MOST_PICTURE_BYTES
