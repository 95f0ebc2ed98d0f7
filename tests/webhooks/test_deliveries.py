"""What a vendor sees of its deliveries, and what it may ask for again."""

from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import SettableClock
from tests.database import Database
from tests.webhooks.receiver import Receiver
from tests.webhooks.world import DAY, PUBLIC, World, onward, relaying
from vending.webhooks import deliveries, due, endpoints
from vending.webhooks.deliveries import REPLAY_MAX, Replayed, WebhookEventUnknown
from vending.webhooks.endpoint import (
    Change,
    Endpoint,
    WebhookEndpointDisabled,
    WebhookEndpointUnknown,
)
from vending.webhooks.event import EventType, webhook_id


def asked(world: World, endpoint: Endpoint) -> dict[str, Any]:
    return {
        "vendor_id": endpoint.vendor_id, "endpoint_id": endpoint.endpoint_id,
        "now": world.clock.now,
    }  # fmt: skip


async def enable(world: World, endpoint: Endpoint, *, enabled: bool) -> None:
    await endpoints.update(
        world.db, Change(enabled=enabled), **asked(world, endpoint), reach=PUBLIC
    )


async def test_deliveries_come_newest_first_in_pages(world: World) -> None:
    endpoint, _ = await world.endpoint()
    events = await world.happen(5)
    await due.spread(world.db, now=world.clock.now)
    first = await deliveries.listing(world.db, **asked(world, endpoint), limit=3)
    rest = await deliveries.listing(
        world.db, **asked(world, endpoint), before=first[-1].event_id, limit=3
    )
    told = [one.event_id for one in (*first, *rest)]
    assert told == [event.event_id for event in reversed(events)]
    assert {(one.state, one.attempts, one.last_at) for one in first} == {("waiting", 0, None)}
    assert first[0].next_attempt_at == first[0].occurred_at == world.clock.now
    none = await deliveries.listing(world.db, **asked(world, endpoint), state="delivered")
    assert none == []
    assert len(await deliveries.listing(world.db, **asked(world, endpoint), limit=-1)) == 1


async def test_the_deliveries_of_an_unknown_endpoint_are_refused(world: World) -> None:
    with pytest.raises(WebhookEndpointUnknown):
        await deliveries.listing(world.db, vendor_id="kiosk", endpoint_id=1, now=world.clock.now)


async def test_one_event_is_replayed_with_its_id_and_its_body(
    database: Database, world: World, clock: SettableClock, receiver: Receiver
) -> None:
    endpoint, _ = await world.endpoint(receiver.url)
    (event,) = await world.happen()
    async with relaying(database, clock) as relay:
        await relay.quiet()
        await deliveries.replay(world.db, **asked(world, endpoint), event_id=event.event_id)
        await onward(relay, clock, seconds=1)
    first, second = receiver.taken
    assert (first.webhook_id, first.body) == (second.webhook_id, second.body)
    (row,) = await world.deliveries()
    assert (row["state"], row["attempts"]) == ("delivered", 2)
    assert len(await world.attempts()) == 2


async def test_a_replayed_event_is_tried_by_the_whole_schedule_again(
    database: Database, world: World, clock: SettableClock, receiver: Receiver
) -> None:
    receiver.always = 500
    endpoint, _ = await world.endpoint(receiver.url)
    (event,) = await world.happen()
    async with relaying(database, clock) as relay:
        for _ in range(3):
            await onward(relay, clock, hours=1)
        (row,) = await world.deliveries()
        assert row["next_attempt_at"] - clock.now >= timedelta(minutes=5)
        await deliveries.replay(world.db, **asked(world, endpoint), event_id=event.event_id)
        await onward(relay, clock, seconds=0)
        (row,) = await world.deliveries()
    assert row["attempts"] == 4
    assert row["next_attempt_at"] - clock.now < timedelta(seconds=7)


async def test_an_event_that_is_unknown_or_anothers_is_not_replayed(world: World) -> None:
    endpoint, _ = await world.endpoint()
    (theirs,) = await world.happen(vendor_id="other-vendor")
    for event_id in (theirs.event_id, 1):
        with pytest.raises(WebhookEventUnknown):
            await deliveries.replay(world.db, **asked(world, endpoint), event_id=event_id)


async def test_a_disabled_endpoint_is_sent_nothing_again(world: World) -> None:
    endpoint, _ = await world.endpoint()
    (event,) = await world.happen()
    await enable(world, endpoint, enabled=False)
    now = world.clock.now
    window: dict[str, Any] = {"since": now - DAY, "until": now + DAY}
    for refused in (
        deliveries.replay(world.db, **asked(world, endpoint), event_id=event.event_id),
        deliveries.replay_undelivered(world.db, **asked(world, endpoint), **window),
        deliveries.send_test(world.db, **asked(world, endpoint), numbers=world.numbers),
    ):
        with pytest.raises(WebhookEndpointDisabled):
            await refused


async def test_what_did_not_arrive_in_a_window_is_replayed_and_no_more(
    database: Database, world: World, clock: SettableClock, receiver: Receiver
) -> None:
    endpoint, _ = await world.endpoint(receiver.url, event_types=("sale.completed",))
    async with relaying(database, clock) as relay:
        (arrived,) = await world.happen()
        await onward(relay, clock, hours=1)
        since = clock.now
        (inside,) = await world.happen()
        await onward(relay, clock, seconds=1)
        await enable(world, endpoint, enabled=False)
        (missed,) = await world.happen()
        await world.happen(event_type=EventType.FLOAT_LOW)
        await world.happen(vendor_id="other-vendor")
        await onward(relay, clock, hours=1)
        until = clock.now
        (late,) = await world.happen()
        await onward(relay, clock, seconds=1)
        await enable(world, endpoint, enabled=True)
        done = len(receiver.taken)
        window: dict[str, Any] = {"since": since, "until": until}
        again = await deliveries.replay_undelivered(world.db, **asked(world, endpoint), **window)
        await onward(relay, clock, seconds=1)
        assert again == Replayed(count=1, after=None)
        assert [one.webhook_id for one in receiver.taken[done:]] == [webhook_id(missed.event_id)]
        every = await deliveries.replay_all(world.db, **asked(world, endpoint), **window)
        await onward(relay, clock, seconds=1)
    assert every == Replayed(count=2, after=None)
    told = {one.webhook_id for one in receiver.taken[done + 1 :]}
    assert told == {webhook_id(inside.event_id), webhook_id(missed.event_id)}
    assert {arrived.event_id, late.event_id}.isdisjoint({inside.event_id, missed.event_id})


async def test_a_long_replay_goes_on_from_where_it_was(world: World) -> None:
    endpoint, _ = await world.endpoint()
    await world.happen(REPLAY_MAX + 5)
    while await due.spread(world.db, now=world.clock.now):
        pass
    await world.db.execute("update webhook_delivery set state = 'given_up'")
    now = world.clock.now
    window: dict[str, Any] = {"since": now, "until": now + DAY}
    first = await deliveries.replay_undelivered(world.db, **asked(world, endpoint), **window)
    assert first.count == REPLAY_MAX
    assert first.after is not None
    rest = await deliveries.replay_undelivered(
        world.db, **asked(world, endpoint), **window, after=first.after
    )
    assert rest == Replayed(count=5, after=None)
    assert set(await world.states()) == {"waiting"}


async def test_a_test_event_reaches_its_endpoint_alone_whatever_that_wants(
    database: Database, world: World, clock: SettableClock, receiver: Receiver
) -> None:
    endpoint, _ = await world.endpoint(receiver.url, event_types=("float.low",))
    await world.endpoint(receiver.url)
    event_id = await deliveries.send_test(world.db, **asked(world, endpoint), numbers=world.numbers)
    async with relaying(database, clock) as relay:
        await relay.quiet()
    (taken,) = receiver.taken
    assert taken.webhook_id == webhook_id(event_id)
    assert taken.payload["type"] == "endpoint.test"
    assert taken.payload["data"] == {"endpoint": f"ep_{endpoint.endpoint_id}"}


async def test_a_claim_and_a_page_go_by_their_indexes(world: World) -> None:
    endpoint, _ = await world.endpoint()
    await world.db.execute(
        """insert into webhook_delivery (event_id, endpoint_id, state, next_attempt_at, created_at)
           select number, $1, 'delivered', $2, $2 from generate_series(1, 30000) as number""",
        endpoint.endpoint_id, world.clock.now,
    )  # fmt: skip
    await world.happen(10)
    await due.spread(world.db, now=world.clock.now)
    await world.db.execute("analyze webhook_delivery")
    now = world.clock.now
    claim = await world.db.fetch("explain " + due.CLAIM, now, now, [], [], 4, 64)
    page = await world.db.fetch(
        "explain " + deliveries.LIST, "kiosk", endpoint.endpoint_id, None, None, 50
    )
    assert "webhook_delivery_waiting" in str(claim)
    assert "Seq Scan on webhook_delivery" not in str([*claim, *page])
