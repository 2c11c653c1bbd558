"""deploy/steps.py: what is asked of a machine, and when; tests/fleet/test_steps.py shows what it does there."""

import shlex

import pytest

from deploy import steps
from deploy.host import Done, HostError
from deploy.steps import Directory, File
from tests.unit.pretended_hosts import Pretended

FILE = File("/etc/gk/file", b"text", "0640", "root:gk")


def test_a_file_that_is_as_wanted_is_looked_at_and_not_written() -> None:
    host = Pretended()
    assert steps.paths(host, [FILE]) == (FILE.path,)
    with host.unchanged():
        assert steps.paths(host, [FILE]) == ()
    assert len(host.ran("cat >")) == 1


DIFFERING = {
    "content": ("regular file|0640|root:gk", b"other"),
    "mode": ("regular file|0644|root:gk", b"text"),
    "owner": ("regular file|0640|root:root", b"text"),
    "a link": ("symbolic link|0777|root:gk", b"text"),
    "a directory": ("directory|0640|root:gk", b""),
}


@pytest.mark.parametrize("there", DIFFERING.values(), ids=DIFFERING.keys())
def test_a_file_that_differs_is_written_whole(there: tuple[str, bytes]) -> None:
    host = Pretended()
    host.files[FILE.path] = there
    assert steps.paths(host, [FILE]) == (FILE.path,)
    assert host.files[FILE.path] == ("regular file|0640|root:gk", b"text")


def test_many_paths_are_looked_at_with_one_script_and_written_in_their_order() -> None:
    host = Pretended()
    wanted: list[steps.Entry] = [Directory("/a"), File("/a/b", b"b"), Directory("/a/c"), File("/a/c/d", b"")]
    assert steps.paths(host, wanted) == ("/a", "/a/b", "/a/c", "/a/c/d")
    assert len(host.scripts) == 1 + len(wanted)
    assert steps.paths(host, wanted) == ()
    assert len(host.scripts) == 2 + len(wanted)


def test_a_files_content_goes_by_standard_input_and_never_in_a_script() -> None:
    host = Pretended()
    steps.paths(host, [File("/etc/gk/key", b"a-secret-of-nobody", "0600")])
    assert b"a-secret-of-nobody" in host.given
    assert host.ran("a-secret-of-nobody") == []


def test_a_file_is_closed_to_others_from_its_first_byte_on_and_appears_in_one_step() -> None:
    host = Pretended()
    steps.paths(host, [FILE])
    (script,) = host.ran("cat >")
    assert script.startswith("umask 077; set -o noclobber; rm -f -- /etc/gk/file.new; cat >/etc/gk/file.new;")
    assert script.endswith("mv -fT -- /etc/gk/file.new /etc/gk/file")


ODD = [
    "/srv/a b",
    "/srv/$(reboot)",
    "/srv/`reboot`",
    "/srv/it's",
    '/srv/"',
    "/srv/;reboot",
    "/srv/-rf",
    "/srv/\\",
    "/é",
]


@pytest.mark.parametrize("name", ODD)
def test_an_odd_name_is_one_quoted_word_wherever_it_stands(name: str) -> None:
    host = Pretended()
    steps.paths(host, [File(name, b"x")])
    steps.paths(host, [Directory(name)])
    steps.link(host, name, name)
    steps.account(host, name, home=name)
    steps.service(host, name)
    steps.packages(host, [name])
    for script in host.scripts:
        rest = script.replace(shlex.quote(f"{name}.new"), "").replace(shlex.quote(name), "")
        assert name not in rest, script


def test_a_link_is_switched_once() -> None:
    host = Pretended()
    assert steps.link(host, "/opt/current", "/opt/1")
    assert not steps.link(host, "/opt/current", "/opt/1")
    assert steps.link(host, "/opt/current", "/opt/2")
    assert host.links == {"/opt/current": "/opt/2"}


def test_only_missing_packages_are_installed() -> None:
    host = Pretended()
    host.packages = {"curl"}
    assert steps.packages(host, ["nginx-light", "curl", "nginx-light"]) == ("nginx-light",)
    assert steps.packages(host, ["nginx-light", "curl"]) == ()
    assert len(host.ran("apt-get")) == 1


def test_a_package_that_was_removed_with_its_settings_kept_is_missing() -> None:
    host = Pretended(answers={"dpkg-query": "curl config-files\n"})
    assert steps.packages(host, ["curl"]) == ("curl",)


def test_while_packages_are_installed_no_daemon_may_start_and_afterwards_it_may() -> None:
    host = Pretended()
    steps.packages(host, ["nginx-light"])
    (script,) = host.ran("apt-get")
    assert script.index("trap 'rm -f $policy' EXIT") < script.index("exit 101") < script.index("install --yes")


def test_an_account_is_made_once_and_nobody_can_log_in_as_it() -> None:
    host = Pretended()
    assert steps.account(host, "gk-proxy", home="/nonexistent")
    assert not steps.account(host, "gk-proxy", home="/nonexistent")
    (script,) = host.ran("useradd")
    assert "--system" in script
    assert "--shell /usr/sbin/nologin" in script


STATES = [
    pytest.param("enabled active", False, None, id="as it should be"),
    pytest.param("enabled active", True, "restart", id="changed"),
    pytest.param("enabled inactive", False, "start", id="stopped"),
    pytest.param("disabled active", False, "start", id="not enabled"),
    pytest.param("enabled failed", False, "start", id="failed"),
    pytest.param("not-found inactive", True, "restart", id="new"),
    pytest.param("enabled activating", False, "start", id="starting again and again"),
]


@pytest.mark.parametrize(("state", "changed", "verb"), STATES)
def test_a_unit_is_started_or_restarted_where_its_state_asks_for_it(
    state: str, verb: str | None, *, changed: bool
) -> None:
    host = Pretended()
    host.units["gk.service"] = state
    assert steps.service(host, "gk.service", changed=changed) is (verb is not None)
    assert len(host.ran("systemctl --quiet enable")) == (verb is not None)
    assert len(host.ran(f"&& systemctl {verb} gk.service")) == (verb is not None)


def test_systemd_is_told_of_units_whose_text_changed_and_of_their_drop_ins() -> None:
    host = Pretended()
    texts = {"gk.service": "[Service]\n", "gk.service.d/limits.conf": "[Service]\n#\n"}
    assert steps.units(host, texts) == tuple(
        f"{steps.UNITS}/{name}" for name in ("gk.service.d", "gk.service", "gk.service.d/limits.conf")
    )
    assert steps.units(host, texts) == ()
    assert steps.units(host, texts | {"gk.service": "[Service]\n#\n"}) == (f"{steps.UNITS}/gk.service",)
    assert len(host.ran("daemon-reload")) == 2


def test_a_unit_that_does_not_start_is_told_with_its_log() -> None:
    host = Pretended(answers={"--quiet enable": Done("", "port 80 is taken\n", 1)})
    with pytest.raises(HostError, match=r"^data1: nginx\.service did not start: port 80 is taken$"):
        steps.service(host, "nginx.service")
