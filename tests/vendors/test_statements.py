"""A statement is every movement of the float, in pages that neither lose nor repeat a line."""

from datetime import timedelta

from tests.vendors.market import PRICE, Market
from vending.numbering import first_at
from vending.vendors import accounts, deposits, statements
from vending.vendors.deposits import Slip


async def test_a_statement_is_the_ledger_of_the_float(market: Market) -> None:
    clock = market.yard.clock
    await accounts.add(market.app, "other", name="Other", who="Jane", now=clock())
    await market.deposit(10 * PRICE)
    await market.deposit(PRICE, "other")
    meter = (await market.yard.meter()).meter_number
    await market.sells(meter, vendor_id="other")
    for place in range(3):
        await market.sells(meter, transaction_id=f"R{place}", paid_at=clock.advance(seconds=1))
    lines = await statements.lines(market.app, "acme")
    assert [(one.kind, one.amount_minor) for one in lines] == [
        ("deposit", 10 * PRICE), ("sale", -PRICE), ("sale", -PRICE), ("sale", -PRICE),
    ]  # fmt: skip
    assert sum(one.amount_minor for one in lines) == await market.balance()
    assert lines[0].reference.startswith("kcb FT")
    assert (lines[1].reference, lines[1].point_of_sale, lines[1].meter) == ("R0", "Kisumu-1", meter)


async def test_pages_follow_each_other(market: Market) -> None:
    await market.deposit(10 * PRICE)
    meter = (await market.yard.meter()).meter_number
    for _ in range(4):
        await market.sells(meter, paid_at=market.yard.clock.advance(seconds=1))
    whole = await statements.lines(market.app, "acme")
    paged, after = [], 0
    while page := await statements.lines(market.app, "acme", after=after, most=2):
        assert len(page) <= 2
        paged += page
        after = page[-1].document_id
    assert paged == whole
    assert len(paged) == 5
    assert await statements.latest(market.app, "acme", most=2) == whole[-2:]
    assert await statements.latest(market.app, "acme") == whole
    assert await statements.latest(market.app, "nobody") == []
    upto = await statements.lines(market.app, "acme", before=whole[2].document_id)
    assert upto == whole[:2]


async def test_a_deposit_stands_where_it_was_confirmed_not_where_it_was_proposed(
    market: Market,
) -> None:
    clock = market.yard.clock
    await market.deposit(PRICE)
    slip = Slip(vendor_id="acme", bank="kcb", bank_reference="LATE", amount_minor=PRICE)
    number = first_at(clock()) + 500
    await deposits.propose(market.app, slip, deposit_id=number, who="Jane", now=clock())
    meter = (await market.yard.meter()).meter_number
    await market.sells(meter, paid_at=clock.advance(seconds=1))
    clock.advance(seconds=5)
    booked = first_at(clock())
    await deposits.confirm(market.app, number, entry_id=lambda: booked, who="Otieno", now=clock())
    lines = await statements.lines(market.app, "acme")
    assert [one.amount_minor for one in lines] == [PRICE, -PRICE, PRICE]
    assert lines[-1].reference == "kcb LATE"


async def test_what_may_still_get_a_line_in_between_is_not_settled(market: Market) -> None:
    now = market.yard.clock()
    assert statements.settled(now) == first_at(now - timedelta(minutes=2))
