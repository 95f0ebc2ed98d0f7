"""A vendor, the seals its credentials are made with, and a market to sell on."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import SettableClock
from tests.database import Database
from tests.offices import an_office
from tests.test_pipeline import Diary
from tests.vendors.market import Market
from tests.yard import a_yard, until
from vending.pipeline import AHEAD_MIN
from vending.postgres import pool
from vending.postgres.pool import Connection
from vending.vendors import accounts
from vending.vendors.seals import Seals
from vending.vendors.vendor import Vendor

SECRET = "a secret of thirty-two characters"


@pytest.fixture
def seals() -> Seals:
    return Seals(SECRET)


@pytest.fixture
async def app(database: Database) -> Connection:
    """Connect as the server's own role, which may do no more than it was granted."""
    return await pool.connect(database.dsn)


@pytest.fixture
async def acme(app: Connection, clock: SettableClock) -> Vendor:
    return await accounts.add(app, "acme", name="Acme Airtime", who="Jane", now=clock())


@pytest.fixture
async def market(
    db: Connection, database: Database, clock: SettableClock, app: Connection, acme: Vendor
) -> AsyncIterator[Market]:
    assert acme.vendor_id == "acme"
    async with a_yard(db, database, clock) as yard:
        diary = Diary()
        office = an_office(clock, issuer=diary)
        lane = await yard.lane(batch_max=AHEAD_MIN, office=lambda: office)
        await until(lambda: lane.sequencer.running)
        yield Market(yard, lane, diary, app)
