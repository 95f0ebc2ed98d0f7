"""Webhook endpoints over HTTP: made, changed, rotated, deleted; deliveries seen and replayed."""

from typing import Any

import pytest

from tests.api.conftest import Serve
from tests.api.v1.conftest import Caller, settings
from tests.api.v1.test_callers import refused
from tests.conftest import SettableClock
from tests.database import Database
from vending.postgres.pool import Connection
from vending.vendors.credentials import Issued
from vending.webhooks import due

HOOK: dict[str, Any] = {"url": "https://till.example.com/hook?t=1", "description": "till"}


async def made(caller: Caller, **facts: Any) -> dict[str, Any]:
    reply = await caller.post("/v1/webhooks", {**HOOK, **facts})
    assert reply.status == 201, reply.body
    told: dict[str, Any] = reply.json
    assert reply.headers["Location"] == f"/v1/webhooks/{told['endpoint']}"
    return told


async def test_an_endpoint_is_made_and_its_key_told_once(acme: Caller) -> None:
    told = await made(acme, schemes=["v1", "v1a"], event_types=["sale.completed"])
    shared, public = told.pop("keys")
    assert (shared["scheme"], shared["key"][:6]) == ("v1", "whsec_")
    assert public["key"] == told["public_keys"][0]
    assert told["state"] == "enabled"
    found = (await acme.get(f"/v1/webhooks/{told['endpoint']}")).json
    assert found == told
    assert (await acme.get("/v1/webhooks")).json == {"endpoints": [found]}
    assert shared["key"] not in str(found)


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"url": "http://till.example.com/"}, "webhook_url_refused"),
        ({"url": "https://10.0.0.1/"}, "webhook_url_refused"),
        ({"url": "https://u:p@till.example.com/"}, "webhook_url_refused"),
        ({"url": "no url"}, "request_invalid"),
        ({"event_types": ["sale.completed", "sale.completed"]}, "webhook_endpoint_malformed"),
        ({"event_types": ["everything"]}, "request_invalid"),
        ({"schemes": ["v1", "v1"]}, "webhook_endpoint_malformed"),
        ({"schemes": []}, "request_invalid"),
        ({"schemes": ["md5"]}, "request_invalid"),
    ],
)
async def test_an_endpoint_that_cannot_be_is_refused(
    acme: Caller, facts: dict[str, Any], code: str
) -> None:
    reply = await acme.post("/v1/webhooks", {**HOOK, **facts})
    refused(reply, 400, code)
    assert "example" not in reply.json["detail"]


async def test_an_endpoint_is_changed_disabled_and_deleted(acme: Caller) -> None:
    place = f"/v1/webhooks/{(await made(acme))['endpoint']}"
    changed = await acme.ask("PATCH", place, {"description": "other", "enabled": False})
    assert (changed.status, changed.json["description"]) == (200, "other")
    assert (changed.json["state"], changed.json["disabled_reason"]) == ("disabled", "by_vendor")
    assert changed.json["url"] == HOOK["url"]
    refused(await acme.ask("PATCH", place, {"url": "https://localhost.localdomain:1/"}), 400,
            "webhook_url_refused")  # fmt: skip
    refused(await acme.ask("PATCH", place, {"event_types": ["float.low"] * 2}), 400,
            "webhook_endpoint_malformed")  # fmt: skip
    refused(await acme.post(f"{place}/test"), 409, "webhook_endpoint_disabled")
    gone = await acme.ask("DELETE", place)
    assert (gone.status, gone.body) == (204, b"")
    refused(await acme.ask("DELETE", place), 404, "webhook_endpoint_unknown")


async def test_a_secret_is_replaced_with_an_overlap_or_without(acme: Caller) -> None:
    first = await made(acme)
    place = f"/v1/webhooks/{first['endpoint']}/rotation"
    second = await acme.post(place, {})
    assert second.status == 200
    assert second.json["keys"][0]["key"] != first["keys"][0]["key"]
    refused(await acme.post(place, {}), 409, "webhook_rotation_under_way")
    both = await acme.post(place, {"overlap_seconds": 0, "schemes": ["v1a"]})
    assert (both.status, both.json["schemes"]) == (200, ["v1a"])
    refused(await acme.post(place, {"schemes": ["v1", "v1"]}), 400, "webhook_endpoint_malformed")


async def test_there_are_only_so_many_endpoints(
    serve: Serve, database: Database, acme_key: Issued
) -> None:
    few = settings(database)
    few["webhooks"] = {**few["webhooks"], "endpoints_max": 1}
    async with serve(**few) as served:
        acme = Caller(served, "acme", acme_key.secret)
        await made(acme)
        refused(await acme.post("/v1/webhooks", HOOK), 409, "webhook_endpoints_too_many")


async def test_secrets_that_do_not_open_are_said(
    serve: Serve, database: Database, acme_key: Issued, acme: Caller, clock: SettableClock
) -> None:
    place = f"/v1/webhooks/{(await made(acme))['endpoint']}/rotation"
    other = settings(database)
    other["webhooks"] = {**other["webhooks"], "passphrase": "another"}
    async with serve(**other) as served:
        acme = Caller(served, "acme", acme_key.secret)
        for _ in range(2):
            reply = await acme.post("/v1/webhooks", HOOK)
            refused(reply, 503, "webhook_secrets_sealed")
            assert reply.json["retry"] == "after"
        clock.advance(minutes=2)
        refused(await acme.post(place, {}), 503, "webhook_secrets_sealed")


async def test_a_test_event_is_delivered_seen_and_replayed(
    acme: Caller, office: Connection, clock: SettableClock
) -> None:
    place = f"/v1/webhooks/{(await made(acme))['endpoint']}"
    sent = await acme.post(f"{place}/test")
    assert (sent.status, sent.json["event"][:4]) == (202, "evt_")
    event = sent.json["event"]
    await spread(office, clock)
    page = (await acme.get(f"{place}/deliveries")).json
    (delivery,) = page["deliveries"]
    assert (delivery["event"], delivery["state"]) == (event, "waiting")
    assert (await acme.get(f"{place}/deliveries?state=given_up")).json["deliveries"] == []
    refused(await acme.get(f"{place}/deliveries?state=odd"), 400, "request_invalid")
    refused(await acme.get(f"{place}/deliveries/{event}"), 404, "webhook_event_unknown")
    await office.execute(
        "insert into webhook_attempt (event_id, endpoint_id, attempt, at, milliseconds, status,"
        " failure, answer) values ($1, $2, 1, $3, 40, 500, 'status', 'no')",
        int(event.removeprefix("evt_")), int(place.rsplit("_", 1)[1]), clock(),
    )  # fmt: skip
    (tried,) = (await acme.get(f"{place}/deliveries/{event}")).json["attempts"]
    assert (tried["attempt"], tried["status"], tried["answer"]) == (1, 500, "no")
    again = await acme.post(f"{place}/deliveries/{event}/replay")
    assert (again.status, again.json) == (202, {"count": 1, "next": None})
    refused(await acme.post(f"{place}/deliveries/evt_5/replay"), 404, "webhook_event_unknown")


async def test_a_time_is_replayed(acme: Caller, office: Connection, clock: SettableClock) -> None:
    place = f"/v1/webhooks/{(await made(acme))['endpoint']}"
    for _ in range(3):
        await acme.post(f"{place}/test")
    await spread(office, clock)
    await office.execute("update webhook_delivery set state = 'delivered', settled_at = $1",
                         clock())  # fmt: skip
    hour = {"since": "2026-11-22T07:30:00Z", "until": "2026-11-22T08:30:00Z"}
    assert (await acme.post(f"{place}/replay", hour)).json["count"] == 0
    everything = await acme.post(f"{place}/replay", {**hour, "delivered": True})
    assert (everything.status, everything.json) == (202, {"count": 3, "next": None})
    refused(await acme.post(f"{place}/replay", {**hour, "cursor": "x"}), 400, "cursor_malformed")
    refused(await acme.post(f"{place}/replay", {**hour, "until": "2026-11-22T07:00:00Z"}), 400,
            "request_invalid")  # fmt: skip
    await acme.ask("PATCH", place, {"enabled": False})
    refused(await acme.post(f"{place}/replay", hour), 409, "webhook_endpoint_disabled")


async def spread(db: Connection, clock: SettableClock) -> None:
    """Do what the relay does first: give each event to the endpoints that want it."""
    await due.spread(db, now=clock())
