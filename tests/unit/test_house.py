"""The house's rules: who may import whom, and how long a module may be."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = ("gatekeeper", "proxy", "orchestrator")
PACKAGES = (*SERVICES, "contract", "client", "deploy", "benchmark")
MODULES = sorted(path for package in (*PACKAGES, "tests") for path in (ROOT / package).rglob("*.py"))
MOST_LINES = 400


def imported(path: Path) -> set[str]:
    """The top-level packages that a module imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def modules_of(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_imports_no_other_package_but_the_contract(service: str) -> None:
    foreign = set(PACKAGES) - {service, "contract"}
    assert {path.name: imported(path) & foreign for path in modules_of(service) if imported(path) & foreign} == {}


def test_the_contract_imports_no_other_package() -> None:
    foreign = set(PACKAGES) - {"contract"}
    assert {path.name: imported(path) & foreign for path in modules_of("contract") if imported(path) & foreign} == {}


def test_the_client_knows_the_contract_and_only_gk_keys_knows_the_key_store() -> None:
    foreign = set(PACKAGES) - {"client", "contract"}
    found = {path.name: imported(path) & foreign for path in modules_of("client") if imported(path) & foreign}
    assert set().union(*found.values()) <= {"gatekeeper"}
    assert len(found) <= 1


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_is_over_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES
