"""Debts that are paid at a vendor's till: off the float, off the debts, once, and no token."""

import asyncio
from datetime import timedelta

import pytest

from tests.selling.shop import Shop, asked
from tests.vendors.market import PRICE
from vending.audit import auditor
from vending.audit.rule import Terms
from vending.claims import Account
from vending.ledger.journal import trial_balance
from vending.meters import directory
from vending.payments.payment import OutcomeKind
from vending.repayments import ChargeNone, DebtExceeded, DebtNone
from vending.selling.sale import ReferenceReused, Sale, SaleAsked
from vending.vendors.floats import FloatInsufficient

DEBT = "insert into debt values ($1, $2, $3, $4, 'percent', 100000, 0, $5, '', $6)"


async def a_debtor(shop: Shop) -> str:
    """Return a meter that owes KSh 300 for a fine, then KSh 600 for itself, and 100 of charges."""
    meter, db = await shop.meter(), shop.market.yard.db
    since = shop.clock() - timedelta(days=9)
    for number, kind, priority, minor in (
        (1, "meter", 2, 60_000), (2, "fine", 1, 30_000), (3, "service_charge", 3, 10_000),
    ):  # fmt: skip
        await db.execute(DEBT, meter, number, kind, priority, minor, since)
    await db.execute("update meter_state set open_debts = 3 where meter_number = $1", meter)
    return meter


def paying(
    meter: str, amount_minor: int, account: Account = Account.DEBT, **facts: object
) -> SaleAsked:
    return asked(meter, amount_minor=amount_minor, pays=account, **facts)


async def owed(shop: Shop, meter: str) -> dict[str, int]:
    debts = (await directory.debts(shop.market.app, [meter])).get(meter, ())
    return {debt.kind: debt.balance_minor for debt in debts}


async def broken(shop: Shop) -> set[str]:
    terms = Terms(
        decided_before=shop.clock(), paid_at_future=timedelta(minutes=5),
        paid_at_past=timedelta(days=30),
    )  # fmt: skip
    found = [one async for one in auditor.examine(shop.market.yard.db, terms)]
    return {one.rule.name for one in found if not one.holds} - {"credential-issued"}


async def test_what_is_paid_goes_from_the_float_to_the_debts_in_their_order(shop: Shop) -> None:
    meter = await a_debtor(shop)
    before = await shop.market.balance()
    paid = await shop.sold(paying(meter, 40_000))
    assert (paid.outcome.kind, paid.outcome.token) == (OutcomeKind.ACCOUNT_CREDITED, None)
    assert paid.outcome.lines == (("debt:fine", 30_000), ("debt:meter", 10_000))
    assert await owed(shop, meter) == {"meter": 50_000, "service_charge": 10_000}
    assert await shop.market.balance() == before - 40_000
    assert (await trial_balance(shop.market.app))["debts"] == -40_000
    assert await shop.market.yard.db.fetchval("select open_debts from meter_state") == 2
    assert await shop.market.tokens() == 0
    assert await broken(shop) == set()


async def test_the_same_reference_pays_once_and_for_nothing_else(shop: Shop) -> None:
    meter = await a_debtor(shop)
    wanted = paying(meter, 40_000)
    first = await shop.sold(wanted)
    for counter in (shop.counter, shop.another_counter()):
        again = await counter.sell(wanted, wait_seconds=20)
        assert isinstance(again, Sale)
        assert (again.outcome, again.repeated) == (first.outcome, True)
    for other in (
        paying(meter, 40_000, Account.ANY, reference=wanted.reference),
        asked(meter, amount_minor=40_000, reference=wanted.reference),
    ):
        with pytest.raises(ReferenceReused):
            await shop.sold(other)
    assert sum((await owed(shop, meter)).values()) == 60_000


async def test_payments_in_one_batch_see_each_other_and_the_sale_beside_them(shop: Shop) -> None:
    meter = await a_debtor(shop)
    async with shop.busy():
        payments = [shop.begin(paying(meter, 60_000)) for _ in range(2)]
        sale = shop.begin(asked(meter))
        await shop.waiting(4)
    done = await asyncio.gather(*payments, sale, return_exceptions=True)
    assert [type(one) for one in done] == [Sale, DebtExceeded, Sale]
    # The sale was decided first and took a tenth of its 500 for each debt that it pays off.
    assert isinstance(done[2], Sale)
    taken = dict(done[2].outcome.lines)
    repaid = sum(minor for code, minor in taken.items() if code.startswith("debt:"))
    assert sum((await owed(shop, meter)).values()) == 100_000 - repaid - 60_000
    assert await broken(shop) == set()


async def test_more_than_is_owed_is_refused_and_nothing_is_taken(shop: Shop) -> None:
    meter, before = await a_debtor(shop), await shop.market.balance()
    with pytest.raises(DebtExceeded) as refused:
        await shop.sold(paying(meter, 90_001))
    assert refused.value.facts == {"balance_minor": 90_000}
    await shop.sold(paying(meter, 90_000))
    with pytest.raises(DebtNone):
        await shop.sold(paying(meter, 1))
    await shop.sold(paying(meter, 10_000, Account.SERVICE_CHARGE))
    with pytest.raises(ChargeNone):
        await shop.sold(paying(meter, 1, Account.SERVICE_CHARGE))
    assert await owed(shop, meter) == {}
    assert await shop.market.balance() == before - 100_000


async def test_an_account_of_any_kind_pays_all_of_them(shop: Shop) -> None:
    meter = await a_debtor(shop)
    await shop.sold(paying(meter, 100_000, Account.ANY))
    assert await owed(shop, meter) == {}


async def test_a_blocked_meter_s_debts_can_be_paid(shop: Shop) -> None:
    meter = await a_debtor(shop)
    await directory.block(shop.market.app, meter, now=shop.clock())
    assert isinstance(await shop.sold(paying(meter, 90_000)), Sale)


async def test_a_float_that_does_not_cover_a_debt_pays_none_of_it(shop: Shop) -> None:
    meter = await a_debtor(shop)
    await shop.market.yard.db.execute("update debt set balance_minor = $1", 11 * PRICE)
    with pytest.raises(FloatInsufficient):
        await shop.sold(paying(meter, 11 * PRICE, vendor_id="bolt"))
    assert (await owed(shop, meter))["fine"] == 11 * PRICE
    assert await shop.count("payment") == 0


async def test_a_payment_of_debts_is_no_purchase_that_a_sale_could_repeat(shop: Shop) -> None:
    meter = await a_debtor(shop)
    async with shop.busy():
        payment = shop.begin(paying(meter, 50_000))
        await shop.waiting(2)
    sold = await shop.sells(meter, amount_minor=50_000)
    await payment
    assert sold.outcome.kind is OutcomeKind.TOKEN_ISSUED


async def test_the_audit_sees_a_debt_that_was_paid_otherwise_than_booked(shop: Shop) -> None:
    meter = await a_debtor(shop)
    await shop.sold(paying(meter, 40_000))
    await shop.market.yard.db.execute(
        "update outcome set line_amounts = '{29000,11000}' where kind = 'account_credited'"
    )
    assert await broken(shop) == {"repayment-booked"}
