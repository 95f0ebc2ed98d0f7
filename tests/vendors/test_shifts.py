"""Shifts: one open at a time at each till, and totals that are the ledger's own."""

from datetime import timedelta

import pytest

from tests.conftest import SettableClock
from tests.vendors.market import PRICE, Market
from vending.ledger.journal import trial_balance
from vending.postgres.pool import Connection
from vending.vendors import shifts
from vending.vendors.shifts import ClerkMalformed, Shift, ShiftOpen, ShiftUnknown, Totals
from vending.vendors.vendor import PointOfSaleMalformed, Vendor


async def _open(
    db: Connection, clock: SettableClock, number: int, outlet: str, till: str = "-"
) -> Shift:
    return await shifts.open_(
        db, "acme", shift_id=number, outlet=outlet, till=till, clerk="Atieno", now=clock()
    )


async def test_totals_are_what_the_ledger_says_of_the_outlet_or_the_till(market: Market) -> None:
    clock, db = market.yard.clock, market.app
    await market.deposit(100 * PRICE)
    meter = (await market.yard.meter()).meter_number

    async def sell(place: str, minor: int = PRICE) -> None:
        await market.sells(meter, short_code=place, amount_minor=minor, paid_at=clock())

    await sell("Kisumu")
    clock.advance(minutes=1)
    whole = await _open(db, clock, 1, "Kisumu")
    till = await _open(db, clock, 2, "Kisumu", "t1")
    await sell("Kisumu")
    await sell("Kisumu/t1", 2 * PRICE)
    await sell("Kisumu2")
    await sell("Kisumu/t2")
    assert await shifts.totals(db, whole) == Totals(sales=3, amount_minor=4 * PRICE)
    clock.advance(minutes=1)
    closed = await shifts.close(db, "acme", outlet="Kisumu", till="t1", now=clock())
    assert (closed.shift_id, closed.closed_at) == (till.shift_id, clock())
    await sell("Kisumu/t1")
    assert await shifts.totals(db, closed) == Totals(sales=1, amount_minor=2 * PRICE)
    assert await shifts.totals(db, whole) == Totals(sales=4, amount_minor=5 * PRICE)
    assert (await trial_balance(db))["float:acme"] == -(100 - 7) * PRICE


async def test_what_is_sold_in_the_instant_of_opening_and_closing_is_in_one_shift(
    market: Market,
) -> None:
    clock, db = market.yard.clock, market.app
    await market.deposit(100 * PRICE)
    meter = (await market.yard.meter()).meter_number

    async def sell() -> None:
        at = clock() - timedelta(seconds=2)  # it arrives two seconds after it was paid
        await market.sells(meter, short_code="Kisumu", paid_at=at)

    await _open(db, clock, 1, "Kisumu")
    await sell()
    first = await shifts.close(db, "acme", outlet="Kisumu", now=clock())
    second = await _open(db, clock, 2, "Kisumu")
    assert await shifts.totals(db, first) == Totals(sales=1, amount_minor=PRICE)
    assert await shifts.totals(db, second) == Totals(sales=0, amount_minor=0)
    clock.advance(seconds=1)
    await sell()
    assert await shifts.totals(db, second) == Totals(sales=1, amount_minor=PRICE)
    assert await shifts.totals(db, first) == Totals(sales=1, amount_minor=PRICE)


async def test_one_shift_is_open_at_a_time(
    app: Connection, acme: Vendor, clock: SettableClock
) -> None:
    first = await _open(app, clock, 1, "Kisumu")
    with pytest.raises(ShiftOpen):
        await _open(app, clock, 2, "Kisumu")
    await _open(app, clock, 3, "Kisumu", "t1")
    with pytest.raises(ShiftUnknown):
        await shifts.close(app, "acme", outlet="Kisumu", shift_id=3, now=clock())
    await shifts.close(app, acme.vendor_id, outlet="Kisumu", shift_id=1, now=clock())
    with pytest.raises(ShiftUnknown):
        await shifts.close(app, "acme", outlet="Kisumu", now=clock())
    await _open(app, clock, 4, "Kisumu")
    assert [one.shift_id for one in await shifts.of_vendor(app, "acme")] == [4, 3, 1]
    assert [one.shift_id for one in await shifts.of_vendor(app, "acme", before=4, most=1)] == [3]
    assert (await shifts.find(app, "acme", 1)).clerk == first.clerk
    with pytest.raises(ShiftUnknown):
        await shifts.find(app, "other", 1)


async def test_a_shift_has_a_place_and_a_clerk_with_a_name(
    app: Connection, acme: Vendor, clock: SettableClock
) -> None:
    with pytest.raises(PointOfSaleMalformed):
        await _open(app, clock, 1, "a/b")
    for clerk in ("x" * 61, "a\x00"):
        with pytest.raises(ClerkMalformed):
            await shifts.open_(
                app, acme.vendor_id, shift_id=1, outlet="a", clerk=clerk, now=clock()
            )


async def test_an_empty_shift_has_sold_nothing(
    app: Connection, acme: Vendor, clock: SettableClock
) -> None:
    assert acme.vendor_id == "acme"
    shift = await _open(app, clock, 1, "Kisumu")
    assert await shifts.totals(app, shift) == Totals(sales=0, amount_minor=0)
