"""The forwarder of `fab console`: one login, for one browser, on this machine; the console's resources alone."""

from collections.abc import Mapping
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from contract.console import HEADERS
from contract.errors import Unavailable
from contract.peers import Reply
from deploy.console import COOKIE, Refused, Session, create_app
from tests.unit.clock_fixtures import Clock, clock

__all__ = ["clock"]

PORT = 12345
HOST = f"127.0.0.1:{PORT}"


class Orchestrator:
    """An orchestrator that keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.reply = Reply(200, {"Content-Type": "text/html; charset=utf-8"}, b"the page")
        self.error: Exception | None = None

    def ask(self, method: str, path: str, body: bytes, **_: Any) -> Reply:
        assert body == b""
        self.asked.append((method, path))
        if self.error:
            raise self.error
        return self.reply

    def close(self) -> None:
        """There is nothing to close."""


class World:
    """A forwarder and somebody with a browser."""

    def __init__(self) -> None:
        self.orchestrator, self.session = Orchestrator(), Session()
        self.app = create_app(self.orchestrator, self.session, PORT)
        self.browser = self.another_browser()

    def another_browser(self) -> FlaskClient:
        return self.app.test_client()

    def get(
        self, path: str, browser: FlaskClient | None = None, host: str = HOST, headers: Mapping[str, str] | None = None
    ) -> TestResponse:
        sent = {"Host": host, **(headers or {})}
        return (browser or self.browser).get(path, base_url=f"http://{HOST}", headers=sent)

    def log_in(self, browser: FlaskClient | None = None, **options: Any) -> TestResponse:
        return self.get(f"/login/{self.session.login}", browser, **options)

    def console(self, resource: str = "console", browser: FlaskClient | None = None, **options: Any) -> TestResponse:
        return self.get(f"/{self.session.path}/{resource}", browser, **options)


@pytest.fixture
def world() -> World:
    return World()


def test_a_login_gives_a_path_and_a_cookie_for_it_that_no_script_and_no_other_site_has(world: World) -> None:
    answer = world.log_in()
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/{world.session.path}/console"
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(f"{COOKIE}={world.session.cookie};")
    assert {"HttpOnly", "SameSite=Strict", f"Path=/{world.session.path}"} <= set(cookie.split("; "))
    assert world.console().data == b"the page"
    assert world.orchestrator.asked == [("GET", "/console")]


def test_path_and_cookie_are_both_asked_for(world: World) -> None:
    world.log_in()
    assert world.console(browser=world.another_browser()).status_code == 403
    world.browser.set_cookie(COOKIE, world.session.cookie, domain="127.0.0.1")
    assert world.get(f"/{'x' * 43}/console").status_code == 403
    assert world.get("/console").status_code == 404
    assert world.orchestrator.asked == []


def test_without_a_login_nothing_is_open(world: World) -> None:
    world.browser.set_cookie(COOKIE, world.session.cookie, domain="127.0.0.1")
    assert world.console().status_code == 403
    assert world.get("/login/" + "x" * 43).status_code == 403
    assert world.orchestrator.asked == []


def test_a_link_that_is_used_twice_closes_the_session(world: World) -> None:
    world.log_in()
    assert world.console().status_code == 200
    stolen = world.log_in(world.another_browser())
    assert stolen.status_code == 403
    assert "Set-Cookie" not in stolen.headers
    assert world.console().status_code == 403


def test_a_link_that_is_too_old_opens_nothing(clock: Clock) -> None:
    session = Session(clock)
    clock.now += 601
    with pytest.raises(Refused, match="too old"):
        session.log_in(session.login)


@pytest.mark.parametrize("header", ["Sec-Purpose", "Purpose"])
def test_a_link_is_not_used_up_by_a_browser_that_looks_ahead(world: World, header: str) -> None:
    assert world.log_in(headers={header: "prefetch;prerender"}).status_code == 403
    assert world.log_in().status_code == 303


@pytest.mark.parametrize("host", ["evil.example", f"localhost:{PORT}", "127.0.0.1", "127.0.0.1:1", f"[::1]:{PORT}"])
def test_under_another_name_there_is_nothing(world: World, host: str) -> None:
    assert world.log_in(host=host).status_code == 403
    world.log_in()
    assert world.console(host=host).status_code == 403
    assert world.orchestrator.asked == []


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_a_page_of_another_origin_asks_for_is_refused(world: World, site: str) -> None:
    world.log_in()
    assert world.console("console/state", headers={"Sec-Fetch-Site": site}).status_code == 403
    assert world.console("console/state", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


@pytest.mark.parametrize(
    "resource",
    ["new-requests", "readyz", "console/../new-requests", "console/state/more", "console/STATE", "console/a%00", "x"],
)
def test_only_the_consoles_resources_are_passed_on(world: World, resource: str) -> None:
    world.log_in()
    assert world.console(resource).status_code == 404
    assert world.orchestrator.asked == []


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"])
def test_nothing_but_get_is_passed_on_or_logs_in(world: World, method: str) -> None:
    for path in (f"/login/{world.session.login}", f"/{world.session.path}/console/state"):
        answer = world.browser.open(path, method=method, base_url=f"http://{HOST}", headers={"Host": HOST})
        assert answer.status_code == 405
    assert world.log_in().status_code == 303
    assert world.orchestrator.asked == []


def test_every_answer_is_guarded_as_the_orchestrators_are(world: World) -> None:
    answers = [world.get("/"), world.get("/login/x"), world.log_in(), world.console(), world.console("x")]
    assert [answer.status_code for answer in answers] == [404, 403, 303, 200, 404]
    for answer in answers:
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS


def test_an_orchestrator_that_is_not_there_or_refuses_is_said(world: World) -> None:
    world.log_in()
    world.orchestrator.error = Unavailable("no orchestrator can be reached")
    assert (world.console().status_code, world.console().text) == (502, "no orchestrator can be reached\n")
    world.orchestrator.error = None
    world.orchestrator.reply = Reply(403, {}, b"{}")
    assert world.console().status_code == 502


def test_the_secrets_are_long_and_never_the_same() -> None:
    one, other = Session(), Session()
    secrets = {one.login, one.path, one.cookie, other.login, other.path, other.cookie}
    assert len(secrets) == 6
    assert min(map(len, secrets)) >= 43
