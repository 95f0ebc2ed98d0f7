"""The counter where something else has been quicker, or nothing can be told in time."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from tests.selling.shop import PATIENT, Shop, asked
from vending.answers import SaleUnavailable
from vending.claims import PriceChanged, Terms
from vending.payments.outcomes import Outcome
from vending.payments.payment import NoticeConflicts, Payment
from vending.postgres.writer import Writer
from vending.selling import sales
from vending.selling.sale import ReferenceReused, Sale
from vending.values import replace
from vending.vendors.barred import ReferenceBarred
from vending.vendors.floats import FloatInsufficient


class Stubborn:
    """A seller that raises what it is told to, and counts how often it was asked."""

    def __init__(self, fault: Callable[[], Exception]) -> None:
        self._fault = fault
        self.asked = 0

    async def sell(self, payment: Payment, *, terms: Terms | None = None) -> Outcome:
        assert payment.notice.operator == "vendor:acme"
        assert terms is None or not terms.confirmed
        self.asked += 1
        raise self._fault()

    async def bar(self, payment: Payment, *, withdraw: bool = False) -> Outcome:
        assert not withdraw
        return await self.sell(payment)


async def test_two_counters_that_are_asked_at_once_make_one_sale(shop: Shop) -> None:
    other, wanted = shop.another_counter(), asked(await shop.meter())
    async with shop.busy():
        here = shop.begin(wanted)
        there = asyncio.create_task(other.sell(wanted, wait_seconds=PATIENT))
        await shop.waiting(3)
    first, second = await here, await there
    assert isinstance(first, Sale)
    assert isinstance(second, Sale)
    assert first.outcome == second.outcome
    assert sorted([first.repeated, second.repeated]) == [False, True]


@pytest.mark.parametrize("units", [False, True])  # or the quote
async def test_two_counters_that_are_asked_for_different_things_sell_the_first(
    shop: Shop,
    *,
    units: bool,
) -> None:
    """The sums may be the same: a quote's, and the same sum without the quote."""
    other, meter = shop.another_counter(), await shop.meter()
    wanted = asked(meter)
    quoted = await other.quote("acme", meter, amount_minor=50_000)
    changed = replace(wanted, amount_minor=None, quote_id=quoted.quote_id)
    if units:
        changed = replace(wanted, amount_minor=None, energy_wh=5_000)
    async with shop.busy():
        here = shop.begin(wanted)
        await shop.waiting(2)
        there = asyncio.create_task(other.sell(changed, wait_seconds=PATIENT))
        await shop.waiting(3)
    assert isinstance(await here, Sale)
    with pytest.raises(ReferenceReused):
        await there
    assert await shop.market.tokens() == 2  # and whoever kept the lane busy


async def test_a_conflict_with_a_sale_that_was_not_made_is_one_still(shop: Shop) -> None:
    counter = shop.another_counter(Stubborn(lambda: NoticeConflicts(reference="R")))
    with pytest.raises(ReferenceReused):
        await counter.sell(asked(await shop.meter()), wait_seconds=PATIENT)


async def test_units_whose_price_never_stands_still_are_given_up(shop: Shop) -> None:
    seller = Stubborn(lambda: PriceChanged(energy_wh=1))
    counter = shop.another_counter(seller)
    with pytest.raises(PriceChanged):
        await counter.sell(asked(await shop.meter(), energy_wh=1_000), wait_seconds=PATIENT)
    assert seller.asked == 3


async def test_a_reference_that_cannot_be_settled_in_time_may_be_barred_later(shop: Shop) -> None:
    wanted = asked(await shop.meter())
    async with shop.busy():
        with pytest.raises(SaleUnavailable):
            await shop.counter.settle("acme", wanted.reference, wait_seconds=0)
        await shop.waiting(2)
    await shop.waiting(0)
    with pytest.raises(ReferenceBarred):
        await shop.sold(wanted)


async def test_a_reference_whose_sales_are_refused_again_and_again_is_not_told_of(
    shop: Shop,
) -> None:
    seller = Stubborn(lambda: FloatInsufficient(vendor_id="acme"))
    with pytest.raises(SaleUnavailable):
        await shop.another_counter(seller).settle("acme", "R1", wait_seconds=PATIENT)
    assert seller.asked == 3


async def test_a_counter_that_closes_leaves_its_sales_to_the_sequencer(shop: Shop) -> None:
    wanted = asked(await shop.meter())
    closing = shop.another_counter()
    async with shop.busy():
        waiting = asyncio.create_task(closing.sell(wanted, wait_seconds=PATIENT))
        await shop.waiting(2)
        closing.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert (await shop.sold(wanted)).repeated


class _Racing:
    """A session on which somebody else counts a copy just before us, so many times."""

    def __init__(self, db: Writer, times: int) -> None:
        self._db = db
        self.left = times

    async def fetch(self, query: str, /, *args: Any) -> list[asyncpg.Record]:
        if self.left:
            self.left -= 1
            raise asyncpg.UniqueViolationError
        return await self._db.fetch(query, *args)


async def test_a_copy_that_is_counted_by_two_at_once_is_counted_again(shop: Shop) -> None:
    sale = await shop.sells(await shop.meter())
    db = shop.session()
    racing = _Racing(db, times=4)
    copy = await sales.reprint(racing, sale.payment_id, most=1, who="till", now=shop.clock())
    assert (copy, racing.left) == (1, 0)
    with pytest.raises(asyncpg.UniqueViolationError):
        await sales.reprint(
            _Racing(db, times=5), sale.payment_id, most=2, who="till", now=shop.clock()
        )
