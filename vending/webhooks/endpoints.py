"""The endpoints of a vendor: made, listed, changed, given new secrets, deleted.

The vendor is the first condition of every statement: an endpoint of another one is not forbidden,
it is not there. Each verb is one statement, so all of it happens or nothing.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import asyncpg

from vending.numbering import Numbers
from vending.postgres.pool import Session
from vending.webhooks import signing
from vending.webhooks.addresses import Reach
from vending.webhooks.endpoint import (
    Change,
    DisabledReason,
    Draft,
    Endpoint,
    EndpointState,
    NewKey,
    WebhookEndpointsTooMany,
    WebhookEndpointUnknown,
    WebhookRotationUnderWay,
    check_change,
    check_draft,
    check_schemes,
)
from vending.webhooks.sealing import Seal
from vending.webhooks.signing import Scheme, Secret

_COLUMNS = """endpoint_id, vendor_id, url, description, event_types, schemes, state,
       disabled_reason, disabled_at, failures, failing_since, delivered_at, created_at,
       updated_at"""

# Two vendors' requests at one instant may both find room for a last one; nothing depends on it.
CREATE = f"""
with made as (
    insert into webhook_endpoint
           (endpoint_id, vendor_id, url, description, event_types, schemes, paused_until,
            created_at, updated_at)
    select $2, $1, $3, $4, $5::text[], $6::text[], $7, $7, $7
     where (select count(*) from webhook_endpoint
             where vendor_id = $1 and state <> 'deleted') < $8
    returning {_COLUMNS}
), given as (
    insert into webhook_secret (secret_id, endpoint_id, scheme, sealed, public_key, created_at)
    select secret_id, $2, scheme, sealed, public_key, $7
      from made
     cross join unnest($9::bigint[], $10::text[], $11::bytea[], $12::text[])
           as fresh (secret_id, scheme, sealed, public_key)
)
select {_COLUMNS} from made
"""  # noqa: S608 -- composed of our own constants

LIST = f"""
select {_COLUMNS},
       array(select public_key from webhook_secret
              where webhook_secret.endpoint_id = webhook_endpoint.endpoint_id
                and public_key is not null and (expires_at is null or expires_at > $2)
              order by secret_id) as public_keys
  from webhook_endpoint
 where vendor_id = $1 and state <> 'deleted' and ($3::bigint is null or endpoint_id = $3)
 order by endpoint_id
"""  # noqa: S608

# An endpoint that is enabled again starts with a clean sheet; one that was enabled keeps its own.
UPDATE = """
update webhook_endpoint
   set url = coalesce($4, url),
       description = coalesce($5, description),
       event_types = coalesce($6::text[], event_types),
       state = case $7::boolean when true then 'enabled' when false then 'disabled'
                                else state end,
       disabled_reason = case when $7 then null
                              when not $7 then coalesce(disabled_reason, 'by_vendor')
                              else disabled_reason end,
       disabled_at = case when $7 then null
                          when not $7 then coalesce(disabled_at, $3) else disabled_at end,
       failures = case when $7 and state = 'disabled' then 0 else failures end,
       failing_since = case when $7 and state = 'disabled' then null else failing_since end,
       paused_until = case when ($7 and state = 'disabled') or $4 is not null
                           then $3 else paused_until end,
       updated_at = $3
 where vendor_id = $1 and endpoint_id = $2 and state <> 'deleted'
returning endpoint_id
"""

# Of two rotations at once the second waits for the row, finds it changed, and does nothing.
ROTATE = """
with target as (
    select endpoint_id
      from webhook_endpoint
     where vendor_id = $1 and endpoint_id = $2 and state <> 'deleted' and updated_at = $10
       and ($4 <= $3::timestamptz or not exists (
           select from webhook_secret
            where webhook_secret.endpoint_id = $2 and expires_at > $3))
       for update
), ending as (
    update webhook_secret
       set expires_at = $4
      from target
     where webhook_secret.endpoint_id = target.endpoint_id
       and (expires_at is null or expires_at > $4)
), forgotten as (
    delete from webhook_secret
     using target
     where webhook_secret.endpoint_id = target.endpoint_id and expires_at <= $3
), given as (
    insert into webhook_secret (secret_id, endpoint_id, scheme, sealed, public_key, created_at)
    select secret_id, endpoint_id, scheme, sealed, public_key, $3
      from target
     cross join unnest($6::bigint[], $7::text[], $8::bytea[], $9::text[])
           as fresh (secret_id, scheme, sealed, public_key)
)
update webhook_endpoint
   set schemes = $5::text[], updated_at = $3
  from target
 where webhook_endpoint.endpoint_id = target.endpoint_id
returning webhook_endpoint.endpoint_id
"""

DELETE = """
with gone as (
    update webhook_endpoint
       set state = 'deleted', disabled_reason = null, disabled_at = null, url = '',
           updated_at = $3
     where vendor_id = $1 and endpoint_id = $2 and state <> 'deleted'
    returning endpoint_id
), forgotten as (
    delete from webhook_secret
     using gone
     where webhook_secret.endpoint_id = gone.endpoint_id
)
select endpoint_id from gone
"""


async def create(
    db: Session,
    seal: Seal,
    draft: Draft,
    *,
    vendor_id: str,
    numbers: Numbers,
    now: datetime,
    reach: Reach,
    endpoints_max: int,
) -> tuple[Endpoint, list[NewKey]]:
    """Make an endpoint, enabled; return it and what its receiver verifies with, told this once.

    Raises WebhookUrlRefused, WebhookEndpointMalformed, WebhookEndpointsTooMany.
    """
    check_draft(draft, reach)
    endpoint_id = numbers.next()
    fresh = _Fresh(seal, draft.schemes, endpoint_id=endpoint_id, numbers=numbers)
    rows = await db.fetch(
        CREATE, vendor_id, endpoint_id, draft.url, draft.description, list(draft.event_types),
        list(draft.schemes), now, endpoints_max, *fresh.columns(),
    )  # fmt: skip
    if not rows:
        raise WebhookEndpointsTooMany(most=endpoints_max)
    return _endpoint(rows[0], public_keys=fresh.public_keys), fresh.told


async def listing(db: Session, *, vendor_id: str, now: datetime) -> list[Endpoint]:
    """Return a vendor's endpoints, oldest first."""
    rows = await db.fetch(LIST, vendor_id, now, None)
    return [_endpoint(row, public_keys=row["public_keys"]) for row in rows]


async def find(db: Session, *, vendor_id: str, endpoint_id: int, now: datetime) -> Endpoint:
    """Return one endpoint of a vendor. Raises WebhookEndpointUnknown."""
    for row in await db.fetch(LIST, vendor_id, now, endpoint_id):
        return _endpoint(row, public_keys=row["public_keys"])
    raise WebhookEndpointUnknown(endpoint_id=endpoint_id)


async def update(
    db: Session, change: Change, *, vendor_id: str, endpoint_id: int, now: datetime, reach: Reach
) -> Endpoint:
    """Change an endpoint. What waits for it goes to the new URL; a disabled one keeps it waiting.

    Raises WebhookEndpointUnknown, WebhookUrlRefused, WebhookEndpointMalformed.
    """
    check_change(change, reach)
    types = None if change.event_types is None else list(change.event_types)
    rows = await db.fetch(
        UPDATE, vendor_id, endpoint_id, now, change.url, change.description, types, change.enabled
    )
    if not rows:
        raise WebhookEndpointUnknown(endpoint_id=endpoint_id)
    return await find(db, vendor_id=vendor_id, endpoint_id=endpoint_id, now=now)


async def rotate(
    db: Session,
    seal: Seal,
    *,
    vendor_id: str,
    endpoint_id: int,
    schemes: tuple[str, ...] | None = None,
    overlap: timedelta,
    numbers: Numbers,
    now: datetime,
) -> tuple[Endpoint, list[NewKey]]:
    """Give an endpoint new secrets, and other schemes if any are named; return what it is told.

    For as long as the overlap, deliveries are signed with the old secrets as well; with none the
    old ones end at once. Raises WebhookEndpointUnknown, WebhookEndpointMalformed, and
    WebhookRotationUnderWay while an earlier overlap lasts.
    """
    before = await find(db, vendor_id=vendor_id, endpoint_id=endpoint_id, now=now)
    wanted = before.schemes if schemes is None else schemes
    check_schemes(wanted)
    fresh = _Fresh(seal, wanted, endpoint_id=endpoint_id, numbers=numbers)
    rows = await db.fetch(
        ROTATE,
        vendor_id,
        endpoint_id,
        now,
        now + overlap,
        list(wanted),
        *fresh.columns(),
        before.updated_at,
    )
    if not rows:
        raise WebhookRotationUnderWay(endpoint_id=endpoint_id)
    after = await find(db, vendor_id=vendor_id, endpoint_id=endpoint_id, now=now)
    return after, fresh.told


async def delete(db: Session, *, vendor_id: str, endpoint_id: int, now: datetime) -> None:
    """Delete an endpoint, its URL and its secrets; what waits for it is never sent.

    Raises WebhookEndpointUnknown.
    """
    if not await db.fetch(DELETE, vendor_id, endpoint_id, now):
        raise WebhookEndpointUnknown(endpoint_id=endpoint_id)


class _Fresh:
    """New secrets of one endpoint: as rows, and as its receiver is told them."""

    def __init__(
        self, seal: Seal, schemes: Iterable[str], *, endpoint_id: int, numbers: Numbers
    ) -> None:
        self._secrets = [(numbers.next(), signing.new_secret(Scheme(one))) for one in schemes]
        self._sealed = [
            seal.seal(secret, secret_id=secret_id, endpoint_id=endpoint_id)
            for secret_id, secret in self._secrets
        ]
        self.told = [
            NewKey(scheme=secret.scheme, value=signing.shown(secret))
            for _secret_id, secret in self._secrets
        ]

    @property
    def public_keys(self) -> list[str]:
        return [key for _secret_id, secret in self._secrets if (key := _public(secret))]

    def columns(self) -> tuple[object, ...]:
        return (
            [secret_id for secret_id, _secret in self._secrets],
            [secret.scheme.value for _secret_id, secret in self._secrets],
            self._sealed,
            [_public(secret) for _secret_id, secret in self._secrets],
        )


def _public(secret: Secret) -> str | None:
    return signing.public_key(secret) if secret.scheme is Scheme.V1A else None


def _endpoint(row: asyncpg.Record, *, public_keys: Iterable[str]) -> Endpoint:
    reason = row["disabled_reason"]
    return Endpoint(
        endpoint_id=row["endpoint_id"],
        vendor_id=row["vendor_id"],
        url=row["url"],
        description=row["description"],
        event_types=tuple(row["event_types"]),
        schemes=tuple(row["schemes"]),
        state=EndpointState(row["state"]),
        disabled_reason=None if reason is None else DisabledReason(reason),
        disabled_at=row["disabled_at"],
        failures=row["failures"],
        failing_since=row["failing_since"],
        delivered_at=row["delivered_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        public_keys=tuple(public_keys),
    )
