"""A month's fee is paid once, by the first purchase, whatever the order and the gaps."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from tests.tariffs.books import book
from vending.tariffs.quote import Usage, price


@given(
    months=st.lists(st.integers(0, 7), min_size=1, max_size=12).map(sorted),
    start=st.integers(0, 2),
)
def test_a_monthly_fee_is_paid_exactly_once_for_every_month(months: list[int], start: int) -> None:
    tariff = book("uganda-2021")
    usage = Usage(month=202012, energy_wh=1_000, fees_paid_through=202012)
    paid_minor = 0

    for month in months:
        at = datetime(2021, 1 + month, 10 + start, tzinfo=UTC)
        quote = price(100_000_00, tariff=tariff, category=None, usage=usage, at=at)
        usage = quote.usage_after
        paid_minor += sum(x.amount_minor for x in quote.lines if x.code == "monthly_fee")

    assert paid_minor == 3360_00 * (months[-1] + 1)


def test_a_fee_that_does_not_accumulate_is_due_once_in_a_month_with_a_purchase() -> None:
    tariff = book("kenya-2014")
    usage = Usage(month=201407, energy_wh=1_000, fees_paid_through=201407)
    fees = []

    for month, day in ((10, 1), (10, 31), (12, 1)):
        at = datetime(2014, month, day, 9, 0, tzinfo=UTC)
        quote = price(1000_00, tariff=tariff, category=None, usage=usage, at=at)
        usage = quote.usage_after
        fees.append(next((x.amount_minor for x in quote.lines if x.code == "monthly_fee"), 0))

    assert fees == [150_00, 0, 150_00]


def test_a_meter_of_unknown_payments_owes_the_current_month_only() -> None:
    tariff = book("uganda-2021")
    at = datetime(2021, 6, 1, tzinfo=UTC)

    quote = price(20_000_00, tariff=tariff, category=None, usage=Usage(), at=at)

    assert {x.code: x.amount_minor for x in quote.lines}["monthly_fee"] == 3360_00


def test_fees_are_not_owed_for_months_before_there_were_any() -> None:
    tariff = book("uganda-2021")
    usage = Usage(month=201901, energy_wh=1_000, fees_paid_through=201901)
    at = datetime(2021, 1, 5, tzinfo=UTC)

    quote = price(100_000_00, tariff=tariff, category=None, usage=usage, at=at)

    # January 2020, the fee's first month, to January 2021.
    assert {x.code: x.amount_minor for x in quote.lines}["monthly_fee"] == 13 * 3360_00
