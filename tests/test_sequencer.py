"""The lane itself: batches, fencing, failure by halves, and a database that comes and goes."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest

from tests.conftest import SettableClock
from tests.database import Database
from tests.offices import an_office
from tests.yard import Lane, Yard, a_yard, until
from vending.claims import Claim
from vending.lanes import SIDELINED_SHARE
from vending.numbering import Numbers
from vending.office import Office, OfficeClosed
from vending.postgres import pool
from vending.postgres.pool import Connection
from vending.postgres.writer import Writer
from vending.sweep import Sweep
from vending.tokens.special import Caps

COUNT_OUTCOMES = "select count(*) from outcome"


@pytest.fixture
async def yard(db: Connection, database: Database, clock: SettableClock) -> AsyncIterator[Yard]:
    async with a_yard(db, database, clock) as yard:
        yield yard


async def test_what_gathers_while_a_batch_commits_goes_into_the_next(yard: Yard) -> None:
    lane = await yard.lane(running=False)
    payments = await yard.payments(30)
    lane.sequencer.offer(payments)
    await yard.run(lane)
    assert len(await lane.decided(30)) == 30
    assert lane.batches == [30]


async def test_a_batch_is_never_larger_than_its_limit(yard: Yard) -> None:
    lane = await yard.lane(running=False, batch_max=10)
    lane.sequencer.offer(await yard.payments(25))
    await yard.run(lane)
    await lane.decided(25)
    assert lane.batches == [10, 10, 5]


async def test_a_payment_handed_over_twice_is_vended_once(yard: Yard) -> None:
    lane = await yard.lane(running=False)
    payments = await yard.payments(3)
    lane.sequencer.offer(payments)
    lane.sequencer.offer(payments)
    lane.sequencer.offer_swept(
        Claim(payment=one, reference=one.notice.account_reference) for one in payments
    )
    await yard.run(lane)
    await lane.decided(3)
    assert await yard.db.fetchval(COUNT_OUTCOMES) == 3
    assert lane.sequencer.waiting == 0


async def test_a_swept_payment_that_was_decided_meanwhile_keeps_its_outcome(yard: Yard) -> None:
    lane = await yard.lane()
    payments = await yard.payments(2)
    lane.sequencer.offer(payments)
    first = await lane.decided(2)
    lane.sequencer.offer_swept(
        Claim(payment=one, reference=one.notice.account_reference) for one in payments
    )
    assert await lane.decided(2) == first
    lane.sequencer.offer(payments)  # a hand-over that comes late finds the ledger in its way
    assert await lane.decided(2) == first
    assert await yard.db.fetchval("select count(*) from quarantine") == 0


async def test_the_backlog_has_its_share_while_live_payments_wait(yard: Yard) -> None:
    lane = await yard.lane(running=False, batch_max=10)
    live, left = await yard.payments(20), await yard.payments(20)
    lane.sequencer.offer_swept(
        Claim(payment=one, reference=one.notice.account_reference) for one in left
    )
    lane.sequencer.offer(live)
    await yard.run(lane)
    first = {one.payment_id for one in (await lane.decided(10))[:10]}
    assert len(first & {one.payment_id for one in left}) == int(10 * SIDELINED_SHARE)


class PoisonError(Exception):
    """What a payment that always breaks the batch would raise."""


async def test_a_poison_payment_is_put_aside_alone(yard: Yard) -> None:
    payments = await yard.payments(40)
    poison = payments[17]
    await yard.db.execute(
        f"alter table outcome add constraint no_poison check (payment_id <> {poison.payment_id})"
    )
    lane = await yard.lane(running=False)
    lane.sequencer.offer(payments)
    await yard.run(lane)
    outcomes = await lane.decided(39)
    assert poison.payment_id not in {one.payment_id for one in outcomes}
    await until(lambda: lane.sequencer.waiting == 0)
    row = await yard.db.fetchrow("select payment_id, reason, transaction_id from quarantine")
    assert row is not None
    assert tuple(row) == (
        poison.payment_id,
        "cannot_be_vended",
        poison.notice.transaction_id,
    )


async def test_a_payment_that_is_released_and_breaks_again_waits_again(yard: Yard) -> None:
    (poison,) = await yard.payments(1)
    await yard.db.execute(
        f"alter table outcome add constraint no_poison check (payment_id <> {poison.payment_id})"
    )
    waiting = "select count(*) from quarantine where payment_id = $1 and resolved_at is null"
    lane = await yard.lane()
    for _ in range(2):
        lane.sequencer.offer([poison])
        while not await yard.db.fetchval(waiting, poison.payment_id):
            await asyncio.sleep(0.01)
        await yard.db.execute("update quarantine set resolved_at = now(), resolved_by = 'amina'")
    lane.sequencer.offer(more := await yard.payments(1))
    assert [one.payment_id for one in await lane.decided(1)] == [more[0].payment_id]


async def test_any_error_of_the_story_stops_one_payment_and_not_the_lane(yard: Yard) -> None:
    (payment,) = await yard.payments(1)
    office = an_office(yard.clock)
    broken = [True]

    def opened() -> Office:
        if broken[0]:
            raise PoisonError
        return office

    lane = await yard.lane(office=opened)
    lane.sequencer.offer([payment])
    await until(lambda: lane.sequencer.waiting == 0)
    broken[0] = False
    lane.sequencer.offer(await yard.payments(1))
    await lane.decided(1)
    assert await yard.db.fetchval("select detail from quarantine") == "PoisonError"


async def test_one_of_two_servers_vends_and_the_other_stands_by(yard: Yard) -> None:
    one = await yard.lane(owner="one")
    await until(lambda: one.sequencer.running)
    two = await yard.lane(owner="two")
    one.sequencer.offer(await yard.payments(1))
    await one.decided(1)
    assert not two.sequencer.running
    assert two.sequencer.room() == 0


async def test_the_stand_by_takes_over_when_the_owner_gives_up(yard: Yard) -> None:
    one = await yard.lane(owner="one", lease_seconds=2)
    await until(lambda: one.sequencer.running)
    two = await yard.lane(owner="two", lease_seconds=2)
    one.sequencer.stop()
    await until(lambda: two.sequencer.running)
    two.sequencer.offer(await yard.payments(1))
    await two.decided(1)


async def test_a_former_owner_that_wakes_up_writes_nothing(yard: Yard) -> None:
    late = await yard.lane(owner="late")
    await until(lambda: late.sequencer.running)
    late.sequencer.pause()
    await yard.db.execute("update sequencer_lease set owner = 'next', epoch = epoch + 1")
    late.sequencer.offer(await yard.payments(5))
    late.sequencer.resume()
    await until(lambda: not late.sequencer.running)
    assert await yard.db.fetchval(COUNT_OUTCOMES) == 0
    assert late.sequencer.waiting == 0


async def test_a_restart_under_the_same_name_does_not_wait_for_its_own_lease(yard: Yard) -> None:
    await yard.db.execute(
        "insert into sequencer_lease values (0, 'one', 7, now() + interval '1 hour')"
    )
    lane = await yard.lane(owner="one")
    await until(lambda: lane.sequencer.running)
    assert await yard.db.fetchval("select epoch from sequencer_lease") == 8


async def test_an_idle_owner_keeps_its_lease(yard: Yard) -> None:
    lane = await yard.lane(lease_seconds=2)
    await until(lambda: lane.sequencer.running)
    read = "select expires_at from sequencer_lease"
    before = await yard.db.fetchval(read)
    async with asyncio.timeout(20):
        while await yard.db.fetchval(read) == before:
            await asyncio.sleep(0.05)
    assert lane.sequencer.running


async def test_a_paused_lane_takes_in_and_vends_when_it_goes_on(yard: Yard) -> None:
    lane = await yard.lane()
    await until(lambda: lane.sequencer.running)
    lane.sequencer.pause()
    lane.sequencer.offer(await yard.payments(4))
    await asyncio.sleep(0.05)
    assert (lane.sequencer.waiting, await yard.db.fetchval(COUNT_OUTCOMES)) == (4, 0)
    lane.sequencer.resume()
    await lane.decided(4)


async def test_a_lost_connection_loses_no_payment_and_vends_none_twice(yard: Yard) -> None:
    lane = await yard.lane(batch_max=5)
    payments = await yard.payments(200)
    lane.sequencer.offer(payments)
    for _ in range(10):
        await yard.db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        await asyncio.sleep(0.02)
    async with asyncio.timeout(30):
        while await yard.db.fetchval(COUNT_OUTCOMES) < 200:
            await asyncio.sleep(0.02)
    tids = await yard.db.fetchval("select count(distinct tid) from outcome")
    assert tids == 200
    assert await yard.db.fetchval("select sum(amount_minor) from posting") == 0


async def test_a_batch_that_is_given_up_cannot_be_written_late(
    yard: Yard, database: Database
) -> None:
    """Its statement hangs before it has moved the lease; by the time it may, the epoch has."""
    lane = await yard.lane(seconds=1.0)
    await until(lambda: lane.sequencer.running)
    before = await yard.db.fetchval("select epoch from sequencer_lease")
    payments = await yard.payments(2)
    other = await asyncpg.connect(database.dsn)
    try:
        async with other.transaction():
            await other.execute("lock table outcome in share row exclusive mode")
            lane.sequencer.offer(payments[:1])
            async with asyncio.timeout(20):
                while await yard.db.fetchval("select epoch from sequencer_lease") == before:
                    await asyncio.sleep(0.01)
            lane.sequencer.offer(payments[1:])
    finally:
        await other.close()
    await lane.decided(2)
    energies = await yard.db.fetch("select energy_wh from outcome")
    used = await yard.db.fetchval("select month_energy_wh from meter_state")
    assert [len(energies), sum(row["energy_wh"] for row in energies)] == [2, used]


async def test_stopping_finishes_what_is_in_hand(yard: Yard) -> None:
    lane = await yard.lane(batch_max=7)
    await until(lambda: lane.sequencer.running)
    lane.sequencer.offer(await yard.payments(50))
    lane.sequencer.stop()
    await lane.decided(50)


@asynccontextmanager
async def _sweeping(
    yard: Yard, lane: Lane, *, numbers: Numbers | None = None
) -> AsyncIterator[Sweep]:
    async with pool.create(yard.database.dsn, size=2) as readers:
        sweep = Sweep(
            readers,
            lane.sequencer,
            writer=Writer(yard.database.dsn, seconds=5.0),
            wording=an_office(yard.clock).wording,
            clock=yard.clock,
            numbers=numbers or Numbers(yard.clock, node=1),
            every=timedelta(milliseconds=10),
            caps=Caps(tokens=20, energy_wh=500_000),
        )
        task = asyncio.create_task(sweep.run())
        yield sweep
        sweep.stop()
        await task


async def test_the_sweep_finds_what_a_crash_left_behind(yard: Yard) -> None:
    payments = await yard.payments(30)
    yard.clock.advance(seconds=2)
    lane = await yard.lane(batch_max=8)
    async with _sweeping(yard, lane):
        outcomes = await lane.decided(30)
    assert {one.payment_id for one in outcomes} == {one.payment_id for one in payments}


async def test_what_is_stored_while_the_clock_is_set_back_is_found(yard: Yard) -> None:
    """Our numbers never go back, so such a payment is numbered ahead of the clock."""
    numbers = Numbers(yard.clock, node=1)
    numbers.next()
    lane = await yard.lane()
    async with _sweeping(yard, lane, numbers=numbers):
        for step in (-3600, 7200, -3600):
            yard.clock.advance(seconds=step)
            (payment,) = await yard.payments(1, number=numbers.next)
            yard.clock.advance(seconds=2)
            (outcome,) = await lane.decided(1)
            assert outcome.payment_id == payment.payment_id


async def test_a_waiting_payment_that_is_asked_for_is_fetched_from_the_disk(yard: Yard) -> None:
    lane = await yard.lane()
    await until(lambda: lane.sequencer.running)
    (payment,) = await yard.payments(1)  # too young for the sweep: the clock stands still
    lane.sequencer.bump(payment.payment_id)
    async with _sweeping(yard, lane):
        (outcome,) = await lane.decided(1)
    assert outcome.payment_id == payment.payment_id


async def test_the_sweep_leaves_quarantined_payments_to_people(yard: Yard) -> None:
    held, free = await yard.payments(2)
    yard.clock.advance(seconds=2)
    await yard.db.execute(
        "insert into quarantine values (1, 'mpesa', 'cannot_be_vended', '', $1, '', '', '', now())",
        held.payment_id,
    )
    lane = await yard.lane()
    async with _sweeping(yard, lane):
        (outcome,) = await lane.decided(1)
        assert outcome.payment_id == free.payment_id
        await yard.db.execute("update quarantine set resolved_at = now(), resolved_by = 'Achieng'")
        yard.clock.advance(minutes=6)  # the occasional look reaches further back
        while outcome.payment_id == free.payment_id:  # a sweep that had read before its decision
            (outcome,) = await lane.decided(1)
    assert outcome.payment_id == held.payment_id


async def test_the_sweep_brings_requests_to_reassign(yard: Yard) -> None:
    meter = await yard.meter()
    (payment,) = await yard.payments(1)
    yard.clock.advance(seconds=2)
    await yard.db.execute("update payment set account_reference = '1'")  # as if mistyped
    lane = await yard.lane()
    async with _sweeping(yard, lane):
        (refused,) = await lane.decided(1)
        assert str(refused.kind) == "refund_due"
        await yard.db.execute(
            "insert into reassignment values (1, $1, $2, 'Otieno', 'typed wrong', now())",
            payment.payment_id, meter.meter_number,
        )  # fmt: skip
        (sold,) = await lane.decided(1)
        while str(sold.kind) == "refund_due":  # a sweep that had read before the first decision
            (sold,) = await lane.decided(1)
    assert (str(sold.kind), sold.meter_number) == ("token_issued", meter.meter_number)


async def test_the_sweep_outlives_a_database_that_goes_away(yard: Yard) -> None:
    lane = await yard.lane()
    await until(lambda: lane.sequencer.running)
    async with _sweeping(yard, lane):
        await yard.db.execute("alter table outcome rename to outcome_gone")
        await asyncio.sleep(0.05)
        await yard.db.execute("alter table outcome_gone rename to outcome")
        await yard.payments(1)
        yard.clock.advance(seconds=2)
        await lane.decided(1)


async def test_whoever_waits_long_is_told_once_that_the_token_is_coming(yard: Yard) -> None:
    await yard.payments(1)
    lane = await yard.lane()
    await until(lambda: lane.sequencer.running)
    lane.sequencer.pause()
    yard.clock.advance(seconds=90)
    async with _sweeping(yard, lane):
        async with asyncio.timeout(20):
            while not await yard.db.fetchval("select count(*) from message"):
                await asyncio.sleep(0.01)
        yard.clock.advance(minutes=2)
        lane.sequencer.resume()
        await lane.decided(1)
    kinds = await yard.db.fetch("select kind from message order by created_at")
    assert [row["kind"] for row in kinds] == ["coming", "receipt"]


async def test_whoever_has_waited_long_is_told_nothing_when_the_token_comes_at_once(
    yard: Yard,
) -> None:
    payments = await yard.payments(40)
    yard.clock.advance(seconds=90)
    lane = await yard.lane(batch_max=10)
    await until(lambda: lane.sequencer.running)
    async with _sweeping(yard, lane):
        await lane.decided(len(payments))
    assert {row["kind"] for row in await yard.db.fetch("select kind from message")} == {"receipt"}


async def test_a_stop_while_paused_leaves_its_payments_to_the_next_start(yard: Yard) -> None:
    lane = await yard.lane()
    await until(lambda: lane.sequencer.running)
    lane.sequencer.pause()
    payments = await yard.payments(3)
    lane.sequencer.offer(payments)
    lane.sequencer.stop()
    await until(lambda: not lane.sequencer.running)
    assert await yard.db.fetchval(COUNT_OUTCOMES) == 0
    assert await yard.db.fetchval("select count(*) from quarantine") == 0
    yard.clock.advance(seconds=2)
    after = await yard.lane()
    async with _sweeping(yard, after):
        await after.decided(3)


async def test_a_closed_office_pauses_the_lane_and_quarantines_nothing(yard: Yard) -> None:
    office = an_office(yard.clock)
    shut = [True]

    def opened() -> Office:
        if shut[0]:
            raise OfficeClosed
        return office

    lane = await yard.lane(office=opened)
    lane.sequencer.offer(await yard.payments(4))
    await until(lambda: lane.sequencer.running)
    await until(lambda: lane.sequencer.estimated_wait == math.inf)
    shut[0] = False
    lane.sequencer.resume()
    await lane.decided(4)
    assert await yard.db.fetchval("select count(*) from quarantine") == 0
