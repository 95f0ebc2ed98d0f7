"""A database that a server can begin without: found again later, made first, and no other's."""

import asyncio
import dataclasses
import signal
from pathlib import Path

import asyncpg
import pytest

from tests.conftest import SettableClock
from tests.processes import tell_family
from vending import config
from vending.postgres import database, embedded, postmaster
from vending.postgres.cluster import PostgresDidNotStart
from vending.postgres.embedded import EmbeddedSettings
from vending.postgres.occupancy import DataDirectoryBusy


def configured(settings: EmbeddedSettings) -> config.Database:
    return config.Database(data_dir=str(settings.data_dir), shared_buffers_mb=32)


async def test_a_database_that_was_never_made_is_made_and_its_address_known_before(
    settings: EmbeddedSettings, clock: SettableClock
) -> None:
    async with database.attended(configured(settings)) as attended:
        assert attended.new
        with pytest.raises(FileNotFoundError):
            await asyncpg.connect(attended.base.dsn)
        await attended.reach(now=clock())
        await attended.reach(now=clock())
        db = await asyncpg.connect(attended.base.dsn)
        assert await db.fetchval("select count(*) from payment") == 0
        await db.close()
    assert postmaster.running(settings.data_dir) is None
    async with database.attended(configured(settings)) as attended:
        assert not attended.new


async def test_one_that_did_not_start_is_tried_again(
    settings: EmbeddedSettings, clock: SettableClock
) -> None:
    async with embedded.running(settings):
        pass
    spoiled = settings.data_dir / "postgresql.auto.conf"
    text = spoiled.read_text()
    async with database.attended(configured(settings)) as attended:
        spoiled.write_text(text + "shared_buffers = 'nonsense'\n")
        with pytest.raises(PostgresDidNotStart) as fault:
            await attended.reach(now=clock())
        assert database.passes(fault.value)
        spoiled.write_text(text)
        await attended.reach(now=clock())


async def test_a_postgresql_that_somebody_started_elsewhere_meanwhile_is_left_alone(
    settings: EmbeddedSettings, directory: Path, clock: SettableClock
) -> None:
    async with embedded.running(settings):
        pass
    async with database.attended(configured(settings)) as attended:
        elsewhere = dataclasses.replace(settings, socket_dir=directory / "elsewhere")
        async with embedded.running(elsewhere):
            with pytest.raises(DataDirectoryBusy, match="another socket") as fault:
                await attended.reach(now=clock())
            assert not database.passes(fault.value)
        async with embedded.running(elsewhere), database.attended(configured(settings)) as joined:
            await joined.reach(now=clock())


async def test_whoever_waits_for_a_frozen_one_can_stop_waiting(
    settings: EmbeddedSettings, clock: SettableClock
) -> None:
    async with embedded.running(settings):
        found = postmaster.running(settings.data_dir)
        assert found is not None
        tell_family(found.pid, signal.SIGSTOP)
        try:
            async with database.attended(configured(settings)) as attended:
                reaching = asyncio.create_task(attended.reach(now=clock()))
                await asyncio.wait({reaching}, timeout=0.5)
                reaching.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reaching
        finally:
            tell_family(found.pid, signal.SIGCONT)
