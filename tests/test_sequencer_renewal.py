"""What comes while the lane renews its lease is seen at once, not at the next renewal."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from asyncpg import Record

from tests.builders import a_payment
from tests.conftest import SettableClock
from tests.database import Database
from tests.offices import an_office
from vending import lease
from vending.lease import Lease
from vending.numbering import Numbers
from vending.postgres.writer import Writer
from vending.sequencer import Sequencer


class RenewalWriter(Writer):
    """A real writer that lets something happen while a renewal is on its way."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn, seconds=5)
        self.meanwhile: Callable[[], None] = lambda: None

    async def fetch(self, query: str, *args: Any) -> list[Record]:
        rows = await super().fetch(query, *args)
        if query == lease.RENEW:
            self.meanwhile()
        return rows


async def _with_lane(
    database: Database,
    clock: SettableClock,
    act: Callable[[Sequencer, RenewalWriter, asyncio.Event], Awaitable[None]],
) -> None:
    writer = RenewalWriter(database.dsn)
    office = an_office(clock)
    committed = asyncio.Event()
    # Unheard news would be seen at the next renewal, forty seconds later.
    sequencer = Sequencer(
        writer,
        lease_wanted=Lease(shard=0, owner="one", seconds=120),
        batch_max=500,
        open_office=lambda: office,
        clock=clock,
        numbers=Numbers(clock, node=2),
        on_committed=lambda _decided: committed.set(),
    )
    await act(sequencer, writer, committed)
    writer.drop()


async def test_a_payment_offered_during_a_renewal_is_vended_at_once(
    database: Database, clock: SettableClock
) -> None:
    async def act(sequencer: Sequencer, writer: RenewalWriter, committed: asyncio.Event) -> None:
        writer.meanwhile = lambda: sequencer.offer([a_payment(account_reference="none")])
        running = asyncio.create_task(sequencer.run())
        async with asyncio.timeout(15):
            await committed.wait()
        sequencer.stop()
        await running

    await _with_lane(database, clock, act)


async def test_a_stop_asked_during_a_renewal_is_heard_at_once(
    database: Database, clock: SettableClock
) -> None:
    async def act(sequencer: Sequencer, writer: RenewalWriter, _committed: asyncio.Event) -> None:
        writer.meanwhile = sequencer.stop
        async with asyncio.timeout(15):
            await sequencer.run()

    await _with_lane(database, clock, act)
