"""nginx's configuration as text; tests/live/test_nginx.py has what a real nginx makes of it."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from contract.messages import MAX_BODY_BYTES, MAX_TIMEOUT_MS
from deploy import nginx
from deploy.nginx import Certificate, Edge, EdgeError
from gatekeeper.app import create_app
from gatekeeper.settings import Settings
from tests.unit.test_docs import page, rows
from tests.unit.test_gatekeeper import Recorder, settings

__all__ = ["settings"]

EDGE = Edge(
    server_name="sql.example.org",
    listen="0.0.0.0:443",
    plain_listen="0.0.0.0:80",
    gatekeeper="127.0.0.1:8080",
    certificate=Certificate(Path("/etc/gatekeeper/edge.pem"), Path("/etc/gatekeeper/edge.key")),
)
PLAIN = msgspec.structs.replace(EDGE, listen="127.0.0.1:80", plain_listen=None, certificate=None)


def values(text: str, directive: str) -> list[str]:
    """What follows the directive, each time it is given."""
    return re.findall(rf"^\s*{directive}\s+(.*);$", text, re.MULTILINE)


def test_nothing_of_the_template_is_left() -> None:
    for edge in (EDGE, PLAIN, msgspec.structs.replace(EDGE, plain="serve")):
        assert "%%" not in nginx.render(edge)


def test_tls_is_1_2_and_1_3_with_ciphers_that_keep_the_past_secret() -> None:
    text = nginx.render(EDGE)
    assert values(text, "ssl_protocols") == ["TLSv1.2 TLSv1.3"]
    assert values(text, "ssl_session_tickets") == ["off"]
    (ciphers,) = values(text, "ssl_ciphers")
    assert all(re.fullmatch(r"ECDHE-.*(GCM|POLY1305).*", cipher) for cipher in ciphers.split(":"))
    assert values(text, "ssl_certificate_key") == ['"/etc/gatekeeper/edge.key"']


def test_plain_http_is_sent_to_the_name_of_the_server_whatever_host_was_asked_for() -> None:
    assert values(nginx.render(EDGE), "return")[0] == "308 https://sql.example.org$request_uri"
    elsewhere = msgspec.structs.replace(EDGE, listen="0.0.0.0:8443")
    assert values(nginx.render(elsewhere), "return")[0] == "308 https://sql.example.org:8443$request_uri"


def test_plain_http_is_served_beside_tls_where_that_is_asked_for_alone() -> None:
    assert values(nginx.render(EDGE), "listen") == ["0.0.0.0:80", "0.0.0.0:443 ssl default_server"]
    text = nginx.render(msgspec.structs.replace(EDGE, plain="serve"))
    assert values(text, "listen") == ["0.0.0.0:443 ssl default_server", "0.0.0.0:80 default_server"]
    assert "308" not in text


def test_without_a_certificate_there_is_neither_tls_nor_a_promise_of_it() -> None:
    text = nginx.render(PLAIN)
    assert values(text, r"ssl_\w+") == []
    assert "Strict-Transport-Security" not in text
    assert values(text, "listen") == ["127.0.0.1:80 default_server"]


def test_the_limits_are_the_services_own() -> None:
    text = nginx.render(EDGE)
    assert values(text, "client_max_body_size") == [str(MAX_BODY_BYTES - 1)]
    (longest,) = values(text, "proxy_read_timeout")
    assert int(longest.rstrip("s")) * 1000 > MAX_TIMEOUT_MS


def test_only_what_is_named_is_passed_on() -> None:
    text = nginx.render(EDGE)
    passed = re.findall(r"location = (\S+) \{\n\s+proxy_pass http://gatekeeper(\S*);", text)
    assert passed == [(path, path) for path in (*nginx.PATHS, *nginx.COLLECTIONS)]
    assert not [path for path, _ in passed if "metrics" in path]


def test_every_path_of_the_gatekeeper_is_public_or_kept_back(settings: Settings) -> None:
    app = create_app(settings, Recorder())
    served = {re.sub("<.*>", "ID", rule.rule) for rule in app.url_map.iter_rules() if rule.endpoint != "static"}
    things = (f"{path}/ID" for path in nginx.COLLECTIONS)
    assert served == {*nginx.PATHS, *nginx.COLLECTIONS, *things, *nginx.DEEDS}


def test_every_setting_is_documented_with_its_default() -> None:
    documented = rows(page("docs/operations.md"), "## nginx in front")
    fields = {field.name: field for field in msgspec.structs.fields(Edge)}
    assert documented.keys() == fields.keys()
    for name, field in fields.items():
        default = "must be given" if field.required else "none" if field.default is None else str(field.default)
        assert documented[name][-1].strip("` ") == default, name


def problems(text: str) -> dict[int, dict[str, object]]:
    """The problems that nginx answers with, by status; what it fills in at run time is a text here."""
    found = re.findall(r"return (\d+) '(.*)';", text)
    return {int(status): json.loads(body.replace(":$known_retryable", ":false")) for status, body in found}


def test_what_nginx_says_itself_is_a_problem_with_all_members() -> None:
    told = problems(nginx.render(EDGE))
    assert told.keys() == {400, 404, 405, 413, 414, 431, 500, 501, 502, 503, 504, 505}
    for status, problem in told.items():
        assert problem["status"] == status
        assert problem["request_id"] == "$gatekeeper_request_id"
        assert {"type", "title", "detail", "code", "outcome", "retryable"} <= problem.keys()
        assert "127.0.0.1" not in str(problem)


@pytest.mark.parametrize("status", [502, 504])
def test_what_became_of_a_request_that_nobody_answered_is_said_at_run_time(status: int) -> None:
    assert problems(nginx.render(EDGE))[status]["outcome"] == "$known_outcome"


def test_the_log_has_nothing_of_the_query_the_body_or_the_key() -> None:
    text = nginx.render(EDGE)
    (form,) = re.findall(r"log_format requests.*?;\n", text, re.DOTALL)
    logged = set(re.findall(r"\$(\w+)", form))
    assert not logged & {"request", "request_uri", "args", "query_string", "request_body", "http_authorization", "uri"}
    assert values(text, "error_log")[1].endswith(" alert")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"listen": "443"}, "'443' is not HOST:PORT"),
        ({"gatekeeper": "127.0.0.1:80; }"}, "is not HOST:PORT"),
        ({"server_name": "a b"}, "'a b' is no host's name"),
        ({"server_name": "$host"}, "is no host's name"),
        ({"user": "www-data;"}, "is no account's name"),
        ({"logs": Path('/var/log/"; include /etc/passwd')}, "can't be a path here"),
        ({"state": Path("relative")}, "'relative' can't be a path here"),
        ({"certificate": Certificate(Path("/a\nb"), Path("/k"))}, "can't be a path here"),
        ({"certificate": None}, "only where there is a certificate"),
    ],
    ids=lambda value: str(next(iter(value))) if isinstance(value, dict) else "",
)
def test_a_setting_that_would_say_something_else_to_nginx_is_refused(wrong: dict[str, object], reason: str) -> None:
    with pytest.raises(EdgeError) as refusal:
        nginx.render(msgspec.structs.replace(EDGE, **wrong))
    assert reason in str(refusal.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(EdgeError, match=r"not HOST:PORT.*no host's name"):
        nginx.render(msgspec.structs.replace(EDGE, listen="x", server_name=""))
