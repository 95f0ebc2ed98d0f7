"""A vendor with an endpoint hears of each sale, in the sale's own transaction; others of none."""

import asyncio

import msgspec

from tests.selling.shop import Shop, asked
from vending.vendors.vendor import NO_TILL

AN_ENDPOINT = """
insert into webhook_endpoint (endpoint_id, vendor_id, url, description, event_types, schemes,
                              paused_until, created_at, updated_at)
values ($1, $2, 'https://till.example.com', '', $3, '{v1}', $4, $4, $4)
"""


async def test_a_sale_is_told_to_a_vendor_that_wants_to_hear(shop: Shop) -> None:
    db = shop.market.yard.db
    await db.execute(AN_ENDPOINT, 1, "acme", ["sale.completed"], shop.clock())
    await db.execute(AN_ENDPOINT, 2, "bolt", ["float.low"], shop.clock())
    meter = await shop.meter()
    sale = await shop.sells(meter, point_of_sale="Kisumu-1")
    await shop.sells(meter, vendor_id="bolt")
    (event,) = await db.fetch("select vendor_id, type, body, occurred_at from webhook_event")
    assert (event["vendor_id"], event["type"]) == ("acme", "sale.completed")
    assert sale.outcome.token is not None
    assert sale.outcome.token not in event["body"]
    assert msgspec.json.decode(event["body"])["data"] == {
        "reference": sale.reference, "meter": meter, "outlet": "Kisumu-1", "till": NO_TILL,
        "amount_minor": 50_000, "energy_wh": sale.outcome.energy_wh, "key_change_codes": [],
        "sold_at": "2026-11-22T08:00:00Z",
    }  # fmt: skip


async def test_of_a_batch_only_what_was_sold_by_whoever_listens_is_told(shop: Shop) -> None:
    db = shop.market.yard.db
    await db.execute(AN_ENDPOINT, 1, "acme", [], shop.clock())
    meter = await shop.meter()
    async with shop.busy():
        sales = [
            shop.begin(asked(meter, confirmed=True, **facts))
            for facts in ({}, {"vendor_id": "bolt"}, {"amount_minor": 1}, {})
        ]
        await shop.waiting(5)
    done = await asyncio.gather(*sales, return_exceptions=True)
    assert sum(isinstance(one, Exception) for one in done) == 1
    told = await db.fetch("select vendor_id, body from webhook_event")
    assert [row["vendor_id"] for row in told] == ["acme", "acme"]
    references = {msgspec.json.decode(row["body"])["data"]["reference"] for row in told}
    assert references == {done[0].reference, done[3].reference}  # type: ignore[union-attr]


async def test_a_repetition_is_not_told_again(shop: Shop) -> None:
    db = shop.market.yard.db
    await db.execute(AN_ENDPOINT, 1, "acme", [], shop.clock())
    wanted = asked(await shop.meter())
    await shop.sold(wanted)
    await shop.sold(wanted)
    assert await shop.count("webhook_event") == 1
