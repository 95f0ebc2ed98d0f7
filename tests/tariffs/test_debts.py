"""Debts are paid before energy, in order, and never with the last of the money."""

from hypothesis import given
from hypothesis import strategies as st

from tests.tariffs.books import book
from tests.tariffs.purchases import Purchase, accepted, purchases, tenders, three_step
from vending.tariffs.quote import Debt, Usage, price


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
