"""A sequencer that finds another server vending keeps nothing in memory."""

import asyncio

from tests.builders import a_payment
from tests.conftest import SettableClock
from tests.database import Database
from tests.offices import an_office
from vending import lease
from vending.lease import Lease
from vending.numbering import Numbers
from vending.postgres.pool import Connection
from vending.postgres.writer import Writer
from vending.sequencer import Sequencer


async def test_what_is_offered_before_another_server_is_found_to_vend_is_left_to_it(
    db: Connection, database: Database, clock: SettableClock
) -> None:
    office = an_office(clock)
    sequencer = Sequencer(
        Writer(database.dsn, seconds=5),
        lease_wanted=Lease(shard=0, owner="one", seconds=1),
        batch_max=500,
        open_office=lambda: office,
        clock=clock,
        numbers=Numbers(clock, node=2),
        on_committed=lambda _decided: None,
    )
    assert await lease.take(db, Lease(shard=0, owner="two", seconds=60), restarted=False)
    sequencer.offer([a_payment()])
    assert sequencer.waiting == 1
    running = asyncio.create_task(sequencer.run())
    async with asyncio.timeout(20):
        while sequencer.waiting:
            await asyncio.sleep(0.01)
    assert not sequencer.running
    sequencer.offer([a_payment()])
    assert sequencer.waiting == 0
    sequencer.stop()
    await running
