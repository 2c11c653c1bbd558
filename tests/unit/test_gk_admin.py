"""The commands of `gk` that work on the files of a gatekeeper's host."""

import json
import sys
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from client.cli import main
from gatekeeper.analysis import analyse
from gatekeeper.audit import AuditLog, Entry
from gatekeeper.recording import Asked, Recorder

Captured = pytest.CaptureFixture[str]

POLICY = """
[roles.reader]
kinds = ["select"]
read = ["shop.*"]
default_database = "shop"

[roles.reader.hidden]
"shop.staff" = ["password"]

[roles.watched]
kinds = ["select"]
read = ["shop.t"]
report_only = true
"""


@pytest.fixture(name="_below_var", autouse=True)
def _below_a_local_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current directory is two below one whose var/ is as `make up` leaves it."""
    (tmp_path / "var").mkdir()
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    for variable in ("GATEKEEPER_KEYS_FILE", "GATEKEEPER_POLICY_FILE"):
        monkeypatch.delenv(variable, raising=False)


def run(capsys: Captured, *arguments: str | Path, code: int = 0) -> str:
    """What the command writes when it ends with the code: its answer, or for another code than 0 its complaint too."""
    assert main([str(argument) for argument in arguments]) == code
    shown = capsys.readouterr()
    return shown.out + (shown.err if code else "")


def keys_in(capsys: Captured, store: Path) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(run(capsys, "keys", "list", "--file", store, "--format", "json"))
    return listed


def test_a_key_is_made_listed_and_revoked(capsys: Captured, tmp_path: Path) -> None:
    store = tmp_path / "keys.json"
    assert main(["keys", "add", "alice", "--role", "reader", "--file", str(store)]) == 0
    key = capsys.readouterr().out.strip()
    assert key
    assert key not in store.read_text()
    assert main(["keys", "list", "--file", str(store), "--format", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(entry["name"], entry["role"]) for entry in listed] == [("alice", "reader")]
    assert main(["keys", "revoke", "alice", "--file", str(store)]) == 0
    capsys.readouterr()
    assert main(["keys", "list", "--file", str(store), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_the_store_of_a_local_cluster_is_found_above(capsys: Captured, tmp_path: Path) -> None:
    store = tmp_path / "var" / "keys.json"
    assert main(["keys", "add", "alice", "--role", "reader", "--file", str(store)]) == 0
    assert main(["keys", "list"]) == 0
    shown = capsys.readouterr().out
    assert "alice" in shown
    assert "reader" in shown


def test_a_key_that_is_not_there_can_not_be_revoked(capsys: Captured, tmp_path: Path) -> None:
    assert main(["keys", "revoke", "nobody", "--file", str(tmp_path / "keys.json")]) == 1
    assert "nobody" in capsys.readouterr().err


def test_without_a_store_it_is_said_what_to_give(capsys: Captured) -> None:
    assert main(["keys", "list"]) == 2
    assert "--file" in capsys.readouterr().err


def test_keys_on_a_host_without_a_gatekeeper_say_so(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "client.admin", raising=False)
    monkeypatch.setitem(sys.modules, "gatekeeper", None)
    assert main(["keys", "list"]) == 2
    assert "no gatekeeper is installed" in capsys.readouterr().err


def test_a_key_with_an_end_is_listed_with_it(capsys: Captured, tmp_path: Path) -> None:
    store = tmp_path / "keys.json"
    run(capsys, "keys", "add", "week", "--role", "reader", "--expires-days", "7", "--file", store)
    left = datetime.fromisoformat(keys_in(capsys, store)[0]["expires"]) - datetime.now(UTC)
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)
    run(capsys, "keys", "add", "always", "--role", "reader", "--file", store)
    assert keys_in(capsys, store)[1]["expires"] is None


def test_a_key_with_limits_is_listed_with_them(capsys: Captured, tmp_path: Path) -> None:
    store = tmp_path / "keys.json"
    limits = {"rate_per_second": 2.5, "burst": 10, "max_concurrent": 4}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in limits.items()]
    run(capsys, "keys", "add", "web", "--role", "reader", *options, "--file", store)
    assert limits.items() <= keys_in(capsys, store)[0].items()
    assert "2.5" in run(capsys, "keys", "list", "--file", store)


def test_a_key_is_rotated_with_an_overlap(capsys: Captured, tmp_path: Path) -> None:
    store = tmp_path / "keys.json"
    old = run(capsys, "keys", "add", "web", "--role", "reader", "--file", store)
    new = run(capsys, "keys", "rotate", "web", "--overlap-hours", "2", "--file", store)
    assert old != new
    before, after = keys_in(capsys, store)
    assert (before["name"], after["name"]) == ("web", "web")
    assert before["expires"]
    assert after["expires"] is None


PARSED = {
    "a key without a role": ["keys", "add", "me"],
    "a life of no days": ["keys", "add", "me", "--role", "r", "--expires-days", "0"],
    "a life of some days": ["keys", "add", "me", "--role", "r", "--expires-days", "some"],
    "a rate of nothing": ["keys", "add", "me", "--role", "r", "--rate-per-second", "0"],
    "a rate that is none": ["keys", "add", "me", "--role", "r", "--rate-per-second", "nan"],
    "a rotation without an overlap": ["keys", "rotate", "me"],
    "an overlap of years": ["keys", "rotate", "me", "--overlap-hours", "8761"],
    "a policy that is not named": ["policy", "check"],
    "an explanation for nobody": ["policy", "explain", "SELECT 1"],
    "a lesson of no role": ["policy", "learn", "records.jsonl"],
    "a lesson without records": ["policy", "learn", "--role", "reader"],
}


@pytest.mark.parametrize("arguments", PARSED.values(), ids=PARSED.keys())
def test_wrong_options_end_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_a_sound_policy_is_called_so_with_its_roles(capsys: Captured, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    assert run(capsys, "policy", "check", path) == "policy.toml is sound; roles: reader, watched\n"


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ("[roles.r]\nkinds = 1\ncolour = 2", ["roles.r.kinds", "roles.r.colour", "a list of"]),
        ("a =\n", ["not TOML", "line 1"]),
        (None, ["can't be read"]),
    ],
    ids=["two mistakes", "no TOML", "no file"],
)
def test_a_policy_with_mistakes_is_refused_with_all_of_them(
    capsys: Captured, tmp_path: Path, text: str | None, reasons: list[str]
) -> None:
    path = tmp_path / "policy.toml"
    if text is not None:
        path.write_text(text)
    shown = run(capsys, "policy", "check", path, code=1)
    assert [reason for reason in reasons if reason not in shown] == []


@pytest.fixture(name="files")
def _files(capsys: Captured, tmp_path: Path) -> list[str]:
    """A policy, and the keys `web` (reader), `new` (which only reports) and `old` (of a role that is gone)."""
    (tmp_path / "policy.toml").write_text(POLICY)
    for name, role in (("web", "reader"), ("new", "watched"), ("old", "retired")):
        run(capsys, "keys", "add", name, "--role", role, "--file", tmp_path / "keys.json")
    return ["--policy", str(tmp_path / "policy.toml"), "--keys", str(tmp_path / "keys.json")]


EXPLAINED: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    "allowed": (
        "web",
        "SELECT upper(a) FROM t WHERE b = 1",
        0,
        {
            "verdict": "allowed",
            "kind": "select",
            "effect": "read",
            "database": "shop",
            "tables_read": ["shop.t"],
            "columns_read": ["shop.t.a", "shop.t.b"],
            "functions": ["upper"],
            "rule": None,
        },
    ),
    "a hidden column": (
        "web",
        "SELECT password FROM staff",
        1,
        {"verdict": "refused", "rule": "column", "tables_read": ["shop.staff"]},
    ),
    "another kind": (
        "web",
        "DELETE FROM t WHERE a = 1",
        1,
        {"verdict": "refused", "rule": "kind", "kind": "delete", "tables_written": ["shop.t"]},
    ),
    "what no policy allows": ("web", "SELECT 1 /*! , 2 */", 1, {"verdict": "refused", "rule": "comment", "kind": None}),
    "what can't be parsed": ("web", "hello", 1, {"verdict": "refused", "tables_read": []}),
    "what is only reported": (
        "new",
        "DELETE FROM shop.t WHERE a = 1",
        0,
        {"verdict": "reported", "rule": "kind", "tables_written": ["shop.t"]},
    ),
    "what is refused in report-only mode too": ("new", "SET NAMES utf8mb4", 1, {"verdict": "refused", "rule": "kind"}),
    "a role that is gone": ("old", "SELECT a FROM t", 1, {"verdict": "refused", "rule": "role"}),
}


@pytest.mark.parametrize("case", EXPLAINED.values(), ids=EXPLAINED.keys())
def test_a_statement_is_explained(
    capsys: Captured, files: list[str], case: tuple[str, str, int, dict[str, Any]]
) -> None:
    name, statement, code, expected = case
    found = json.loads(
        run(capsys, "policy", "explain", "--key", name, statement, *files, "--format", "json", code=code)
    )
    assert {member: found[member] for member in expected} == expected
    assert (found["verdict"] == "allowed") == (found["reason"] is None)


def test_an_explanation_for_people_leaves_out_what_is_not_there(capsys: Captured, files: list[str]) -> None:
    shown = run(capsys, "policy", "explain", "--key", "web", "SELECT a FROM t", *files)
    assert shown.splitlines()[:2] == ["verdict         allowed", "role            reader"]
    assert "tables read     shop.t" in shown
    assert "rule" not in shown


def test_an_explanation_needs_a_known_key(capsys: Captured, files: list[str]) -> None:
    assert "no key named nobody" in run(capsys, "policy", "explain", "--key", "nobody", "SELECT 1", *files, code=1)


@pytest.fixture(name="records")
def _records(tmp_path: Path) -> Path:
    """What a role was recorded to do: one read that was allowed, and one write that was refused."""
    path = tmp_path / "records.jsonl"
    recorder = Recorder(path, most_bytes=1 << 16)
    asked = Asked("app", "shop", names_database=False, implementation="customized_hit", names_implementation=False)
    recorder.record(asked, analyse("SELECT a FROM t WHERE b = 1", "shop"), None)
    recorder.record(asked, analyse("DELETE FROM t WHERE b = 1", "shop"), "kind")
    recorder.close()
    return path


LESSONS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "all": ([], {"kinds": ["delete", "select"], "write": ["shop.t"]}),
    "with columns": (
        ["--columns"],
        {"kinds": ["delete", "select"], "write": ["shop.t"], "read_columns": {"shop.t": ["a", "b"]}},
    ),
    "what was allowed": (["--allowed-only"], {"kinds": ["select"]}),
}


@pytest.mark.parametrize(("options", "members"), LESSONS.values(), ids=LESSONS)
def test_what_was_recorded_is_learnt_as_a_policy_that_would_be_taken(
    capsys: Captured, tmp_path: Path, records: Path, options: list[str], members: dict[str, Any]
) -> None:
    learnt = tmp_path / "learnt.toml"
    learnt.write_text(run(capsys, "policy", "learn", "--role", "app", *options, records, records))
    assert "learnt.toml is sound; roles: app" in run(capsys, "policy", "check", learnt)
    common = {"read": ["shop.t"], "default_database": "shop", "implementations": ["customized_hit"]}
    assert tomllib.loads(learnt.read_text())["roles"] == {"app": common | members}


def test_hidden_columns_are_kept_from_the_policy_that_is_named(capsys: Captured, tmp_path: Path, records: Path) -> None:
    kept = tmp_path / "policy.toml"
    kept.write_text(POLICY.replace("reader", "app").replace("staff", "t"))
    shown = run(capsys, "policy", "learn", "--role", "app", "--keep", kept, records)
    assert tomllib.loads(shown)["roles"]["app"]["hidden"] == {"shop.t": ["password"]}
    kept.write_text("[roles.app]\nkinds = 1")
    assert "roles.app" in run(capsys, "policy", "learn", "--role", "app", "--keep", kept, records, code=1)


def test_an_unknown_role_is_answered_with_those_that_were_recorded(capsys: Captured, records: Path) -> None:
    shown = run(capsys, "policy", "learn", "--role", "web", records, code=1)
    assert shown == "gk: nothing was recorded of the role web; there are records of app\n"


NOT_RECORDS = {
    "a policy": (lambda _: POLICY, "records.jsonl, line 1: not a record of statements"),
    "cut off": (lambda text: text[:-10], "records.jsonl, line 2: the line is cut off"),
    "empty": (lambda _: "", "nothing was recorded: the files are empty"),
}


@pytest.mark.parametrize(("change", "reason"), NOT_RECORDS.values(), ids=NOT_RECORDS)
def test_what_is_no_file_of_records_is_refused_with_the_line(
    capsys: Captured, records: Path, change: Callable[[str], str], reason: str
) -> None:
    records.write_text(change(records.read_text()))
    assert reason in run(capsys, "policy", "learn", "--role", "app", records, code=1)


def test_records_that_are_not_there_are_a_failure(capsys: Captured, tmp_path: Path) -> None:
    assert "No such file" in run(capsys, "policy", "learn", "--role", "app", tmp_path / "none.jsonl", code=1)


@pytest.fixture(name="audited")
def _audited(tmp_path: Path) -> Path:
    path = tmp_path / "audit.log"
    log = AuditLog(path, name="gatekeeper1", most_bytes=1 << 16)
    for number in range(3):
        log.write(Entry(f"r{number}", "web", "reader", "allowed"))
    log.close()
    return path


def test_a_sound_audit_log_is_called_so_with_its_end(capsys: Captured, audited: Path) -> None:
    shown = run(capsys, "audit", "verify", audited)
    assert shown.startswith("sound: lines 1 to 4 in 1 file\n")
    assert json.loads(audited.read_text().splitlines()[-1])["hash"] in shown
    assert json.loads(run(capsys, "audit", "verify", audited, "--format", "json"))["lines"] == 4


def test_the_first_broken_line_of_an_audit_log_is_named(capsys: Captured, audited: Path) -> None:
    audited.write_text(audited.read_text().replace('"r1"', '"r9"'))
    assert "audit.log, line 3: its hash does not fit" in run(capsys, "audit", "verify", audited, code=1)


def test_an_audit_log_that_is_not_there_is_a_failure(capsys: Captured, tmp_path: Path) -> None:
    assert "No such file" in run(capsys, "audit", "verify", tmp_path / "audit.log", code=1)
