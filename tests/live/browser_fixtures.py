"""A real browser before the console: Debian's chromium, headless, with the forwarder of `fab console` between."""

import io
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains

from deploy import console, local
from deploy.console import Forwarder
from tests.live.proxy_fixtures import wait_until
from tests.live.system_fixtures import LiveSystem

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_chromium = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="there is no browser (Debian's packages chromium and chromium-driver)"
)
PHONE = (360, 740)
DESK = (1200, 900)


class Page:
    """The console in a browser, in the words that tests use."""

    def __init__(self, driver: webdriver.Chrome, origin: str) -> None:
        self.driver = driver
        self.origin = origin

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def text(self, selector: str = "body") -> str:
        return str(self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def shows(self, *texts: str, selector: str = "body", timeout_s: float = 60) -> None:
        """Waits until all of these are to be read there."""
        wait_until(lambda: all(text in self.text(selector) for text in texts), timeout_s)

    def press(self, *keys: str) -> None:
        ActionChains(self.driver).send_keys(*keys).perform()

    def resize(self, size: tuple[int, int]) -> None:
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, **features: str) -> None:
        """What the reader prefers: `color_scheme`, `reduced_motion`."""
        wanted = [{"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wanted})

    def offline(self, *, off: bool) -> None:
        conditions = {"offline": off, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self.driver.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)

    def complaints(self) -> list[str]:
        """What the browser has written to its console since this was asked before."""
        return self._messages("browser")

    def requests(self) -> list[str]:
        """The URLs that the page has asked for since this was asked before."""
        events = [json.loads(message)["message"] for message in self._messages("performance")]
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [str(each["request"]["url"]) for each in sent]

    def _messages(self, kind: str) -> list[str]:
        entries: list[dict[str, Any]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call]
        return [str(entry["message"]) for entry in entries]

    def focused(self) -> dict[str, Any]:
        """What has the focus, and how that is to be seen."""
        found: dict[str, Any] = self.run(
            "const e = document.activeElement, s = getComputedStyle(e);"
            "return {tag: e.tagName, id: e.id, href: e.getAttribute('href'), text: e.textContent,"
            " outline: s.outlineStyle, width: parseFloat(s.outlineWidth)}"
        )
        return found

    def picture(self, path: Path) -> None:
        """The whole page, as long as it is, as PNG with few colours."""
        self.run("document.activeElement.blur()")
        height = int(self.run("return document.documentElement.scrollHeight"))
        width = int(self.run("return innerWidth"))
        self.resize((width, min(height, 3000)))
        with Image.open(io.BytesIO(self.driver.get_screenshot_as_png())) as whole:
            whole.convert("RGB").quantize(64).save(path, optimize=True)


@contextmanager
def browsing() -> Iterator[webdriver.Chrome]:
    """A browser with an empty profile, which reaches this machine's loopback and nothing else."""
    options = Options()
    options.binary_location = CHROMIUM or ""
    for argument in (
        "--headless=new",
        "--no-proxy-server",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),  # which root can't have
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(executable_path=DRIVER))
    try:
        driver.set_page_load_timeout(60)
        driver.set_script_timeout(60)
        yield driver
    finally:
        driver.quit()


@contextmanager
def serving(forwarder: Forwarder) -> Iterator[Forwarder]:
    """Runs the forwarder meanwhile."""
    thread = threading.Thread(target=forwarder.serve)
    thread.start()
    try:
        yield forwarder
    finally:
        forwarder.stop()
        thread.join(30)


@contextmanager
def opened(forwarder: Forwarder) -> Iterator[Page]:
    """The page that the forwarder's link leads to."""
    with serving(forwarder), browsing() as driver:
        page = Page(driver, f"http://{console.ADDRESS}:{forwarder.port}")
        page.resize(DESK)
        driver.get(forwarder.url)
        yield page


def forwarder_of(system: LiveSystem) -> Forwarder:
    """As `fab local.console` makes it."""
    return console.forwarder(local.orchestrators(system.files), local.operator(system.files))
