"""Vendors' sales: covered by the float or not made; a float never goes below its limit."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.builders import a_meter_number
from tests.conftest import SettableClock
from tests.database import Database
from tests.vendors.deposited import a_deposit
from tests.vendors.market import PRICE, Market, a_sale
from tests.yard import until
from vending import cover, metrics
from vending.claims import Claim
from vending.in_flight import InFlight
from vending.ledger.journal import trial_balance
from vending.meters import directory
from vending.meters.meter import MeterBlocked, MeterUnknown
from vending.payments.outcomes import Outcome
from vending.payments.payment import NoticeConflicts
from vending.pipeline import AHEAD_MIN
from vending.postgres import pool
from vending.postgres.pool import Connection
from vending.values import replace
from vending.vendors import accounts, commission, floats
from vending.vendors.commission import Band
from vending.vendors.floats import FloatInsufficient
from vending.vendors.vendor import PRODUCT, Vendor


async def _results(sales: Sequence[asyncio.Task[Outcome]]) -> tuple[int, int]:
    """Return how many sales were made and how many the float did not cover."""
    done = await asyncio.gather(*sales, return_exceptions=True)
    sold = sum(isinstance(one, Outcome) for one in done)
    refused = sum(isinstance(one, FloatInsufficient) for one in done)
    assert sold + refused == len(done), done
    return sold, refused


async def test_a_sale_is_paid_from_the_float(market: Market) -> None:
    await market.deposit(10 * PRICE)
    meter = (await market.yard.meter()).meter_number
    outcome = await market.sells(meter)
    assert outcome.token is not None
    assert await market.balance() == 9 * PRICE
    balances = await trial_balance(market.app)
    assert sum(balances.values()) == 0
    assert not [account for account in balances if account.startswith(("collection", "commission"))]


async def test_an_insufficient_float_sells_nothing_and_holds_nothing(market: Market) -> None:
    await market.deposit(PRICE - 1)
    sale = a_sale((await market.yard.meter()).meter_number)
    with pytest.raises(FloatInsufficient):
        await market.lane.sequencer.sell(sale)
    for table in ("payment", "outcome", "message"):
        assert await market.yard.db.fetchval(f"select count(*) from {table}") == 0
    assert await market.balance() == PRICE - 1
    await market.deposit(1)
    again = replace(sale, payment_id=sale.payment_id + 1_000)
    outcome = await market.lane.sequencer.sell(again)
    assert await market.balance() == 0
    third = replace(sale, payment_id=sale.payment_id + 2_000)
    assert await market.lane.sequencer.sell(third) == outcome
    assert await market.balance() == 0


async def test_credit_is_sold_down_to_its_limit_and_no_further(market: Market) -> None:
    await floats.set_limit(
        market.app, "acme", limit_minor=PRICE, note="", who="Jane", now=market.yard.clock()
    )
    meter = (await market.yard.meter()).meter_number
    await market.sells(meter)
    assert await market.balance() == -PRICE
    with pytest.raises(FloatInsufficient):
        await market.sells(meter)


async def test_two_hundred_sales_at_once_on_a_float_for_ten_are_ten(market: Market) -> None:
    await market.deposit(10 * PRICE)
    meter = (await market.yard.meter()).meter_number
    sales = [asyncio.create_task(market.sells(meter)) for _ in range(200)]
    assert await _results(sales) == (10, 190)
    assert await market.balance() == 0
    assert await market.tokens() == 10


async def test_the_next_batch_knows_what_the_one_in_flight_draws(market: Market) -> None:
    refused = _batches_refused()
    await market.deposit(100 * PRICE)
    meter = (await market.yard.meter()).meter_number
    async with market.held():
        first = [asyncio.create_task(market.sells(meter)) for _ in range(AHEAD_MIN)]
        await until(lambda: len(market.diary.batches) == 1)
        second = [asyncio.create_task(market.sells(meter)) for _ in range(AHEAD_MIN)]
        await until(lambda: len(market.diary.batches) == 2)
    assert await _results(first + second) == (100, 2 * AHEAD_MIN - 100)
    assert await market.balance() == 0
    assert _batches_refused() == refused


async def test_a_deposit_counts_although_every_batch_is_decided_on_the_one_before(
    market: Market,
) -> None:
    await market.deposit(AHEAD_MIN * PRICE)
    meter = (await market.yard.meter()).meter_number
    async with market.held():
        first = [asyncio.create_task(market.sells(meter)) for _ in range(AHEAD_MIN)]
        await until(lambda: len(market.diary.batches) == 1)
        await market.deposit(AHEAD_MIN * PRICE)
        second = [asyncio.create_task(market.sells(meter)) for _ in range(AHEAD_MIN)]
        await until(lambda: len(market.diary.batches) == 2)
    assert await _results(first + second) == (2 * AHEAD_MIN, 0)
    assert await market.balance() == 0


async def test_money_that_goes_while_a_batch_is_written_refuses_it_and_it_is_decided_again(
    market: Market, database: Database
) -> None:
    clock, refused = market.yard.clock, _batches_refused()
    await floats.set_limit(
        market.app, "acme", limit_minor=10 * PRICE, note="", who="Jane", now=clock()
    )
    meter = (await market.yard.meter()).meter_number
    other = await pool.connect(database.dsn)
    await other.execute("select 1")
    async with market.held():
        sales = [asyncio.create_task(market.sells(meter)) for _ in range(10)]
        await until(lambda: market.lane.sequencer.waiting == 10)
        await _written(market)
        await floats.set_limit(other, "acme", limit_minor=3 * PRICE, note="", who="J", now=clock())
    assert await _results(sales) == (3, 7)
    assert await market.balance() == -3 * PRICE
    assert _batches_refused() == refused + 1
    await other.close()


def _batches_refused() -> float:
    """Return how many batches a float has refused when they were written."""
    count: float = metrics.batch_failures.labels("FloatMoved")._value.get()
    return count


async def test_what_is_in_flight_is_taken_off_once_whether_the_read_saw_it_or_not(
    app: Connection, acme: Vendor, clock: SettableClock
) -> None:
    await a_deposit(app, clock, acme.vendor_id, amount_minor=10 * PRICE)
    flying = InFlight(drawn={"acme": 9 * PRICE}, batch=77)
    sale = Claim(payment=a_sale("x"), reference="x", stored=False)
    found = await cover.read(app, [sale], in_flight=flying)
    found.require(sale.payment)
    found.draw(sale.payment)
    with pytest.raises(FloatInsufficient):
        found.require(sale.payment)
    found.afresh().require(sale.payment)
    await app.execute("update vendor_float set balance_minor = $1, last_batch = 77", 2 * PRICE)
    found = await cover.read(app, [sale], in_flight=flying)
    found.require(sale.payment)
    found.draw(sale.payment)
    found.require(sale.payment)
    assert found.drawn == {"acme": PRICE}


async def _written(market: Market) -> None:
    """Wait until a batch waits for the lease it must move."""
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
    watch = await pool.connect(market.yard.database.owner_dsn)
    async with asyncio.timeout(20):
        while not await watch.fetchval(waiting):
            await asyncio.sleep(0.005)
    await watch.close()


async def test_one_vendors_empty_float_is_nothing_to_another_nor_to_mobile_money(
    market: Market,
) -> None:
    clock = market.yard.clock
    await accounts.add(market.app, "broke", name="Broke", who="Jane", now=clock())
    await market.deposit(PRICE)
    meter = await market.yard.meter()
    async with market.held():
        sales = [
            asyncio.create_task(market.sells(meter.meter_number, vendor_id=one))
            for one in ("acme", "broke", "nobody")
        ]
        market.lane.sequencer.offer(await market.yard.payments(1, meter))
        await until(lambda: market.lane.sequencer.waiting == 4)
    assert await _results(sales) == (1, 2)
    await until(lambda: market.lane.sequencer.waiting == 0)
    assert await market.tokens() == 2
    assert (await market.balance(), await market.balance("broke")) == (0, 0)


async def test_a_meter_that_cannot_buy_draws_nothing(market: Market) -> None:
    await market.deposit(PRICE)
    with pytest.raises(MeterUnknown):
        await market.sells(a_meter_number(99_999_999))
    meter = (await market.yard.meter()).meter_number
    await directory.block(market.app, meter, now=market.yard.clock())
    with pytest.raises(MeterBlocked):
        await market.sells(meter)
    assert await market.balance() == PRICE


async def test_a_reference_with_other_facts_draws_nothing(market: Market) -> None:
    await market.deposit(10 * PRICE)
    meter = (await market.yard.meter()).meter_number
    await market.sells(meter, transaction_id="R1")
    with pytest.raises(NoticeConflicts):
        await market.sells(meter, transaction_id="R1", amount_minor=PRICE + 1)
    assert await market.balance() == 9 * PRICE


async def test_what_a_vendor_earns_is_booked_with_its_sale(market: Market) -> None:
    clock = market.yard.clock
    bands = (Band(rate_ppm=15_000),)
    await commission.add(
        market.app, "acme", product=PRODUCT, effective_from=clock(), bands=bands, who="Jane",
        now=clock(),
    )  # fmt: skip
    await market.deposit(10 * PRICE)
    meter = (await market.yard.meter()).meter_number
    clock.advance(seconds=1)
    outcome = await market.sells(meter, paid_at=clock())
    balances = await trial_balance(market.app)
    assert balances["commission:expense"] == PRICE * 15 // 1000
    assert balances["commission:payable:acme"] == -PRICE * 15 // 1000
    assert sum(minor for _, minor in outcome.lines) == PRICE
    since, until_ = clock().replace(hour=0), clock().replace(hour=23)
    earned = await commission.accrued(market.app, "acme", since=since, until=until_)
    assert earned == PRICE * 15 // 1000
    assert await market.balance() == 9 * PRICE
