"""deploy/steps.py on a real machine: what differs is set right, what does not is left alone."""

from collections.abc import Iterator

import pytest

from deploy import steps
from deploy.host import Host, HostError
from deploy.steps import Directory, File
from tests.fleet.hosts import Machines, machines


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with machines(tmp_path_factory.mktemp("steps"), {"gate": "gatekeeper"}) as made:
        yield made


@pytest.fixture
def host(site: Machines) -> Iterator[Host]:
    made = site.host("gate")
    made.sudo("rm -rf /srv/gk; mkdir /srv/gk")
    yield made
    made.close()


NAME = "/srv/gk/file"
ODD = '/srv/gk/it\'s "a" $HOME `name` \\ -é'


def look(host: Host, path: str) -> str:
    """The path's kind, mode and owner."""
    return host.sudo(f"stat -c '%F %04a %U:%G' {path}").strip()


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(File(NAME, b"text\n"), id="a file"),
        pytest.param(File(NAME, b""), id="an empty file"),
        pytest.param(File(NAME, bytes(range(256)) * 4096, "0400", "nobody:nogroup"), id="bytes of an account"),
        pytest.param(File(ODD, b"odd", "0600"), id="an odd name"),
        pytest.param(Directory("/srv/gk/one/two", "2750", "root:nogroup"), id="directories, with setgid"),
    ],
)
def test_an_entry_is_made_once_as_it_is_wanted(host: Host, entry: steps.Entry) -> None:
    assert steps.paths(host, [entry]) == (entry.path,)
    assert steps.paths(host, [entry]) == ()


SPOILT = {
    "other content": f"echo other >{NAME}",
    "longer content": f"echo other >>{NAME}",
    "another mode": f"chmod 666 {NAME}",
    "another owner": f"chown nobody {NAME}",
    "another group": f"chgrp daemon {NAME}",
    "no file": f"rm {NAME}",
    "a symbolic link to the same content": f"mv {NAME} /srv/gk/real; ln -s /srv/gk/real {NAME}",
    "a dangling symbolic link": f"ln -sf /srv/gk/nothing {NAME}",
    "a pipe": f"rm {NAME}; mkfifo {NAME}",
    "a half-written one beside it": f"rm {NAME}; echo half >{NAME}.new",
    "a link where the new one is written": f"rm {NAME}; ln -s /srv/gk/elsewhere {NAME}.new",
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_a_file_that_differs_is_set_right_in_one_step(host: Host, spoil: str) -> None:
    wanted = File(NAME, b"wanted\n", "0640", "root:nogroup")
    steps.paths(host, [wanted])
    host.sudo(spoil)
    assert steps.paths(host, [wanted]) == (NAME,)
    assert look(host, NAME) == "regular file 0640 root:nogroup"
    assert host.sudo(f"cat {NAME}; ls /srv/gk | grep -v real") == "wanted\nfile\n"


def test_what_a_link_in_a_files_place_points_to_is_left_as_it_is(host: Host) -> None:
    host.sudo(f"echo precious >/srv/gk/precious; ln -s /srv/gk/precious {NAME}")
    steps.paths(host, [File(NAME, b"wanted", "0600")])
    assert host.sudo(f"cat /srv/gk/precious {NAME}") == "precious\nwanted"


def test_of_many_entries_those_that_differ_are_named_in_order(host: Host) -> None:
    wanted: list[steps.Entry] = [
        Directory("/srv/gk/a"),
        File("/srv/gk/a/b", b"b"),
        File("/srv/gk/a/c", b"c"),
        File("/srv/gk/d", b"d"),
    ]
    assert steps.paths(host, wanted) == tuple(entry.path for entry in wanted)
    host.sudo("chmod 700 /srv/gk/a; rm /srv/gk/d")
    assert steps.paths(host, wanted) == ("/srv/gk/a", "/srv/gk/d")


def test_a_file_whose_account_is_not_there_is_refused_and_the_old_one_stays(host: Host) -> None:
    steps.paths(host, [File(NAME, b"old")])
    with pytest.raises(HostError, match="invalid user"):
        steps.paths(host, [File(NAME, b"new", owner="nobody-knows:nogroup")])
    assert host.sudo(f"cat {NAME}") == "old"


def test_a_directory_in_a_files_place_is_refused_and_keeps_what_is_in_it(host: Host) -> None:
    host.sudo(f"mkdir {NAME}; echo precious >{NAME}/precious")
    with pytest.raises(HostError, match="cannot overwrite directory"):
        steps.paths(host, [File(NAME, b"new")])
    assert host.sudo(f"cat {NAME}/precious") == "precious\n"


def test_a_secret_is_never_readable_by_others_while_it_is_written(host: Host) -> None:
    host.sudo(
        "cat >/srv/gk/watch; systemd-run --quiet --unit=watch python3 /srv/gk/watch;"
        " until [ -e /srv/gk/ready ]; do sleep 0.05; done",
        given=_WATCH,
    )
    steps.paths(host, [File("/srv/gk/watched/secret", b"s" * 1_000_000, "0600", "nobody:nogroup")])
    host.sudo("touch /srv/gk/stop; until [ -e /srv/gk/seen ]; do sleep 0.05; done")
    seen = host.sudo("cat /srv/gk/seen").split()
    assert seen, "the file was never seen while it was written"
    assert set(seen) == {"600"}


# Notes every mode that a file in /srv/gk/watched has, as long as there is no file `stop`.
_WATCH = b"""
import os
os.mkdir("/srv/gk/watched")
open("/srv/gk/ready", "w").close()
seen = set()
while not os.path.exists("/srv/gk/stop"):
    for entry in os.scandir("/srv/gk/watched"):
        try:
            seen.add(oct(entry.stat(follow_symlinks=False).st_mode & 0o777)[2:])
        except FileNotFoundError:
            pass
open("/srv/gk/seen.new", "w").write("\\n".join(seen))
os.rename("/srv/gk/seen.new", "/srv/gk/seen")
"""


def test_a_link_is_switched_once_and_follows_no_directory_that_it_points_to(host: Host) -> None:
    host.sudo("mkdir /srv/gk/1 /srv/gk/2")
    assert steps.link(host, "/srv/gk/current", "/srv/gk/1")
    assert steps.link(host, "/srv/gk/current", "/srv/gk/2")
    assert not steps.link(host, "/srv/gk/current", "/srv/gk/2")
    assert host.sudo("readlink /srv/gk/current; ls /srv/gk/1 /srv/gk/2").split()[0] == "/srv/gk/2"
    assert host.sudo("ls /srv/gk/1; ls /srv/gk/2") == ""


def test_an_account_is_made_once_without_a_password_or_a_shell(host: Host) -> None:
    assert steps.account(host, "gk-tried", home="/nonexistent")
    assert not steps.account(host, "gk-tried", home="/nonexistent")
    assert host.sudo("getent passwd gk-tried").strip().endswith(":/nonexistent:/usr/sbin/nologin")
    assert host.sudo("passwd --status gk-tried").split()[1] == "L"


def test_packages_are_installed_once_with_no_way_out_and_no_daemon_is_started(host: Host) -> None:
    assert steps.packages(host, ["nginx-light", "lsof"]) == ("lsof", "nginx-light")
    assert steps.packages(host, ["nginx-light", "lsof"]) == ()
    assert host.attempt("systemctl is-active nginx").text == "inactive\n"
    assert host.attempt("test -e /usr/sbin/policy-rc.d").status == 1


def test_a_package_that_nobody_has_is_named_and_daemons_may_start_again(host: Host) -> None:
    with pytest.raises(HostError, match="Unable to locate package no-such-package"):
        steps.packages(host, ["no-such-package"])
    assert host.attempt("test -e /usr/sbin/policy-rc.d").status == 1


def unit(argument: str = "600") -> str:
    return f"[Service]\nExecStart=/bin/sleep {argument}\n[Install]\nWantedBy=multi-user.target\n"


def runs(host: Host, name: str, text: str) -> bool:
    """Sees to it that the unit runs with this text, as deployment does; whether it did anything."""
    changed = bool(steps.units(host, {name: text}))
    return steps.service(host, name, changed=changed) or changed


def process(host: Host, name: str) -> str:
    return host.sudo(f"systemctl show --property MainPID --value {name}").strip()


def test_a_unit_is_enabled_and_started_once_and_restarted_only_when_it_changed(host: Host) -> None:
    assert runs(host, "gk-tried.service", unit())
    first = process(host, "gk-tried")
    assert not runs(host, "gk-tried.service", unit())
    assert process(host, "gk-tried") == first
    assert host.sudo("systemctl is-enabled gk-tried") == "enabled\n"
    assert runs(host, "gk-tried.service", unit("601"))
    second = process(host, "gk-tried")
    assert second not in {first, "0"}
    assert host.sudo(f"tr '\\0' ' ' </proc/{second}/cmdline") == "/bin/sleep 601 "
    assert steps.service(host, "gk-tried.service", changed=True)
    assert process(host, "gk-tried") not in {second, "0"}


@pytest.mark.parametrize("spoil", ["stop", "disable", "kill --signal=KILL"])
def test_a_unit_that_was_stopped_disabled_or_killed_runs_again(host: Host, spoil: str) -> None:
    runs(host, "gk-again.service", unit())
    host.sudo(f"systemctl --quiet {spoil} gk-again")
    if "kill" in spoil:
        host.sudo("while systemctl --quiet is-active gk-again; do sleep 0.05; done", timeout_s=20)
    assert steps.service(host, "gk-again.service")
    assert not steps.service(host, "gk-again.service")


def test_a_unit_that_does_not_start_is_told_with_its_last_lines(host: Host) -> None:
    text = (
        "[Service]\nType=notify\nExecStart=/bin/sh -c 'echo the port is taken; exit 1'\n" + unit().partition("600\n")[2]
    )
    with pytest.raises(HostError, match=r"(?s)^gate: gk-broken\.service did not start: .*the port is taken"):
        runs(host, "gk-broken.service", text)


def test_a_unit_that_did_not_start_is_completed_by_the_next_run(host: Host) -> None:
    text = (
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/ls /srv/gk/needed\n"
        + unit().partition("600\n")[2]
    )
    with pytest.raises(HostError, match="No such file"):
        runs(host, "gk-late.service", text)
    host.sudo("touch /srv/gk/needed")
    assert runs(host, "gk-late.service", text)
    assert not runs(host, "gk-late.service", text)
