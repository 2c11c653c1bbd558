import os
from pathlib import Path

import pytest

from contract.inventory import InventoryError, Machine, load, parse, render
from proxy.inventory import Inventory

HEADER = (
    "name,role,user_name,public_dns_name,private_dns_name,public_ip_address,private_ip_address,"
    "ssh_port,mysql_port,state\n"
)
MANAGER = "manager,manager,admin,,,,10.0.0.1,22,3306,running\n"
DATA = "data1,data,admin,,,203.0.113.7,,22,3306,running\n"

MISTAKES = {
    "other columns": ("name,role\n", "line 1: the columns must be name,role,user_name"),
    "empty": ("", "line 1: the columns must be"),
    "unknown role": (HEADER + MANAGER.replace(",manager,", ",boss,"), "line 2: unknown role 'boss'; known are"),
    "unknown state": (HEADER + MANAGER.replace("running", "asleep"), "line 2: unknown state 'asleep'"),
    "two managers": (HEADER + MANAGER + MANAGER.replace("manager,", "m2,", 1), "line 3: a second manager"),
    "no manager": (HEADER + DATA, "line 2: there are data nodes but no manager"),
    "duplicate name": (HEADER + MANAGER + DATA + DATA, "line 4: duplicate name 'data1', first on line 3"),
    "missing address": (HEADER + MANAGER.replace("10.0.0.1", ""), "line 2: an address is missing"),
    "no address": (HEADER + MANAGER.replace("10.0.0.1", "10.0.0"), "line 2: private_ip_address '10.0.0' is not"),
    "missing name": (HEADER + MANAGER.replace("manager,", ",", 1), "line 2: name is missing"),
    "bad port": (HEADER + MANAGER.replace(",22,", ",99999,"), "line 2: ssh_port '99999' is not a port"),
    "too few fields": (HEADER + "manager,manager\n", "line 2: 10 fields were expected"),
    "too many fields": (HEADER + MANAGER.rstrip() + ",x\n", "line 2: 10 fields were expected"),
    "broken quotes": (HEADER + 'manager,"manager\n', "line 2: unexpected end of data"),
}


@pytest.mark.parametrize(("text", "reason"), MISTAKES.values(), ids=MISTAKES.keys())
def test_rows_that_make_no_sense_are_refused_with_the_line_and_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InventoryError) as refusal:
        parse(text)
    assert reason in str(refusal.value)


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(InventoryError) as refusal:
        parse(HEADER + MANAGER.replace("running", "asleep") + DATA.replace("22", "x"))
    assert "line 2" in str(refusal.value)
    assert "line 3" in str(refusal.value)


def test_what_is_rendered_is_parsed_back() -> None:
    machines = parse(HEADER + MANAGER + DATA)
    assert parse(render(machines)) == machines


def test_the_committed_inventory_makes_sense() -> None:
    machines = load(Path(__file__).parents[2] / "cluster_config.csv")
    assert [machine.role for machine in machines if machine.role in {"manager", "data"}] == ["manager", *["data"] * 3]


@pytest.mark.parametrize(
    ("private", "sql"), [("127.0.0.12", "127.0.0.12"), ("10.0.0.5", "127.0.0.1"), ("", "127.0.0.1")]
)
def test_sql_is_asked_for_on_the_machines_own_loopback_address(private: str, sql: str) -> None:
    machine = Machine("n", "data", "admin", "", "", "203.0.113.7", private, 22, 3306, "running")
    assert machine.sql_address == sql
    assert machine.ssh_address == (private or "203.0.113.7")


def write(path: Path, text: str, version: int) -> None:
    path.write_text(text)
    os.utime(path, ns=(version, version))


def test_a_changed_inventory_is_taken_up_and_a_broken_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "cluster_config.csv"
    write(path, HEADER + MANAGER, 1)
    inventory = Inventory(path)
    assert not inventory.refresh()
    write(path, HEADER + MANAGER + DATA, 2)
    assert inventory.refresh()
    assert inventory.get_server_info("data1").public_ip_address == "203.0.113.7"
    write(path, "nonsense\n", 3)
    assert not inventory.refresh()
    assert "line 1" in (inventory.problem or "")
    assert inventory.get_server_info("data1").role == "data"
    write(path, HEADER + MANAGER, 4)
    assert inventory.refresh()
    assert inventory.problem is None


def test_a_removed_inventory_leaves_the_last_good_one(tmp_path: Path) -> None:
    path = tmp_path / "cluster_config.csv"
    write(path, HEADER + MANAGER, 1)
    inventory = Inventory(path)
    path.unlink()
    assert not inventory.refresh()
    assert "can't be read" in (inventory.problem or "")
    assert [machine.name for machine in inventory.machines] == ["manager"]


def test_an_unknown_server_has_no_info(tmp_path: Path) -> None:
    path = tmp_path / "cluster_config.csv"
    write(path, HEADER + MANAGER, 1)
    with pytest.raises(KeyError):
        Inventory(path).get_server_info("data9")
