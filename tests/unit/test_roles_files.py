"""The operator's files of a cluster: made once, closed to others, and nothing secret in what is printed of them."""

from pathlib import Path

import pytest

from deploy.deployment import SAMPLE_POLICY
from deploy.roles.files import KeyIsOpen, Material
from gatekeeper import keys

SECRET = ["operator.key", "tunnel.key", "accounts.toml", "api-key", "group-secret", "queue-secret"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Material:
    material = Material(tmp_path_factory.mktemp("material") / "demo", SAMPLE_POLICY)
    material.make("demo")
    return material


@pytest.fixture
def material(tmp_path: Path) -> Material:
    return Material(tmp_path / "demo", SAMPLE_POLICY)


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_what_is_missing_is_made_and_named_and_nothing_the_second_time(material: Material) -> None:
    assert set(material.make("demo")) == {*SECRET, "certificates"}
    before = contents(material.directory)
    assert material.make("demo") == []
    assert contents(material.directory) == before


def test_the_directory_and_its_secrets_are_the_operators_alone(made: Material) -> None:
    assert made.directory.stat().st_mode & 0o777 == 0o700
    assert made.certificates.stat().st_mode & 0o777 == 0o700
    for path in made.directory.rglob("*"):
        if path.is_file() and path.suffix not in {".pub", ".pem"}:
            assert path.stat().st_mode & 0o777 == 0o600, path.name


@pytest.mark.parametrize("name", SECRET)
@pytest.mark.parametrize("mode", [0o640, 0o604], ids=["by the group", "by everybody"])
def test_a_secret_that_others_can_read_is_refused_with_its_path(material: Material, name: str, mode: int) -> None:
    material.make("demo")
    (material.directory / name).chmod(mode)
    before = contents(material.directory)
    with pytest.raises(KeyIsOpen, match=rf"{name} can be read by others: close it \(chmod 600\)"):
        material.make("demo")
    assert contents(material.directory) == before


@pytest.mark.parametrize("name", SECRET)
def test_a_secret_that_is_gone_is_made_anew_and_the_others_stay(material: Material, name: str) -> None:
    material.make("demo")
    before = contents(material.directory)
    (material.directory / name).unlink()
    assert material.make("demo") == [name]
    after = contents(material.directory)
    assert after[name] != before[name]
    others = set(SECRET) - {name}
    assert {other: after[other] for other in others} == {other: before[other] for other in others}


def test_the_tasks_own_api_key_is_one_that_gatekeepers_know_and_a_lost_one_is_revoked(material: Material) -> None:
    material.make("demo")
    (first,) = keys.listed(material.keys_file)
    assert (first.name, first.role) == ("operator", "demo")
    hashes = material.keys()
    assert material.api_key.read_text().strip().encode() not in hashes
    material.api_key.unlink()
    material.make("demo")
    assert [key.name for key in keys.listed(material.keys_file)] == ["operator"]


def test_nothing_secret_is_in_what_is_printed_of_it(made: Material) -> None:
    printed = repr(made) + repr(made.accounts())
    for name in SECRET:
        assert made.directory.joinpath(name).read_bytes().strip() not in printed.encode()
    for member in ("reader", "writer", "caller", "builder"):
        assert getattr(made.accounts(), f"{member}_password") not in printed


def test_public_halves_are_one_line_and_not_the_private_key(made: Material) -> None:
    for public in (made.operator_public_key, made.tunnel_public_key):
        assert public.startswith("ssh-ed25519 ")
        assert "\n" not in public
    assert made.operator_public_key != made.tunnel_public_key
