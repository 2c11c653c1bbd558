"""deploy/host.py against real sshds: whom it trusts, what it carries, and that every wait of it ends."""

import hashlib
import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from deploy import processes
from deploy.dry import Dry
from deploy.host import Host, HostError
from deploy.providers import sshd
from deploy.providers.fleet import machine
from deploy.secrets import write_file
from tests.fleet.hosts import Machines, machines

# What a busy machine of tests may take beyond a script's own limit.
LATE_S = 60.0
HANGS = "touch /run/begun; sleep 600"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with machines(tmp_path_factory.mktemp("hosts"), {"data1": "data", "gate": "gatekeeper"}) as made:
        yield made


@pytest.fixture
def host(site: Machines) -> Iterator[Host]:
    """A connection to data1."""
    made = site.host("data1")
    yield made
    made.close()


def test_a_script_runs_as_root_and_its_outputs_and_status_come_back_apart(host: Host) -> None:
    done = host.attempt("id -un; echo told >&2; exit 7")
    assert (done.text, done.errors, done.status) == ("root\n", "told\n", 7)


def test_a_script_that_fails_is_told_with_machine_first_line_status_and_what_it_said(host: Host) -> None:
    with pytest.raises(HostError, match=r"^data1: 'ls /not-here' ended with status 2: ls: .*No such file"):
        host.sudo("\n  ls /not-here\necho not reached")


def test_a_script_that_begins_with_what_it_does_is_called_so(host: Host) -> None:
    with pytest.raises(HostError, match=r"^data1: 'install packages' ended with status 100: "):
        host.sudo("# install packages\nexit 100")
    with pytest.raises(HostError, match=r"^data1: 'install packages' did not end within 0\.5 s$"):
        host.sudo("# install packages\nsleep 600", timeout_s=0.5)


def test_a_script_stops_at_its_first_failure_also_in_a_pipe_and_at_an_unset_variable(host: Host) -> None:
    assert host.attempt("false | cat; echo on").text == ""
    assert host.attempt("echo $not_set; echo on").text == ""


def test_quotes_and_lines_of_a_script_arrive_as_they_are(host: Host) -> None:
    assert host.sudo("cat <<'END'\n'a\" $b `c` \\d é\nEND") == "'a\" $b `c` \\d é\n"


@pytest.mark.parametrize("path", ["/etc/new", "/var/lib/new", "/run/new", "/tmp/new", "/dev/shm/new"])
def test_a_dry_run_changes_no_file_even_where_a_script_that_should_only_look_tries_to(host: Host, path: str) -> None:
    dry = Dry(host)
    with pytest.raises(HostError, match="Read-only file system"):
        dry.look(f"touch {path}")
    dry.sudo(f"touch {path}")
    assert dry.look("systemctl is-active ssh; cat /etc/hostname") == "active\ndata1\n"
    assert host.attempt(f"test -e {path}").status == 1
    host.sudo(f"touch {path}; rm {path}")


def test_what_is_given_is_standard_input_and_not_in_the_process_list(host: Host) -> None:
    listed = host.sudo("cat >/dev/null; ps -ww -eo args", given=b"a-secret-of-nobody")
    assert "cat >/dev/null" in listed
    assert "a-secret-of-nobody" not in listed


BIG = bytes(range(256)) * (1 << 15)  # 8 MiB: four times paramiko's window


@pytest.mark.parametrize("as_file", [False, True], ids=["bytes", "file"])
def test_big_input_arrives_whole(host: Host, *, as_file: bool) -> None:
    given = io.BytesIO(BIG) if as_file else BIG
    assert host.sudo("sha256sum", given=given).split()[0] == hashlib.sha256(BIG).hexdigest()


def test_big_output_arrives_whole(host: Host) -> None:
    text = host.sudo("python3 -c 'print(\"gatekeeper\\n\" * 800_000, end=str())'")
    assert text == "gatekeeper\n" * 800_000


def test_input_that_comes_back_arrives_whole(host: Host) -> None:
    text = "0123456789abcdef" * (1 << 16)  # 1 MiB: what comes back is read when all is sent
    assert host.sudo("cat", given=text.encode(), timeout_s=30) == text


def test_a_script_that_ends_before_it_reads_its_input_is_judged_by_its_status(host: Host) -> None:
    assert host.sudo("echo enough", given=BIG) == "enough\n"
    assert host.attempt("exit 3", given=BIG).status == 3


def test_a_script_that_hangs_is_given_up_after_its_time_and_the_next_one_runs(host: Host) -> None:
    began = time.monotonic()
    with pytest.raises(HostError, match=r"^data1: 'sleep 600' did not end within 1 s$"):
        host.sudo("sleep 600", timeout_s=1)
    assert time.monotonic() - began < 1 + LATE_S
    assert host.sudo("echo on") == "on\n"


def test_a_script_that_closed_its_outputs_and_hangs_is_given_up_too(host: Host) -> None:
    with pytest.raises(HostError, match="did not end within 2 s"):
        host.sudo("exec >&- 2>&-; sleep 600", timeout_s=2)


def test_a_script_whose_outputs_are_held_open_by_what_it_started_is_given_up(host: Host) -> None:
    with pytest.raises(HostError, match="did not end within 2 s"):
        host.sudo("sleep 60 & disown; exit 0", timeout_s=2)


def test_a_script_that_a_signal_ends_is_no_success(host: Host) -> None:
    with pytest.raises(HostError, match=r"^data1: 'kill -9 \$\$' could not be run: a signal ended it, or "):
        host.sudo("kill -9 $$")
    assert host.sudo("echo on") == "on\n"


def test_another_machine_in_its_place_is_refused(site: Machines) -> None:
    keys = {line.split()[0]: line.split()[2] for line in site.cluster.fleet.known_hosts().splitlines()}
    line = f"{site.cluster.address('data1')} ssh-ed25519 {keys[site.cluster.address('gate')]}\n"
    with pytest.raises(HostError, match=r"^data1: its host key is not the known one; somebody may be in between$"):
        _with_host_keys(site, line).sudo("true")


def test_a_machine_whose_host_key_nobody_told_is_refused(site: Machines) -> None:
    with pytest.raises(HostError, match=r"^data1: 'connect' could not be run: .*not found in known_hosts"):
        _with_host_keys(site, "").sudo("true")


def test_a_key_that_the_machine_does_not_accept_is_named(site: Machines) -> None:
    other = site.access.private_key.with_name("other.key")
    write_file(other, sshd.new_key_pair().private.encode())
    with pytest.raises(HostError, match=r"^data1: it does not accept the key other\.key$"):
        site.host("data1", msgspec.structs.replace(site.access, private_key=other)).sudo("true")


def test_a_script_runs_through_a_jump_host(site: Machines) -> None:
    host = site.host("data1", through="gate")
    try:
        peers = host.sudo("hostname; ss -Htn state established '( sport = :22 )'")
        assert host.sudo("cat", given=b"by the gate") == "by the gate"
    finally:
        host.close()
    assert peers.startswith("data1\n")
    assert f" {site.cluster.address('gate')}:" in peers


def test_a_machine_that_does_not_answer_is_given_up_when_connecting_takes_too_long(site: Machines) -> None:
    site.cluster.faults.pause("data1")
    try:
        with pytest.raises(HostError, match=r"^data1: 'connect' (did not end within 15 s|could not be run: [^\n]*)$"):
            site.host("data1").sudo("true", timeout_s=600)
    finally:
        site.cluster.faults.resume("data1")


def test_a_machine_that_is_paused_in_the_middle_of_a_script_ends_the_wait_in_time(site: Machines, host: Host) -> None:
    host.sudo("true")
    try:
        with _once_begun(site, lambda: site.cluster.faults.pause("data1")), pytest.raises(HostError) as caught:
            host.sudo(HANGS, timeout_s=12)
    finally:
        site.cluster.faults.resume("data1")
    assert str(caught.value) == "data1: 'touch /run/begun; sleep 600' did not end within 12 s"
    assert host.sudo("echo on") == "on\n"


def test_a_machine_that_is_paused_takes_no_new_script_and_the_wait_ends(site: Machines, host: Host) -> None:
    host.sudo("true")
    site.cluster.faults.pause("data1")
    began = time.monotonic()
    try:
        with pytest.raises(HostError, match=r"^data1: 'true' "):
            host.sudo("true", timeout_s=5)
    finally:
        site.cluster.faults.resume("data1")
    assert time.monotonic() - began < 15 + LATE_S
    assert host.sudo("echo on") == "on\n"


def test_a_machine_that_is_paused_while_it_takes_input_ends_the_wait_in_time(site: Machines, host: Host) -> None:
    host.sudo("true")
    began = time.monotonic()
    try:
        with (
            _once_begun(site, lambda: site.cluster.faults.pause("data1")),
            # The connection's own word where it noticed before the time was over.
            pytest.raises(HostError, match=r"did not end within|could not be run"),
        ):
            host.sudo("touch /run/begun; sleep 600; cat", given=BIG, timeout_s=12)
    finally:
        site.cluster.faults.resume("data1")
    assert time.monotonic() - began < 2 * 12 + LATE_S


def test_a_machine_whose_power_is_cut_in_the_middle_of_a_script_is_told_in_a_sentence(
    site: Machines, host: Host
) -> None:
    host.sudo("true")
    began = time.monotonic()
    try:
        with _once_begun(site, lambda: site.cluster.faults.power_cut("data1")), pytest.raises(HostError) as caught:
            host.sudo(HANGS, timeout_s=90)
    finally:
        site.cluster.fleet.start(["data1"])
    assert str(caught.value).startswith("data1: 'touch /run/begun; sleep 600' could not be run: ")
    assert "\n" not in str(caught.value)
    # Keepalives every 5 s, and 20 s without an acknowledgement.
    assert time.monotonic() - began < 60
    assert host.sudo("hostname") == "data1\n"


def test_a_machine_that_is_off_is_told_in_a_sentence(site: Machines) -> None:
    host = site.host("data1")
    site.cluster.fleet.stop(["data1"])
    try:
        with pytest.raises(HostError, match=r"^data1: 'connect' (could not be run: |did not end within 15 s)[^\n]*$"):
            host.sudo("true", timeout_s=5)
    finally:
        site.cluster.fleet.start(["data1"])


def _with_host_keys(site: Machines, text: str) -> Host:
    known = site.access.known_hosts.with_name("other_hosts")
    write_file(known, text.encode())
    return site.host("data1", msgspec.structs.replace(site.access, known_hosts=known))


@contextmanager
def _once_begun(site: Machines, happens: Callable[[], None]) -> Iterator[None]:
    """Lets it happen as soon as the block's script has begun on data1."""
    box = site.cluster.fleet.boxes(["data1"])[0]
    mark = Path(f"/proc/{machine.leader(box)}/root/run/begun")
    mark.unlink(missing_ok=True)

    def wait() -> None:
        processes.wait_until(mark.exists, timeout_s=60, what="the script's begin")
        happens()

    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(wait)
        yield
    future.result()
