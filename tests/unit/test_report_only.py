"""Roles that only report and that are recorded, through the gatekeeper's HTTP, without a proxy."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY
from structlog.testing import CapturingLogger

from gatekeeper import app, gate, keys
from gatekeeper.app import create_app
from gatekeeper.audit_chain import verify
from gatekeeper.recording import read
from gatekeeper.settings import Settings
from tests.unit.test_gatekeeper import Recorder, Sender

POLICY = """
[roles.watched]
kinds = ["select"]
read = ["shop.orders"]
implementations = ["random_hit"]
default_implementation = "random_hit"
default_database = "shop"
max_rows = 7
report_only = true
record = true

[roles.held]
kinds = ["select"]
read = ["shop.orders"]
default_database = "shop"
record = true
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "policy.toml").write_text(POLICY)
    return Settings(
        name="gatekeeper1",
        listen="127.0.0.1:1",
        proxies=("https://127.0.0.1:1",),
        policy=str(tmp_path / "policy.toml"),
        keys=str(tmp_path / "keys.json"),
        runtime_directory=str(tmp_path),
        audit=str(tmp_path / "audit.log"),
        records=str(tmp_path / "records.jsonl"),
        log_level="ERROR",
    )


@pytest.fixture
def upstream() -> Recorder:
    return Recorder()


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    logger = CapturingLogger()
    for module in (gate, app):
        monkeypatch.setattr(module, "log", logger)
    return logger


def sender(settings: Settings, upstream: Recorder, role: str) -> Sender:
    return Sender(create_app(settings, upstream).test_client(), keys.add(Path(settings.keys), role, role))


def audited(settings: Settings) -> list[dict[str, Any]]:
    assert settings.audit
    verify([Path(settings.audit)])
    return [json.loads(line) for line in Path(settings.audit).read_text().splitlines()[1:]]


def reported(rule: str) -> float:
    return REGISTRY.get_sample_value("gatekeeper_reported_total", {"rule": rule}) or 0.0


REPORTED: dict[str, tuple[str, dict[str, Any], str, str, str]] = {
    "a write": ("DELETE FROM orders WHERE a = 'planted'", {}, "kind", "write", "delete is not allowed"),
    "another table": ("SELECT a FROM staff WHERE b = 'planted'", {}, "read", "read", "the table shop.staff may not"),
    "a database": ("SELECT a FROM shop.orders", {"database": "pub"}, "database", "read", "the database pub"),
    "an implementation": ("SELECT a FROM orders", {"implementation": "direct"}, "implementation", "read", "direct_hit"),
}


@pytest.mark.parametrize("case", REPORTED.values(), ids=REPORTED.keys())
def test_what_is_reported_runs_and_is_told_to_the_logs_and_counted(
    settings: Settings, upstream: Recorder, logged: CapturingLogger, case: tuple[str, dict[str, Any], str, str, str]
) -> None:
    query, members, rule, effect, detail = case
    before = reported(rule)
    assert sender(settings, upstream, "watched").post(query, **members).status_code == 200
    assert (upstream.sent[0].query, upstream.sent[0].effect, upstream.sent[0].max_rows) == (query, effect, 7)
    (line,) = audited(settings)
    assert (line["verdict"], line["rule"], line["effect"]) == ("reported", rule, effect)
    assert detail in line["detail"]
    told = next(call.kwargs for call in logged.calls if call.args == ("request",))
    assert (told["verdict"], told["rule"], told["detail"]) == ("reported", rule, line["detail"])
    assert "planted" not in str((line, logged.calls))
    assert reported(rule) == before + 1


def test_what_is_allowed_is_not_reported(settings: Settings, upstream: Recorder, logged: CapturingLogger) -> None:
    sender(settings, upstream, "watched").post("SELECT a FROM orders")
    (line,) = audited(settings)
    assert line["verdict"] == "allowed"
    assert "detail" not in line
    assert next(call.kwargs for call in logged.calls if call.args == ("request",))["verdict"] == "allowed"


REFUSED = {
    "what is not understood": ("SELECT FROM", {}, 422, None),
    "what no policy allows": ("SELECT a FROM orders FOR UPDATE", {}, 403, "locking_read"),
    "what is not judged": ("SET NAMES latin1", {}, 403, "kind"),
    "an implementation that nobody knows": ("SELECT a FROM orders", {"implementation": "best"}, 400, None),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused_under_every_policy_is_refused_in_report_only_mode(
    settings: Settings, upstream: Recorder, case: tuple[str, dict[str, Any], int, str | None]
) -> None:
    query, members, status, rule = case
    response = sender(settings, upstream, "watched").post(query, **members)
    assert (response.status_code, response.get_json().get("rule")) == (status, rule)
    assert upstream.sent == []
    assert [line["verdict"] for line in audited(settings)] == ["refused"]


def test_a_get_still_runs_reads_only(settings: Settings, upstream: Recorder) -> None:
    asking = sender(settings, upstream, "watched")
    assert asking.get("/endpoint?query=DELETE+FROM+orders+WHERE+a=1").get_json()["rule"] == "get_reads_only"
    assert asking.get("/endpoint?query=SELECT+a+FROM+staff").status_code == 200
    lines = audited(settings)
    assert [(line["verdict"], line["rule"]) for line in lines] == [("refused", "get_reads_only"), ("reported", "read")]
    assert "detail" not in lines[0]


def test_a_long_detail_is_cut_where_a_line_has_its_bound(settings: Settings, upstream: Recorder) -> None:
    functions = ", ".join(f"own_function_of_number_{number}()" for number in range(100))
    assert sender(settings, upstream, "watched").post(f"SELECT {functions}").status_code == 200
    assert len(audited(settings)[0]["detail"]) == 500


def test_what_the_keys_of_a_recorded_role_ask_is_recorded_whether_it_runs_or_not(
    settings: Settings, upstream: Recorder
) -> None:
    asking = sender(settings, upstream, "held")
    for _ in range(2):
        asking.post("SELECT a FROM orders WHERE b = 'planted'", params=[])
        asking.post("DELETE FROM orders WHERE b = 'planted'", database="shop")
        asking.post("SELECT a FROM orders", implementation="direct")
        asking.post("SET @x = 'planted'")
        asking.post("START TRANSACTION")
        asking.post("hello 'planted'")
    assert settings.records
    found = read(Path(settings.records))
    assert [(each.statement.kind, each.rule, *each.asked) for each in found] == [
        ("select", None, "held", "shop", False, "customized_hit", False),
        ("delete", "kind", "held", "shop", True, "customized_hit", False),
        ("select", None, "held", "shop", False, "direct_hit", True),
        ("transaction", "kind", "held", "shop", False, "customized_hit", False),
    ]
    assert "planted" not in Path(settings.records).read_text()
    assert [sent.effect for sent in upstream.sent] == ["read", "read"] * 2


def test_an_implementation_that_is_refused_is_recorded_as_that(settings: Settings, upstream: Recorder) -> None:
    sender(settings, upstream, "watched").post("SELECT a FROM orders", implementation="direct")
    assert settings.records
    assert [found.rule for found in read(Path(settings.records))] == ["implementation"]


def test_requests_go_on_where_nothing_can_be_recorded(settings: Settings, upstream: Recorder) -> None:
    Path(settings.records or "").mkdir()
    assert sender(settings, upstream, "held").post("SELECT a FROM orders").status_code == 200


def test_a_policy_that_reports_or_records_is_named_when_it_is_read(
    settings: Settings, upstream: Recorder, logged: CapturingLogger
) -> None:
    create_app(msgspec.structs.replace(settings, records=None), upstream)
    told = [(call.args[0], call.kwargs["role"]) for call in logged.calls]
    assert told == [
        ("policy_only_reports", "watched"),
        ("policy_records_nowhere", "watched"),
        ("policy_records_nowhere", "held"),
    ]


def test_without_the_setting_nothing_is_recorded(settings: Settings, upstream: Recorder, tmp_path: Path) -> None:
    without = msgspec.structs.replace(settings, records=None)
    assert sender(without, upstream, "held").post("SELECT a FROM orders").status_code == 200
    assert not list(tmp_path.glob("records*"))
