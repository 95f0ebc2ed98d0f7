"""The demo utility is always the same town, of legal meters, with keys of its own each time."""

import csv
from collections import Counter
from pathlib import Path

import sts_core
from stdnum import luhn

from tests.simulation.test_meter import a_ring
from vending.simulation import seed


def test_the_demo_has_a_thousand_different_meters_with_right_check_digits() -> None:
    homes = seed.homes()
    numbers = {home.meter_number for home in homes}
    assert len(homes) == len(numbers) == 1_000
    assert all(luhn.is_valid(number) for number in numbers)
    assert {len(number) for number in numbers} == {11, 13}
    assert {home.ea for home in homes} == {7, 11}


def test_homes_are_the_same_every_time_and_keys_never() -> None:
    assert seed.homes() == seed.homes()
    ours, theirs = seed.demo_keys(), seed.demo_keys()
    assert {key.key_bytes for key in ours}.isdisjoint(key.key_bytes for key in theirs)


def test_three_tariffs_share_the_homes_as_planned() -> None:
    counted = Counter(home.tariff for home in seed.homes())
    assert counted == {"KE-DC": 700, "THREE-STEP": 200, "UG-10.1": 100}


def test_no_two_households_share_a_phone_and_some_have_two() -> None:
    homes = seed.homes()
    phones = [phone for home in homes for phone in home.phones]
    assert len(phones) == len(set(phones)) == 1_100
    assert all(len(phone) == 13 and phone.startswith("+2547") for phone in phones)


def test_every_home_can_be_given_a_meter_from_the_demos_keys() -> None:
    ring = a_ring()
    for home in seed.homes(30):
        meter = sts_core.VirtualMeter.commission(
            ring, meter=home.meter_number, ea=home.ea, sgc=home.sgc, krn=home.krn, ti=home.ti
        )
        assert meter.balance_tenths == 0


def test_a_key_does_not_print_itself() -> None:
    (key, *_) = seed.demo_keys()
    assert key.key_bytes.hex() not in repr(key)
    assert str(key.key_bytes) not in repr(key)


def test_the_csv_has_a_row_for_every_home(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "meters.csv"
    seed.write_csv(path, seed.homes())
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1_000
    assert tuple(rows[0]) == seed.CSV_COLUMNS
    assert rows[9]["phones"].count(";") == 1
