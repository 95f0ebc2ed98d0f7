"""A vendor hears once that its float has run low, from the batch whose sales took it there."""

import asyncio

import msgspec
import pytest

from tests.vendors.market import PRICE, Market, a_sale
from tests.yard import until
from vending import audit_log
from vending.pipeline import AHEAD_MIN
from vending.vendors import accounts, floats
from vending.vendors.floats import FloatInsufficient, WarningMalformed
from vending.vendors.vendor import VendorUnknown

FOUND = (
    "select vendor_id, type, body, endpoint_id, occurred_at from webhook_event order by event_id"
)


async def _warn(market: Market, minor: int, vendor_id: str = "acme") -> None:
    await floats.set_warning(
        market.app, vendor_id, warning_minor=minor, note="", who="Jane", now=market.yard.clock()
    )


async def _told(market: Market) -> list[tuple[str, int]]:
    """Return whom a warning was written for, and what they could still sell for."""
    rows = await market.yard.db.fetch(FOUND)
    return [
        (row["vendor_id"], msgspec.json.decode(row["body"])["data"]["available_minor"])
        for row in rows
    ]


async def test_the_sale_that_crosses_the_level_tells_it_once(market: Market) -> None:
    await market.deposit(5 * PRICE)
    await _warn(market, 3 * PRICE)
    meter = (await market.yard.meter()).meter_number
    await market.sells(meter)
    await market.sells(meter)
    assert await _told(market) == []  # the level itself is not below it
    await market.sells(meter)
    await market.sells(meter)
    assert await _told(market) == [("acme", 2 * PRICE)]
    (row,) = await market.yard.db.fetch(FOUND)
    assert (row["type"], row["endpoint_id"]) == ("float.low", None)
    assert row["occurred_at"] == market.yard.clock()
    assert msgspec.json.decode(row["body"]) == {
        "type": "float.low",
        "timestamp": "2026-11-22T08:00:00Z",
        "data": {"available_minor": 2 * PRICE, "warning_minor": 3 * PRICE},
    }
    assert " " not in row["body"]


async def test_it_is_told_again_only_after_it_was_above_once_more(market: Market) -> None:
    await market.deposit(3 * PRICE)
    await _warn(market, 3 * PRICE)
    meter = (await market.yard.meter()).meter_number
    await market.sells(meter)
    await market.deposit(PRICE - 1)  # still below
    await market.sells(meter)
    assert await _told(market) == [("acme", 2 * PRICE)]
    await market.deposit(PRICE + 1)  # the level, to the cent
    await market.sells(meter)
    assert await _told(market) == [("acme", 2 * PRICE), ("acme", 2 * PRICE)]


async def test_the_credit_limit_counts_and_without_a_level_nobody_is_told(market: Market) -> None:
    clock = market.yard.clock
    await accounts.add(market.app, "bolt", name="Bolt", who="Jane", now=clock())
    for vendor_id in ("acme", "bolt"):
        await floats.set_limit(
            market.app, vendor_id, limit_minor=2 * PRICE, note="", who="Jane", now=clock()
        )
    await _warn(market, 2 * PRICE)
    meter = (await market.yard.meter()).meter_number
    for vendor_id in ("acme", "bolt", "bolt"):
        await market.sells(meter, vendor_id=vendor_id)
    assert await _told(market) == [("acme", PRICE)]
    await _warn(market, 0)
    await market.sells(meter)
    assert await _told(market) == [("acme", PRICE)]


async def test_one_batch_warns_each_vendor_whose_level_it_crosses(market: Market) -> None:
    await accounts.add(market.app, "bolt", name="Bolt", who="Jane", now=market.yard.clock())
    await accounts.add(market.app, "cora", name="Cora", who="Jane", now=market.yard.clock())
    for vendor_id, sales in (("acme", 9), ("bolt", 3), ("cora", 3)):
        await market.deposit(sales * PRICE, vendor_id)
        await _warn(market, 2 * PRICE, vendor_id)
    meter = (await market.yard.meter()).meter_number
    async with market.held():
        first = asyncio.create_task(market.sells(meter))
        await until(lambda: len(market.diary.batches) == 1)
        rest = [
            asyncio.create_task(market.sells(meter, vendor_id=vendor_id))
            for vendor_id in ("acme", "bolt", "bolt", "cora", "cora", "cora")
        ]
        await until(lambda: market.lane.sequencer.waiting == 7)
    await asyncio.gather(first, *rest)
    assert len(market.diary.batches) == 2
    assert sorted(await _told(market)) == [("bolt", PRICE), ("cora", 0)]


async def test_a_crossing_is_told_once_although_the_next_batch_is_decided_before(
    market: Market,
) -> None:
    await market.deposit(2 * AHEAD_MIN * PRICE)
    await _warn(market, (AHEAD_MIN + 1) * PRICE)
    meter = (await market.yard.meter()).meter_number
    async with market.held():
        first = [asyncio.create_task(market.sells(meter)) for _ in range(AHEAD_MIN)]
        await until(lambda: len(market.diary.batches) == 1)
        second = [asyncio.create_task(market.sells(meter)) for _ in range(AHEAD_MIN)]
        await until(lambda: len(market.diary.batches) == 2)
    await asyncio.gather(*first, *second)
    ((vendor_id, available),) = await _told(market)
    assert (vendor_id, available) == ("acme", AHEAD_MIN * PRICE)


async def test_a_deposit_that_comes_while_a_batch_is_written_keeps_it_from_warning(
    market: Market,
) -> None:
    await market.deposit(AHEAD_MIN * PRICE)
    await _warn(market, PRICE)
    meter = (await market.yard.meter()).meter_number
    async with market.held():
        sales = [asyncio.create_task(market.sells(meter)) for _ in range(AHEAD_MIN)]
        await until(lambda: len(market.diary.batches) == 1)
        await market.deposit(PRICE)
    await asyncio.gather(*sales)
    assert await market.balance() == PRICE
    assert await _told(market) == []


async def test_what_is_refused_warns_of_nothing(market: Market) -> None:
    await market.deposit(PRICE)
    await _warn(market, PRICE)
    meter = (await market.yard.meter()).meter_number
    with pytest.raises(FloatInsufficient):
        await market.lane.sequencer.sell(a_sale(meter, amount_minor=PRICE + 1))
    assert await _told(market) == []


async def test_a_level_is_set_with_who_and_why_and_refused_where_it_is_none(market: Market) -> None:
    clock = market.yard.clock
    await floats.set_warning(
        market.app, "acme", warning_minor=7, note="asked for", who="Jane", now=clock()
    )
    assert (await floats.find(market.app, "acme")).warning_minor == 7
    (act, *_) = await audit_log.of_subject(market.app, accounts.subject("acme"), most=1)
    assert (act.who, act.what) == ("Jane", "warning level set")
    assert "asked for" in act.facts
    with pytest.raises(VendorUnknown):
        await _warn(market, 7, "nobody")
    for minor in (-1, floats.LIMIT_MINOR_MAX + 1):
        with pytest.raises(WarningMalformed):
            await _warn(market, minor)
