"""While the database is away: what the lane logs, and what its gauges no longer claim."""

import asyncio
import math
from datetime import timedelta
from typing import Any, cast

import asyncpg
import pytest
from asyncpg import Record
from structlog.testing import capture_logs

from tests.conftest import SettableClock
from tests.database import Database
from tests.offices import an_office
from tests.yard import until
from vending import metrics
from vending.lease import Lease
from vending.numbering import Numbers
from vending.postgres.pool import Pool
from vending.postgres.writer import DatabaseAway, Writer
from vending.sequencer import Sequencer
from vending.sweep import Sweep
from vending.tokens.special import Caps


class ShutWriter(Writer):
    """A real writer whose database can be out of reach."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn, seconds=5)
        self.shut = True
        self.refused = 0

    async def fetch(self, query: str, *args: Any) -> list[Record]:
        if self.shut:
            self.refused += 1
            raise DatabaseAway(fault="ConnectionRefusedError")
        return await super().fetch(query, *args)


def _a_sequencer(writer: Writer, clock: SettableClock) -> Sequencer:
    office = an_office(clock)
    return Sequencer(
        writer,
        lease_wanted=Lease(shard=0, owner="one", seconds=1),
        batch_max=500,
        open_office=lambda: office,
        clock=clock,
        numbers=Numbers(clock, node=3),
        on_committed=lambda _decided: None,
    )


def _told() -> tuple[float, float, float]:
    """Return whether the database is up, the backlog, and in how long it is gone, as published."""
    gauges = (metrics.database_up, metrics.backlog_payments, metrics.backlog_eta_seconds)
    up, waits, eta = (one._value.get() for one in gauges)
    return up, waits, eta


async def test_an_outage_is_logged_once_when_it_begins_and_once_when_it_ends(
    database: Database, clock: SettableClock
) -> None:
    writer = ShutWriter(database.dsn)
    sequencer = _a_sequencer(writer, clock)
    with capture_logs() as lines:
        running = asyncio.create_task(sequencer.run())
        for outage in (1, 2):
            asked = writer.refused
            await until(lambda asked=asked: writer.refused >= asked + 3)  # type: ignore[misc]
            assert _told() == (0, 0, math.inf)
            writer.shut = False
            await until(lambda: sequencer.running)
            assert _told() == (1, 0, 0.0)
            writer.shut = outage == 1  # the next renewal finds it so
        sequencer.stop()
        await running
    said = [one["event"] for one in lines if "database" in one["event"]]
    assert (
        said
        == [
            "the vend lane waits for the database",
            "the vend lane has the database again",
        ]
        * 2
    )
    waited = [one["waited_seconds"] for one in lines if "waited_seconds" in one]
    assert len(waited) == 2
    assert min(waited) > 0
    writer.drop()


async def test_what_the_spool_holds_is_published_as_soon_as_it_is_heard_of(
    database: Database, clock: SettableClock
) -> None:
    sequencer = _a_sequencer(ShutWriter(database.dsn), clock)
    sequencer.know_spooled(700)
    assert metrics.backlog_payments._value.get() == 700
    sequencer.know_spooled(0)
    assert metrics.backlog_payments._value.get() == 0


class SlowToCount:
    """Readers of a database that has too much to count within the deadline."""

    def __init__(self, fault: Exception) -> None:
        self.fault = fault

    async def fetchval(self, _query: str, *_args: object) -> int:
        raise self.fault


@pytest.mark.parametrize("fault", [TimeoutError(), asyncpg.QueryCanceledError()])
async def test_what_cannot_be_counted_in_time_is_unknown_and_not_nothing(
    fault: Exception, database: Database, clock: SettableClock
) -> None:
    sequencer = _a_sequencer(ShutWriter(database.dsn), clock)
    sweep = Sweep(
        cast(Pool, SlowToCount(fault)),
        sequencer,
        writer=Writer(database.dsn, seconds=5),
        wording=an_office(clock).wording,
        clock=clock,
        numbers=Numbers(clock, node=4),
        every=timedelta(seconds=1),
        caps=Caps(tokens=20, energy_wh=500_000),
    )
    counted = await sweep._count(0, 1)
    assert counted is None
    sequencer.know_beyond(counted)
    sequencer.know_spooled(1)
    assert _told()[1:] == (1, math.inf)
    sequencer.know_beyond(0)
    sequencer.know_spooled(0)
