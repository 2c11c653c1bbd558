"""Releases: a service's package, and just what it needs of the lock."""

import ast
import io
import sys
import tarfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from deploy import release
from deploy.release import REQUIREMENTS, Service, build, lock_of

ROOT = Path(__file__).parents[2]
LOCK = """\
# made by a tool
alpha==1.0 \\
    --hash=sha256:aa
    # via -r requirements.txt
beta==2.0 ; python_version < '4' \\
    --hash=sha256:bb
    # via
    #   alpha
    #   gamma
delta==4.0 \\
    --hash=sha256:dd
    # via beta[extra]
gamma==3.0 \\
    --hash=sha256:cc
    # via -r requirements-dev.txt
"""


def pinned(lock: str) -> list[str]:
    return [line.split("==")[0] for line in lock.splitlines() if "==" in line]


def test_a_part_of_the_lock_has_what_its_roots_need_at_any_depth_and_nothing_else() -> None:
    assert pinned(lock_of(LOCK, ["alpha"])) == ["alpha", "beta", "delta"]
    assert pinned(lock_of(LOCK, ["delta"])) == ["delta"]


def test_a_root_that_is_not_pinned_is_an_error() -> None:
    with pytest.raises(KeyError, match="omega"):
        lock_of(LOCK, ["omega"])


@pytest.mark.parametrize("service", sorted(REQUIREMENTS))
def test_a_service_is_released_with_every_package_that_it_imports(service: Service) -> None:
    of_package = packages_distributions()
    imported = set()
    for path in [*(ROOT / service).rglob("*.py"), *(ROOT / "contract").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            imported |= {name.partition(".")[0] for name in names}
    foreign = imported - sys.stdlib_module_names - {service, "contract"}
    needed = {of_package[name][0].lower().replace("_", "-") for name in foreign}
    assert needed <= set(pinned(build(ROOT, service).lock))


@pytest.mark.parametrize("service", sorted(REQUIREMENTS))
def test_a_release_holds_its_own_package_and_the_contract_alone(service: Service) -> None:
    with tarfile.open(fileobj=io.BytesIO(build(ROOT, service).archive)) as tar:
        names = tar.getnames()
    assert {name.partition("/")[0] for name in names} == {"contract", service, "requirements.lock"}
    assert f"{service}/app.py" in names


def test_what_only_operators_need_stays_with_them() -> None:
    shipped = set(pinned(build(ROOT, "gatekeeper").lock)) | set(pinned(build(ROOT, "proxy").lock))
    assert not shipped & {"boto3", "fabric", "supervisor", "pytest", "mypy"}
    assert not set(pinned(build(ROOT, "gatekeeper").lock)) & {"pymysql", "paramiko", "sshtunnel"}


def test_the_same_files_make_the_same_version_and_others_another(tmp_path: Path) -> None:
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for package in ("contract", "proxy"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "app.py").write_text("A = 1\n")
    first = build(tmp_path, "proxy")
    assert build(tmp_path, "proxy") == first
    (tmp_path / "proxy" / "app.py").write_text("A = 2\n")
    assert build(tmp_path, "proxy").version != first.version


def test_every_service_has_its_requirements() -> None:
    assert set(REQUIREMENTS) == {"gatekeeper", "orchestrator", "proxy"}
    assert release.build(ROOT, "proxy").version.startswith("0.")
