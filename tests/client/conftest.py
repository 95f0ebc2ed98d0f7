"""A vendor's programs, one that awaits and one that blocks, and the server they sell at."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.api import conftest as doors
from tests.api.conftest import Serve, Served
from tests.api.v1 import conftest as callers
from tests.api.v1.conftest import settings
from tests.api.v1.stalls import a_market
from tests.client.between import Between, between
from tests.conftest import SettableClock
from tests.database import Database
from tests.vendors.market import PRICE, Market
from vending.client import ApiKey, AsyncClient, Client, ClientKey, ClientSecret, Patience
from vending.postgres.pool import Connection
from vending.vendors.credentials import Issued

serve, heard = doors.serve, doors.heard
acme_key, bolt_key = callers.acme_key, callers.bolt_key
office, seals, patience = callers.office, callers.seals, callers.patience

BRISK = Patience(total=30, rest=0.01, rest_most=0.05)


class Threaded:
    """The client that blocks, each call in a thread of its own, as a server with threads has it."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def __repr__(self) -> str:
        return repr(self.client)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.client, name)
        if name in {"statement", "deposits", "batches", "deliveries"}:
            return lambda *given, **named: _rows(lambda: list(method(*given, **named)))
        return lambda *given, **named: asyncio.to_thread(method, *given, **named)


async def _rows(read: Callable[[], list[Any]]) -> AsyncIterator[Any]:
    for row in await asyncio.to_thread(read):
        yield row


@pytest.fixture
async def market(
    db: Connection,
    database: Database,
    office: Connection,
    acme_key: Issued,
    bolt_key: Issued,
    clock: SettableClock,
) -> AsyncIterator[Market]:
    assert acme_key.secret != bolt_key.secret
    async with a_market(db, database, office, clock) as market:
        await market.deposit(100 * PRICE)
        yield market


@pytest.fixture
async def server(serve: Serve, database: Database, market: Market) -> AsyncIterator[Served]:
    async with serve(sequencer=market.lane.sequencer, **settings(database)) as served:
        yield served


@pytest.fixture
async def path(server: Served) -> AsyncIterator[Between]:
    """Stand between the vendor and the server."""
    async with between(server.url) as one:
        yield one


class Connect:
    """Makes clients of one kind, and closes them."""

    def __init__(self, kind: str) -> None:
        self._awaits = kind == "awaits"
        self._made: list[Any] = []

    def __call__(self, url: str, access: ApiKey | ClientSecret | ClientKey, **more: Any) -> Any:
        given = {"patience": BRISK} | more
        if self._awaits:
            self._made.append(AsyncClient(url, access, **given))
        else:
            self._made.append(Threaded(Client(url, access, **given)))
        return self._made[-1]

    def rests(self, rested: list[float]) -> Any:
        """Return a way to rest that only notes for how long."""

        async def awaited(seconds: float) -> None:
            rested.append(seconds)

        return awaited if self._awaits else rested.append

    async def close(self) -> None:
        for client in self._made:
            await client.close()


@pytest.fixture(params=["awaits", "blocks"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Return what makes a client of each kind; all are closed at the end."""
    one = Connect(request.param)
    yield one
    await one.close()


@pytest.fixture
async def acme(connect: Connect, path: Between, acme_key: Issued) -> Any:
    """Connect as acme, over the path where things get lost."""
    return connect(path.url, ApiKey(acme_key.secret))


@pytest.fixture
async def meter(market: Market) -> str:
    return (await market.yard.meter()).meter_number
