"""The journeys of `make`, the scripts behind them, and the pins that they install from."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 30
TOOLS = ("apt-get", "awk", "basename", "bash", "dirname", "grep", "id", "make", "python3", "rsync", "ssh", "tr")

LOCK = (ROOT / "requirements.lock").read_text()
PINS = re.findall(r"^([a-z0-9.-]+)==(\S+)(.*\n(?:    .*\n)*)", LOCK, re.MULTILINE)


def run(*command: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def tools(directory: Path, *left_out: str, **replaced: str) -> dict[str, str]:
    """An environment with the tools that the scripts use, some left out, some replaced by a shell script's text."""
    directory.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        if name not in left_out and name not in replaced and found:
            (directory / name).symlink_to(found)
    for name, text in replaced.items():
        path = directory / name.replace("_", "-")
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    return {"PATH": str(directory)}


def test_make_alone_lists_every_journey() -> None:
    listed = run("make").stdout
    phony = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split()
    assert sorted(re.findall(r"^  make (\w+) +\S", listed, re.MULTILINE)) == sorted(phony)


@pytest.mark.parametrize("target", ["up", "test", "bench"])
def test_what_needs_the_database_installs_first_and_then_makes_the_environment(target: str) -> None:
    commands = run("make", "--dry-run", target).stdout
    assert commands.index("deploy/install.sh") < commands.index("deploy/venv.sh") < commands.index(".venv/bin/")


@pytest.mark.parametrize("target", ["check", "down"])
def test_what_does_not_need_the_database_installs_no_packages(target: str) -> None:
    assert "install.sh" not in run("make", "--dry-run", target).stdout


def test_missing_packages_without_root_are_named_with_what_to_do(tmp_path: Path) -> None:
    done = run("bash", "deploy/install.sh", environment=tools(tmp_path / "bin", "rsync", id="echo 1000", sudo="exit 1"))
    assert done.returncode == 1
    assert "run 'apt-get install" in done.stderr
    assert "rsync" in done.stderr


def test_missing_packages_on_another_system_are_named(tmp_path: Path) -> None:
    done = run("bash", "deploy/install.sh", environment=tools(tmp_path / "bin", "rsync", "apt-get"))
    assert done.returncode == 1
    assert "on Debian and Ubuntu only" in done.stderr


def test_with_sudo_what_is_missing_is_installed_through_it(tmp_path: Path) -> None:
    said = tmp_path / "said"
    environment = tools(tmp_path / "bin", "rsync", id="echo 1000", sudo=f"printf '%s\\n' \"$*\" >>{said}")
    assert run("bash", "deploy/install.sh", environment=environment).returncode == 1, "nothing was installed, in truth"
    asked = said.read_text().splitlines()[-1].split()
    assert asked[:4] == ["-n", "bash", "deploy/install.sh", "--packages"]
    assert "rsync" in asked[4:]
    assert "openssh-client" not in asked[4:]


@pytest.mark.parametrize("answer", ["exit 1", "exit 127"], ids=["too old", "broken"])
def test_an_unusable_python_is_refused_with_what_to_do(tmp_path: Path, answer: str) -> None:
    python = tmp_path / "python3.9"
    python.write_text(f"#!/bin/sh\n{answer}\n")
    python.chmod(0o755)
    done = run("bash", "deploy/venv.sh", environment={"PYTHON": str(python)})
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr


def test_the_lock_pins_everything_with_hashes() -> None:
    assert len(PINS) > 50
    assert [name for name, _, rest in PINS if "--hash=sha256:" not in rest] == []


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_the_lock_has_every_requirement(file: str) -> None:
    wanted = re.findall(r"^([A-Za-z][A-Za-z0-9-]*)", (ROOT / file).read_text(), re.MULTILINE)
    assert wanted
    assert {name.lower() for name in wanted} <= {name for name, _, _ in PINS}


def test_the_lock_names_no_index() -> None:
    assert re.findall(r"https?://|index-url|find-links|@ file", LOCK) == []
