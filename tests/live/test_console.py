"""Who may open what of the console, by certificate, and whether what the services tell is true."""

import ssl
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
import urllib3

from contract.console import HEADERS, MAX_SUMMARY_BYTES, ConsoleState, StatsAnswer, Summary
from contract.roles import Role, dns_name
from deploy import certificates
from deploy.services import Service
from tests.live.browser_fixtures import forwarder_of, serving
from tests.live.proxy_fixtures import wait_until
from tests.live.system_fixtures import LiveSystem

FOR_OPERATORS = ("/console", "/console/page.js", "/console/page.css", "/console/icon.svg", "/console/state")
FOR_GATEKEEPERS = ("/new-requests?owner=demo", "/readyz", "/healthz")
QUERY = {"query": "SELECT title FROM film WHERE film_id = 1", "database": "rental", "implementation": "random_hit"}
TELLING = Summary(1, 2000, 3, 0, 0, 0, [], [])


def ask(
    system: LiveSystem,
    service: Service,
    role: Role | None,
    path: str,
    *,
    method: str = "GET",
    name: str | None = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> urllib3.BaseHTTPResponse:
    """An exchange with a service, with a certificate of that role, or without one."""
    host, _, port = service.listen.rpartition(":")
    own: dict[str, Any] = {}
    if role:
        issued = certificates.issue(system.files.directory / "certificates", role, name or f"test-{role}")
        own = {"cert_file": str(issued.certificate), "key_file": str(issued.key)}
    with urllib3.HTTPSConnectionPool(
        host,
        int(port),
        ca_certs=str(system.services.credentials(service).authority),
        server_hostname=dns_name(service.role),
        assert_hostname=dns_name(service.role),
        retries=False,
        timeout=30,
        **own,
    ) as pool:
        return pool.request(method, path, body=body, headers={"Content-Type": "application/json", **(headers or {})})


def orchestrator(system: LiveSystem) -> Service:
    return system.services.orchestrators[0]


def state(system: LiveSystem) -> ConsoleState:
    answer = ask(system, orchestrator(system), "operator", "/console/state")
    assert answer.status == 200, answer.data
    return msgspec.json.decode(answer.data, type=ConsoleState)


def tell(
    system: LiveSystem, summary: Summary | bytes, role: Role = "gatekeeper", name: str | None = None
) -> urllib3.BaseHTTPResponse:
    body = summary if isinstance(summary, bytes) else msgspec.json.encode(summary)
    return ask(system, orchestrator(system), role, "/summaries", method="POST", body=body, name=name)


@pytest.mark.parametrize("path", FOR_OPERATORS)
def test_an_operators_certificate_opens_the_console_and_every_answer_is_guarded(system: LiveSystem, path: str) -> None:
    answer = ask(system, orchestrator(system), "operator", path)
    assert answer.status == 200
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS


@pytest.mark.parametrize("path", FOR_GATEKEEPERS)
def test_an_operators_certificate_opens_nothing_else(system: LiveSystem, path: str) -> None:
    refused = ask(system, orchestrator(system), "operator", path)
    assert refused.status == 403
    assert refused.json()["code"] == "forbidden"
    assert ask(system, orchestrator(system), "gatekeeper", path).status == 200


def test_an_operators_certificate_can_not_queue_or_tell(system: LiveSystem) -> None:
    assert ask(system, orchestrator(system), "operator", "/new-requests", method="POST", body=b"{}").status == 403
    assert tell(system, TELLING, "operator").status == 403
    for path in ("/nodes", "/stats", "/readyz"):
        assert ask(system, system.services.proxies[0], "operator", path).status == 403


@pytest.mark.parametrize(
    ("role", "path"),
    [
        ("operator", "/console/../new-requests?owner=demo"),
        ("operator", "//new-requests?owner=demo"),
        ("operator", "/console%2F..%2Fnew-requests?owner=demo"),
        ("operator", "/console/%2e%2e/readyz"),
        ("gatekeeper", "//console"),
        ("gatekeeper", "/new-requests/../console/state"),
        ("gatekeeper", "/console%2Fstate"),
    ],
)
def test_another_spelling_of_a_path_opens_nothing(system: LiveSystem, role: Role, path: str) -> None:
    assert ask(system, orchestrator(system), role, path).status in {403, 404}


@pytest.mark.parametrize("role", ["gatekeeper", "orchestrator"])
@pytest.mark.parametrize("path", FOR_OPERATORS)
def test_no_services_certificate_opens_the_console(system: LiveSystem, role: Role, path: str) -> None:
    assert ask(system, orchestrator(system), role, path).status == 403


def test_no_certificate_opens_nothing(system: LiveSystem) -> None:
    with pytest.raises((urllib3.exceptions.HTTPError, ssl.SSLError, ConnectionError)):
        ask(system, orchestrator(system), None, "/console")


def test_a_proxys_counts_are_for_orchestrators_alone(system: LiveSystem) -> None:
    proxy = system.services.proxies[0]
    assert ask(system, proxy, "gatekeeper", "/stats").status == 403
    counted = msgspec.json.decode(ask(system, proxy, "orchestrator", "/stats").data, type=StatsAnswer)
    assert {node.name for node in counted.about.nodes} == {"manager", "data1", "data2", "data3"}
    assert all(len(each.counts) == len(counted.bounds_ms) + 1 for each in counted.answered)


def test_every_answer_is_counted_once(system: LiveSystem) -> None:
    def answered() -> int:
        body = ask(system, system.services.proxies[0], "orchestrator", "/stats").data
        stats = msgspec.json.decode(body, type=StatsAnswer)
        return sum(sum(each.counts) for each in stats.answered if each.implementation == "random_hit")

    before = answered()
    for _ in range(7):
        assert system.send(json=QUERY).status_code == 200
    assert answered() - before == 7


def test_who_tells_is_known_by_the_certificate_and_bounded(system: LiveSystem) -> None:
    assert tell(system, TELLING, name="test-other").status == 204
    assert {"gatekeeper1", "test-other"} <= {each.name for each in state(system).gatekeepers}
    assert tell(system, b'{"worker": 1}').status == 400
    assert tell(system, b" " * (MAX_SUMMARY_BYTES + 1)).status == 413


def test_a_summary_without_a_length_is_refused(system: LiveSystem) -> None:
    answer = ask(
        system,
        orchestrator(system),
        "gatekeeper",
        "/summaries",
        method="POST",
        body=iter([msgspec.json.encode(TELLING)]),  # type: ignore[arg-type]  # sent in chunks
    )
    assert answer.status == 413


def test_what_a_refused_request_leaves_is_its_reason_and_never_its_text(system: LiveSystem) -> None:
    marked = "SELECT password AS marked_here FROM staff WHERE first_name = 'value_here'"
    assert system.send(json={"query": marked, "database": "rental"}).status_code == 403
    wait_until(lambda: any(each.rule == "column" and each.key == "demo" for each in state(system).refusals), 30)
    answer = ask(system, orchestrator(system), "operator", "/console/state").data
    assert b"marked_here" not in answer
    assert b"value_here" not in answer


def test_the_forwarder_shows_the_page_to_who_has_logged_in(system: LiveSystem) -> None:
    with serving(forwarder_of(system)) as forwarder, urllib3.PoolManager(retries=False, timeout=30) as pool:
        login = pool.request("GET", forwarder.url, redirect=False)
        assert login.status == 303
        cookie = login.headers["Set-Cookie"].partition(";")[0]
        console = f"http://127.0.0.1:{forwarder.port}{login.headers['Location']}"
        assert pool.request("GET", console).status == 403
        page = pool.request("GET", console, headers={"Cookie": cookie})
        assert page.status == 200
        assert b"<title>Gatekeeper" in page.data
        figures = pool.request("GET", f"{console}/state", headers={"Cookie": cookie})
        assert msgspec.json.decode(figures.data, type=ConsoleState).orchestrator == "orchestrator1"
        for resource in ("/new-requests", "/readyz"):
            beside = console.replace("/console", resource)
            assert pool.request("GET", beside, headers={"Cookie": cookie}).status == 404
