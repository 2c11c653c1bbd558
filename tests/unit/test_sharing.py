"""Which tests run in one process where there are several."""

import re
from pathlib import Path

import pytest

from tests.sharing import share_of

LIVE = sorted((Path(__file__).parents[1] / "live").glob("test_*.py"))


@pytest.mark.parametrize("file", LIVE, ids=lambda file: str(file.stem))
def test_what_takes_the_system_or_the_cluster_of_all_live_tests_is_in_a_share_of_it(file: Path) -> None:
    share, text = share_of(f"tests/live/{file.name}::test_it"), file.read_text(encoding="utf-8")
    assert share.startswith("system") == bool(re.search(r"\bsystem: LiveSystem", text))
    assert (share == "cluster") == bool(re.search(r"\bcluster: LiveCluster", text))


def test_another_file_is_a_share_of_its_own() -> None:
    assert share_of("tests/unit/test_sharing.py::test_it[a::b]") == "tests/unit/test_sharing.py"
