"""What sells behind the vendors' API: a lane on a real database, tariffs, meters and floats."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.builders import a_payment
from tests.conftest import SettableClock
from tests.database import Database
from tests.offices import an_office
from tests.test_pipeline import Diary
from tests.vendors.market import Market
from tests.yard import a_yard, until
from vending.postgres.pool import Connection
from vending.tariffs import catalogue
from vending.tokens.issuer import Order, Token, TokenRefused


class Particular(Diary):
    """An issuer that will make no token for some meters."""

    def __init__(self) -> None:
        super().__init__()
        self.unloved: set[str] = set()

    def issue(self, orders: Sequence[Order]) -> list[Token | TokenRefused]:
        return [
            TokenRefused(rule="unloved") if order.meter.meter_number in self.unloved else token
            for order, token in zip(orders, super().issue(orders), strict=True)
        ]


@asynccontextmanager
async def a_market(
    db: Connection, database: Database, office: Connection, clock: SettableClock
) -> AsyncIterator[Market]:
    """Open a market with the shipped tariffs; `office` acts for the utility."""
    for text in catalogue.shipped().values():
        await catalogue.load(db, text, now=clock())
    async with a_yard(db, database, clock) as yard:
        diary = Particular()
        ready = an_office(clock, issuer=diary)
        lane = await yard.lane(office=lambda: ready)
        await until(lambda: lane.sequencer.running)
        yield Market(yard, lane, diary, office)


@asynccontextmanager
async def busy(market: Market) -> AsyncIterator[None]:
    """Keep the lane busy with another sale, in mid-commit, for the length of a block."""
    meter = (await market.yard.meter()).meter_number
    made = len(market.diary.batches)
    async with market.held():
        other = asyncio.create_task(market.lane.sequencer.sell(a_payment(account_reference=meter)))
        await until(lambda: len(market.diary.batches) == made + 1)
        yield
    await other
