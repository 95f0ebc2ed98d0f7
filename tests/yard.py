"""A lane that runs on a real database, with the meters and payments it works on, for tests."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from tests.builders import a_meter, a_payment
from tests.conftest import SettableClock
from tests.database import Database
from tests.offices import an_office
from vending.lease import Lease
from vending.meters import directory
from vending.meters.meter import Meter
from vending.numbering import Numbers
from vending.office import Office
from vending.payments.outcomes import Outcome
from vending.payments.payment import Payment
from vending.postgres.pool import Connection
from vending.postgres.writer import Writer
from vending.sequencer import Sequencer
from vending.values import replace

ADD_PAYMENT = "insert into payment values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"


class Lane:
    """A sequencer that runs, and a way to wait for what it does."""

    def __init__(self, sequencer: Sequencer, committed: asyncio.Queue[Sequence[Outcome]]) -> None:
        self.sequencer = sequencer
        self.batches: list[int] = []
        self._committed = committed

    async def decided(self, count: int) -> list[Outcome]:
        """Wait until so many outcomes are committed and return them."""
        outcomes: list[Outcome] = []
        while len(outcomes) < count:
            batch = await asyncio.wait_for(self._committed.get(), 20)
            self.batches.append(len(batch))
            outcomes += batch
        return outcomes


class Yard:
    """Makes lanes on one database, and the meters and payments they work on."""

    def __init__(
        self, db: Connection, database: Database, clock: SettableClock, stack: AsyncExitStack
    ) -> None:
        self.db = db
        self.database = database
        self.clock = clock
        self._stack = stack
        self._nodes = iter(range(10, 250))

    async def lane(
        self,
        *,
        owner: str = "one",
        office: Callable[[], Office] | None = None,
        batch_max: int = 500,
        lease_seconds: int = 5,
        seconds: float = 5.0,
        running: bool = True,
    ) -> Lane:
        committed: asyncio.Queue[Sequence[Outcome]] = asyncio.Queue()
        ready = an_office(self.clock)
        sequencer = Sequencer(
            Writer(self.database.dsn, seconds=seconds),
            lease_wanted=Lease(shard=0, owner=owner, seconds=lease_seconds),
            batch_max=batch_max,
            open_office=office or (lambda: ready),
            clock=self.clock,
            numbers=Numbers(self.clock, node=next(self._nodes)),
            on_committed=committed.put_nowait,
        )
        if running:
            await self._stack.enter_async_context(_running(sequencer))
        return Lane(sequencer, committed)

    async def run(self, lane: Lane) -> None:
        await self._stack.enter_async_context(_running(lane.sequencer))

    async def meter(self) -> Meter:
        meter = a_meter()
        await directory.register(self.db, meter, now=self.clock())
        return meter

    async def payments(
        self,
        count: int,
        meter: Meter | None = None,
        *,
        number: Callable[[], int] | None = None,
    ) -> list[Payment]:
        meter = meter or await self.meter()
        payments = [a_payment(account_reference=meter.meter_number) for _ in range(count)]
        if number is not None:
            payments = [replace(one, payment_id=number()) for one in payments]
        rows = [
            (p.payment_id, p.notice.operator, p.notice.transaction_id, p.notice.short_code,
             p.product, p.notice.account_reference, p.notice.amount_minor, p.notice.paid_at,
             p.received_at, p.notice.payer, str(p.notice.payer_kind), p.notice.raw)
            for p in payments
        ]  # fmt: skip
        await self.db.executemany(ADD_PAYMENT, rows)
        return payments


@asynccontextmanager
async def _running(sequencer: Sequencer) -> AsyncIterator[None]:
    task = asyncio.create_task(sequencer.run())
    yield
    sequencer.stop()
    try:
        await asyncio.wait_for(task, 20)
    except TimeoutError:
        task.cancel()


@asynccontextmanager
async def a_yard(db: Connection, database: Database, clock: SettableClock) -> AsyncIterator[Yard]:
    """Open a yard whose lanes stop at its end."""
    async with AsyncExitStack() as stack:
        yield Yard(db, database, clock, stack)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.005)
