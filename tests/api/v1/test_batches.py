"""Batches: one open at a time at each till, and totals that are the ledger's."""

import pytest

from tests.api.v1.conftest import Caller, a_deposit
from tests.api.v1.test_callers import refused
from tests.conftest import SettableClock
from tests.database import Database
from tests.vendors.market import PRICE, a_sale
from tests.yard import a_yard, until
from vending.numbering import Numbers
from vending.postgres.pool import Connection

KISUMU = {"outlet": "Kisumu", "clerk": "Akinyi"}


async def test_a_batch_is_opened_found_and_closed(acme: Caller, clock: SettableClock) -> None:
    opened = await acme.post("/v1/batches", KISUMU)
    assert opened.status == 201
    assert opened.json == {
        "batch": opened.headers["Location"].rsplit("/", 1)[1],
        "outlet": "Kisumu",
        "till": "-",
        "clerk": "Akinyi",
        "opened_at": "2026-11-22T08:00:00Z",
        "closed_at": None,
        "sales": 0,
        "amount_minor": 0,
    }
    place = opened.headers["Location"]
    assert (await acme.get(place)).json == opened.json
    clock.advance(hours=8)
    closed = await acme.post(f"{place}/close")
    assert (closed.status, closed.json["closed_at"]) == (200, "2026-11-22T16:00:00Z")
    clock.advance(hours=1)
    assert (await acme.post(f"{place}/close")).json == closed.json


async def test_one_batch_is_open_at_a_till(acme: Caller, bolt: Caller) -> None:
    assert (await acme.post("/v1/batches", KISUMU)).status == 201
    refused(await acme.post("/v1/batches", KISUMU), 409, "shift_open")
    assert (await acme.post("/v1/batches", {**KISUMU, "till": "2"})).status == 201
    assert (await bolt.post("/v1/batches", KISUMU)).status == 201


@pytest.mark.parametrize("clerk", ["\u2028", "\u200b"])
async def test_a_clerk_has_a_name_that_can_be_printed(acme: Caller, clerk: str) -> None:
    refused(await acme.post("/v1/batches", {**KISUMU, "clerk": clerk}), 400, "clerk_malformed")


async def test_batches_come_in_pages_newest_first(acme: Caller, clock: SettableClock) -> None:
    for till in range(3):
        clock.advance(seconds=1)
        await acme.post("/v1/batches", {**KISUMU, "till": str(till)})
    first = (await acme.get("/v1/batches?limit=2")).json
    assert [one["till"] for one in first["batches"]] == ["2", "1"]
    second = (await acme.get(f"/v1/batches?limit=2&cursor={first['next']}")).json
    assert [one["till"] for one in second["batches"]] == ["0"]
    assert second["next"] is None


async def test_totals_and_statement_are_the_ledger_s(
    acme: Caller, office: Connection, db: Connection, database: Database, clock: SettableClock
) -> None:
    numbers = Numbers(clock, node=3)
    await a_deposit(office, "acme", next_number=numbers.next, clock=clock, amount_minor=9 * PRICE)
    clock.advance(minutes=1)
    place = (await acme.post("/v1/batches", KISUMU)).headers["Location"]
    async with a_yard(db, database, clock) as yard:
        lane = await yard.lane()
        await until(lambda: lane.sequencer.running)
        meter = (await yard.meter()).meter_number
        for outlet in ("Kisumu", "Kisumu/2", "Nakuru"):
            await lane.sequencer.sell(a_sale(meter, short_code=outlet, paid_at=clock()))
    clock.advance(minutes=1)
    totals = (await acme.post(f"{place}/close")).json
    assert (totals["sales"], totals["amount_minor"]) == (2, 2 * PRICE)
    page = (await acme.get("/v1/statement")).json
    assert sum(one["amount_minor"] for one in page["lines"]) == 6 * PRICE
    assert (await acme.get("/v1/float")).json["balance_minor"] == 6 * PRICE
    sales = [one for one in page["lines"] if one["kind"] == "sale"]
    assert {one["point_of_sale"] for one in sales} == {"Kisumu", "Kisumu/2", "Nakuru"}
    assert {one["meter"] for one in sales} == {meter}
