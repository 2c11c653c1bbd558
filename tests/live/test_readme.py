"""Every command of the README does what it says, on a system that stands for the one of `make up`."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.proxy_fixtures import wait_until
from tests.live.system_fixtures import LiveSystem
from tests.live.test_faults import all_up

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    ((?:curl|\.venv/bin/)\S*.*)$", README, re.MULTILINE)
REFUSED = ("password",)


@pytest.fixture
def front(system: LiveSystem, tmp_path: Path) -> Path:
    """A directory with a `var` as `make up` leaves it."""
    var = tmp_path / "var"
    var.mkdir()
    for name, file in (
        ("demo-key", system.files.key_file),
        ("gatekeeper-url", system.files.url_file),
        ("keys.json", system.files.keys),
    ):
        (var / name).symlink_to(file)
    return tmp_path


def adapted(command: str, system: LiveSystem) -> str:
    """The command with this system's address and name, and this environment's programs."""
    command = command.replace("http://127.0.0.1:8080", system.url)
    command = command.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
    return f"{command} --name {system.files.name}" if "/fab " in command else command


def run(command: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command], cwd=directory, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_readme_has_the_commands_that_are_tested_here() -> None:
    assert [command.split()[0].rpartition("/")[2] for command in COMMANDS].count("gk") >= 5
    assert any(command.startswith("curl") for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_works(system: LiveSystem, front: Path, command: str) -> None:
    done = run(adapted(command, system), ROOT if "/fab " in command else front)
    assert done.returncode == (1 if any(word in command for word in REFUSED) else 0), done.stderr
    if command.startswith("curl"):
        shown, answered = (
            json.loads(README.partition(f"{command}\n\n    ")[2].partition("\n")[0]),
            json.loads(done.stdout),
        )
        assert answered.keys() == shown.keys()
        assert answered.get("rows") == shown.get("rows")
        assert answered.get("message") == shown.get("message")
    if "local.start" in command:
        wait_until(lambda: all_up(system), 60)


def test_the_python_of_the_readme_works(system: LiveSystem, front: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0].replace("http://127.0.0.1:8080", system.url)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=front,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3
