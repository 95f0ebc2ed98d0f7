"""The relay against a real database and real sockets, on a clock that stands still."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from tests.conftest import SettableClock
from tests.database import Database
from tests.webhooks.receiver import Receiver, receiving, verifies, verify
from tests.webhooks.world import DAY, LOCAL, PASSPHRASE, World, onward, reached, relaying
from vending import metrics
from vending.config import Config, Webhooks
from vending.webhooks import deliveries, endpoints, opening, schedule
from vending.webhooks.calls import Call, Heard
from vending.webhooks.endpoint import Change, EndpointState
from vending.webhooks.event import EventType, webhook_id
from vending.webhooks.relay import Bounds
from vending.webhooks.signing import Scheme


async def test_an_event_reaches_the_endpoints_that_want_it_once_each(
    database: Database, clock: SettableClock, world: World, receiver: Receiver
) -> None:
    every, _ = await world.endpoint(receiver.url)
    sales, _ = await world.endpoint(receiver.url, event_types=("sale.completed",))
    floats, _ = await world.endpoint(receiver.url, event_types=("float.low",))
    await world.endpoint(receiver.url, vendor_id="other-vendor")
    (event,) = await world.happen()
    async with relaying(database, clock) as relay:
        await relay.quiet()
    told = [(row["event_id"], row["endpoint_id"]) for row in await world.deliveries()]
    assert told == [(event.event_id, one.endpoint_id) for one in (every, sales)]
    assert await world.states() == ["delivered"] * 2
    assert floats.endpoint_id not in {row[1] for row in told}
    assert [one.body.decode() for one in receiver.taken] == [event.body] * 2
    assert {one.webhook_id for one in receiver.taken} == {webhook_id(event.event_id)}
    assert all((one.method, one.path) == ("POST", "/hooks?of=vendor") for one in receiver.taken)
    assert {one.headers["content-type"] for one in receiver.taken} == {"application/json"}


async def test_what_arrives_is_the_event_as_it_happened_and_verifies(
    database: Database, world: World, clock: SettableClock, receiver: Receiver
) -> None:
    clock.now = datetime.now(UTC)  # the stock library looks at the machine's clock
    _, keys = await world.endpoint(receiver.url, schemes=(Scheme.V1, Scheme.V1A))
    happened = clock.now
    await world.happen()
    clock.advance(seconds=100)
    async with relaying(database, clock) as relay:
        await relay.quiet()
    (taken,) = receiver.taken
    assert [key.value[:6] for key in keys] == ["whsec_", "whpk_" + keys[1].value[5]]
    assert all(verifies(taken, key.value) for key in keys)
    payload = verify(taken, keys[0].value)
    assert payload["type"] == "sale.completed"
    assert payload["data"] == {"reference": "T-0"}
    assert datetime.fromisoformat(payload["timestamp"]) == happened
    assert taken.headers["webhook-timestamp"] == str(int(clock.now.timestamp()))


async def test_a_rotated_secret_signs_beside_the_new_one_until_the_overlap_ends(
    database: Database, world: World, clock: SettableClock, receiver: Receiver
) -> None:
    clock.now = datetime.now(UTC)
    endpoint, (old,) = await world.endpoint(receiver.url)
    _, (new,) = await endpoints.rotate(
        world.db, world.seal, vendor_id="kiosk", endpoint_id=endpoint.endpoint_id,
        overlap=timedelta(minutes=2), numbers=world.numbers, now=clock.now,
    )  # fmt: skip
    async with relaying(database, clock) as relay:
        await world.happen()
        await onward(relay, clock, minutes=1)
        await world.happen()
        await onward(relay, clock, minutes=1)
    during, after = receiver.taken
    assert len(during.signatures) == 2
    assert verifies(during, old.value)
    assert verifies(during, new.value)
    assert len(after.signatures) == 1
    assert not verifies(after, old.value)
    assert verifies(after, new.value)


async def test_a_failed_try_is_repeated_with_the_same_id_and_body_on_the_documented_schedule(
    database: Database, world: World, clock: SettableClock, receiver: Receiver
) -> None:
    receiver.always = 500
    endpoint, _ = await world.endpoint(receiver.url)
    (event,) = await world.happen()
    given_up = metrics.webhooks_given_up.labels("sale.completed")._value.get()
    with capture_logs() as logs:
        async with relaying(database, clock, bounds=Bounds(disable_after=30 * DAY)) as relay:
            await relay.quiet()
            for wait in schedule.WAITS:
                (row,) = await world.deliveries()
                assert wait <= row["next_attempt_at"] - clock.now <= wait * 5 / 4
                await onward(relay, clock, seconds=wait.total_seconds() - 0.001)
                tries = len(receiver.taken)
                await onward(relay, clock, seconds=wait.total_seconds() / 4 + 60)
                assert len(receiver.taken) == tries + 1
            await onward(relay, clock, days=30 * 365)
    assert len(receiver.taken) == schedule.ATTEMPTS_MAX
    assert {one.webhook_id for one in receiver.taken} == {webhook_id(event.event_id)}
    assert {one.body.decode() for one in receiver.taken} == {event.body}
    stamps = [int(one.headers["webhook-timestamp"]) for one in receiver.taken]
    assert stamps == sorted(set(stamps))
    (told,) = [line for line in logs if line["event"] == "webhooks.given_up"]
    assert told["endpoint_id"] == endpoint.endpoint_id
    assert receiver.url not in str(logs)
    assert metrics.webhooks_given_up.labels("sale.completed")._value.get() == given_up + 1


async def test_every_try_is_in_the_log_with_what_was_answered(
    database: Database, world: World, clock: SettableClock, receiver: Receiver
) -> None:
    receiver.script = [(503, {"X-Why": "busy"}), "drop", 204]
    endpoint, _ = await world.endpoint(receiver.url)
    (event,) = await world.happen()
    async with relaying(database, clock) as relay:
        await relay.quiet()
        await onward(relay, clock, seconds=10)
        await onward(relay, clock, seconds=60)
    told = await deliveries.attempts(
        world.db, vendor_id="kiosk", endpoint_id=endpoint.endpoint_id, event_id=event.event_id
    )
    assert [(one.attempt, one.status, one.failure, one.answer) for one in told] == [
        (1, 503, "status", "well"), (2, None, "not_http", None), (3, 204, None, None)
    ]  # fmt: skip
    assert all(one.milliseconds >= 0 for one in told)
    assert [one.at for one in told] == sorted(one.at for one in told)
    (delivery,) = await deliveries.listing(
        world.db, vendor_id="kiosk", endpoint_id=endpoint.endpoint_id, now=clock.now
    )
    assert (delivery.state, delivery.attempts, delivery.last_status) == ("delivered", 3, 204)


async def test_410_disables_the_endpoint_and_tells_the_others(
    database: Database, world: World, clock: SettableClock, receiver: Receiver
) -> None:
    disabled = metrics.webhook_endpoints_disabled.labels("gone")._value.get()
    async with receiving() as other:
        receiver.always = 410
        gone, _ = await world.endpoint(receiver.url, event_types=("sale.completed",))
        await world.endpoint(other.url, event_types=("endpoint.disabled",))
        await world.happen()
        with capture_logs() as logs:
            async with relaying(database, clock) as relay:
                await relay.quiet()
                await world.happen()
                await onward(relay, clock, days=2)
        assert len(receiver.taken) == 1
        (told,) = other.taken
    assert told.payload["data"] == {"endpoint": f"ep_{gone.endpoint_id}", "reason": "gone"}
    after = await world.find(gone)
    assert (after.state, after.disabled_reason) == (EndpointState.DISABLED, "gone")
    (line,) = [line for line in logs if line["event"] == "webhooks.endpoint_disabled"]
    assert (line["log_level"], line["vendor_id"], line["reason"]) == ("error", "kiosk", "gone")
    assert metrics.webhook_endpoints_disabled.labels("gone")._value.get() == disabled + 1


async def test_days_of_nothing_but_failure_disable_an_endpoint(
    database: Database, world: World, clock: SettableClock, receiver: Receiver
) -> None:
    receiver.always = 500
    endpoint, _ = await world.endpoint(receiver.url)
    async with relaying(database, clock, bounds=Bounds(disable_after=2 * DAY)) as relay:
        for _ in range(3):
            await world.happen()
            await onward(relay, clock, hours=20)
        assert (await world.find(endpoint)).state is EndpointState.ENABLED
        await world.happen()
        await onward(relay, clock, hours=20)
        assert (await world.find(endpoint)).disabled_reason == "failing"
        tries = len(receiver.taken)
        await world.happen()
        await onward(relay, clock, days=1)
        assert len(receiver.taken) == tries


async def test_one_delivery_ends_the_count_of_failing_days(
    database: Database, world: World, clock: SettableClock, receiver: Receiver
) -> None:
    endpoint, _ = await world.endpoint(receiver.url)
    async with relaying(database, clock, bounds=Bounds(disable_after=2 * DAY)) as relay:
        for answer in (500, 500, 204, 500, 500, 500):
            receiver.always = answer
            await world.happen()
            await onward(relay, clock, hours=20)
        after = await world.find(endpoint)
    assert after.state is EndpointState.ENABLED
    assert after.failing_since is not None
    assert after.delivered_at is not None
    assert after.failing_since > after.delivered_at


async def test_an_endpoint_that_asks_for_time_is_given_it_for_all_its_events(
    database: Database, world: World, clock: SettableClock, receiver: Receiver
) -> None:
    receiver.script = [(429, {"Retry-After": "3600"})]
    await world.endpoint(receiver.url)
    await world.happen()
    async with relaying(database, clock) as relay:
        await relay.quiet()
        await world.happen()
        await onward(relay, clock, minutes=59)
        assert len(receiver.taken) == 1
        await onward(relay, clock, minutes=2)
    assert len(receiver.taken) == 3
    assert await world.states() == ["delivered"] * 2


async def test_an_endpoint_that_hangs_holds_up_nobody_else(
    database: Database, world: World, clock: SettableClock, receiver: Receiver
) -> None:
    receiver.always = "hang"
    await world.endpoint(receiver.url)
    async with receiving() as other:
        await world.endpoint(other.url, vendor_id="other-vendor")
        await world.happen(50)
        await world.happen(50, vendor_id="other-vendor")
        bounds = Bounds(in_flight_max=8, per_endpoint_max=4)
        async with relaying(database, clock, bounds=bounds) as relay:
            await reached(lambda: len(other.taken) == 50, other.asked)
            assert receiver.flying == receiver.flying_most == 4
            assert other.flying_most <= 4
            receiver.release.set()
            receiver.always = 204
            await relay.quiet()
    assert await world.states() == ["delivered"] * 100


async def test_an_endpoint_that_fails_is_tried_by_one_event_at_a_time(
    database: Database, world: World, clock: SettableClock, receiver: Receiver
) -> None:
    receiver.always = 500
    await world.endpoint(receiver.url)
    await world.happen(50)
    async with relaying(database, clock) as relay:
        await relay.quiet()
        at_first = len(receiver.taken)
        assert at_first == 4
        for rest in (16, 32, 60, 60):
            tries = len(receiver.taken)
            await onward(relay, clock, seconds=rest)
            assert len(receiver.taken) == tries + 1
        receiver.always = 204
        await onward(relay, clock, seconds=60)
        await onward(relay, clock, hours=1)
    assert await world.states() == ["delivered"] * 50


async def test_memory_holds_no_more_than_is_in_the_air(
    database: Database, world: World, clock: SettableClock
) -> None:
    for number in range(5):
        await world.endpoint(f"https://vendor.example/{number}")
    await world.happen(300)
    most = flying = 0

    async def call(_call: Call) -> Heard:
        nonlocal most, flying
        flying += 1
        most = max(most, flying)
        for _ in range(10):
            await asyncio.sleep(0)
        flying -= 1
        return Heard(failure=None, status=204)

    bounds = Bounds(in_flight_max=16, per_endpoint_max=8)
    async with relaying(database, clock, call=call, bounds=bounds) as relay:
        await relay.quiet()
    assert 8 < most <= 16
    assert await world.states() == ["delivered"] * 1500


async def test_deliveries_that_wait_for_enabled_endpoints_are_counted(
    database: Database, world: World, clock: SettableClock, receiver: Receiver
) -> None:
    receiver.always = 500
    await world.endpoint(receiver.url)
    await world.happen(7)
    async with relaying(database, clock) as relay:
        await relay.quiet()
        await onward(relay, clock, seconds=10)
        assert metrics.webhooks_waiting._value.get() == 7
        receiver.always = 410
        await onward(relay, clock, seconds=60)
        await onward(relay, clock, seconds=10)
        assert metrics.webhooks_waiting._value.get() == 0


async def test_places_that_are_short_go_round_all_endpoints(
    database: Database, world: World, clock: SettableClock
) -> None:
    for number in range(6):
        await world.endpoint(f"https://vendor.example/{number}")
    await world.happen(20)
    seen: list[str] = []
    enough = asyncio.Event()

    async def call(call: Call) -> Heard:
        seen.append(call.url)
        enough.set()
        await asyncio.Event().wait()
        raise AssertionError

    bounds = Bounds(in_flight_max=6, per_endpoint_max=4)
    async with relaying(database, clock, call=call, bounds=bounds):
        await reached(lambda: len(seen) >= 6, enough)
    assert len(set(seen)) == 6


async def test_a_killed_relays_claim_lapses_and_another_tells_the_same(
    database: Database, world: World, clock: SettableClock, receiver: Receiver
) -> None:
    receiver.script = ["hang"]
    await world.endpoint(receiver.url)
    await world.happen()
    async with relaying(database, clock):
        await asyncio.wait_for(receiver.asked.wait(), 30)
    assert await world.states() == ["waiting"]
    async with relaying(database, clock) as relay:
        await relay.quiet()
        assert len(receiver.taken) == 1
        await onward(relay, clock, seconds=41)
    first, second = receiver.taken
    assert (first.webhook_id, first.body) == (second.webhook_id, second.body)
    (row,) = await world.deliveries()
    assert (row["state"], row["attempts"]) == ("delivered", 2)


async def test_a_stopping_relay_writes_down_what_it_broke_off_and_gives_it_back(
    database: Database, world: World, clock: SettableClock, receiver: Receiver
) -> None:
    receiver.script = ["hang"]
    endpoint, _ = await world.endpoint(receiver.url)
    await world.happen()
    async with relaying(database, clock) as relay:
        await asyncio.wait_for(receiver.asked.wait(), 30)
        await relay.stop(seconds=0)
    (attempt,) = await world.attempts()
    assert attempt["failure"] == "stopped"
    assert await world.states() == ["waiting"]
    assert (await world.find(endpoint)).failures == 0
    async with relaying(database, clock) as relay:
        await relay.quiet()
    assert await world.states() == ["delivered"]


async def test_two_relays_share_the_work_and_tell_nothing_twice(
    database: Database, world: World, clock: SettableClock, receiver: Receiver
) -> None:
    await world.endpoint(receiver.url)
    await world.happen(120)
    async with relaying(database, clock) as one, relaying(database, clock) as other:
        await asyncio.gather(one.quiet(), other.quiet())
    assert len({taken.webhook_id for taken in receiver.taken}) == 120
    assert len(receiver.taken) == 120
    assert await world.states() == ["delivered"] * 120


async def test_a_relay_that_is_cut_off_from_the_database_goes_on_when_it_is_back(
    database: Database, world: World, clock: SettableClock, receiver: Receiver
) -> None:
    await world.endpoint(receiver.url)
    name = await world.db.fetchval("select current_database()")
    with capture_logs() as logs:
        async with relaying(database, clock) as relay:
            await relay.quiet()
            await world.db.execute(f"revoke connect on database {name} from public, stima_app")
            await world.db.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
                " where usename = 'stima_app' and datname = current_database()"
            )
            await world.happen()
            async with asyncio.timeout(30):
                while not logs:
                    relay.wake()
                    await world.db.fetchval("select 1")  # gives the relay its turn
            await world.db.execute(f"grant connect on database {name} to stima_app")
            relay.wake()
            await reached(lambda: bool(receiver.taken), receiver.asked)
            await relay.quiet()
    assert await world.states() == ["delivered"]
    told = [line["event"] for line in logs if "database" in line["event"]]
    assert told == ["webhooks.database_away", "webhooks.database_back"]


async def test_with_the_wrong_passphrase_events_wait_and_it_is_said_once(
    database: Database, world: World, clock: SettableClock, receiver: Receiver
) -> None:
    await world.endpoint(receiver.url)
    await world.happen()
    with capture_logs() as logs:
        async with relaying(database, clock, passphrase="another") as relay:
            await relay.quiet()
            await onward(relay, clock, minutes=2)
    assert receiver.taken == []
    assert await world.states() == ["waiting"]
    assert [line["event"] for line in logs] == ["webhooks.secrets_sealed"]
    async with relaying(database, clock) as relay:
        await relay.quiet()
    assert len(receiver.taken) == 1


async def test_nothing_leaves_unsigned_when_a_secret_was_altered(
    database: Database, world: World, clock: SettableClock, receiver: Receiver
) -> None:
    endpoint, _ = await world.endpoint(receiver.url)
    await world.db.execute("update webhook_secret set sealed = sealed || '\\x00'")
    await world.endpoint(receiver.url)
    await world.happen()
    with capture_logs() as logs:
        async with relaying(database, clock) as relay:
            await relay.quiet()
    assert len(receiver.taken) == 1
    assert sorted(await world.states()) == ["delivered", "waiting"]
    (line,) = [line for line in logs if line["event"] == "webhooks.call_failed"]
    assert line["endpoint_id"] == endpoint.endpoint_id
    assert (await world.find(endpoint)).failures == 0


async def test_what_waits_for_a_disabled_endpoint_goes_out_when_it_is_enabled(
    database: Database, world: World, clock: SettableClock, receiver: Receiver
) -> None:
    receiver.script = [500]
    endpoint, _ = await world.endpoint(receiver.url)
    await world.happen()

    async def enable(*, enabled: bool) -> None:
        await endpoints.update(
            world.db, Change(enabled=enabled), vendor_id="kiosk",
            endpoint_id=endpoint.endpoint_id, now=clock.now, reach=LOCAL,
        )  # fmt: skip

    async with relaying(database, clock) as relay:
        await relay.quiet()
        await enable(enabled=False)
        await world.happen()
        await onward(relay, clock, hours=1)
        assert len(receiver.taken) == 1
        await enable(enabled=True)
        await onward(relay, clock, seconds=1)
    assert len(receiver.taken) == 2
    assert await world.states() == ["delivered"]


async def test_the_relay_that_the_settings_want_delivers(
    database: Database, world: World, clock: SettableClock, receiver: Receiver
) -> None:
    await world.endpoint(receiver.url)
    await world.happen()
    config = Config(webhooks=Webhooks(loopback=True, passphrase=PASSPHRASE))
    async with opening.opened(
        config, dsn=database.dsn, numbers=world.numbers, clock=clock, chance=random.Random(1)
    ) as relay:
        assert relay is not None
        running = asyncio.create_task(relay.run())
        await relay.quiet()
        await relay.stop(seconds=1)
        await running
    assert len(receiver.taken) == 1
    assert await world.states() == ["delivered"]


async def test_a_server_that_is_to_deliver_nothing_has_no_relay(
    database: Database, world: World, clock: SettableClock
) -> None:
    config = Config(webhooks=Webhooks(enabled=False))
    async with opening.opened(
        config, dsn=database.dsn, numbers=world.numbers, clock=clock, chance=random.Random(1)
    ) as relay:
        assert relay is None


@pytest.mark.parametrize("kept", [True, False])
async def test_old_events_are_forgotten_with_all_that_is_theirs(
    database: Database, world: World, clock: SettableClock, receiver: Receiver, *, kept: bool
) -> None:
    await world.endpoint(receiver.url)
    await world.happen(3, event_type=EventType.FLOAT_LOW)
    async with relaying(database, clock, bounds=Bounds(keep=30 * DAY)) as relay:
        await relay.quiet()
        await onward(relay, clock, days=29 if kept else 31)
    for table in ("webhook_event", "webhook_delivery", "webhook_attempt"):
        assert await world.db.fetchval(f"select count(*) from {table}") == (3 if kept else 0)
