"""A vendor's endpoints: its own, within their limits, and nobody else's."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from tests.conftest import SettableClock
from tests.database import Database
from tests.webhooks.world import LOCAL, PASSPHRASE, PUBLIC, World
from vending.postgres import pool
from vending.webhooks import deliveries, due, endpoints, sealing
from vending.webhooks.addresses import WebhookUrlRefused
from vending.webhooks.endpoint import (
    Change,
    DisabledReason,
    Draft,
    Endpoint,
    EndpointState,
    WebhookEndpointMalformed,
    WebhookEndpointsTooMany,
    WebhookEndpointUnknown,
    WebhookRotationUnderWay,
)
from vending.webhooks.sealing import Seal, WebhookSecretsSealed
from vending.webhooks.signing import Scheme, shown

URL = "https://vendor.example/hooks?secret=kiosk-path-secret"


async def live(world: World, endpoint: Endpoint) -> list[str]:
    """Return what verifies now, as the relay would sign."""
    ids = [endpoint.endpoint_id]
    found = await due.signers(world.db, world.seal, ids, now=world.clock.now)
    return [shown(secret) for secret in found.get(endpoint.endpoint_id, [])]


async def rotate(world: World, endpoint: Endpoint, **changes: Any) -> list[str]:
    more: dict[str, Any] = {"overlap": timedelta(hours=24)} | changes
    _, keys = await endpoints.rotate(
        world.db, world.seal, vendor_id=endpoint.vendor_id, endpoint_id=endpoint.endpoint_id,
        numbers=world.numbers, now=world.clock.now, **more,
    )  # fmt: skip
    return [key.value for key in keys]


async def update(world: World, endpoint: Endpoint, **changes: Any) -> Endpoint:
    return await endpoints.update(
        world.db, Change(**changes), vendor_id=endpoint.vendor_id,
        endpoint_id=endpoint.endpoint_id, now=world.clock.now, reach=PUBLIC,
    )  # fmt: skip


async def test_an_endpoint_is_as_it_was_described(world: World) -> None:
    made, keys = await world.endpoint(
        URL, description="till 4", event_types=("sale.completed",),
        schemes=(Scheme.V1, Scheme.V1A),
    )  # fmt: skip
    assert [key.scheme for key in keys] == ["v1", "v1a"]
    found = await world.find(made)
    assert found == made
    assert (found.url, found.description) == (URL, "till 4")
    assert (found.event_types, found.schemes) == (("sale.completed",), ("v1", "v1a"))
    assert found.state is EndpointState.ENABLED
    assert found.public_keys == (keys[1].value,)
    assert await live(world, made) == [key.value for key in keys]


async def test_neither_url_nor_secret_shows_in_what_is_printed(world: World) -> None:
    made, keys = await world.endpoint(URL)
    assert "kiosk-path-secret" not in repr(made)
    assert keys[0].value not in repr(keys)


async def test_secrets_in_the_database_are_sealed(world: World) -> None:
    _, (key,) = await world.endpoint(URL)
    (row,) = await world.db.fetch("select sealed, public_key from webhook_secret")
    assert row["public_key"] is None
    assert len(row["sealed"]) == 12 + 32 + 16
    assert key.value not in str(row)


async def test_a_sealed_secret_moved_to_another_endpoint_does_not_open(world: World) -> None:
    mine, _ = await world.endpoint(URL)
    theirs, _ = await world.endpoint(URL, vendor_id="other-vendor")
    await world.db.execute(
        "update webhook_secret set sealed = (select sealed from webhook_secret"
        " where endpoint_id = $1) where endpoint_id = $2",
        theirs.endpoint_id,
        mine.endpoint_id,
    )
    assert await live(world, mine) == []
    assert len(await live(world, theirs)) == 1


async def test_only_the_first_passphrase_opens(world: World, clock: SettableClock) -> None:
    await sealing.opened(world.db, passphrase=PASSPHRASE, now=clock.now)
    with pytest.raises(WebhookSecretsSealed):
        await sealing.opened(world.db, passphrase="another", now=clock.now)
    with pytest.raises(WebhookSecretsSealed, match="no passphrase"):
        await sealing.opened(world.db, passphrase="", now=clock.now)


async def test_two_servers_that_seal_first_at_one_time_agree(
    database: Database, clock: SettableClock
) -> None:
    one, other = await pool.connect(database.dsn), await pool.connect(database.dsn)
    seals: Sequence[Seal] = await asyncio.gather(
        sealing.opened(one, passphrase=PASSPHRASE, now=clock.now),
        sealing.opened(other, passphrase=PASSPHRASE, now=clock.now),
    )
    seals[0].prove(seals[1].proof())
    await one.close()
    await other.close()


@pytest.mark.parametrize(
    "draft",
    [
        {"event_types": ("sale.unheard_of",)},
        {"event_types": ("sale.completed", "sale.completed")},
        {"schemes": ()},
        {"schemes": ("v2",)},
        {"schemes": ("v1", "v1")},
        {"description": "a" * 201},
        {"description": "two\nlines"},
        {"description": "nul\0"},
        {"description": "half \ud800"},
    ],
)
async def test_a_malformed_endpoint_is_refused(world: World, draft: dict[str, Any]) -> None:
    with pytest.raises(WebhookEndpointMalformed):
        await world.endpoint(URL, **draft)
    assert await endpoints.listing(world.db, vendor_id="kiosk", now=world.clock.now) == []


async def test_a_url_that_leads_inside_is_refused_at_once_and_at_a_change(world: World) -> None:
    with pytest.raises(WebhookUrlRefused):
        await endpoints.create(
            world.db, world.seal, Draft(url="https://169.254.169.254/"), vendor_id="kiosk",
            numbers=world.numbers, now=world.clock.now, reach=PUBLIC, endpoints_max=10,
        )  # fmt: skip
    made, _ = await world.endpoint(URL)
    for change in ({"url": "http://localhost/"}, {"url": "https://a@vendor.example/"}):
        with pytest.raises(WebhookUrlRefused):
            await update(world, made, **change)
    for wrong in ({"description": "\n"}, {"event_types": ("x",)}):
        with pytest.raises(WebhookEndpointMalformed):
            await update(world, made, **wrong)
    assert await world.find(made) == made


async def test_a_vendor_has_no_more_endpoints_than_it_may(world: World) -> None:
    made = [(await world.endpoint(URL))[0] for _ in range(10)]
    with pytest.raises(WebhookEndpointsTooMany):
        await world.endpoint(URL)
    await world.endpoint(URL, vendor_id="other-vendor")
    await endpoints.delete(
        world.db, vendor_id="kiosk", endpoint_id=made[3].endpoint_id, now=world.clock.now
    )
    await world.endpoint(URL)


async def test_what_is_not_named_in_a_change_stays(world: World) -> None:
    made, _ = await world.endpoint(URL, description="till 4")
    world.clock.advance(seconds=1)
    after = await update(world, made, event_types=("float.low",))
    assert (after.url, after.description, after.event_types) == (URL, "till 4", ("float.low",))
    assert after.updated_at == world.clock.now
    assert (await update(world, made, event_types=())).event_types == ()
    assert (await update(world, made, url="https://b.example/")).url == "https://b.example/"


async def test_an_endpoint_enabled_again_starts_with_a_clean_sheet(world: World) -> None:
    made, _ = await world.endpoint(URL)
    await world.db.execute("update webhook_endpoint set failures = 9, failing_since = created_at")
    off = await update(world, made, enabled=False)
    assert (off.state, off.disabled_reason) == (EndpointState.DISABLED, DisabledReason.BY_VENDOR)
    assert off.disabled_at == world.clock.now
    assert await update(world, made, enabled=False) == off
    on = await update(world, made, enabled=True)
    assert (on.state, on.disabled_reason, on.disabled_at) == (EndpointState.ENABLED, None, None)
    assert (on.failures, on.failing_since) == (0, None)


async def test_a_rotation_signs_with_both_secrets_until_the_overlap_ends(world: World) -> None:
    made, (old,) = await world.endpoint(URL)
    (new,) = await rotate(world, made)
    assert await live(world, made) == [new, old.value]
    with pytest.raises(WebhookRotationUnderWay):
        await rotate(world, made)
    world.clock.advance(hours=24)
    assert await live(world, made) == [new]
    await rotate(world, made)
    assert await world.db.fetchval("select count(*) from webhook_secret") == 2


async def test_a_rotation_without_overlap_ends_every_older_secret(world: World) -> None:
    made, _ = await world.endpoint(URL)
    await rotate(world, made)
    (newest,) = await rotate(world, made, overlap=timedelta())
    assert await live(world, made) == [newest]


async def test_a_rotation_may_change_the_schemes(world: World) -> None:
    made, (old,) = await world.endpoint(URL)
    new = await rotate(world, made, schemes=(Scheme.V1A, Scheme.V1))
    assert set(await live(world, made)) == {old.value, *new}
    after = await world.find(made)
    assert after.schemes == ("v1a", "v1")
    assert after.public_keys == (new[0],)
    with pytest.raises(WebhookEndpointMalformed):
        await rotate(world, made, schemes=("v3",))


async def test_of_two_rotations_at_one_time_one_happens(
    database: Database, world: World, clock: SettableClock
) -> None:
    made, _ = await world.endpoint(URL)
    clock.advance(seconds=1)
    connections = [await pool.connect(database.dsn) for _ in range(4)]
    outcomes = await asyncio.gather(
        *(
            endpoints.rotate(
                db, world.seal, vendor_id="kiosk", endpoint_id=made.endpoint_id,
                overlap=timedelta(hours=1), numbers=world.numbers, now=clock.now,
            )
            for db in connections
        ),
        return_exceptions=True,
    )  # fmt: skip
    for db in connections:
        await db.close()
    refused = [one for one in outcomes if isinstance(one, WebhookRotationUnderWay)]
    assert len(refused) == 3
    assert len(await live(world, made)) == 2


async def test_a_deleted_endpoint_is_gone_with_its_url_and_secrets(world: World) -> None:
    made, _ = await world.endpoint(URL)
    await endpoints.delete(
        world.db, vendor_id="kiosk", endpoint_id=made.endpoint_id, now=world.clock.now
    )
    with pytest.raises(WebhookEndpointUnknown):
        await world.find(made)
    assert await world.db.fetchval("select count(*) from webhook_secret") == 0
    assert await world.db.fetchval("select url from webhook_endpoint") == ""
    with pytest.raises(WebhookEndpointUnknown):
        await endpoints.delete(
            world.db, vendor_id="kiosk", endpoint_id=made.endpoint_id, now=world.clock.now
        )


async def test_another_vendors_endpoint_is_not_there(world: World) -> None:
    made, _ = await world.endpoint(URL)
    (event,) = await world.happen()
    assert await due.spread(world.db, now=world.clock.now) == 1
    before = [*await world.db.fetch("select * from webhook_endpoint"), *await world.deliveries()]
    theirs: dict[str, Any] = {"vendor_id": "other-vendor", "endpoint_id": made.endpoint_id}
    now = world.clock.advance(seconds=1)
    window: dict[str, Any] = {"since": now - timedelta(days=1), "until": now, "now": now}
    for refused in (
        endpoints.find(world.db, **theirs, now=now),
        endpoints.update(world.db, Change(enabled=False), **theirs, now=now, reach=LOCAL),
        endpoints.rotate(
            world.db, world.seal, **theirs, overlap=timedelta(), numbers=world.numbers, now=now
        ),
        endpoints.delete(world.db, **theirs, now=now),
        deliveries.listing(world.db, **theirs, now=now),
        deliveries.replay(world.db, **theirs, event_id=event.event_id, now=now),
        deliveries.replay_all(world.db, **theirs, **window),
        deliveries.replay_undelivered(world.db, **theirs, **window),
        deliveries.send_test(world.db, **theirs, numbers=world.numbers, now=now),
    ):
        with pytest.raises(WebhookEndpointUnknown):
            await refused
    tries = await deliveries.attempts(world.db, **theirs, event_id=event.event_id)
    assert tries == []
    assert await endpoints.listing(world.db, vendor_id="other-vendor", now=now) == []
    after = [*await world.db.fetch("select * from webhook_endpoint"), *await world.deliveries()]
    assert after == before


async def test_the_servers_own_role_may_do_all_of_this(
    database: Database, world: World, clock: SettableClock
) -> None:
    db = await pool.connect(database.dsn)
    served = World(db, clock, world.seal)
    made, _ = await served.endpoint(URL)
    await rotate(served, made)
    await served.happen()
    assert await due.prune(db, before=2**62) == 1
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await db.execute("update webhook_seal set salt = ''")
    await db.close()
