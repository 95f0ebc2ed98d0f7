"""Whom a load test buys for."""

import random
from pathlib import Path

import pytest

from vending.loadtest import customers
from vending.loadtest.customers import MetersUnreadable
from vending.simulation import seed


def read(path: Path, text: str) -> list[customers.Customer]:
    path.write_text(text, encoding="utf-8")
    return customers.read(path, chance=random.Random(1))


def test_the_demos_households_pay_what_their_tariff_lets_buy() -> None:
    town = customers.of_the_demo()
    assert len(town) == seed.HOMES
    assert town == customers.of_the_demo()
    assert min(min(one.sums_minor) for one in town) >= 50_00


def test_the_file_of_an_import_will_do_and_inactive_meters_are_left_out(tmp_path: Path) -> None:
    found = read(
        tmp_path / "m.csv", "status,meter_number\nactive,1\nblocked,2\n,3\nactive,\nactive,4\n"
    )
    assert [one.meter_number for one in found] == ["1", "3", "4"]
    assert len({one.payer for one in found}) == 3


def test_of_a_large_file_a_sample_is_drawn(tmp_path: Path) -> None:
    numbers = range(customers.CUSTOMERS_MAX + 1000)
    found = read(tmp_path / "m.csv", "meter_number\n" + "\n".join(map(str, numbers)))
    assert len(found) == customers.CUSTOMERS_MAX
    assert max(int(one.meter_number) for one in found) >= customers.CUSTOMERS_MAX


@pytest.mark.parametrize(
    "text", ["", "number\n1\n", "meter_number\n", "meter_number,status\n1,removed\n"]
)
def test_a_file_without_meters_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(MetersUnreadable):
        read(tmp_path / "m.csv", text)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"meter_number\n\xff\xfe\n")
    for name in ("x", "none"):
        with pytest.raises(MetersUnreadable):
            customers.read(tmp_path / name, chance=random.Random(1))
