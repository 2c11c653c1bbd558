import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from deploy.providers.fleet import Fleet, Settings, cgroups, commands, image, machine, network, sandbox
from deploy.providers.fleet.cgroups import Group, Size
from deploy.providers.fleet.image import Recipe
from deploy.providers.interface import Order, Provider, ProviderError


def no_words(name: str, text: str) -> None:
    raise AssertionError(f"said {name}: {text}")


@pytest.fixture
def version_1(tmp_path: Path) -> Path:
    """A directory like /sys/fs/cgroup with version 1: a hierarchy for each controller."""
    for name, files in {"memory": {}, "freezer": {}, "cpuset": {"cpuset.cpus": "0-1", "cpuset.mems": "0"}}.items():
        (tmp_path / name).mkdir()
        for file, text in {"cgroup.procs": "", **files}.items():
            (tmp_path / name / file).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "size", "shown"),
    [
        pytest.param("", Size(2048, 0), "2048 MiB", id="default"),
        pytest.param("512", Size(512, 0), "512 MiB", id="memory"),
        pytest.param("4096/1.5", Size(4096, 1.5), "4096 MiB and 1.5 cores", id="memory and cores"),
    ],
)
def test_a_size_is_memory_and_cores(text: str, size: Size, shown: str) -> None:
    assert cgroups.parse_size(text) == size
    assert str(size) == shown


@pytest.mark.parametrize("text", ["t3.small", "0", "127", "-512", "512/x", "512/-1", "512/nan", "512/inf", "1e3"])
def test_a_size_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ProviderError, match="a machine's size is MEMORY_MiB"):
        cgroups.parse_size(text)


def test_a_group_is_made_in_every_hierarchy_and_removed_from_all(version_1: Path) -> None:
    group = Group("gk/data1", version_1)
    limit = version_1 / "memory" / "gk" / "data1" / "memory.limit_in_bytes"
    limit.parent.mkdir(parents=True)
    limit.touch()  # as the kernel does
    group.create(Size(512))
    assert all((version_1 / name / "gk" / "data1").is_dir() for name in ("memory", "freezer", "cpuset"))
    assert limit.read_text() == str(512 << 20)
    limit.unlink()
    group.remove()
    assert not any((version_1 / name / "gk").exists() for name in ("memory", "freezer", "cpuset"))


def test_a_host_without_memory_limits_is_refused(version_1: Path) -> None:
    with pytest.raises(ProviderError, match="no control group for memory"):
        Group("gk/data1", version_1).create(Size())


def test_a_group_with_version_2_has_its_limits_in_one_place(tmp_path: Path) -> None:
    (tmp_path / "cgroup.procs").touch()
    directory = tmp_path / "gk" / "data1"
    directory.mkdir(parents=True)
    for name in ("memory.max", "cpu.max", "cgroup.freeze"):
        (directory / name).touch()
    group = Group("gk/data1", tmp_path)
    group.create(Size(512, 1.5))
    group.freeze(frozen=True)
    assert [(directory / name).read_text() for name in ("memory.max", "cpu.max", "cgroup.freeze")] == [
        str(512 << 20),
        "150000 100000",
        "1",
    ]


def test_a_host_whose_groups_can_not_be_made_is_told_apart(version_1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cgroups.writable(version_1)
    assert not cgroups.writable(version_1 / "memory" / "none")
    monkeypatch.setattr(os, "access", lambda path, _: path != version_1 / "memory")
    assert not cgroups.writable(version_1)


def test_processes_of_groups_below_are_the_groups_own(version_1: Path) -> None:
    for part, pids in (("gk/data1", "11\n12\n"), ("gk/data1/init.scope", "13\n0\n")):
        directory = version_1 / "freezer" / part
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "cgroup.procs").write_text(pids)
    assert Group("gk/data1", version_1).pids() == [11, 12, 13]


def test_processes_that_do_not_end_are_named(version_1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = version_1 / "freezer" / "gk" / "data1"
    directory.mkdir(parents=True)
    (directory / "cgroup.procs").write_text("4194305\n")  # above pid_max
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(cgroups, "_END_TIMEOUT_S", 0.0)
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    with pytest.raises(ProviderError, match="can't be ended: 4194305"):
        Group("gk/data1", version_1).kill()
    assert set(killed) == {(4194305, signal.SIGKILL)}


@pytest.mark.parametrize(
    ("routes", "free"),
    [
        pytest.param([], True, id="no routes"),
        pytest.param(["default", "192.0.2.0/24"], True, id="others"),
        pytest.param(["10.99.7.0/24"], False, id="the same"),
        pytest.param(["10.99.7.1"], False, id="an address in it"),
        pytest.param(["10.0.0.0/8"], False, id="a larger one"),
        pytest.param(["10.99.8.0/24"], True, id="the next"),
    ],
)
def test_a_network_that_overlaps_a_route_is_not_free(routes: list[str], free: bool) -> None:
    assert network.is_free(7, routes) is free


def test_an_image_is_another_one_with_other_packages_whatever_their_order() -> None:
    recipe = Recipe(installed=("a", "b"), downloaded=("c",))
    assert recipe.key == Recipe(installed=("b", "a"), downloaded=("c",)).key
    others = [Recipe(("a", "b", "c"), ()), Recipe(("a",), ("b", "c")), Recipe(("a", "b"), ("c",), "trixie")]
    assert len({recipe.key, *(other.key for other in others)}) == 4


def test_an_image_that_is_there_is_taken_without_a_word(tmp_path: Path) -> None:
    (tmp_path / Recipe().key).mkdir()
    assert image.ensure(Recipe(), tmp_path, no_words) == tmp_path / Recipe().key


def test_an_image_that_could_not_be_made_leaves_a_log_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "image.sh"
    script.write_text("touch $2/file; echo no such suite; exit 3")
    cache = tmp_path / "cache"
    monkeypatch.setattr(image, "_SCRIPT", script)
    monkeypatch.setattr(commands, "run_logged", without_namespaces)
    said: list[str] = []
    with pytest.raises(ProviderError) as caught:
        image.ensure(Recipe(), cache, lambda _, text: said.append(text))
    log = cache / f"{Recipe().key}.log"
    assert str(caught.value) == (
        f"the image was not made: fetching Debian bookworm: it ended with status 3 (no such suite); see {log}"
    )
    assert [path.name for path in cache.iterdir()] == [log.name]
    assert said == ["fetching Debian bookworm"]


def test_an_image_that_was_made_is_kept_and_what_a_killed_command_left_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "image.sh"
    script.write_text('echo "$1 ${@:3}" >>$2/stages')
    monkeypatch.setattr(image, "_SCRIPT", script)
    monkeypatch.setattr(commands, "run_logged", without_namespaces)
    recipe, cache = Recipe(("sudo",), ("lsof", "rsync")), tmp_path / "cache"
    (cache / f".{recipe.key}.left").mkdir(parents=True)
    root = image.ensure(recipe, cache, lambda *_: None)
    stages = (root / "stages").read_text().splitlines()
    assert stages == ["bootstrap bookworm", "sources ", "install sudo", "download lsof rsync", "finish "]
    assert [path.name for path in cache.iterdir()] == [recipe.key]


def test_a_new_image_takes_the_place_of_those_whose_machines_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "run_logged", lambda *_, **__: None)
    cache, new = tmp_path / "cache", Recipe()
    roots = {name: cache / name for name in ("used", "unused", "reused", "fresh")}
    for name, root in roots.items():
        root.mkdir(parents=True)
        if name != "fresh":
            place = tmp_path / name
            place.mkdir()
            (place / "image").symlink_to(root)
            image.use(root, place)
            image.use(root, place)
    shutil.rmtree(tmp_path / "unused")
    (tmp_path / "reused" / "image").unlink()
    (tmp_path / "reused" / "image").symlink_to(roots["used"])
    image.ensure(new, cache, lambda *_: None)
    left = {path.name for path in cache.iterdir() if path.is_dir() and not path.suffix}
    assert left == {"used", "fresh", new.key}
    assert {path.name for path in cache.glob("*.users")} == {"used.users"}


def test_a_host_that_has_no_room_for_another_systemd_is_said_in_a_sentence() -> None:
    console = (
        "Failed to create control group inotify object: Too many open files\n"
        "Failed to allocate manager object: Too many open files\nExiting PID 1..."
    )
    assert machine._why(console).startswith("too many machines run on this host for its fs.inotify.max_user_instances")
    assert machine._why("Kernel panic") == "Kernel panic"


def test_a_full_disk_is_said_before_anything_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "_SPACE_BYTES", 1 << 60)
    with pytest.raises(ProviderError, match=r"the image needs .* MiB of disk, and .* MiB are free"):
        image.ensure(Recipe(), tmp_path, no_words)


def test_without_root_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    fleet = Fleet(Settings("demo", tmp_path, tmp_path / "cache"))
    with pytest.raises(ProviderError, match=r"^no fleet can be made on this host: it takes root$"):
        fleet.launch(Order("demo", (), (), "", tmp_path), no_words)
    assert list(tmp_path.iterdir()) == []


def test_without_nspawn_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name, **_: None if name == "systemd-nspawn" else f"/{name}")
    assert commands.missing() == ["systemd-nspawn is missing (Debian's package systemd-container)"]


def test_in_a_container_without_rights_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name, **_: f"/{name}")
    monkeypatch.setattr(commands, "succeeds", lambda _: False)
    assert commands.missing() == ["it may not make namespaces, as in a container without rights of its own"]
    monkeypatch.setattr(commands, "succeeds", lambda _: True)
    monkeypatch.setattr(cgroups, "writable", lambda: False)
    assert commands.missing() == ["it has no control groups that can be written to"]


def test_before_the_first_launch_there_is_nothing_to_find_or_to_destroy(tmp_path: Path) -> None:
    fleet: Provider = Fleet(Settings("demo", tmp_path, tmp_path / "cache"))
    fleet.destroy(no_words)
    assert fleet.find() == ()
    assert fleet.known_hosts() == ""
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_fails_or_hangs_is_named() -> None:
    with pytest.raises(ProviderError, match=r"^ls /nowhere ended with status 2: ls: cannot access"):
        commands.run(["ls", "/nowhere"])
    with pytest.raises(ProviderError, match=r"^sleep 5 did not end within 0\.05 s$"):
        commands.run(["sleep", "5"], timeout_s=0.05)
    with pytest.raises(ProviderError, match=r"^no-such-program is not installed$"):
        commands.run(["no-such-program"])


def test_a_private_place_has_its_own_network_mounts_and_processes() -> None:
    command = sandbox.inside(["python3", "-m", "pytest"])
    assert {"--net", "--mount", "--pid", "--fork", "--kill-child"} <= set(command[:-3])
    assert command[-3:] == ["python3", "-m", "pytest"]


def without_namespaces(command: list[str], *, log: object, timeout_s: float) -> None:
    """Stands in for `run_logged` where there is no root: the script alone."""
    done = subprocess.run(command[command.index("bash") :], stdout=log, timeout=timeout_s, check=False)  # type: ignore[call-overload]
    if done.returncode:
        raise ProviderError(f"it ended with status {done.returncode}")
