"""What the server needs before it stores and vends, looked for again and again."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from tests.conftest import SettableClock
from tests.database import Database
from tests.offices import a_ring, shipped_tariffs
from vending.config import Config
from vending.numbering import Numbers
from vending.opening import Arrival, Opening
from vending.postgres import database as databases
from vending.postgres import pool
from vending.postgres.cluster import PostgresDidNotStart
from vending.postgres.migrate import MigrationFailed, SchemaOlder
from vending.postgres.pool import DatabaseUnavailable
from vending.tokens.issuer import CoreIssuer

CHECKED_AT = datetime(2026, 11, 22, tzinfo=UTC)


async def test_a_database_that_is_away_ends_no_server_and_loses_no_tariffs(
    tmp_path: Path, clock: SettableClock
) -> None:
    async with pool.create(f"postgresql://nobody@/none?host={tmp_path}", size=1) as readers:
        opening = Opening(Config(), readers, Numbers(clock, node=1))
        opening.issuer = CoreIssuer(a_ring())
        opening.catalogue = shipped_tariffs()
        await opening.refresh()
        assert opening.complete


async def test_without_a_tariff_the_lane_stays_shut(
    database: Database, clock: SettableClock
) -> None:
    async with pool.create(database.dsn, size=1) as readers:
        opening = Opening(Config(), readers, Numbers(clock, node=1))
        opening.issuer = CoreIssuer(a_ring())
        await opening.refresh()
        assert not opening.complete


class Attempts:
    """Attempts to reach a database: each raises the next fault, and after the last all is well."""

    def __init__(self, *faults: Exception) -> None:
        self._faults: Iterator[Exception] = iter(faults)
        self.made = 0

    async def __call__(self) -> None:
        self.made += 1
        for fault in self._faults:
            raise fault


def failed_migration(cause: Exception) -> Exception:
    fault = MigrationFailed(file="0001_first.sql")
    fault.__cause__ = cause
    return fault


PASSING = [
    DatabaseUnavailable(),
    PostgresDidNotStart(),
    ConnectionResetError(),
    TimeoutError(),
    asyncpg.ConnectionDoesNotExistError(),
    asyncpg.OutOfMemoryError(),
    failed_migration(asyncpg.DiskFullError()),
    failed_migration(asyncpg.LockNotAvailableError()),
]
LASTING = [SchemaOlder(), failed_migration(asyncpg.DuplicateTableError()), KeyError("a bug")]


async def test_a_database_that_is_away_is_asked_again_until_it_is_there() -> None:
    attempts = Attempts(*PASSING)
    arrival = Arrival(attempts, again_seconds=0)
    arriving = asyncio.create_task(arrival.here())
    await arrival.patience(arriving)
    waited_because = arrival.because
    await arriving
    assert (waited_because, arrival.because) == ("database_unavailable", None)
    assert attempts.made == len(PASSING) + 1


@pytest.mark.parametrize("fault", LASTING, ids=lambda fault: repr(fault.__cause__ or fault))
async def test_what_waiting_cannot_mend_ends_the_wait_at_once(fault: Exception) -> None:
    arrival = Arrival(Attempts(fault))
    arriving = asyncio.create_task(arrival.here())
    with pytest.raises(type(fault)):
        await arrival.patience(arriving)


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: repr(fault.__cause__ or fault))
async def test_a_database_that_was_never_made_is_not_waited_for(fault: Exception) -> None:
    arrival = Arrival(Attempts(fault), new=True)
    arriving = asyncio.create_task(arrival.here())
    with pytest.raises(type(fault)):
        await arrival.patience(arriving)


async def test_a_database_that_only_takes_its_time_is_waited_for_with_the_door_open() -> None:
    recovered = asyncio.Event()

    async def recover() -> None:
        await recovered.wait()

    arrival = Arrival(recover, patience_seconds=0)
    arriving = asyncio.create_task(arrival.here())
    await arrival.patience(arriving)
    waited_because = arrival.because
    recovered.set()
    await arriving
    assert (waited_because, arrival.because) == ("database_starting", None)


async def test_nothing_is_read_from_a_database_before_it_was_checked(database: Database) -> None:
    shut = True
    async with pool.create(database.dsn, size=1, shut=lambda: shut) as readers:
        with pytest.raises(ConnectionRefusedError):
            await readers.fetchval("select 1")
        shut = False
        assert await readers.fetchval("select 1") == 1


async def test_a_database_that_stops_answering_while_it_is_checked_is_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "READ_SECONDS_MAX", 0.0)
    base = databases.Database(database.dsn, database.owner_dsn, embedded=False)
    with pytest.raises(DatabaseUnavailable):
        await databases.make_ready(base, now=CHECKED_AT)
