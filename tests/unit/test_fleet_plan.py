from pathlib import Path

import msgspec
import pytest

from deploy.firewall import Rule
from deploy.providers.fleet import guard, plan
from deploy.providers.fleet.network import Network
from deploy.providers.fleet.plan import Facts, Known
from deploy.providers.fleet.state import Place, State
from deploy.providers.interface import Order, ProviderError, Wanted

RULES = (Rule("data", 22, "operator"), Rule("manager", 4567, "data"), Rule("gatekeeper", 80, "world"))
ORDER = Order(
    cluster="demo",
    machines=(Wanted("manager", "manager"), Wanted("data1", "data"), Wanted("data2", "data", "4096/2")),
    rules=RULES,
    operator_key="ssh-ed25519 AAAA",
    directory=Path("/nowhere"),
)
NETWORK = Network("gk01234567", 7)
EMPTY = State("demo")
FULL = msgspec.structs.replace(EMPTY.with_order(ORDER), subnet=7)


def facts(**changes: Known) -> Facts:
    """The facts when all is as it should be, but for these machines."""
    machines = {
        record.name: Known(runs=True, guarded_as=plan.rules_of(ORDER, FULL, record, NETWORK), size=record.size)
        for record in FULL.machines
    }
    return Facts(has_image=True, has_network=True, machines={**machines, **changes})


def sentences(state: State, network: Network | None, known: Facts, order: Order = ORDER) -> list[str]:
    return [f"{step.name}: {step.text}" for step in plan.steps(order, state, network, known)]


def known(name: str) -> Known:
    return facts().machines[name]


def test_where_nothing_is_there_everything_is_made() -> None:
    assert sentences(FULL, None, Facts(has_image=False, has_network=False, machines={})) == [
        "image: make it, which takes minutes",
        "network: make it",
        "manager: make it as manager with 2048 MiB",
        "data1: make it as data with 2048 MiB",
        "data2: make it as data with 4096 MiB and 2 cores",
    ]


def test_where_all_is_as_it_should_be_nothing_is_done() -> None:
    assert sentences(FULL, NETWORK, facts()) == []


def test_an_image_that_no_new_machine_needs_is_not_made() -> None:
    assert sentences(FULL, NETWORK, msgspec.structs.replace(facts(), has_image=False)) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"runs": False}, ["data1: start it"], id="stopped"),
        pytest.param({"guarded_as": ""}, ["data1: set its firewall rules"], id="without rules"),
        pytest.param({"size": "512"}, ["data1: give it 2048 MiB"], id="another size"),
        pytest.param(
            {"runs": False, "guarded_as": ""},
            ["data1: set its firewall rules", "data1: start it"],
            id="rules come before it starts",
        ),
    ],
)
def test_what_differs_is_changed(change: dict[str, object], expected: list[str]) -> None:
    assert sentences(FULL, NETWORK, facts(data1=msgspec.structs.replace(known("data1"), **change))) == expected


def test_when_the_host_rebooted_the_network_comes_first() -> None:
    lost = {record.name: Known(runs=False, guarded_as="", size=record.size) for record in FULL.machines}
    found = sentences(FULL, NETWORK, Facts(has_image=True, has_network=False, machines=lost))
    assert found[:3] == ["network: make it", "manager: set its firewall rules", "manager: start it"]


def test_a_new_data_node_is_let_in_by_the_manager_before_it_is_made() -> None:
    order = msgspec.structs.replace(ORDER, machines=(*ORDER.machines, Wanted("data3", "data")))
    assert sentences(FULL.with_order(order), NETWORK, facts(), order) == [
        "manager: set its firewall rules",
        "data3: make it as data with 2048 MiB",
    ]


def test_machines_that_the_order_does_not_name_are_left_alone() -> None:
    order = msgspec.structs.replace(ORDER, machines=ORDER.machines[:1])
    stopped = facts(data1=Known(runs=False, guarded_as="", size=""))
    assert sentences(FULL.with_order(order), NETWORK, stopped, order) == []


def test_each_machine_has_an_address_of_its_own() -> None:
    assert [NETWORK.address(record.host) for record in FULL.machines] == ["10.99.7.11", "10.99.7.12", "10.99.7.13"]


def test_an_address_is_not_soon_given_to_another_machine() -> None:
    data2 = FULL.chosen(["data2"])[0]
    again = FULL.without(data2).with_order(ORDER)
    assert again.chosen(["data2"])[0].host == data2.host + 1


def test_a_network_has_room_for_244_machines() -> None:
    many = msgspec.structs.replace(ORDER, machines=tuple(Wanted(f"data{i}", "data") for i in range(244)))
    full = EMPTY.with_order(many)
    assert {record.host for record in full.machines} == set(range(11, 255))
    with pytest.raises(ProviderError, match="no free address"):
        full.with_order(msgspec.structs.replace(ORDER, machines=(Wanted("one-more", "data"),)))
    freed = full.without(full.machines[3]).with_order(msgspec.structs.replace(ORDER, machines=(Wanted("new", "data"),)))
    assert freed.chosen(["new"])[0].host == full.machines[3].host


def test_a_machine_can_not_become_another_role() -> None:
    order = msgspec.structs.replace(ORDER, machines=(Wanted("data1", "proxy"),))
    with pytest.raises(ProviderError, match="data1 is there as data, and can't become proxy; remove it first"):
        FULL.with_order(order)


@pytest.mark.parametrize("name", ["", "..", "../data1", "a/b", "Data1", "data_1", "-data", "data-", "d" * 51, "a\nb"])
def test_a_name_that_no_host_can_have_is_refused(name: str) -> None:
    order = msgspec.structs.replace(ORDER, machines=(Wanted(name, "data"),))
    with pytest.raises(ProviderError, match="is no name for a machine"):
        EMPTY.with_order(order)


def test_an_unknown_machine_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ProviderError, match=r"no machine 'data9' in cluster 'demo'; known are manager, data1, data2"):
        FULL.chosen(["data1", "data9"])


def test_a_machine_lets_in_whom_its_rules_name_and_nobody_else() -> None:
    addresses = {"data": ("10.99.7.12", "10.99.7.13"), "manager": ("10.99.7.11",)}
    assert guard.table((*RULES, Rule("manager", 22, "proxy")), "manager", "10.99.7.1", addresses) == (
        "table inet gatekeeper_fleet {\n"
        "\tchain input {\n"
        "\t\ttype filter hook input priority filter; policy drop;\n"
        "\t\tct state established,related accept\n"
        '\t\tiif "lo" accept\n'
        "\t\tip saddr 10.99.7.1 icmp type echo-request accept\n"
        "\t\tip saddr 10.99.7.12 tcp dport 4567 accept\n"
        "\t\tip saddr 10.99.7.13 tcp dport 4567 accept\n"
        "\t}\n"
        "}\n"
    )


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        pytest.param(Rule("data", 80, "world"), "\t\ttcp dport 80 accept\n", id="world"),
        pytest.param(Rule("data", 22, "operator"), "\t\tip saddr 10.99.7.1 tcp dport 22 accept\n", id="operator"),
    ],
)
def test_the_world_and_the_operator_are_sources_too(rule: Rule, expected: str) -> None:
    assert expected in guard.table((rule,), "data", "10.99.7.1", {})


def test_what_is_known_of_a_cluster_is_read_back(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assert place.load("demo") == EMPTY
    place.save(FULL)
    assert place.load("demo") == FULL
    place.forget()
    assert place.load("demo") == EMPTY


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "machines.json").write_text("{")
    with pytest.raises(ProviderError, match=r"machines\.json is damaged"):
        Place(tmp_path).load("demo")


def test_two_clusters_of_the_same_name_have_names_of_their_own_on_the_host(tmp_path: Path) -> None:
    keys = {Place(tmp_path / directory / "demo").key for directory in ("one", "two")}
    assert len(keys) == 2
    assert max(len(Network(key, 255).cable(254)) for key in keys) <= 15  # IFNAMSIZ less the closing zero
