"""What must hold of every quote, whatever the tariff, the meter and the money."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import floor

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.tariffs.books import TEXTS, book
from tests.tariffs.slow import SlowTariff
from vending.quantities import TENTHS_MAX, month_of, months_between, tenths_carried
from vending.tariffs.document import parse
from vending.tariffs.quote import (
    AmountTooLarge,
    AmountTooSmall,
    Debt,
    Quote,
    Usage,
    cost,
    minimum,
    price,
    worth,
)
from vending.tariffs.tariff import CategoryUnknown, Tariff, TariffUnknown

BANDS = {name: [band.code for each in book(name).classes for band in each.bands] for name in TEXTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    text: str
    tariff: Tariff
    band: str
    usage: Usage
    at: datetime

    def slow(self) -> SlowTariff:
        return SlowTariff(self.text, band=self.band, at=self.at)

    def price(self, tender_minor: int, debts: tuple[Debt, ...] = ()) -> Quote:
        return price(
            tender_minor,
            tariff=self.tariff,
            category=self.band,
            usage=self.usage,
            debts=debts,
            at=self.at,
        )

    def worth(self, tender_minor: int) -> Fraction:
        return worth(
            tender_minor, tariff=self.tariff, category=self.band, usage=self.usage, at=self.at
        )

    def cost(self, energy_wh: int, usage: Usage | None = None) -> Quote:
        return cost(
            energy_wh,
            tariff=self.tariff,
            category=self.band,
            usage=usage or self.usage,
            at=self.at,
        )

    def minimum(self) -> int:
        return minimum(tariff=self.tariff, category=self.band, usage=self.usage, at=self.at)

    @property
    def month(self) -> int:
        return month_of(self.at, self.tariff.time_zone)

    @property
    def bought_kwh(self) -> Fraction:
        """The energy bought in the month of payment, for states of that month or earlier ones."""
        same = self.usage.month == self.month
        return Fraction(self.usage.energy_wh * same, 1000)


def months_before(month: int, count: int) -> int:
    index = month // 100 * 12 + month % 100 - 1 - count
    return index // 12 * 100 + index % 12 + 1


decimals = st.integers(0, 9_999_999).map(lambda n: f"{n // 10_000}.{n % 10_000:04d}")


@st.composite
def made_up_texts(draw: st.DrawFn) -> str:
    """Write a tariff with any blocks, levies and taxes; every band's last block costs something."""
    limits = sorted(draw(st.sets(st.integers(1, 400), max_size=4)))
    blocks = "".join(
        f'[[class.band.block]]\nrate = "{draw(decimals)}"\nup_to_kwh = "{limit}"\n'
        for limit in limits
    )
    mode = draw(st.sampled_from(["added", "included", "of_tender"]))
    taxable = st.just("true") if mode == "of_tender" else st.sampled_from(["true", "false"])
    return f"""
code = "ANY"
version = "1"
currency = "KES"
time_zone = "Africa/Nairobi"
effective_from = 2024-01-01T00:00:00Z
taxes = "{mode}"
tender = {{ minimum = "0.01", maximum = "99999999.00" }}
rounding = {{ account = "rounding", line_step = "{draw(st.sampled_from(["0.01", "0.05", "1"]))}" }}
debts = {{ account = "debts" }}
[[class]]
code = "C"
[[class.band]]
code = "B"
{blocks}
[[class.band.block]]
rate = "1{draw(decimals)}"
[[line]]
code = "fee"
kind = "monthly"
account = "fee"
value = "{draw(st.integers(0, 500))}"
taxable = {draw(taxable)}
accumulates = true
since = {draw(st.sampled_from([202406, 202411]))}
[[line]]
code = "handling"
kind = "per_purchase"
account = "handling"
value = "{draw(st.integers(0, 50))}"
taxable = {draw(taxable)}
[[line]]
code = "energy"
kind = "energy"
account = "energy"
taxable = {draw(taxable)}
[[line]]
code = "levy"
kind = "per_kwh"
account = "levy"
value = "{draw(decimals)}"
taxable = {draw(taxable)}
[[line]]
code = "share"
kind = "percent"
of = ["energy", "fee"]
account = "share"
value = "{draw(st.integers(0, 40))}"
taxable = {draw(taxable)}
[[line]]
code = "vat"
kind = "tax"
account = "vat"
value = "{draw(st.sampled_from(["0", "7.5", "16", "18"]))}"
[[example]]
name = "none is checked here"
at = 2024-01-01T00:00:00Z
tender = "1"
energy_kwh = "1"
band = "B"
lines = {{}}
"""


@st.composite
def purchases(draw: st.DrawFn) -> Purchase:
    if draw(st.booleans()):
        text, band = draw(made_up_texts()), "B"
        tariff = parse(text).tariff
    else:
        name = draw(st.sampled_from(sorted(TEXTS)))
        text, tariff, band = TEXTS[name], book(name), draw(st.sampled_from(BANDS[name]))
    at = tariff.effective_from + timedelta(minutes=draw(st.integers(0, 3 * 365 * 24 * 60)))
    month = month_of(at, tariff.time_zone)
    last = months_before(month, draw(st.integers(0, 3)))
    usage = Usage(
        month=draw(st.sampled_from([0, last])),
        energy_wh=draw(st.integers(0, 4000)) * 100,
        history_wh=draw(st.tuples(*[st.integers(0, 4000).map(lambda tenths: tenths * 100)] * 3)),
        fees_paid_through=draw(st.sampled_from([0, last, months_before(last, 4)])),
    )
    return Purchase(text=text, tariff=tariff, band=band, usage=usage, at=at)


tenders = st.integers(0, 500_000_00) | st.integers(0, 5_000_00)


def accepted(purchase: Purchase, over_minor: int) -> int:
    """Return a tender that lies this much over the smallest, within the tariff's limits."""
    return min(purchase.minimum() + over_minor, purchase.tariff.tender_maximum_minor)


def rounded(units: Fraction, step_minor: int) -> int:
    return floor(units * 100 / step_minor + Fraction(1, 2)) * step_minor


@given(purchase=purchases(), over_minor=tenders)
def test_a_quote_is_what_the_slow_working_gives(purchase: Purchase, over_minor: int) -> None:
    tender_minor = accepted(purchase, over_minor)

    quote = purchase.price(tender_minor)

    slow = purchase.slow()
    state = {
        "bought_kwh": purchase.bought_kwh,
        "paid_through": purchase.usage.fees_paid_through,
    }
    tender = Fraction(tender_minor, 100)
    assert quote.energy_wh == tenths_carried(slow.steps(tender, **state)) * 100
    exact = slow.charges(Fraction(quote.energy_wh, 1000), **state)
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


@given(
    purchase=purchases(),
    over_minor=tenders,
    debts=st.lists(
        st.builds(
            Debt,
            debt_id=st.integers(1, 1000),
            kind=st.sampled_from(["meter", "arrears"]),
            priority=st.integers(0, 3),
            mode=st.sampled_from(["percent", "fixed", "all"]),
            rate_ppm=st.integers(0, 1_000_000),
            amount_minor=st.integers(0, 500_00),
            balance_minor=st.integers(0, 10_000_00),
        ),
        max_size=4,
        unique_by=lambda debt: debt.debt_id,
    ).map(tuple),
)
def test_debts_are_paid_in_order_and_leave_a_step_of_energy(
    purchase: Purchase, over_minor: int, debts: tuple[Debt, ...]
) -> None:
    tender_minor = accepted(purchase, over_minor)

    quote = purchase.price(tender_minor, debts)

    taken = dict(quote.debts_taken)
    owed = {debt.debt_id: debt for debt in debts}
    ranks = [(owed[debt_id].priority, debt_id) for debt_id in taken]
    assert ranks == sorted(ranks)
    for debt_id, minor in taken.items():
        debt = owed[debt_id]
        asked = {
            "percent": tender_minor * debt.rate_ppm // 1_000_000,
            "fixed": debt.amount_minor,
            "all": debt.balance_minor,
        }
        assert 0 < minor <= min(asked[debt.mode], debt.balance_minor)
    lines = [line for line in quote.lines if line.code.startswith("debt:")]
    assert sum(line.amount_minor for line in lines) == sum(taken.values())
    assert sum(line.amount_minor for line in quote.lines) == tender_minor
    assert quote.energy_wh >= 100
    # Without the debts' money the energy is that of a smaller tender.
    left_minor = tender_minor - sum(taken.values())
    if left_minor >= purchase.tariff.tender_minimum_minor:
        assert quote.energy_wh == purchase.price(left_minor).energy_wh


def three_step(usage: Usage, tender_minor: int, debts: tuple[Debt, ...] = ()) -> Quote:
    return price(
        tender_minor,
        tariff=book("three-step"),
        category=None,
        usage=usage,
        debts=debts,
        at=datetime(2026, 3, 2, tzinfo=UTC),
    )


def test_a_debt_takes_its_share_before_energy_is_bought() -> None:
    debts = (
        Debt(debt_id=9, kind="arrears", priority=1, mode="percent", rate_ppm=300_000,
             balance_minor=100_00),
        Debt(debt_id=4, kind="meter", priority=2, mode="fixed", amount_minor=50_00,
             balance_minor=20_00),
    )  # fmt: skip

    quote = three_step(Usage(), 200_00, debts)

    # 60.00 of arrears, 20.00 that are left of the meter, and 120.00 for 9.92 kWh at 12.10.
    assert quote.debts_taken == ((9, 60_00), (4, 20_00))
    assert quote.energy_wh == 10_000
    assert [line.code for line in quote.lines][-3:] == ["debt:arrears", "debt:meter", "rounding"]


def test_a_debt_of_everything_leaves_the_price_of_one_step() -> None:
    whole = Debt(debt_id=1, kind="fraud", priority=0, mode="all", balance_minor=1_000_000_00)

    quote = three_step(Usage(), 200_00, (whole,))

    assert quote.energy_wh == 100
    assert quote.debts_taken == ((1, 198_79),)


def test_a_debt_is_booked_to_the_account_of_its_kind() -> None:
    tariff = book("every-kind")
    debts = tuple(
        Debt(debt_id=n, kind=kind, priority=n, mode="fixed", amount_minor=1_00, balance_minor=1_00)
        for n, kind in enumerate(["meter", "other"])
    )

    quote = price(
        1000_00,
        tariff=tariff,
        category="HEAVY",
        usage=Usage(),
        debts=debts,
        at=tariff.effective_from,
    )

    accounts = {line.code: line.account for line in quote.lines}
    assert accounts["debt:meter"] == "debts:meter"
    assert accounts["debt:other"] == "debts"


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
    purchase = {"tariff": tariff, "category": None, "usage": Usage(), "at": tariff.effective_from}

    with pytest.raises(AmountTooLarge) as refusal:
        price(99_999_999_999_00, **purchase)

    most = price(refusal.value.maximum_minor, **purchase)
    assert most.energy_wh == TENTHS_MAX * 100
    with pytest.raises(AmountTooLarge):
        price(refusal.value.maximum_minor + 1, **purchase)


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
