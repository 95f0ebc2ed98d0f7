"""The relay against a real database and a real socket, on a clock that stands still."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from tests.carrier import Carrier, carrier
from tests.conftest import SettableClock
from tests.database import Database
from vending import metrics
from vending.config import Sms
from vending.numbering import Numbers
from vending.outbox import delivery
from vending.outbox.message import (
    BUCKETS,
    INSERT_MESSAGES,
    Answer,
    Message,
    MessageKind,
    SendResult,
    bucket_of,
    columns,
)
from vending.outbox.pacing import Pace
from vending.outbox.relay import Relay, Send
from vending.postgres.pool import Connection
from vending.postgres.writer import Writer
from vending.sms.gateway import AfricasTalkingGateway
from vending.values import replace

PACE = Pace(per_second_max=1000, attempts_max=3)


@pytest.fixture
async def fake() -> AsyncIterator[Carrier]:
    async with carrier() as running:
        yield running


@pytest.fixture
async def gateway(fake: Carrier) -> AsyncIterator[AfricasTalkingGateway]:
    opened = AfricasTalkingGateway(Sms(url=fake.url, username="utility", api_key="k"))
    yield opened
    await opened.close()


@asynccontextmanager
async def relaying(
    database: Database, clock: SettableClock, send: Send, pace: Pace = PACE, **more: Any
) -> AsyncIterator[Relay]:
    """Run a relay, and end it the hard way unless the test has stopped it."""
    relay = Relay(
        Writer(database.dsn, seconds=5),
        send=send, clock=clock, chance=random.Random(1), pace=pace, **more,
    )  # fmt: skip
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def messages(clock: SettableClock, count: int, **changes: Any) -> list[Message]:
    numbers = Numbers(clock, node=0)
    made = [
        Message(
            message_id=numbers.next(),
            payment_id=100 + place,
            kind=MessageKind.RECEIPT,
            recipient=f"+2547000000{place:02d}",
            body=f"Token:{place:04d}-0000-0000-0000-0000",
            due_at=clock.now,
        )
        for place in range(count)
    ]
    return [replace(message, **changes) for message in made]


async def stage(db: Connection, staged: list[Message]) -> list[Message]:
    for one in staged:
        await db.execute(INSERT_MESSAGES, *columns([one], due_at=one.due_at))
    return staged


async def rows(db: Connection) -> list[asyncpg.Record]:
    return await db.fetch("select * from message order by message_id")


async def states(db: Connection) -> list[str]:
    return [row["state"] for row in await rows(db)]


def answering(answer: Answer) -> Callable[[Message], Awaitable[SendResult]]:
    async def send(message: Message) -> SendResult:
        return SendResult(answer=answer, failure="told so", gateway_id=f"id-{message.message_id}")

    return send


async def test_what_is_staged_is_sent_once_with_its_own_words(
    database: Database, db: Connection, clock: SettableClock, fake: Carrier,
    gateway: AfricasTalkingGateway,
) -> None:  # fmt: skip
    staged = await stage(db, messages(clock, 70))
    async with relaying(database, clock, gateway.send) as relay:
        await relay.quiet()
    assert sorted(fake.taken) == sorted((one.recipient, one.body) for one in staged)
    for row in await rows(db):
        assert (row["state"], row["attempts"]) == ("sent", 1)
        assert row["sent_at"] == clock.now
        assert row["gateway_id"].startswith("ATXid_")


async def test_a_wake_is_enough_and_what_is_not_due_stays(
    database: Database, db: Connection, clock: SettableClock, fake: Carrier,
    gateway: AfricasTalkingGateway,
) -> None:  # fmt: skip
    async with relaying(database, clock, gateway.send) as relay:
        await relay.quiet()
        await stage(db, messages(clock, 1, due_at=clock.now + timedelta(seconds=60)))
        relay.wake()
        await relay.quiet()
        assert fake.taken == []
        clock.advance(seconds=60)
        relay.wake()
        await relay.quiet()
    assert await states(db) == ["sent"]


async def test_without_a_wake_the_relay_looks_by_itself(
    database: Database, db: Connection, clock: SettableClock, fake: Carrier,
    gateway: AfricasTalkingGateway,
) -> None:  # fmt: skip
    async with relaying(database, clock, gateway.send) as relay:
        await relay.quiet()
        await stage(db, messages(clock, 1))
        await asyncio.wait_for(fake.asked.wait(), 30)


async def test_no_more_leave_in_a_second_than_contracted(
    database: Database, db: Connection, clock: SettableClock, fake: Carrier,
    gateway: AfricasTalkingGateway,
) -> None:  # fmt: skip
    await stage(db, messages(clock, 12))
    async with relaying(database, clock, gateway.send, replace(PACE, per_second_max=5)) as relay:
        for sent in (5, 10, 12):
            await relay.quiet()
            assert len(fake.taken) == sent
            clock.advance(seconds=1)
            relay.wake()


async def test_no_more_are_in_the_air_than_allowed(
    database: Database, db: Connection, clock: SettableClock
) -> None:
    await stage(db, messages(clock, 30))
    most = 0
    flying = 0

    async def send(_message: Message) -> SendResult:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        for _ in range(10):
            await asyncio.sleep(0)
        flying -= 1
        return SendResult(answer=Answer.ACCEPTED)

    async with relaying(database, clock, send, replace(PACE, in_flight_max=4)) as relay:
        await relay.quiet()
    assert 1 < most <= 4
    assert await states(db) == ["sent"] * 30


async def test_a_refused_message_is_failed_and_never_tried_again(
    database: Database, db: Connection, clock: SettableClock, fake: Carrier,
    gateway: AfricasTalkingGateway,
) -> None:  # fmt: skip
    fake.always = 406
    await stage(db, messages(clock, 1))
    with capture_logs() as logs:
        async with relaying(database, clock, gateway.send) as relay:
            await relay.quiet()
            clock.advance(hours=5)
            relay.wake()
            await relay.quiet()
    assert len(fake.requests) == 1
    (row,) = await rows(db)
    assert (row["state"], row["last_failure"]) == ("failed", "406 Failed")
    assert row["settled_at"] is not None
    (told,) = [entry for entry in logs if entry["event"] == "outbox.message_undelivered"]
    assert told["log_level"] == "error"
    assert "+2547" not in str(logs)
    assert "Token" not in str(logs)


async def test_a_failed_try_waits_twice_as_long_each_time_and_then_is_given_up(
    database: Database, db: Connection, clock: SettableClock, fake: Carrier,
    gateway: AfricasTalkingGateway,
) -> None:  # fmt: skip
    fake.always = 407
    before = metrics.messages.labels("receipt", "given_up").value
    await stage(db, messages(clock, 1))
    waits = []
    with capture_logs() as logs:
        async with relaying(database, clock, gateway.send) as relay:
            for _ in range(3):
                await relay.quiet()
                (row,) = await rows(db)
                waits.append((row["next_attempt_at"] - clock.now).total_seconds())
                clock.now = max(clock.now, row["next_attempt_at"])
                relay.wake()
            await relay.quiet()
    assert 7.5 <= waits[0] <= 10
    assert 15 <= waits[1] <= 20
    (row,) = await rows(db)
    assert (row["state"], row["attempts"], row["last_failure"]) == ("given_up", 3, "407 Failed")
    assert len(fake.requests) == 3
    assert len({request["message"] for request in fake.requests}) == 1
    assert metrics.messages.labels("receipt", "given_up").value == before + 1
    assert [entry["state"] for entry in logs if "undelivered" in entry["event"]] == ["given_up"]


async def test_a_try_nobody_answered_is_repeated_with_the_same_digits(
    database: Database, db: Connection, clock: SettableClock, fake: Carrier
) -> None:
    fake.script = ["hang"]
    impatient = AfricasTalkingGateway(Sms(url=fake.url), seconds_max=0.2)
    await stage(db, messages(clock, 1))
    async with relaying(database, clock, impatient.send) as relay:
        await relay.quiet()
        (row,) = await rows(db)
        assert (row["state"], row["attempts"]) == ("waiting", 1)
        clock.advance(seconds=10)
        relay.wake()
        await relay.quiet()
    await impatient.close()
    first, second = fake.requests
    assert first == second
    assert await states(db) == ["sent"]


async def test_a_carrier_away_for_hours_costs_no_message_a_try(
    database: Database, db: Connection, clock: SettableClock, fake: Carrier,
    gateway: AfricasTalkingGateway,
) -> None:  # fmt: skip
    fake.always = ("http", 503)
    await stage(db, messages(clock, 40))
    with capture_logs() as logs:
        async with relaying(database, clock, gateway.send) as relay:
            await relay.quiet()
            asked_at_first = len(fake.requests)
            assert asked_at_first <= PACE.in_flight_max
            for _ in range(240):
                clock.advance(seconds=30)
                relay.wake()
                await relay.quiet()
            # One message at a time finds out, no more often than every half a minute.
            assert len(fake.requests) - asked_at_first <= 240
            assert {row["attempts"] for row in await rows(db)} == {0}
            assert set(await states(db)) == {"waiting"}
            fake.always = 101
            clock.advance(seconds=30)
            relay.wake()
            await relay.quiet()
    assert await states(db) == ["sent"] * 40
    assert len(fake.taken) == 40
    told = [entry["event"] for entry in logs if "carrier" in entry["event"]]
    assert told == ["outbox.carrier_away", "outbox.carrier_back"]


async def test_a_carrier_that_answers_nobody_is_only_probed(
    database: Database, db: Connection, clock: SettableClock
) -> None:
    await stage(db, messages(clock, 20))
    tries: list[int] = []

    async def send(message: Message) -> SendResult:
        tries.append(message.message_id)
        return SendResult(answer=Answer.RETRY, failure="TimeoutError")

    pace = replace(PACE, in_flight_max=4, attempts_max=12)
    async with relaying(database, clock, send, pace) as relay:
        await relay.quiet()
        at_first = len(tries)
        assert at_first <= 2 * pace.in_flight_max
        for probes in (1, 2, 3):
            clock.advance(seconds=5)
            relay.wake()
            await relay.quiet()
            assert len(tries) == at_first + probes


async def test_a_killed_relays_claim_lapses_and_another_sends_the_same_text(
    database: Database, db: Connection, clock: SettableClock, fake: Carrier,
    gateway: AfricasTalkingGateway,
) -> None:  # fmt: skip
    fake.script = ["hang"]
    (message,) = await stage(db, messages(clock, 1))
    async with relaying(database, clock, gateway.send):
        await asyncio.wait_for(fake.asked.wait(), 30)
    # The carrier has the message, and the relay died before it could write that down.
    (row,) = await rows(db)
    assert (row["state"], row["attempts"]) == ("waiting", 1)
    async with relaying(database, clock, gateway.send) as relay:
        await relay.quiet()
        assert len(fake.requests) == 1
        clock.advance(seconds=PACE.claim_seconds)
        relay.wake()
        await relay.quiet()
    assert {request["message"] for request in fake.requests} == {message.body}
    (row,) = await rows(db)
    assert (row["state"], row["attempts"]) == ("sent", 2)


async def test_a_relay_cut_off_from_the_database_in_mid_air_repeats_nothing_it_can_avoid(
    database: Database, db: Connection, clock: SettableClock, fake: Carrier,
    gateway: AfricasTalkingGateway,
) -> None:  # fmt: skip
    fake.script = ["hang"]
    await stage(db, messages(clock, 1))
    with capture_logs() as logs:
        async with relaying(database, clock, gateway.send) as relay:
            await asyncio.wait_for(fake.asked.wait(), 30)
            await db.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where usename = 'stima_app' and datname = current_database()"
            )
            fake.release.set()
            await relay.quiet()
    assert await states(db) == ["sent"]
    assert len(fake.requests) == 1
    # Whether the loss is seen before or while something is written is PostgreSQL's choice.
    events = [entry["event"] for entry in logs]
    assert events in ([], ["outbox.database_away", "outbox.database_back"])


async def test_a_database_that_refuses_is_asked_again_and_the_relay_lives(
    database: Database, db: Connection, clock: SettableClock, fake: Carrier,
    gateway: AfricasTalkingGateway,
) -> None:  # fmt: skip
    await stage(db, messages(clock, 1))
    await db.execute("alter table message rename to mislaid")
    refused = asyncio.Event()

    class Telling(SettableClock):
        def __call__(self) -> datetime:
            if relay._database_away:
                refused.set()
            return self.now

    with capture_logs() as logs:
        async with relaying(database, Telling(clock.now), gateway.send) as relay:
            await asyncio.wait_for(refused.wait(), 30)
            await db.execute("alter table mislaid rename to message")
            relay.wake()
            await relay.quiet()
    assert await states(db) == ["sent"]
    assert [entry["event"] for entry in logs] == ["outbox.database_away", "outbox.database_back"]


async def test_a_stop_waits_for_what_is_in_the_air_and_claims_no_more(
    database: Database, db: Connection, clock: SettableClock, fake: Carrier,
    gateway: AfricasTalkingGateway,
) -> None:  # fmt: skip
    fake.script = ["hang"]
    await stage(db, messages(clock, 2))
    async with relaying(database, clock, gateway.send, replace(PACE, in_flight_max=1)) as relay:
        await asyncio.wait_for(fake.asked.wait(), 30)
        stopping = asyncio.create_task(relay.stop(seconds=30))
        await asyncio.sleep(0)
        fake.release.set()
        await stopping
    assert sorted(await states(db)) == ["sent", "waiting"]
    assert len(fake.requests) == 1


async def test_a_stop_gives_back_what_did_not_finish_in_time(
    database: Database, db: Connection, clock: SettableClock, fake: Carrier,
    gateway: AfricasTalkingGateway,
) -> None:  # fmt: skip
    fake.script = ["hang"]
    await stage(db, messages(clock, 1))
    async with relaying(database, clock, gateway.send) as relay:
        await asyncio.wait_for(fake.asked.wait(), 30)
        await relay.stop(seconds=0)
    (row,) = await rows(db)
    # It may have left, so the try counts; and it is due at once, not when the claim lapses.
    assert (row["state"], row["attempts"], row["last_failure"]) == ("waiting", 1, "stopped")
    assert row["next_attempt_at"] == clock.now


async def test_a_stop_before_the_start_returns(database: Database, clock: SettableClock) -> None:
    relay = Relay(
        Writer(database.dsn, seconds=5), send=answering(Answer.ACCEPTED), clock=clock,
        chance=random.Random(1), pace=PACE,
    )  # fmt: skip
    await relay.stop(seconds=0)


async def test_a_stop_without_a_database_ends_all_the_same(clock: SettableClock) -> None:
    relay = Relay(
        Writer("postgresql://nobody@127.0.0.1:1/nothing", seconds=1),
        send=answering(Answer.ACCEPTED), clock=clock, chance=random.Random(1), pace=PACE,
    )  # fmt: skip
    with capture_logs() as logs:
        running = asyncio.create_task(relay.run())
        await asyncio.sleep(0)
        await relay.stop(seconds=0)
        await running
    assert [entry["event"] for entry in logs] in ([], ["outbox.database_away"])


async def test_a_sender_that_raises_costs_its_message_a_try_and_nobody_else(
    database: Database, db: Connection, clock: SettableClock
) -> None:
    staged = await stage(db, messages(clock, 3))

    async def send(message: Message) -> SendResult:
        if message.message_id == staged[1].message_id:
            raise ZeroDivisionError
        return SendResult(answer=Answer.ACCEPTED)

    async with relaying(database, clock, send) as relay:
        await relay.quiet()
    assert await states(db) == ["sent", "waiting", "sent"]
    assert (await rows(db))[1]["last_failure"] == "ZeroDivisionError"


async def test_what_the_carrier_says_is_stored_whatever_it_holds(
    database: Database, db: Connection, clock: SettableClock
) -> None:
    await stage(db, messages(clock, 1))

    async def send(_message: Message) -> SendResult:
        return SendResult(answer=Answer.RETRY, failure="a\0b\ud800" + "x" * 1000)

    async with relaying(database, clock, send) as relay:
        await relay.quiet()
    (row,) = await rows(db)
    assert row["last_failure"].startswith("ab?x")
    assert len(row["last_failure"]) < 300


async def test_two_relays_on_the_same_buckets_send_nothing_twice(
    database: Database, db: Connection, clock: SettableClock, fake: Carrier,
    gateway: AfricasTalkingGateway,
) -> None:  # fmt: skip
    await stage(db, messages(clock, 90))
    async with (
        relaying(database, clock, gateway.send) as one,
        relaying(database, clock, gateway.send) as other,
    ):
        await asyncio.gather(one.quiet(), other.quiet())
    assert len(fake.taken) == 90
    assert await states(db) == ["sent"] * 90


async def test_a_relay_leaves_other_buckets_alone(
    database: Database, db: Connection, clock: SettableClock
) -> None:
    staged = await stage(db, messages(clock, 60))
    mine = [0, 1, 2]
    async with relaying(database, clock, answering(Answer.ACCEPTED), buckets=mine) as relay:
        await relay.quiet()
    expected = ["sent" if bucket_of(one.message_id) in mine else "waiting" for one in staged]
    assert await states(db) == expected
    assert 0 < expected.count("sent") < 60


async def test_after_an_outage_the_newest_and_the_oldest_share_the_claims(
    db: Connection, clock: SettableClock
) -> None:
    old = await stage(db, messages(clock, 200))
    clock.advance(hours=2)
    new = await stage(db, messages(clock, 200))
    claimed = await delivery.claim(
        db, buckets=range(BUCKETS), now=clock.now, until=clock.now + timedelta(seconds=30),
        newest=16, oldest=16,
    )  # fmt: skip
    taken = {one.message.message_id for one in claimed}
    assert len(taken) == 32
    assert len(taken & {one.message_id for one in old}) == 16
    assert len(taken & {one.message_id for one in new}) == 16


async def test_a_claim_reads_its_index_and_never_the_whole_table(
    db: Connection, clock: SettableClock
) -> None:
    await db.execute(
        """insert into message (bucket, message_id, kind, recipient, body, state, next_attempt_at,
                                created_at)
           select number % 16, number, 'receipt', '', '', 'sent', now(), now()
             from generate_series(1, 30000) as number"""
    )
    await stage(db, messages(clock, 90))
    await db.execute("analyze message")
    plan = await db.fetch(
        "explain " + delivery.CLAIM, list(range(BUCKETS)), clock.now, clock.now, 2, 16, 16
    )
    text = "\n".join(row[0] for row in plan)
    assert (
        text.count("Index Scan using message_waiting")
        + text.count("Index Scan Backward using message_waiting")
        == 2
    ), text
    assert "Seq Scan on message" not in text


async def test_marks_planned_while_nothing_waits_still_go_by_the_key(db: Connection) -> None:
    await db.execute("set enable_seqscan = off")
    await db.execute("set plan_cache_mode = force_generic_plan")
    await db.execute(f"prepare mark as {delivery.MARK}")
    plan = await db.fetch(f"explain execute mark ({', '.join(['null'] * 10)})")
    text = "\n".join(row[0] for row in plan)
    assert "Index Scan using message_pkey on message" in text, text
    assert "message_waiting" not in text


async def test_what_a_lapsed_try_reports_is_ignored_unless_it_left(
    db: Connection, clock: SettableClock
) -> None:
    await stage(db, messages(clock, 2))
    claim: dict[str, Any] = {
        "buckets": range(BUCKETS), "now": clock.now, "until": clock.now, "newest": 16, "oldest": 16
    }  # fmt: skip
    first, second = await delivery.claim(db, **claim)
    await delivery.claim(db, **claim)  # both are claimed again
    later = clock.now + timedelta(hours=1)
    await delivery.mark(
        db,
        [
            delivery.returned(first, at=later, counted=True),
            delivery.settlement(
                second, SendResult(answer=Answer.ACCEPTED, gateway_id="late"),
                now=clock.now, pace=PACE, chance=random.Random(1),
            ),
        ],
    )  # fmt: skip
    lapsed, left = await rows(db)
    assert (lapsed["next_attempt_at"], lapsed["attempts"]) == (clock.now, 2)
    assert (left["state"], left["gateway_id"]) == ("sent", "late")


async def test_the_waiting_messages_are_counted(
    database: Database, db: Connection, clock: SettableClock
) -> None:
    await stage(db, messages(clock, 3, due_at=clock.now + timedelta(hours=1)))
    async with relaying(database, clock, answering(Answer.ACCEPTED)) as relay:
        await relay.quiet()
    assert metrics.messages_waiting._value.get() == 3
