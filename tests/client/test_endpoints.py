"""Webhooks by the client: endpoints, their keys, the log of deliveries, and sending again."""

from datetime import timedelta
from typing import Any

import pytest

from tests.client.between import Between, Loss
from tests.conftest import SettableClock
from vending.client import OutcomeUnknown, Refused
from vending.postgres.pool import Connection
from vending.webhooks import deliveries, due

URL = "https://till.example.com/hook"


async def test_an_endpoint_is_added_and_its_keys_are_shown_once(acme: Any) -> None:
    made = await acme.add_endpoint(
        URL, description="till", event_types=["sale.completed"], schemes=["v1", "v1a"]
    )
    shared, public = made.keys
    assert (shared.key[:6], public.key) == ("whsec_", made.public_keys[0])
    assert shared.key not in repr(made)
    found = await acme.endpoint(made.endpoint)
    assert await acme.endpoints() == [found]
    assert (found.url, found.description, found.event_types) == (URL, "till", ["sale.completed"])
    assert not hasattr(found, "keys")


async def test_an_endpoint_is_changed_and_removed(acme: Any) -> None:
    name = (await acme.add_endpoint(URL)).endpoint
    changed = await acme.change_endpoint(name, description="other", enabled=False)
    assert (changed.description, changed.state, changed.url) == ("other", "disabled", URL)
    assert await acme.change_endpoint(name, event_types=["float.low"], enabled=True)
    assert await acme.remove_endpoint(name) is None
    assert await acme.endpoints() == []
    with pytest.raises(Refused) as gone:
        await acme.remove_endpoint(name)
    assert gone.value.code == "webhook_endpoint_unknown"


async def test_keys_are_replaced_with_an_overlap_or_at_once(acme: Any) -> None:
    first = await acme.add_endpoint(URL)
    second = await acme.rotate_endpoint(first.endpoint)
    assert second.keys[0].key != first.keys[0].key
    with pytest.raises(Refused) as under_way:
        await acme.rotate_endpoint(first.endpoint)
    assert under_way.value.code == "webhook_rotation_under_way"
    third = await acme.rotate_endpoint(first.endpoint, schemes=["v1a"], overlap_seconds=0)
    assert third.schemes == ["v1a"]


@pytest.mark.parametrize("does", ["add", "rotate"])
async def test_what_cannot_be_told_twice_is_not_asked_twice(
    acme: Any, path: Between, does: str
) -> None:
    name = (await acme.add_endpoint(URL)).endpoint
    asked = len(path.seen)
    path.trouble.append(Loss.ANSWER)
    with pytest.raises(OutcomeUnknown):
        if does == "add":
            await acme.add_endpoint(URL)
        else:
            await acme.rotate_endpoint(name)
    assert len(path.seen) == asked + 1
    assert len(await acme.endpoints()) == {"add": 2, "rotate": 1}[does]


@pytest.mark.parametrize("lost", Loss)
async def test_a_removal_whose_answer_is_lost_is_done_all_the_same(
    acme: Any, path: Between, lost: Loss
) -> None:
    name = (await acme.add_endpoint(URL)).endpoint
    path.trouble.extend([None, lost, lost])
    assert await acme.remove_endpoint(name) is None
    assert await acme.endpoints() == []


async def test_a_url_that_events_may_not_go_to_is_refused(acme: Any) -> None:
    with pytest.raises(Refused) as refused:
        await acme.add_endpoint("https://10.0.0.1/")
    assert refused.value.code == "webhook_url_refused"


async def test_an_event_is_seen_in_the_log_and_sent_again(
    acme: Any, path: Between, office: Connection, clock: SettableClock
) -> None:
    name = (await acme.add_endpoint(URL)).endpoint
    event = await acme.send_test(name)
    await due.spread(office, now=clock())
    (delivery,) = [one async for one in acme.deliveries(name)]
    assert (delivery.event, delivery.state, delivery.event_type) == (
        event, "waiting", "endpoint.test",
    )  # fmt: skip
    assert [one async for one in acme.deliveries(name, state="given_up")] == []
    await office.execute(
        "insert into webhook_attempt (event_id, endpoint_id, attempt, at, milliseconds, status,"
        " failure, answer) values ($1, $2, 1, $3, 40, 500, 'status', 'no')",
        int(event.removeprefix("evt_")), int(name.removeprefix("ep_")), clock(),
    )  # fmt: skip
    (tried,) = await acme.attempts(name, event)
    assert (tried.attempt, tried.status, tried.answer) == (1, 500, "no")
    path.trouble.append(Loss.ANSWER)
    assert await acme.replay_event(name, event) is None
    with pytest.raises(Refused) as unknown:
        await acme.replay_event(name, "evt_5")
    assert unknown.value.code == "webhook_event_unknown"


async def test_the_log_is_read_over_its_pages(
    acme: Any, office: Connection, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vending.client.methods.PAGE", 2)
    name = (await acme.add_endpoint(URL)).endpoint
    events = [await acme.send_test(name) for _ in range(5)]
    await due.spread(office, now=clock())
    assert [one.event async for one in acme.deliveries(name)] == events[::-1]


async def test_a_time_is_sent_again_to_its_end(
    acme: Any, office: Connection, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "REPLAY_MAX", 2)
    name = (await acme.add_endpoint(URL)).endpoint
    for _ in range(5):
        await acme.send_test(name)
    await due.spread(office, now=clock())
    await office.execute(
        "update webhook_delivery set state = 'delivered', settled_at = $1", clock()
    )
    hour = {"since": clock() - timedelta(hours=1), "until": clock() + timedelta(hours=1)}
    assert await acme.replay(name, **hour) == 0
    assert await acme.replay(name, **hour, delivered=True) == 5
