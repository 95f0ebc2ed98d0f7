"""A shop on a market where acme has a float for a hundred sales, and bolt one for ten."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import SettableClock
from tests.database import Database
from tests.offices import an_office
from tests.selling import shop as shops
from tests.selling.shop import Shop
from tests.test_pipeline import Diary
from tests.vendors.market import PRICE, Market
from tests.yard import a_yard, until
from vending.pipeline import AHEAD_MIN
from vending.postgres import pool
from vending.postgres.pool import Connection
from vending.vendors import accounts


@pytest.fixture
async def shop(db: Connection, database: Database, clock: SettableClock) -> AsyncIterator[Shop]:
    app = await pool.connect(database.dsn)
    for vendor_id in ("acme", "bolt"):
        await accounts.add(app, vendor_id, name=vendor_id.title(), who="Jane", now=clock())
    async with a_yard(db, database, clock) as yard:
        diary = Diary()
        office = an_office(clock, issuer=diary)
        lane = await yard.lane(batch_max=2 * AHEAD_MIN, office=lambda: office)
        await until(lambda: lane.sequencer.running)
        market = Market(yard, lane, diary, app)
        await market.deposit(100 * PRICE)
        await market.deposit(10 * PRICE, "bolt")
        opened = await shops.opened(market)
        yield opened
        opened.close()
    await app.close()
