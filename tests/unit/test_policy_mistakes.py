"""Mistakes in a policy file: each is named with its line, its member and what is allowed there."""

from pathlib import Path

import pytest

from client.cli import main
from gatekeeper.policy import PolicyError, Role, load, parse
from gatekeeper.policy.load import ALLOWED
from gatekeeper.rates import Limits

ROLE = '[roles.a]\nkinds = ["select"]\n'  # two lines that are sound
TABLES = 'a list of tables, each "schema.table" or "schema.*" was expected'
COLUMNS = 'a table of lists of columns by table, such as "schema.table" = ["column"] was expected'
IMPLEMENTATIONS = "direct_hit, random_hit, customized_hit"

# The text, and the beginnings of the lines of what is said, all of them.
MISTAKES: dict[str, tuple[str, list[str]]] = {
    "nothing": ("", ["1: roles: at least one is needed, each a table [roles.NAME]"]),
    "comments only": ("# one\n# two\n", ["1: roles: at least one is needed"]),
    "roles that are no table": ("# one\nroles = []", ["2: roles: at least one is needed"]),
    "roles in an array": ("\n[[roles]]\nkinds = []", ["2: roles: at least one is needed"]),
    "another member": ("x = 1\n" + ROLE, ["1: x: unknown member; known are roles"]),
    "another table": (ROLE + "[rules.a]\nkinds = []", ["3: rules: unknown member; known are roles"]),
    "a role's name": ('[roles."a b"]\nkinds = []', ['1: roles."a b": a role\'s name has 1 to 64 letters']),
    "a role that is no table": (ROLE + "[roles]\nb = 1", ["4: roles.b: a table was expected"]),
    "an array of roles": ("[[roles.a]]\nkinds = []", ["1: roles.a: a table was expected"]),
    "an unknown member": (ROLE + "reads = []", ["3: roles.a.reads: unknown member; known are kinds, read, write"]),
    "a missing member": ("\n[roles.a]\nread = []", ["2: roles.a.kinds: missing; a list of select, insert"]),
    "a missing member of a role of tables": (
        '[roles.a.hidden]\n"x.y" = []\n[roles.a]\nread = ["x.y"]',
        ["3: roles.a.kinds: missing"],
    ),
    "an unknown kind": ('[roles.a]\nkinds = ["ddl"]', ["2: roles.a.kinds: a list of select, insert"]),
    "another type": ("[roles.a]\nkinds = 7", ["2: roles.a.kinds: a list of select, insert"]),
    "a table without a schema": (ROLE + 'read = ["film"]', [f"3: roles.a.read: {TABLES}, not 'film'"]),
    "every schema": (ROLE + 'read = ["*.*"]', [f"3: roles.a.read: {TABLES}, not '*.*'"]),
    "a text for a list": (ROLE + 'read = "a.b"', [f"3: roles.a.read: {TABLES}, not 'a.b'"]),
    "a table for a list": (ROLE + "[roles.a.read]\nb = 1", [f"3: roles.a.read: {TABLES}, not a table"]),
    "lists in a list": (ROLE + 'read = [\n"a.b",\n["a.c"]]', [f"5: roles.a.read: {TABLES}, not a list"]),
    "a hidden pattern": (ROLE + 'hidden = {"a.*" = ["x"]}', [f"3: roles.a.hidden.\"a.*\": {COLUMNS}, not 'a.*'"]),
    "a hidden column that is none": (
        ROLE + 'read = ["a.b"]\n[roles.a.hidden]\n"a.b" = ["x", ""]',
        [f"5: roles.a.hidden.\"a.b\": {COLUMNS}, not ''"],
    ),
    "a function in upper case": (
        ROLE + 'functions = ["sleep", "SLEEP"]',
        ["3: roles.a.functions: a list of functions' names in lower case was expected, not 'SLEEP'"],
    ),
    "true for a number": (ROLE + "max_rows = true", ["3: roles.a.max_rows: an integer from 1 was expected, not true"]),
    "a number out of range": (ROLE + "max_rows = 0", ["3: roles.a.max_rows: an integer from 1 was expected, not 0"]),
    "a number that is too large": (
        ROLE + f"max_rows = 0x{'f' * 5000}",
        ["3: roles.a.max_rows: an integer from 1 was expected, not so large a number"],
    ),
    "a number with a fraction": (
        ROLE + "max_rows = 1.5",
        ["3: roles.a.max_rows: an integer from 1 was expected, not 1.5"],
    ),
    "a long text": (
        ROLE + f'default_database = "{"x" * 100}"',
        [f"3: roles.a.default_database: a schema's name was expected, not '{'x' * 59}..."],
    ),
    "a text with control characters": (
        ROLE + 'where_required = "\\u001b[2J"',
        ["3: roles.a.where_required: true or false was expected, not '\\x1b[2J'"],
    ),
    "another strategy": (
        ROLE + 'implementations = ["best"]',
        [f"3: roles.a.implementations: a list of {IMPLEMENTATIONS} was expected, not 'best'"],
    ),
    "a default that is not allowed": (
        ROLE + 'implementations = ["direct_hit"]\ndefault_implementation = "random_hit"',
        ["4: roles.a.default_implementation: random_hit is not among implementations"],
    ),
    "the default that is not allowed": (
        ROLE + 'implementations = ["direct_hit"]',
        ["1: roles.a.default_implementation: customized_hit is not among implementations"],
    ),
    "a database without tables": (
        ROLE + 'default_database = "x"',
        ["3: roles.a.default_database: "],
    ),
    "a procedure without call": (ROLE + 'procedures = ["a.p"]', ["3: roles.a.procedures: kinds has no call"]),
    "a procedure's pattern": (ROLE + 'procedures = ["a.*"]', ["3: roles.a.procedures: a list of procedures"]),
    "writing without a kind": (ROLE + 'write = ["a.*"]', ["3: roles.a.write: kinds has nothing that writes"]),
    "a column hidden of a table that is not granted": (
        ROLE + 'read = ["a.b", "c.*"]\n[roles.a.hidden]\n"c.d" = ["x"]\n"a.c" = ["x"]',
        ['6: roles.a.hidden."a.c": read does not name this table'],
    ),
    "columns to read of a table that is not granted": (
        ROLE + 'read_columns = {"a.b" = ["x"]}',
        ['3: roles.a.read_columns."a.b": read does not name this table'],
    ),
    "columns to write of a table that may only be read": (
        ROLE + 'read = ["a.b"]\nwrite_columns = {"a.b" = ["x"]}',
        ['4: roles.a.write_columns."a.b": write does not name this table'],
    ),
    "an unknown limit": (
        ROLE + "limits = {rate = 5}",
        ["3: roles.a.limits.rate: a table of rate_per_second (a number from 0.001), burst (an integer from 1 to"],
    ),
    "a limit that is none": (
        ROLE + "[roles.a.limits]\nrate_per_second = 5\nmax_concurrent = 257",
        ["5: roles.a.limits.max_concurrent: a table of rate_per_second"],
    ),
    "limits that are no table": (ROLE + "limits = 5", ["3: roles.a.limits: a table of rate_per_second"]),
    "a burst without a rate": (
        ROLE + "[roles.a.limits]\nburst = 5",
        ["4: roles.a.limits.burst: does nothing without rate_per_second"],
    ),
    "an end without an offset": (
        ROLE + "expires = 2027-01-31T18:00:00",
        ["3: roles.a.expires: a date and time with its offset, such as 2027-01-31T18:00:00+01:00, was expected, not"],
    ),
    "an end that is a day": (ROLE + "expires = 2027-01-31", ["3: roles.a.expires: a date and time with its offset"]),
    "all at once": (
        'y = 1\n[roles.a]\nkinds = [\n "select",\n "ddl", "x",\n]\nmax_rows = 0\nlimits = {burst = 1}\n'
        '[roles."b!"]\nx = 1\nread = ["a.b"]\nhidden = {"a.c" = ["x"]}',
        [
            "1: y: unknown member",
            "5: roles.a.kinds: a list of",
            "5: roles.a.kinds: a list of",
            "7: roles.a.max_rows: an integer",
            "8: roles.a.limits.burst: does nothing",
            '9: roles."b!": a role\'s name',
            '9: roles."b!".kinds: missing',
            '10: roles."b!".x: unknown member',
            '12: roles."b!".hidden."a.c": read does not name',
        ],
    ),
    "quoted and dotted names": (
        '"roles" . \'a\'.kinds = []\nroles.a."max_rows" = 0\nroles.a.limits.burst = 0',
        ["2: roles.a.max_rows: an integer from 1", "3: roles.a.limits.burst: a table of"],
    ),
    "inline tables": (
        'roles = {a = {kinds = ["select"], reads = 1}, b = {\'kinds\' = ["}"]}}',
        ["1: roles.a.reads: unknown member", "1: roles.b.kinds: a list of"],
    ),
    "comments and texts that look like members": (
        '# [roles.b]\n[roles.a] # max_rows = 0\ndefault_database = """\n[roles.c]\nmax_rows = 0"""\n'
        "kinds = [ # ]\n 'select', # 'x'\n '''\nx''' ]",
        ["3: roles.a.default_database: a schema's name", "8: roles.a.kinds: a list of"],
    ),
    "a file of another system": (
        "[roles.a]\r\nkinds = [\r\n'x']\r\nmax_rows = 0\r\n",
        ["3: roles.a.kinds: a list of", "4: roles.a.max_rows: "],
    ),
}


@pytest.mark.parametrize(("text", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_with_its_line_its_member_and_what_is_allowed(text: str, said: list[str]) -> None:
    with pytest.raises(PolicyError) as refusal:
        parse(text, "p.toml")
    found = str(refusal.value).splitlines()
    assert len(found) == len(said), found
    for line, beginning in zip(found, said, strict=True):
        assert line.startswith(f"p.toml:{beginning}")


NOT_TOML = {
    "a header": ("x = 1\n[roles.a\n", "2: not TOML: Expected ']'"),
    "no value": ("\n\nx =\n", "3: not TOML: Invalid value"),
    "an open array": ("x = [\n1,\n2\n\n", "3: not TOML: Unclosed array"),
    "an open array after what only looks like a line's end": ('x = "\u2028"\ny = [', "2: not TOML: "),
    "an open text": ('x = """\ny\n', "2: not TOML: Unterminated string"),
    "a member twice": ("[roles.a]\nkinds = []\nkinds = []\n\n\n", "3: not TOML: Cannot overwrite a value"),
    "a role twice": (
        "[roles.a]\nkinds = []\n\n[roles.a]\nread = []\n",
        "4: not TOML: Cannot declare ('roles', 'a') twice",
    ),
    "a table over an inline one": ("[roles]\na = {}\n[roles.a]\nkinds = []\n", "3: not TOML: "),
    "nested without end": ("x = " + "[" * 5000, "1: not TOML: "),
    "a number of thousands of digits": ("x = " + "9" * 5000, "1: not TOML: "),
}


@pytest.mark.parametrize(("text", "said"), NOT_TOML.values(), ids=NOT_TOML)
def test_what_is_not_toml_is_named_with_its_line(text: str, said: str) -> None:
    with pytest.raises(PolicyError) as refusal:
        parse(text, "p.toml")
    assert str(refusal.value).startswith(f"p.toml:{said}")
    assert len(str(refusal.value).splitlines()) == 1


SOUND = {
    "limits": "limits = {rate_per_second = 0.5, burst = 10, max_concurrent = 4}",
    "an end": "expires = 2027-01-31T18:00:00Z",
    "an end as a text": 'expires = "2027-01-31T18:00:00+01:00"',
    "a column hidden of a schema's table": 'read = ["a.*"]\nhidden = {"a.b" = ["x"]}',
    "a column hidden of a table of another case": 'read = ["a.b"]\nhidden = {"A.B" = ["x"]}',
}


@pytest.mark.parametrize("text", SOUND.values(), ids=SOUND)
def test_what_is_sound_is_taken(text: str) -> None:
    parse(ROLE + text)


def test_a_roles_limits_have_the_form_of_a_keys() -> None:
    role = parse(ROLE + "[roles.a.limits]\nrate_per_second = 5\nburst = 7\nmax_concurrent = 2").roles["a"]
    assert role.limits == Limits(rate_per_second=5, burst=7, max_concurrent=2)


def test_every_member_says_what_is_allowed() -> None:
    assert set(Role.__struct_fields__) == ALLOWED.keys()


def test_a_file_is_named_as_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(ROLE + "max_rows = 0\nx = 1")
    with pytest.raises(PolicyError) as refusal:
        load(path)
    assert [line.partition(": ")[0] for line in str(refusal.value).splitlines()] == [f"{path}:3", f"{path}:4"]


def test_a_policy_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"absent\.toml can't be read"):
        load(tmp_path / "absent.toml")


def test_the_check_prints_each_mistake_with_file_and_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(ROLE + "max_rows = 0\nx = 1")
    assert main(["policy", "check", str(path)]) == 1
    shown = capsys.readouterr()
    assert [line.partition(": ")[0] for line in shown.out.splitlines()] == [f"{path}:3", f"{path}:4"]
    assert shown.err == ""
