"""What every test may ask for: a database, a clock that stands still, the production event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest
import uvloop

from tests import database as databases
from tests.database import Database
from vending import collector
from vending.postgres import pool
from vending.postgres.pool import Connection


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run ask for more of what is random than the suite's own measure."""
    parser.addoption("--cycles", type=int, default=50, help="kills in each torture test")
    parser.addoption("--examples", type=int, default=6, help="requests made up for each operation")
    parser.addoption("--seed", type=int, default=None, help="what a torture test played before")


def pytest_collection_finish() -> None:
    """Spare the collector thousands of tests, as it is spared a server's tables.

    Servers under test live in this process: each look at that heap would make their loop late.
    """
    collector.spare()


class SettableClock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> datetime:
        """Move on by `timedelta(**by)` and return the new instant."""
        self.now += timedelta(**by)
        return self.now


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every asynchronous test on the event loop that production runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def cycles(request: pytest.FixtureRequest) -> int:
    """Say how many kills a torture test makes."""
    asked = request.config.getoption("--cycles")
    assert isinstance(asked, int)
    return asked


@pytest.fixture
def clock() -> SettableClock:
    """Stand at a Sunday morning, 11:00 in Nairobi."""
    return SettableClock(datetime(2026, 11, 22, 8, 0, tzinfo=UTC))


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """Start this process's PostgreSQL, which promises nothing durable; give its owner's address."""
    with databases.throwaway_cluster() as dsn:
        yield dsn


@pytest.fixture
async def database(cluster: str) -> AsyncIterator[Database]:
    """Make a fresh, empty, migrated database, for tests that open their own connections."""
    cloned = await databases.clone(cluster)
    yield cloned
    await databases.drop(cluster, cloned)


@pytest.fixture
async def db(database: Database) -> AsyncIterator[Connection]:
    """Connect, as owner, to a fresh, empty, migrated database."""
    connection = await pool.connect(database.owner_dsn)
    yield connection
    await connection.close()
