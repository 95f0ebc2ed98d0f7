"""A shop: a counter before a lane that vends on a real database, and vendors who sell there."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from zoneinfo import ZoneInfo

from tests.builders import a_payment
from tests.vendors.market import Market
from tests.yard import until
from vending.numbering import Numbers
from vending.postgres.writer import Writer
from vending.selling.counter import Counter, Seller
from vending.selling.sale import Pending, Sale, SaleAsked
from vending.tariffs import catalogue

PATIENT = 20.0
"""Longer than any test lets a sale wait."""

_references = count(1)


def asked(meter: str | None, **facts: object) -> SaleAsked:
    """Return a sale of KSh 500 to a meter at an outlet, its reference new unless it is given."""
    given: dict[str, object] = {
        "vendor_id": "acme",
        "reference": f"S{next(_references):06d}",
        "point_of_sale": "Kisumu-1",
        "meter": meter,
        "amount_minor": 50_000,
    }
    given |= facts
    if {"energy_wh", "quote_id"} & facts.keys() and "amount_minor" not in facts:
        del given["amount_minor"]
    return SaleAsked(**given)  # type: ignore[arg-type]


class Shop:
    """A counter, and the market behind it."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.clock = market.yard.clock
        self._nodes = count(3)
        self.numbers = Numbers(self.clock, node=2)
        self._counters: list[Counter] = []
        self._sessions: list[Writer] = []
        self.counter = self.another_counter()

    def another_counter(self, seller: Seller | None = None) -> Counter:
        """Return a counter of its own, as a second server has one."""
        counter = Counter(
            self.session(),
            self.session(),
            seller=seller or self.market.lane.sequencer,
            numbers=Numbers(self.clock, node=next(self._nodes)),
            clock=self.clock,
            zone=ZoneInfo("Africa/Nairobi"),
        )
        self._counters.append(counter)
        return counter

    def session(self) -> Writer:
        """Return a connection that is closed with the shop."""
        self._sessions.append(Writer(self.market.yard.database.dsn, seconds=5.0))
        return self._sessions[-1]

    def close(self) -> None:
        for counter in self._counters:
            counter.close()
        for session in self._sessions:
            session.drop()

    async def meter(self) -> str:
        return (await self.market.yard.meter()).meter_number

    async def sells(self, meter: str | None, **facts: object) -> Sale:
        return await self.sold(asked(meter, **facts))

    async def sold(self, wanted: SaleAsked) -> Sale:
        sale = await self.counter.sell(wanted, wait_seconds=PATIENT)
        assert isinstance(sale, Sale)
        return sale

    def begin(self, wanted: SaleAsked) -> "asyncio.Task[Sale | Pending]":
        """Ask for a sale, and go on."""
        return asyncio.create_task(self.counter.sell(wanted, wait_seconds=PATIENT))

    async def waiting(self, sales: int) -> None:
        """Wait until so many are in the lane."""
        await until(lambda: self.market.lane.sequencer.waiting == sales)

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """Keep the lane busy with another sale, in mid-commit, for the length of a block."""
        meter = await self.meter()
        made = len(self.market.diary.batches)
        async with self.market.held():
            other = asyncio.create_task(
                self.market.lane.sequencer.sell(a_payment(account_reference=meter))
            )
            await until(lambda: len(self.market.diary.batches) == made + 1)
            yield
        await other

    async def count(self, table: str) -> int:
        found: int = await self.market.yard.db.fetchval(f"select count(*) from {table}")
        return found


async def opened(market: Market) -> Shop:
    """Open a shop with the shipped tariffs; close it in the end."""
    clock = market.yard.clock
    for text in catalogue.shipped().values():
        await catalogue.load(market.yard.db, text, now=clock())
    return Shop(market)


def tokens(sales: Sequence[Sale | Pending]) -> set[str | None]:
    """Return the digits of sales that were made."""
    assert all(isinstance(one, Sale) for one in sales), sales
    return {one.outcome.token for one in sales if isinstance(one, Sale)}
