"""What machines on EC2 cost a month, from the table."""

import pytest

from deploy.providers.ec2 import cost, sizes
from deploy.providers.interface import Wanted


def test_a_machine_costs_its_hours_its_volume_and_its_address() -> None:
    found = cost.monthly([Wanted("data1", "data", "m6i.large", 100)], "us-east-1")
    [item] = found.items
    assert (item.machine, item.volume, item.address) == (70.08, 8.0, 3.65)
    assert found.total == 81.73
    assert found.unknown == ()


def test_private_machines_pay_for_no_address() -> None:
    wanted = [Wanted("data1", "data"), Wanted("gatekeeper", "gatekeeper")]
    found = cost.monthly(wanted, "us-east-1", private=True)
    assert [item.address for item in found.items] == [0.0, 3.65]


def test_a_type_without_a_price_is_said_and_left_out() -> None:
    found = cost.monthly([Wanted("data1", "data", "x9.huge", 10), Wanted("proxy", "proxy")], "us-east-1")
    assert found.unknown == ("data1 (x9.huge)",)
    assert found.total == round(0.8 + 3.65 + 15.18 + 0.64 + 3.65, 2)


def test_an_unknown_region_is_answered_with_the_known_ones() -> None:
    with pytest.raises(
        cost.UnknownRegion, match="no prices for region eu-atlantis-1; known are eu-central-1, us-east-1"
    ):
        cost.monthly([], "eu-atlantis-1")


@pytest.mark.parametrize("region", cost.MACHINES)
def test_the_default_types_have_prices(region: str) -> None:
    assert {sizes.SQL_TYPE, sizes.SERVICE_TYPE} <= cost.MACHINES[region].keys()
    assert region in cost.VOLUMES


@pytest.mark.parametrize("region", cost.MACHINES)
def test_a_type_twice_as_large_costs_twice_as_much(region: str) -> None:
    prices = cost.MACHINES[region]
    for name, price in prices.items():
        family, _, size = name.partition(".")
        twice = prices.get(f"{family}.{ {'large': 'xlarge', 'xlarge': '2xlarge', 'small': 'medium'}.get(size, '') }")
        assert twice is None or twice == pytest.approx(2 * price), name


def test_the_table_says_its_date_and_where_to_check_it() -> None:
    found = cost.monthly([], "us-east-1")
    assert found.as_of == cost.AS_OF
    assert "https://aws.amazon.com/ec2/pricing" in found.source
