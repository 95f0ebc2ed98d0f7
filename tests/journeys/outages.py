"""What is done to PostgreSQL in the journeys, and how an outage is judged when it is over."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from tests import database as databases
from tests.database import Database
from tests.journeys.world import World
from tests.processes import tell_family
from vending.clock import system_clock
from vending.payments.segment import SUFFIX
from vending.postgres import embedded, migrate, postmaster
from vending.postgres.embedded import EmbeddedSettings
from vending.simulation.history import EventKind, acknowledged
from vending.simulation.operator import Answer
from vending.simulation.pay_bill import CustomerPayment

SETTLED_SECONDS_MAX = 90
"""How long no test waits for the last payment's outcome unless something is broken."""

READ_OUTCOMES = """
select transaction_id, kind from payment left join outcome using (payment_id)
"""


class Postgres:
    """A PostgreSQL of a test's own, supervised as the server supervises its own."""

    def __init__(self, data_dir: Path, database: Database) -> None:
        self.data_dir = data_dir
        self.database = database

    def tell(self, what: signal.Signals) -> None:
        """Send a signal to every process it has."""
        found = postmaster.running(self.data_dir)
        if found is not None:
            tell_family(found.pid, what)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop every one of its processes in mid-step, for the length of the block."""
        self.tell(signal.SIGSTOP)
        try:
            yield
        finally:
            self.tell(signal.SIGCONT)

    async def ends(self, how: signal.Signals) -> None:
        """End it by a signal; its supervisor starts another, which this waits for."""
        before = postmaster.running(self.data_dir)
        assert before is not None
        self.tell(how)
        async with asyncio.timeout(SETTLED_SECONDS_MAX):
            while True:
                now = postmaster.running(self.data_dir)
                if now is not None and now.ready and now.pid != before.pid:
                    return
                await asyncio.sleep(0.02)


@asynccontextmanager
async def postgres() -> AsyncIterator[Postgres]:
    """Run a durable PostgreSQL with a migrated database; nobody else is on it."""
    with databases.cluster_directory() as directory:
        settings = EmbeddedSettings(data_dir=directory / "data", shared_buffers_mb=32)
        async with embedded.running(settings) as dsn:
            await migrate.migrate(dsn, now=system_clock())
            yield Postgres(settings.data_dir, Database(embedded.application_dsn(dsn), dsn))


class Stream:
    """Customers who pay one after the other, several at a time, until they are told to stop."""

    def __init__(self, world: World, *, tellers: int = 6) -> None:
        self._world = world
        self._tellers = tellers
        self._stop = asyncio.Event()
        self._heard = asyncio.Event()
        self.answers: list[tuple[CustomerPayment, Answer]] = []

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator["Stream"]:
        """Pay for the length of the block; every call is answered when it ends."""
        async with asyncio.TaskGroup() as tellers:
            for number in range(self._tellers):
                tellers.create_task(self._teller(number))
            try:
                yield self
            finally:
                self._stop.set()

    async def more(self, count: int) -> None:
        """Wait for so many more answers."""
        wanted = len(self.answers) + count
        async with asyncio.timeout(SETTLED_SECONDS_MAX):
            while len(self.answers) < wanted:
                self._heard.clear()
                await self._heard.wait()

    @property
    def refused(self) -> list[Answer]:
        return [answer for _payment, answer in self.answers if not answer.ok]

    async def _teller(self, number: int) -> None:
        homes = self._world.homes
        while not self._stop.is_set():
            home = homes[(number + self._tellers * len(self.answers)) % len(homes)]
            payment = self._world.operator.take(home.meter_number, 300_00)
            answer = await self._world.operator.confirm(payment)
            self.answers.append((payment, answer))
            self._heard.set()


def spooled(world: World) -> int:
    """Return how many bytes are in the spool."""
    return sum(path.stat().st_size for path in world.spool.glob(f"*{SUFFIX}"))


async def all_is_well(world: World) -> None:
    """Wait until everything acknowledged has one outcome; then every promise must hold."""
    sure = set(acknowledged(world.operator.history.events()))
    assert sure
    async with asyncio.timeout(SETTLED_SECONDS_MAX):
        while True:
            rows = await world.rows(READ_OUTCOMES)
            if not spooled(world) and all(row["kind"] is not None for row in rows):
                break
            await asyncio.sleep(0.05)
    assert sure <= {row["transaction_id"] for row in rows}
    assert len(rows) == len({row["transaction_id"] for row in rows})
    broken = await world.broken_promises()
    assert not broken, broken


def every_call_has_its_answer(world: World) -> None:
    """See that the operator's history has an answer to each call."""
    told = world.operator.history.events()
    asked = {event.serial for event in told if event.kind is EventKind.INVOKE}
    assert asked == {event.serial for event in told if event.kind is not EventKind.INVOKE}
