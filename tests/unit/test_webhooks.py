"""Webhooks: which addresses are taken, what is signed, when and for whom they are sent, what the gatekeeper lets by."""

import ipaddress
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.webhooks import NotOurs, verify
from contract.later import WEBHOOK_STATES
from contract.webhooks import Webhook, shown, signature, target
from gatekeeper.policy import PolicyError, parse
from orchestrator.outside import Inside, Outside, networks
from orchestrator.webhooks import Due, body_of, chosen, pause_ms, secret_for, share
from tests.unit.test_docs import page
from tests.unit.test_later import POLICY, READ, Client

INSIDE = [
    *("127.0.0.1", "127.8.9.10", "0.0.0.0", "10.0.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1"),
    *("169.254.169.254", "168.63.129.16", "192.0.0.192", "192.0.2.1", "198.18.0.1", "203.0.113.5", "224.0.0.1"),
    *("240.0.0.1", "255.255.255.255", "::1", "::", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "fe80::1"),
    *("fe80::1%1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "64:ff9b::7f00:1", "64:ff9b::808:808"),
    *("64:ff9b:1::1", "2002:7f00:1::", "2001::1", "2001:db8::1", "3fff::1", "100::1", "5f00::1"),
]
OUTSIDE = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450:4001:80b::200e"]


@pytest.mark.parametrize("address", INSIDE)
def test_nothing_is_sent_to_an_address_inside(address: str) -> None:
    assert not Outside(()).may_be_sent_to(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", OUTSIDE)
def test_the_worlds_addresses_are_outside(address: str) -> None:
    assert Outside(()).may_be_sent_to(ipaddress.ip_address(address))


def test_an_allowed_network_is_open_and_no_other_way_into_it() -> None:
    outside = Outside(networks(["10.1.0.0/16", "fd00::/64"]))
    found = {each: outside.may_be_sent_to(ipaddress.ip_address(each)) for each in ("10.1.2.3", "fd00::7", "10.2.0.1")}
    assert found == {"10.1.2.3": True, "fd00::7": True, "10.2.0.1": False}
    assert not outside.may_be_sent_to(ipaddress.ip_address("::ffff:10.1.2.3"))


@settings(deadline=None)
@given(st.ip_addresses(v=4))
def test_no_ipv4_address_within_one_of_ipv6_is_outside(address: ipaddress.IPv4Address) -> None:
    for high in ("::", "::ffff:0:0", "64:ff9b::"):
        assert not Outside(()).may_be_sent_to(ipaddress.IPv6Address(int(ipaddress.IPv6Address(high)) + int(address)))


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "127.1", "0177.0.0.1", "169.254.169.254"])
def test_an_address_inside_is_known_however_it_is_written(host: str) -> None:
    with pytest.raises(Inside):
        Outside(()).check_literal(host)
    with pytest.raises(Inside):
        Outside(()).addresses(host, 443)


def test_a_name_of_which_one_address_is_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(2, 1, 6, "", (address, 443)) for address in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)
    with pytest.raises(Inside):
        Outside(()).addresses("example.org", 443)
    assert Outside(networks(["10.0.0.0/8"])).addresses("example.org", 443) == ["8.8.8.8", "10.0.0.1"]


URLS = ["https://a.example/", "https://a.example:8443/x/y?z=1&t=a%20b", "https://10.0.0.1/", "https://localhost/x"]
NO_URLS = [
    *("http://a.example/", "https://a.example", "https://A.example/", "https://u:p@a.example/", "https://[::1]/"),
    *("https://a.example/#x", "https://a.example/a b", "https://a.example/\r\nX: y", "https://a.example\\@b/"),
    *("https://a..example/", "https://a.example./", "https://.example/", "https://-a.example/", "https://a.example:0/"),
    *("https://a_b.example/", f"https://{'a' * 64}.example/", f"https://a.example/{'x' * 1024}", "https:///x", ""),
    *("https://a.example:/", "https://a.example:443:1/", "https://a.example/\n", "HTTPS://a.example/", "//a.example/"),
]


@pytest.mark.parametrize("url", URLS)
def test_an_address_is_read_in_one_way(url: str) -> None:
    found = target(msgspec.convert(url, Webhook))
    assert f"https://{found.host_header}{found.resource}" == url
    assert found.host_header in {found.host, f"{found.host}:{found.port}"}


@pytest.mark.parametrize("url", NO_URLS)
def test_what_is_no_plain_https_address_is_none(url: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(url, Webhook)


LEADING_OUT = [
    "/hooks/../admin",
    "/hooks/%2e%2e/admin",
    "/hooks/..%2Fadmin",
    "/hooks/..;/x",
    "/hooks/%252e/x",
    "/a%5c..",
]


@pytest.mark.parametrize("path", LEADING_OUT)
def test_a_path_that_may_lead_out_of_what_is_allowed_is_none(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        target(f"https://a.example{path}")


def test_a_port_that_there_is_not_is_none() -> None:
    with pytest.raises(ValueError, match=r"[Pp]ort"):
        target("https://a.example:65536/")


@pytest.mark.parametrize("prefix", ["https://a.example", "https://a.example/hooks", "http://a.example/", "https:///"])
def test_a_policy_names_a_webhooks_host_and_path_whole(prefix: str) -> None:
    with pytest.raises(PolicyError, match=r"roles\.r\.webhooks"):
        parse(f'[roles.r]\nkinds = ["select"]\nwebhooks = ["{prefix}"]')


SECRET = b"s" * 32
DUE = Due("0" * 32, "ann", "https://a.example/", "c" * 32, 1, "done", 1_790_000_000_123)
NOW_S = 1_790_000_001


def headers(id_: str = DUE.id, now_s: int = NOW_S, secret: bytes = SECRET) -> dict[str, str]:
    signed = signature(secret, id_, now_s, body_of(DUE))
    return {"Webhook-Id": id_, "Webhook-Timestamp": str(now_s), "Webhook-Signature": signed}


def test_what_is_told_is_the_requests_end_and_nothing_of_it() -> None:
    said = verify(shown(SECRET), headers(), body_of(DUE), now_s=NOW_S)
    assert said == {"id": DUE.id, "state": "done", "ended_at": "2026-09-21T14:13:20.123000Z"}


@pytest.mark.parametrize(
    ("changed", "now_s", "body"),
    [
        ({"Webhook-Id": "1" * 32}, NOW_S, body_of(DUE)),
        ({"Webhook-Timestamp": str(NOW_S + 1)}, NOW_S, body_of(DUE)),
        ({"Webhook-Timestamp": "now"}, NOW_S, body_of(DUE)),
        ({"Webhook-Signature": ""}, NOW_S, body_of(DUE)),
        ({"Webhook-Signature": "v1,é"}, NOW_S, body_of(DUE)),
        (headers(secret=b"t" * 32), NOW_S, body_of(DUE)),
        ({}, NOW_S, body_of(DUE) + b" "),
        ({}, NOW_S + 301, body_of(DUE)),
        ({}, NOW_S - 301, body_of(DUE)),
    ],
    ids=["id", "time", "no time", "no signature", "no ASCII", "another secret", "body", "old", "ahead"],
)
def test_what_is_not_ours_or_old_is_refused(changed: dict[str, str], now_s: int, body: bytes) -> None:
    with pytest.raises(NotOurs):
        verify(shown(SECRET), {**headers(), **changed}, body, now_s=now_s)


def test_a_secret_is_one_owners_and_that_of_all_orchestrators() -> None:
    found = [secret_for(owner, shared) for owner in ("ann", "bob") for shared in (SECRET, b"t" * 32)]
    assert len(set(found)) == 4
    assert secret_for("ann", SECRET) == found[0]


def test_the_documents_recipe_takes_ours_and_no_other() -> None:
    (recipe,) = re.findall(r"(?m)((?:^    .*\n|^\n)+)", page("docs/api.md").partition("Without this client")[2])[:1]
    names: dict[str, Any] = {}
    exec(re.sub(r"(?m)^    ", "", recipe), names)
    is_ours: Callable[..., bool] = names["is_ours"]
    given = {name.lower(): value for name, value in headers().items()}
    assert is_ours(shown(SECRET), given, body_of(DUE), NOW_S)
    assert not is_ours(shown(SECRET), given, body_of(DUE) + b" ", NOW_S)
    assert not is_ours(shown(SECRET), given, body_of(DUE), NOW_S + 301)
    assert not is_ours(shown(b"t" * 32), given, body_of(DUE), NOW_S)


def test_pauses_grow_up_to_an_hour_and_are_spread() -> None:
    assert [pause_ms(attempts, 5_000, 1.0) for attempts in range(1, 8)] == [
        *(5_000, 20_000, 80_000, 320_000, 1_280_000),
        *(3_600_000, 3_600_000),
    ]
    assert [pause_ms(attempts, 5_000, 0.0) for attempts in (1, 1_000)] == [2_500, 1_800_000]


def test_one_owner_gets_a_quarter_of_the_slots_and_nobody_more_than_there_are() -> None:
    found = [(f"a{number}", "ann") for number in range(30)] + [(f"b{number}", "bob") for number in range(30)]
    assert chosen(found, 8, {}) == ["a0", "a1", "b0", "b1"]
    assert chosen(found, 8, {"ann": 2}) == ["b0", "b1"]
    assert chosen(found, 8, {"ann": 2, "cid": 5}) == ["b0"]
    assert chosen(found, 8, {"cid": 8}) == []
    assert [share(slots) for slots in (1, 3, 4, 8, 64)] == [1, 1, 1, 2, 16]


ALLOWING = '\nwebhooks = ["https://hooks.example/a/", "https://hooks.example:8443/"]\n'


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path, rules=POLICY + ALLOWING)


def test_a_webhook_goes_to_the_queue_with_its_request(client: Client) -> None:
    url = "https://hooks.example/a/b?c=d"
    assert client.post({**READ, "webhook": url}, idempotency_key="k").status_code == 202
    first = client.orchestrator.queued
    assert first.webhook == url
    assert url not in client.audit.read_text()
    client.post({**READ, "webhook": url + "e"}, idempotency_key="k")
    assert client.orchestrator.queued.fingerprint != first.fingerprint


@pytest.mark.parametrize(
    ("url", "status", "rule"),
    [
        ("https://hooks.example/", 403, "webhook"),
        ("https://hooks.example/ab", 403, "webhook"),
        ("https://hooks.example:443/a/", 403, "webhook"),
        ("https://hooks.example.evil/a/", 403, "webhook"),
        ("https://evil.example/?https://hooks.example/a/", 403, "webhook"),
        ("https://hooks.example/a/../b", 400, "webhook_address"),
        ("https://hooks.example:84430/a/", 400, "webhook_address"),
        ("http://hooks.example/a/", 400, None),
        (5, 400, None),
    ],
)
def test_a_webhook_that_the_role_does_not_name_is_refused_and_that_is_in_the_audit_log(
    client: Client, url: Any, status: int, rule: str | None
) -> None:
    """Also in report-only mode, which is for statements."""
    answer = client.post({**READ, "webhook": url})
    assert (answer.status_code, answer.get_json().get("rule")) == (status, rule)
    assert answer.get_json()["outcome"] == "not_executed"
    assert client.orchestrator.asked == []
    line = json.loads(client.audit.read_text().splitlines()[-1])
    assert (line["verdict"], line.get("rule")) == ("refused", rule)


def test_a_role_that_names_none_has_no_webhooks_and_no_secret(tmp_path: Path) -> None:
    client = Client(tmp_path)
    assert client.post({**READ, "webhook": "https://hooks.example/a/"}).get_json()["rule"] == "webhook"
    answer = client.send("GET", "/webhook-secret")
    assert (answer.status_code, answer.get_json()["rule"], client.orchestrator.asked) == (403, "webhook", [])


def test_a_secret_is_asked_for_by_its_owner_and_that_is_in_the_audit_log(client: Client) -> None:
    assert client.send("GET", "/webhook-secret", "gk_wrong").status_code == 401
    client.send("GET", "/webhook-secret", "bob")
    assert client.orchestrator.asked == [("GET", "/webhook-secret?owner=bob", b"")]
    line = json.loads(client.audit.read_text().splitlines()[-1])
    assert (line["key"], line["kind"], line["verdict"]) == ("bob", "webhook_secret", "allowed")


def test_the_states_of_a_webhook_are_documented() -> None:
    documented = page("docs/api.md").partition("### Webhooks\n")[2].partition("\n#")[0]
    assert [state for state in WEBHOOK_STATES if f"`{state}`" not in documented] == []
