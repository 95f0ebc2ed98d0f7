"""Decimal text and whole numbers: exact there and back, or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xmlvend.answers import SHILLINGS
from vending.xmlvend.amounts import Currency, energy_of, power_of, thousandths_text
from vending.xmlvend.errors import Reason, XmlvendMalformed

FRANCS = Currency(symbol="RWF", decimals=0)
DINARS = Currency(symbol="LYD", decimals=3)


@pytest.mark.parametrize(
    ("value", "minor"),
    [
        ("50.00", 5000),
        ("50", 5000),
        ("50.", 5000),
        ("50.5", 5050),
        ("0.01", 1),
        ("+7", 700),
        (" 7 ", 700),
        ("900.00000000", 90_000),
        ("0", 0),
        ("007", 700),
        ("999999999999.99", 99_999_999_999_999),
    ],
)
def test_an_amount_is_read_exactly(value: str, minor: int) -> None:
    assert SHILLINGS.minor_of(value, "KES", at="amt") == minor


@pytest.mark.parametrize(
    ("value", "symbol", "reason"),
    [
        ("50.001", "KES", Reason.DECIMALS),
        ("50.000000000001", "KES", Reason.DECIMALS),
        ("", "KES", Reason.VALUE),
        (".5", "KES", Reason.VALUE),
        ("-1", "KES", Reason.VALUE),
        ("1e3", "KES", Reason.VALUE),
        ("1_000", "KES", Reason.VALUE),
        ("1,5", "KES", Reason.VALUE),
        ("1 000", "KES", Reason.VALUE),
        ("NaN", "KES", Reason.VALUE),
        ("\u0663", "KES", Reason.VALUE),
        ("1\n2", "KES", Reason.VALUE),
        ("9" * 13, "KES", Reason.VALUE),
        ("50", "USD", Reason.CURRENCY),
        ("50", "KE", Reason.CURRENCY),
    ],
)
def test_an_amount_that_is_not_exact_is_refused(value: str, symbol: str, reason: Reason) -> None:
    with pytest.raises(XmlvendMalformed) as caught:
        SHILLINGS.minor_of(value, symbol, at="amt")
    assert caught.value.reason is reason


@pytest.mark.parametrize("symbol", ["KES", "KSh", "KSH", "kes", "", " KES "])
def test_the_currency_has_other_names_and_may_go_without(symbol: str) -> None:
    assert SHILLINGS.minor_of("1", symbol, at="amt") == 100


def test_a_currency_has_its_own_decimals() -> None:
    assert FRANCS.minor_of("1500.00", "RWF", at="amt") == 1500
    assert FRANCS.text_of(1500) == "1500"
    assert DINARS.minor_of("1.125", "LYD", at="amt") == 1125
    assert DINARS.text_of(-5) == "-0.005"


@pytest.mark.parametrize(
    ("value", "unit", "energy_wh"),
    [("36.3", "kWh", 36_300), ("1", "KWH", 1_000), ("0.001", "", 1)],
)
def test_energy_is_read_in_watt_hours(value: str, unit: str, energy_wh: int) -> None:
    assert energy_of(value, unit, at="units") == energy_wh


@pytest.mark.parametrize("unit", ["kl", "Wh", "MWh", "kW"])
def test_energy_in_another_unit_is_refused(unit: str) -> None:
    with pytest.raises(XmlvendMalformed):
        energy_of("1", unit, at="units")


def test_power_is_read_in_watts() -> None:
    assert power_of("13.8", "kW", at="pwrLmt") == 13_800
    with pytest.raises(XmlvendMalformed):
        power_of("1", "kWh", at="pwrLmt")


@pytest.mark.parametrize(
    ("whole", "text"), [(36_300, "36.3"), (1_000, "1.0"), (0, "0.0"), (1_234, "1.234")]
)
def test_energy_is_written_with_the_decimals_it_needs(whole: int, text: str) -> None:
    assert thousandths_text(whole) == text


@given(st.integers(min_value=0, max_value=10**14 - 1), st.integers(min_value=0, max_value=4))
def test_money_is_the_same_there_and_back(minor: int, decimals: int) -> None:
    currency = Currency(symbol="X", decimals=decimals)
    if minor < 10 ** (12 + decimals):
        assert currency.minor_of(currency.text_of(minor), "X", at="amt") == minor


@given(st.integers(min_value=0, max_value=10**15 - 1))
def test_energy_is_the_same_there_and_back(energy_wh: int) -> None:
    assert energy_of(thousandths_text(energy_wh), "kWh", at="units") == energy_wh
