"""A machine that is pretended: it takes scripts as deploy/host.py does, and behaves as a machine would for the steps'.

tests/fleet/test_steps.py holds the same steps to real machines.
"""

import hashlib
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from contract.inventory import Machine, MachineRole
from deploy.host import Access, Done, Host

Answer = str | Done | Exception


def machine(name: str, role: MachineRole = "data", **members: str) -> Machine:
    number = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 200 + 1
    values: dict[str, str | int] = {"public_dns_name": "", "private_dns_name": "", "public_ip_address": ""}
    values |= {"private_ip_address": f"10.0.0.{number}", "ssh_port": 22, "mysql_port": 3306, "state": "running"}
    return msgspec.convert({"name": name, "role": role, "user_name": "admin"} | values | members, Machine)


class Pretended(Host):
    """A host without a machine. `answers`: what scripts with this text in them are answered, instead of its own way.

    `scripts` and `given`: what it was sent, in order; `looks`: those of the scripts that are said to change nothing.
    `files`: what is on its disk, by path: how `stat` tells it, and the content.
    """

    def __init__(
        self, name: str = "data1", role: MachineRole = "data", answers: Mapping[str, Answer] | None = None
    ) -> None:
        super().__init__(machine(name, role), Access(Path("/nowhere/operator.key"), Path("/nowhere/known_hosts")))
        self.answers = dict(answers or {})
        self.scripts: list[str] = []
        self.given: list[bytes] = []
        self.looks: list[str] = []
        self.files: dict[str, tuple[str, bytes]] = {}
        self.links: dict[str, str] = {}
        self.packages: set[str] = set()
        self.accounts: set[str] = set()
        self.units: dict[str, str] = {}
        self.complete: set[str] = set()
        self._ticks = 0
        self._changed_at: dict[str, int] = {}
        self._started_at: dict[str, int] = {}

    def look(self, script: str, **members: Any) -> str:
        self.looks.append(script)
        return super().look(script, **members)

    def _run(self, script: str, timeout_s: float, given: bytes | BinaryIO, *, read_only: bool = False) -> Done:  # noqa: ARG002 - Host's
        content = given if isinstance(given, bytes) else given.read()
        self.scripts.append(script)
        self.given.append(content)
        for part, answer in self.answers.items():
            if part in script:
                return _answered(answer)
        return Done(self._does(script, content), "", 0)

    def ran(self, part: str) -> list[str]:
        """The scripts with this text in them."""
        return [script for script in self.scripts if part in script]

    @property
    def written(self) -> dict[str, bytes]:
        """The files' contents, by path."""
        return {path: content for path, (state, content) in self.files.items() if "directory" not in state}

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """The block leaves its disk as it is."""
        before = (dict(self.files), dict(self.links), set(self.packages), set(self.accounts), dict(self.units))
        yield
        assert (self.files, self.links, self.packages, self.accounts, self.units) == before

    def _does(self, script: str, given: bytes) -> str:
        said = re.sub(r"\A# .*\n", "", script)
        for pattern, method in _SCRIPTS:
            if found := pattern.match(said):
                return str(method(self, found[1]) or "")
        self._put(said, given)
        return ""

    def _installed(self, names: str) -> str:
        return "".join(f"{name} installed\n" for name in shlex.split(names) if name in self.packages)

    def _names(self, directory: str) -> str:
        return "\n".join(path.rpartition("/")[2] for path in self.files if path.startswith(f"{directory}/"))

    def _link(self, words: str) -> None:
        target, path = words.split("; mv -fT -- ")
        self.links[path.split()[-1]] = target.split()[0]
        self._changed_at[path.split()[-1]] = self._tick()

    def _tick(self) -> int:
        self._ticks += 1
        return self._ticks

    def _started(self, unit: str) -> None:
        self.units[unit] = "enabled active"
        self._started_at[unit] = self._tick()

    def _stale(self, rest: str) -> str:
        """Whether it runs, and for each file that was changed after its start a line."""
        unit = rest.partition(")")[0]
        started = self._started_at.get(unit, self._ticks)
        paths = shlex.split(rest.partition("for path in ")[2].partition("; do")[0])
        runs = "runs\n" if self.units.get(unit, "").endswith(" active") else ""
        return runs + "".join("y\n" for path in paths if self._changed_at.get(path, 0) > started)

    def _looked(self, paths: list[str]) -> str:
        def told(path: str) -> str:
            state, content = self.files.get(path, ("absent", b""))
            return f"{state}\n{hashlib.sha256(content).hexdigest() if 'regular' in state else '-'}\n"

        return "".join(map(told, paths))

    def _put(self, script: str, given: bytes) -> None:
        words = shlex.split(script.replace(";", " ; "))
        if script.startswith("mkdir -p -- ") and "chmod" in words:
            path, owner, mode = words[3], words[words.index("chown") + 1], words[words.index("chmod") + 1]
            self.files[path] = (f"directory|{mode}|{owner}", b"")
        elif script.startswith("umask 077; set -o noclobber"):
            owner, mode = words[words.index("chown") + 2], words[words.index("chmod") + 1]
            kind = "regular file" if given else "regular empty file"
            self.files[words[-1]] = (f"{kind}|{mode}|{owner}", given)
            self._changed_at[words[-1]] = self._tick()


# What scripts of this form are answered, or do. The first group is what the method takes.
_SCRIPTS: tuple[tuple[re.Pattern[str], Callable[[Pretended, str], str | None]], ...] = (
    (re.compile(r"for path in (.*?); do "), lambda host, paths: host._looked(shlex.split(paths))),
    (re.compile(r"dpkg-query .* -- (.*?) 2>"), lambda host, names: host._installed(names)),
    (
        re.compile(r"(?s).*apt-get.* --no-install-recommends(.*?)</dev"),
        lambda host, names: host.packages.update(shlex.split(names)),
    ),
    (re.compile(r"readlink -- (\S+) \|\| true"), lambda host, path: host.links.get(path)),
    (re.compile(r"ln -sfn -- (.*)"), lambda host, words: host._link(words)),
    (re.compile(r"cat (\S+) 2>/dev/null"), lambda host, path: host.files.get(path, ("", b""))[1].decode()),
    (re.compile(r"test -e (\S+)/complete && echo y"), lambda host, path: "y" if path in host.complete else None),
    (re.compile(r"cd (\S+);.* touch complete$"), lambda host, path: host.complete.add(path)),
    (re.compile(r"(?s).* touch (\S+)/complete$"), lambda host, path: host.complete.add(path)),
    (re.compile(r"cd (\S+) 2>/dev/null && ls \|\| true$"), lambda host, path: host._names(path)),
    (re.compile(r"getent passwd (\S+)"), lambda host, name: "there" if name in host.accounts else None),
    (re.compile(r"useradd .* (\S+)$"), lambda host, name: host.accounts.add(name)),
    (re.compile(r"systemctl is-enabled (\S+)"), lambda host, name: host.units.get(name, "disabled inactive")),
    (
        re.compile(r"systemctl --quiet enable (\S+) && systemctl (?:re)?start"),
        lambda host, name: host._started(name),
    ),
    (re.compile(r"systemctl restart (\S+)$"), lambda host, name: host._started(name)),
    (re.compile(r"(?s)started=\$\(systemctl show .* --value (.*)"), lambda host, rest: host._stale(rest)),
)


def _answered(answer: Answer) -> Done:
    if isinstance(answer, Exception):
        raise answer
    return answer if isinstance(answer, Done) else Done(answer, "", 0)
