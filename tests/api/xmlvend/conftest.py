"""Two vendors whose tills speak XMLVend, on a real socket, with a lane that vends behind it."""

from collections.abc import AsyncIterator

import pytest

from tests.api.conftest import Serve, Served
from tests.api.v1.conftest import (  # noqa: F401 -- fixtures are found by their names
    acme_key,
    bolt_key,
    office,
    patience,
    seals,
    settings,
)
from tests.api.v1.stalls import a_market
from tests.api.xmlvend.tills import Till
from tests.conftest import SettableClock
from tests.database import Database
from tests.vendors.market import PRICE, Market
from tests.xmlvend.schema import schema
from vending.postgres.pool import Connection
from vending.vendors.credentials import Issued


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sales wait while a test judges answers in the server's own loop."""
    monkeypatch.setattr("vending.api.admission.SALE_WAIT_SECONDS", 3600.0)
    schema()


@pytest.fixture
async def market(
    db: Connection,
    database: Database,
    office: Connection,  # noqa: F811
    acme_key: Issued,  # noqa: F811
    bolt_key: Issued,  # noqa: F811
    clock: SettableClock,
) -> AsyncIterator[Market]:
    assert acme_key.secret != bolt_key.secret
    async with a_market(db, database, office, clock) as market:
        await market.deposit(100 * PRICE)
        await market.deposit(10 * PRICE, "bolt")
        yield market


@pytest.fixture
async def api(serve: Serve, database: Database, market: Market) -> AsyncIterator[Served]:
    """Serve the API to acme and bolt, who can sell."""
    async with serve(sequencer=market.lane.sequencer, **settings(database)) as served:
        yield served


@pytest.fixture
def acme(api: Served, acme_key: Issued) -> Till:  # noqa: F811
    return Till(api, acme_key.secret)


@pytest.fixture
def bolt(api: Served, bolt_key: Issued) -> Till:  # noqa: F811
    return Till(api, bolt_key.secret)


@pytest.fixture
async def meter(market: Market) -> str:
    return (await market.yard.meter()).meter_number
