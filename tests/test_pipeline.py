"""Two batches in flight: whatever becomes of the first, nothing of the second is lost or doubled.

The first batch is held inside PostgreSQL, by a lock on the lease that it must move, until the
second has been prepared on top of it.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import asyncpg
import pytest

from tests.builders import a_payment
from tests.conftest import SettableClock
from tests.database import Database
from tests.offices import a_ring, an_office
from tests.yard import Lane, Yard, a_yard, until
from vending.claims import Claim
from vending.in_flight import NOTHING
from vending.office import Office, OfficeClosed
from vending.payments.outcomes import Outcome
from vending.payments.payment import Payment
from vending.pipeline import AHEAD_MIN, FLOOD_MIN, TOLD_LATER_FROM
from vending.postgres.pool import Connection, Session
from vending.postgres.writer import DatabaseAway, Writer
from vending.sequencer import SaleUnavailable
from vending.tokens.issuer import CoreIssuer, Order, Token, TokenRefused
from vending.values import replace
from vending.vend import prepare

BATCH = AHEAD_MIN
TWO = 2 * BATCH

BLOCKED = "select count(*) from pg_locks where not granted"

END_BACKENDS = """
select pg_terminate_backend(pid) from pg_stat_activity
 where datname = current_database() and pid <> pg_backend_pid() and wait_event_type = 'Lock'
"""


class Watched:
    """A session that tells how often it was asked, and whether it is still answering."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.asked = 0
        self.answering = 0

    async def fetch(self, query: str, /, *args: object) -> list[asyncpg.Record]:
        self.asked += 1
        self.answering += 1
        try:
            return await self._session.fetch(query, *args)
        finally:
            self.answering -= 1


class Diary(CoreIssuer):
    """An issuer that remembers every batch of tokens it made."""

    def __init__(self) -> None:
        super().__init__(a_ring())
        self.batches: list[list[Token | TokenRefused]] = []

    def issue(self, orders: Sequence[Order]) -> list[Token | TokenRefused]:
        self.batches.append(super().issue(orders))
        return self.batches[-1]

    @property
    def digits(self) -> set[str]:
        return {one.digits for batch in self.batches for one in batch if isinstance(one, Token)}


class Crossing:
    """A lane whose first batch is held in PostgreSQL while the second is prepared."""

    def __init__(self, yard: Yard, lane: Lane, diary: Diary) -> None:
        self.yard = yard
        self.lane = lane
        self.diary = diary

    @asynccontextmanager
    async def held(self, payments: Sequence[Payment]) -> AsyncIterator[None]:
        """Hold a first batch inside, with a second one prepared behind it."""
        async with self.yard.db.transaction():
            await self.yard.db.execute("select from sequencer_lease for update")
            made = len(self.diary.batches)
            self.lane.sequencer.offer(payments)
            await until(lambda: len(self.diary.batches) == made + 2)
            yield

    async def in_order(self, payments: Sequence[Payment]) -> bool:
        """Whether every payment has one outcome, on one meter with identifiers that rise."""
        async with asyncio.timeout(20):
            while await self.yard.db.fetchval("select count(*) from outcome") < len(payments):
                await asyncio.sleep(0.01)
        await until(lambda: self.lane.sequencer.waiting == 0)
        rows = await self.yard.db.fetch("select payment_id, tid, token from outcome order by tid")
        told = await self.yard.db.fetch("select payment_id, body from message")
        owed = await self.yard.db.fetchval("select sum(amount_minor) from posting")
        tokens = {row["payment_id"]: row["token"] for row in rows}
        assert set(tokens) == {one.payment_id for one in payments}
        assert len({row["tid"] for row in rows}) == len(payments)
        assert owed == 0
        for row in told:
            assert tokens[row["payment_id"]] in row["body"].replace("-", "")
        return [row["payment_id"] for row in rows] == [one.payment_id for one in payments]


@pytest.fixture
async def crossing(
    db: Connection, database: Database, clock: SettableClock
) -> AsyncIterator[Crossing]:
    async with a_yard(db, database, clock) as yard:
        diary = Diary()
        office = an_office(clock, issuer=diary)
        lane = await yard.lane(batch_max=BATCH, office=lambda: office)
        await until(lambda: lane.sequencer.running)
        yield Crossing(yard, lane, diary)


@pytest.mark.parametrize(
    ("waiting", "first"),
    [
        pytest.param(6 * AHEAD_MIN, [3 * AHEAD_MIN, 3 * AHEAD_MIN // 2], id="shared by two"),
        pytest.param(FLOOD_MIN + 50, [FLOOD_MIN, 50], id="all that a batch may take in a flood"),
    ],
)
async def test_a_batch_takes_a_part_of_what_waits(
    db: Connection, database: Database, clock: SettableClock, waiting: int, first: list[int]
) -> None:
    async with a_yard(db, database, clock) as yard:
        diary = Diary()
        office = an_office(clock, issuer=diary)
        lane = await yard.lane(batch_max=FLOOD_MIN, office=lambda: office)
        await until(lambda: lane.sequencer.running)
        payments = await yard.payments(waiting)
        lane.sequencer.offer(payments)
        await until(lambda: lane.sequencer.waiting == 0)
    sizes = [len(batch) for batch in diary.batches]
    assert sizes[:2] == first
    assert sum(sizes) == len(payments)


async def test_a_second_batch_is_prepared_on_what_the_first_will_leave(crossing: Crossing) -> None:
    payments = await crossing.yard.payments(TWO)
    async with crossing.held(payments):
        assert await crossing.yard.db.fetchval("select count(*) from outcome") == 0
    assert await crossing.in_order(payments)
    assert len(crossing.diary.batches) == 2
    assert len(crossing.diary.digits) == TWO
    assert crossing.lane.sequencer.per_second > 0


async def test_a_few_payments_gather_while_a_batch_commits(crossing: Crossing) -> None:
    payments = await crossing.yard.payments(TWO - 1)
    first, late = payments[:BATCH], payments[BATCH:]
    async with crossing.yard.db.transaction():
        await crossing.yard.db.execute("select from sequencer_lease for update")
        crossing.lane.sequencer.offer(first)
        await until(lambda: len(crossing.diary.batches) == 1)
        crossing.lane.sequencer.offer(late)
        await asyncio.sleep(0)
        assert crossing.lane.sequencer.waiting == TWO - 1
    assert await crossing.in_order(payments)
    assert [len(batch) for batch in crossing.diary.batches] == [BATCH, BATCH - 1]


async def test_a_payment_in_flight_is_not_taken_again(crossing: Crossing) -> None:
    payments = await crossing.yard.payments(TWO)
    async with crossing.held(payments):
        crossing.lane.sequencer.offer(payments)
        assert crossing.lane.sequencer.waiting == TWO
    assert await crossing.in_order(payments)
    assert len(crossing.diary.batches) == 2


async def test_a_first_batch_that_is_refused_takes_the_prepared_one_with_it(
    crossing: Crossing,
) -> None:
    payments = await crossing.yard.payments(TWO)
    poison = payments[5]
    await crossing.yard.db.execute(
        f"alter table outcome add constraint no_poison check (payment_id <> {poison.payment_id})"
    )
    async with crossing.held(payments):
        thrown_away = crossing.diary.batches[1]
    left = [one for one in payments if one is not poison]
    await crossing.in_order(left)
    assert await crossing.yard.db.fetchval("select payment_id from quarantine") == poison.payment_id
    kept = {row[0] for row in await crossing.yard.db.fetch("select token from outcome")}
    assert len(crossing.diary.batches) > 2
    # One identifier fewer is used, so the last token that was thrown away is nobody's.
    assert not kept & {one.digits for one in thrown_away[-1:] if isinstance(one, Token)}


async def test_a_database_that_goes_away_takes_both_batches_back(crossing: Crossing) -> None:
    payments = await crossing.yard.payments(TWO)
    async with crossing.held(payments):
        await crossing.yard.db.execute(END_BACKENDS)
        await until(lambda: crossing.lane.sequencer.estimated_wait == float("inf"))
    await crossing.in_order(payments)
    told = [one.token for one in await crossing.lane.decided(TWO)]
    assert len(set(told)) == TWO
    kept = {row[0] for row in await crossing.yard.db.fetch("select token from outcome")}
    assert set(told) == kept


async def test_a_lost_lease_takes_both_batches_and_whoever_waits_is_told(
    crossing: Crossing,
) -> None:
    payments = await crossing.yard.payments(TWO - 1)
    sale = a_payment(account_reference=payments[0].notice.account_reference)
    async with crossing.yard.db.transaction():
        await crossing.yard.db.execute("update sequencer_lease set owner = 'next', epoch = 9")
        crossing.lane.sequencer.offer(payments)
        asked = asyncio.create_task(crossing.lane.sequencer.sell(sale))
        await until(lambda: len(crossing.diary.batches) == 2)
    with pytest.raises(SaleUnavailable):
        await asked
    assert not crossing.lane.sequencer.running
    assert crossing.lane.sequencer.waiting == 0
    for table in ("outcome", "entry", "message"):
        assert await crossing.yard.db.fetchval(f"select count(*) from {table}") == 0


async def test_the_same_reference_in_both_batches_is_one_sale(crossing: Crossing) -> None:
    payments = await crossing.yard.payments(BATCH - 1)
    meter = payments[0].notice.account_reference
    sale = a_payment(account_reference=meter)
    again = a_payment(account_reference=meter, transaction_id=sale.notice.transaction_id)
    sell = crossing.lane.sequencer.sell
    async with crossing.yard.db.transaction():
        await crossing.yard.db.execute("select from sequencer_lease for update")
        first = asyncio.create_task(sell(sale))
        await until(lambda: len(crossing.diary.batches) == 1)
        crossing.lane.sequencer.offer(payments)
        second = asyncio.create_task(sell(again))
        await until(lambda: len(crossing.diary.batches) == 2)
    one, other = await first, await second
    assert isinstance(one, Outcome)
    assert one == other
    assert [len(batch) for batch in crossing.diary.batches] == [1, BATCH - 1]
    assert await crossing.in_order([sale, *payments])


async def test_a_stop_finishes_both_batches(crossing: Crossing) -> None:
    payments = await crossing.yard.payments(TWO)
    async with crossing.held(payments):
        crossing.lane.sequencer.stop()
    assert await crossing.in_order(payments)


async def test_everybody_in_a_large_batch_is_told_though_the_lane_stops(
    db: Connection, database: Database, clock: SettableClock
) -> None:
    """They are told after what the next batch must read is sent, which may be never."""
    async with a_yard(db, database, clock) as yard:
        lane = await yard.lane(batch_max=FLOOD_MIN)
        await until(lambda: lane.sequencer.running)
        meter = (await yard.meter()).meter_number
        sales = [a_payment(account_reference=meter) for _ in range(FLOOD_MIN)]
        lane.sequencer.pause()
        asked = [asyncio.create_task(lane.sequencer.sell(one)) for one in sales]
        await until(lambda: lane.sequencer.waiting == FLOOD_MIN)
        lane.sequencer.resume()
        lane.sequencer.stop()
        told = await asyncio.gather(*asked)
        await lane.decided(FLOOD_MIN)
    assert max(lane.batches) >= TOLD_LATER_FROM
    kept = {row[0] for row in await db.fetch("select token from outcome")}
    assert {one.token for one in told} == kept
    assert len(kept) == FLOOD_MIN


async def test_the_meters_of_a_sale_are_read_beside_whether_it_is_known(
    db: Connection, database: Database, clock: SettableClock
) -> None:
    """Neither reading waits for the other; where either fails, the batch is not decided."""
    writer = Writer(database.dsn, seconds=60)
    other = writer.beside()
    beside = Watched(other)
    deciding = partial(
        prepare, writer, in_flight=NOTHING, office=an_office(clock), now=clock(), beside=beside
    )
    async with a_yard(db, database, clock) as yard:
        sale = a_payment(account_reference=(await yard.meter()).meter_number)
        claim = Claim(payment=sale, reference=sale.notice.account_reference, stored=False)
        async with db.transaction():
            await db.execute("lock table payment, meter in access exclusive mode")
            waiting = asyncio.create_task(deciding([claim]))
            await _blocked(db, 2)
            assert beside.answering == 1
            writer.drop()
            with pytest.raises(DatabaseAway):
                await waiting
            assert beside.answering == 0
            await db.execute(END_BACKENDS)  # they do not know yet that nobody listens to them
            await _blocked(db, 0)
            waiting = asyncio.create_task(deciding([claim]))
            await _blocked(db, 2)
            other.drop()
            await until(lambda: beside.answering == 0)
            assert not waiting.done()
        with pytest.raises(DatabaseAway):
            await waiting
        ready = await deciding([claim])
        assert isinstance(ready.results[0], Outcome)
        assert beside.asked == 3
        stored = await deciding([replace(claim, stored=True)])
        assert isinstance(stored.results[0], Outcome)
        assert beside.asked == 3  # whether it is known need not be asked then
    writer.drop()
    other.drop()


async def _blocked(db: Connection, count: int) -> None:
    """Wait until so many statements wait for a lock."""
    async with asyncio.timeout(20):
        while await db.fetchval(BLOCKED) != count:
            await asyncio.sleep(0.005)


async def test_a_pause_finishes_what_is_taken_and_begins_nothing(crossing: Crossing) -> None:
    payments = await crossing.yard.payments(TWO)
    more = await crossing.yard.payments(BATCH)
    async with crossing.held(payments):
        crossing.lane.sequencer.pause()
        crossing.lane.sequencer.offer(more)
    await crossing.lane.decided(TWO)
    assert crossing.lane.sequencer.waiting == BATCH
    assert len(crossing.diary.batches) == 2
    crossing.lane.sequencer.resume()
    await crossing.lane.decided(BATCH)


async def test_a_batch_that_cannot_be_prepared_ahead_is_decided_afterwards(
    yard_with_shut_office: tuple[Yard, Lane],
) -> None:
    yard, lane = yard_with_shut_office
    payments = await yard.payments(TWO)
    lane.sequencer.offer(payments)
    await lane.decided(BATCH)
    await until(lambda: lane.sequencer.estimated_wait == float("inf"))
    assert await yard.db.fetchval("select count(*) from quarantine") == 0
    lane.sequencer.resume()
    await lane.decided(BATCH)


@pytest.fixture
async def yard_with_shut_office(
    db: Connection, database: Database, clock: SettableClock
) -> AsyncIterator[tuple[Yard, Lane]]:
    """Open an office for the first batch, shut it for two askings, and open it again."""
    office = an_office(clock)
    answers = iter([True, False, False])

    def opened() -> Office:
        if next(answers, True):
            return office
        raise OfficeClosed

    async with a_yard(db, database, clock) as yard:
        lane = await yard.lane(batch_max=BATCH, office=opened)
        await until(lambda: lane.sequencer.running)
        yield yard, lane
