"""What must hold of every quote, whatever the tariff, the meter and the money."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import floor

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.tariffs.books import TEXTS, book
from tests.tariffs.purchases import Purchase, accepted, purchases, tenders, three_step
from vending.quantities import TENTHS_MAX, months_between, tenths_carried
from vending.tariffs.document import parse
from vending.tariffs.quote import AmountTooLarge, AmountTooSmall, Usage, cost, price
from vending.tariffs.tariff import CategoryUnknown, TariffUnknown


def rounded(units: Fraction, step_minor: int) -> int:
    return floor(units * 100 / step_minor + Fraction(1, 2)) * step_minor


@given(purchase=purchases(), over_minor=tenders)
def test_a_quote_is_what_the_slow_working_gives(purchase: Purchase, over_minor: int) -> None:
    tender_minor = accepted(purchase, over_minor)

    quote = purchase.price(tender_minor)

    slow = purchase.slow()
    bought_kwh, paid_through = purchase.bought_kwh, purchase.usage.fees_paid_through
    tender = Fraction(tender_minor, 100)
    assert (
        quote.energy_wh
        == tenths_carried(slow.steps(tender, bought_kwh=bought_kwh, paid_through=paid_through))
        * 100
    )
    exact = slow.charges(
        Fraction(quote.energy_wh, 1000), bought_kwh=bought_kwh, paid_through=paid_through
    )
    if slow.mode == "of_tender":
        vat = next(line for line in slow.file["line"] if line["kind"] == "tax")
        rate = Fraction(vat["value"])
        exact[vat["code"]] = tender * rate / (100 + rate)
    step_minor = purchase.tariff.rounding.line_step_minor
    expected = {code: rounded(units, step_minor) for code, units in exact.items()}
    got = {line.code: line.amount_minor for line in quote.lines if line.code != "rounding"}
    assert got == {code: minor for code, minor in expected.items() if minor}


@given(purchase=purchases(), over_minor=tenders)
def test_the_lines_sum_to_the_tender_and_none_is_zero(purchase: Purchase, over_minor: int) -> None:
    quote = purchase.price(accepted(purchase, over_minor))

    assert sum(line.amount_minor for line in quote.lines) == quote.tender_minor
    assert all(line.amount_minor for line in quote.lines)
    assert quote.energy_wh % 100 == 0
    assert quote.energy_wh > 0


@given(purchase=purchases(), over_minor=tenders)
def test_the_exact_worth_of_money_costs_exactly_that_money(
    purchase: Purchase, over_minor: int
) -> None:
    tender_minor = accepted(purchase, over_minor)

    exact_wh = purchase.worth(tender_minor)

    assert purchase.slow().total(
        exact_wh / 1000,
        bought_kwh=purchase.bought_kwh,
        paid_through=purchase.usage.fees_paid_through,
    ) == Fraction(tender_minor, 100)


@given(purchase=purchases(), tenths=st.integers(1, 100_000))
def test_what_an_energy_costs_is_the_least_money_that_is_worth_it(
    purchase: Purchase, tenths: int
) -> None:
    energy_wh = tenths * 100
    tender_minor = purchase.cost(energy_wh).tender_minor
    assume(purchase.minimum() < tender_minor <= purchase.tariff.tender_maximum_minor)

    assert purchase.worth(tender_minor) >= energy_wh
    less = tender_minor - purchase.tariff.rounding.cash_step_minor
    if less >= purchase.minimum():
        assert purchase.worth(less) < energy_wh


@given(purchase=purchases(), over_minor=tenders, more_minor=st.integers(1, 1_000_00))
def test_more_money_never_buys_less_energy(
    purchase: Purchase, over_minor: int, more_minor: int
) -> None:
    less = purchase.price(accepted(purchase, over_minor))
    more = purchase.price(accepted(purchase, over_minor + more_minor))

    assert more.energy_wh >= less.energy_wh


@given(purchase=purchases(), tenths=st.tuples(st.integers(1, 5000), st.integers(1, 5000)))
def test_two_purchases_cost_what_one_does_but_for_charges_per_purchase(
    purchase: Purchase, tenths: tuple[int, int]
) -> None:
    assume(not any(charge.kind == "per_purchase" for charge in purchase.tariff.charges))
    one, other = tenths[0] * 100, tenths[1] * 100

    together = purchase.cost(one + other)
    first = purchase.cost(one)
    second = purchase.cost(other, usage=first.usage_after)

    # Each of the two is rounded up to the cash step by itself.
    over = first.tender_minor + second.tender_minor - together.tender_minor
    assert 0 <= over <= purchase.tariff.rounding.cash_step_minor


@given(purchase=purchases())
def test_the_minimum_is_accepted_and_a_cent_less_is_refused_with_it(purchase: Purchase) -> None:
    least_minor = purchase.minimum()

    assert purchase.price(least_minor).energy_wh >= 100
    with pytest.raises(AmountTooSmall) as refusal:
        purchase.price(least_minor - 1)
    assert refusal.value.minimum_minor == least_minor


def test_a_month_begins_at_midnight_of_the_utility() -> None:
    tariff = book("three-step")
    usage = Usage(month=202603, energy_wh=50_000)
    midnight = datetime(2026, 3, 31, 21, 0, tzinfo=UTC)

    def energy(at: datetime) -> int:
        return price(242_00, tariff=tariff, category=None, usage=usage, at=at).energy_wh

    assert energy(midnight - timedelta(seconds=1)) == 10_000
    assert energy(midnight) == 20_000


@pytest.mark.parametrize(
    ("name", "instant", "before", "after"),
    [
        ("kenya-2023", datetime(2023, 12, 31, 21, 0, tzinfo=UTC), "1.76", "6.46"),
        ("kenya-2024", datetime(2024, 9, 30, 21, 0, tzinfo=UTC), "1.0332", "1.1489"),
    ],
)
def test_a_levy_changes_at_its_instant_inside_a_version(
    name: str, instant: datetime, before: str, after: str
) -> None:
    def ferfa(at: datetime) -> Fraction:
        quote = cost(1_000_000, tariff=book(name), category="DC1", usage=Usage(), at=at)
        return Fraction({x.code: x.amount_minor for x in quote.lines}["ferfa"], 100_000)

    assert ferfa(instant - timedelta(microseconds=1)) == Fraction(before)
    assert ferfa(instant) == Fraction(after)


def test_money_for_more_than_a_token_carries_is_refused_with_what_it_can_carry() -> None:
    text = TEXTS["three-step"].replace('maximum = "250000.00"', 'maximum = "99999999999.00"')
    tariff = parse(text).tariff
    purchase = Purchase(tariff=tariff, band=None, usage=Usage(), at=tariff.effective_from)

    with pytest.raises(AmountTooLarge) as refusal:
        purchase.price(99_999_999_999_00)

    most = purchase.price(refusal.value.maximum_minor)
    assert most.energy_wh == TENTHS_MAX * 100
    with pytest.raises(AmountTooLarge):
        purchase.price(refusal.value.maximum_minor + 1)


def test_money_above_the_tariffs_maximum_is_refused_with_it() -> None:
    with pytest.raises(AmountTooLarge) as refusal:
        three_step(Usage(), 250_000_01)

    assert refusal.value.maximum_minor == 250_000_00
    assert refusal.value.code == "amount_too_large"


@pytest.mark.parametrize("energy_wh", [0, -100, TENTHS_MAX * 100 + 100])
def test_an_energy_that_no_token_carries_has_no_cost(energy_wh: int) -> None:
    tariff = book("three-step")

    with pytest.raises(ValueError, match=str(energy_wh)):
        cost(energy_wh, tariff=tariff, category=None, usage=Usage(), at=tariff.effective_from)


def test_where_energy_is_free_the_fixed_charges_buy_all_of_it() -> None:
    text = TEXTS["three-step"].replace('rate = "10.00"', 'rate = "0"')
    tariff = parse(text.replace('minimum = "10.00"', 'minimum = "0.01"')).tariff

    def energy(tender_minor: int) -> int:
        at = tariff.effective_from
        return price(tender_minor, tariff=tariff, category=None, usage=Usage(), at=at).energy_wh

    # The first 50 kWh are free, the next cost 24.20 each.
    assert energy(1) == 50_100
    assert energy(2_42) == 50_100
    assert energy(2_43) == 50_200


def test_an_unknown_customer_class_is_refused_by_name() -> None:
    tariff = book("kenya-2025")

    with pytest.raises(CategoryUnknown, match="DC9"):
        price(100_00, tariff=tariff, category="DC9", usage=Usage(), at=tariff.effective_from)


def test_a_version_prices_nothing_before_it_begins() -> None:
    tariff = book("kenya-2025")
    just_before = tariff.effective_from - timedelta(microseconds=1)

    with pytest.raises(TariffUnknown):
        price(100_00, tariff=tariff, category="DC", usage=Usage(), at=just_before)


@settings(max_examples=50)
@given(purchase=purchases(), over_minor=tenders)
def test_the_usage_after_counts_the_energy_once_in_the_month_of_payment(
    purchase: Purchase, over_minor: int
) -> None:
    quote = purchase.price(accepted(purchase, over_minor))

    after = quote.usage_after
    assert after.month == purchase.month
    assert after.energy_wh == quote.energy_wh + int(purchase.bought_kwh * 1000)
    assert after.fees_paid_through == purchase.month
    gone = months_between(purchase.usage.month, purchase.month) if purchase.usage.month else 9
    known = [0] * (gone - 1) + [purchase.usage.energy_wh] * (gone > 0 and gone < 9)
    if gone < 9:
        expected = [*known, *purchase.usage.history_wh][:3]
        assert list(after.history_wh) == expected
    else:
        assert after.history_wh == (0, 0, 0)
