"""The rows behind the relay: spreading events, claiming what is due, writing down how tries went.

A claim moves the next attempt into the future, so a relay that dies gives its rows back by itself.
The try's number is its fence: what a relay learns about a try that has since been claimed again is
logged and changes nothing, except that what was delivered was delivered.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import asyncpg

from vending.postgres.pool import Session
from vending.values import Value
from vending.webhooks.calls import Heard
from vending.webhooks.endpoint import DisabledReason
from vending.webhooks.event import Event
from vending.webhooks.schedule import PAUSES
from vending.webhooks.sealing import Seal, WebhookSecretsSealed
from vending.webhooks.signing import Scheme, Secret

SPREAD_MAX = 200
"""Events spread in one statement; with ten endpoints each, two thousand deliveries."""

PRUNE_MAX = 500
"""Events forgotten in one statement, with their deliveries and attempts."""

# webhook_event_fresh holds only what is not spread yet.
SPREAD = """
with fresh as (
    select event_id, vendor_id, type, endpoint_id
      from webhook_event
     where spread_at is null
     order by event_id
     limit $2
       for update skip locked
), spread as (
    insert into webhook_delivery (event_id, endpoint_id, next_attempt_at, created_at)
    select fresh.event_id, endpoint.endpoint_id, $1, $1
      from fresh
      join webhook_endpoint as endpoint
        on endpoint.vendor_id = fresh.vendor_id and endpoint.state = 'enabled'
       and (fresh.endpoint_id = endpoint.endpoint_id
            or fresh.endpoint_id is null
               and (endpoint.event_types = '{}' or fresh.type = any(endpoint.event_types)))
    on conflict do nothing
)
update webhook_event
   set spread_at = $1
  from fresh
 where webhook_event.event_id = fresh.event_id
returning webhook_event.event_id
"""

ANY_ENDPOINT = """
select 1 from webhook_endpoint where state = 'enabled' limit 1
"""

# Each endpoint has a few places, one that fails has one, and one that rests has none. Where there
# are fewer places than are wanted, every endpoint gets its first before any gets its second.
CLAIM = """
with busy as (
    select endpoint_id, places
      from unnest($3::bigint[], $4::integer[]) as taken (endpoint_id, places)
), open as (
    select endpoint.endpoint_id,
           case when failures > 0 then 1 else $5 end - coalesce(busy.places, 0) as places
      from webhook_endpoint as endpoint
      left join busy on busy.endpoint_id = endpoint.endpoint_id
     where endpoint.state = 'enabled' and endpoint.paused_until <= $1
), due as (
    select found.event_id, found.endpoint_id, found.next_attempt_at
      from open
     cross join lateral (
           select event_id, endpoint_id, next_attempt_at
             from webhook_delivery
            where webhook_delivery.endpoint_id = open.endpoint_id and state = 'waiting'
              and next_attempt_at <= $1
            order by next_attempt_at
            limit greatest(open.places, 0)
              for update skip locked) as found
), chosen as (
    select event_id, endpoint_id
      from (select event_id, endpoint_id, next_attempt_at,
                   row_number() over (partition by endpoint_id order by next_attempt_at) as place
              from due) as numbered
     order by place, next_attempt_at
     limit $6
)
update webhook_delivery as delivery
   set next_attempt_at = $2, attempts = attempts + 1
  from chosen
  join webhook_event as event on event.event_id = chosen.event_id
  join webhook_endpoint as endpoint on endpoint.endpoint_id = chosen.endpoint_id
 where delivery.event_id = chosen.event_id and delivery.endpoint_id = chosen.endpoint_id
returning delivery.event_id, delivery.endpoint_id, delivery.attempts,
          delivery.attempts - delivery.attempts_before as tries,
          event.vendor_id, event.type, event.body, endpoint.url
"""

SECRETS = """
select secret_id, endpoint_id, scheme, sealed
  from webhook_secret
 where endpoint_id = any($1::bigint[]) and (expires_at is null or expires_at > $2)
 order by expires_at is not null, secret_id
"""

# Deliveries first, then the log, then how each endpoint fares: all of it or nothing. An endpoint's
# failures count from its last success; what a lapsed try says about its endpoint is true as well.
MARK = """
with told as (
    select event_id, endpoint_id, attempt, state, next_attempt_at, at, milliseconds, status,
           failure, answer
      from unnest($1::bigint[], $2::bigint[], $3::integer[], $4::text[], $5::timestamptz[],
                  $6::timestamptz[], $7::integer[], $8::smallint[], $9::text[], $10::text[])
           as told (event_id, endpoint_id, attempt, state, next_attempt_at, at, milliseconds,
                    status, failure, answer)
), marked as (
    update webhook_delivery as delivery
       set state = told.state, next_attempt_at = told.next_attempt_at,
           settled_at = case when told.state <> 'waiting' then told.at end
      from told
     where delivery.event_id = told.event_id and delivery.endpoint_id = told.endpoint_id
       and delivery.state = 'waiting'
       and (delivery.attempts = told.attempt or told.state = 'delivered')
), logged as (
    insert into webhook_attempt
           (event_id, endpoint_id, attempt, at, milliseconds, status, failure, answer)
    select event_id, endpoint_id, attempt, at, milliseconds, status, failure, answer
      from told
    on conflict do nothing
)
update webhook_endpoint as endpoint
   set failures = case when fared.delivered then 0 else failures + fared.failed end,
       failing_since = case when not fared.delivered then coalesce(failing_since, fared.at) end,
       delivered_at = case when fared.delivered then fared.at else delivered_at end,
       paused_until = greatest(
           fared.asked_until,
           case when not fared.delivered
                then fared.at + ($16::interval[])[least(failures + fared.failed, $17)] end)
  from unnest($11::bigint[], $12::boolean[], $13::integer[], $14::timestamptz[],
              $15::timestamptz[]) as fared (endpoint_id, delivered, failed, at, asked_until)
 where endpoint.endpoint_id = fared.endpoint_id
returning endpoint.endpoint_id, endpoint.state, endpoint.failing_since
"""

# The event goes to the vendor's other endpoints; the one that is disabled hears nothing.
DISABLE = """
with shut as (
    update webhook_endpoint
       set state = 'disabled', disabled_reason = $3, disabled_at = $2, updated_at = $2
     where endpoint_id = $1 and state = 'enabled'
    returning vendor_id
), told as (
    insert into webhook_event (event_id, vendor_id, type, body, occurred_at)
    select $4, vendor_id, $5, $6, $2 from shut
)
select vendor_id from shut
"""

COUNT = """
select count(*) from webhook_delivery
 where state = 'waiting' and endpoint_id in (
       select endpoint_id from webhook_endpoint where state = 'enabled')
"""

PRUNE = """
with old as (
    select event_id from webhook_event where event_id < $1 order by event_id limit $2
), deliveries as (
    delete from webhook_delivery using old where webhook_delivery.event_id = old.event_id
), attempts as (
    delete from webhook_attempt using old where webhook_attempt.event_id = old.event_id
)
delete from webhook_event using old where webhook_event.event_id = old.event_id
returning webhook_event.event_id
"""


class Due(Value, frozen=True, kw_only=True):
    """A delivery this relay may try now.

    `attempt` counts every try there ever was; `tries` those since the last replay, from 1.
    """

    hidden = frozenset({"url", "body"})

    event_id: int
    endpoint_id: int
    vendor_id: str
    event_type: str
    url: str
    body: str
    attempt: int
    tries: int


class Verdict(Value, frozen=True, kw_only=True):
    """What to write down about one try, from `at` to `ended_at`.

    `state` and `next_attempt_at` are the delivery's.
    """

    due: Due
    heard: Heard
    state: str
    next_attempt_at: datetime
    at: datetime
    ended_at: datetime
    milliseconds: int


class Fare(Value, frozen=True, kw_only=True):
    """How an endpoint fared in the tries that are written down together.

    `asked_until` is how long it wants to be left alone: `at`, if it did not say.
    """

    endpoint_id: int
    delivered: bool
    failed: int
    at: datetime
    asked_until: datetime


async def spread(db: Session, *, now: datetime) -> int:
    """Make the deliveries of new events; return how many events there were, SPREAD_MAX at most."""
    return len(await db.fetch(SPREAD, now, SPREAD_MAX))


async def any_endpoint(db: Session) -> bool:
    """Return whether there is anybody to tell anything."""
    return bool(await db.fetch(ANY_ENDPOINT))


async def claim(
    db: Session,
    *,
    now: datetime,
    until: datetime,
    busy: Mapping[int, int],
    per_endpoint: int,
    room: int,
) -> list[Due]:
    """Claim due deliveries until an instant; `busy` says how many each endpoint has in the air."""
    rows = await db.fetch(
        CLAIM, now, until, list(busy.keys()), list(busy.values()), per_endpoint, room
    )
    return [
        Due(
            event_id=row["event_id"],
            endpoint_id=row["endpoint_id"],
            vendor_id=row["vendor_id"],
            event_type=row["type"],
            url=row["url"],
            body=row["body"],
            attempt=row["attempts"],
            tries=row["tries"],
        )
        for row in rows
    ]


async def signers(
    db: Session, seal: Seal, endpoint_ids: Iterable[int], *, now: datetime
) -> dict[int, list[Secret]]:
    """Return the secrets endpoints are signed for with now, present ones first.

    One that does not open, because its row was altered, is as if it were not there.
    """
    found: dict[int, list[Secret]] = {}
    for row in await db.fetch(SECRETS, list(set(endpoint_ids)), now):
        with suppress(WebhookSecretsSealed):
            secret = seal.open(
                row["sealed"],
                scheme=Scheme(row["scheme"]),
                secret_id=row["secret_id"],
                endpoint_id=row["endpoint_id"],
            )
            found.setdefault(row["endpoint_id"], []).append(secret)
    return found


async def mark(
    db: Session, verdicts: Sequence[Verdict], fares: Sequence[Fare]
) -> list[asyncpg.Record]:
    """Write down tries, and how endpoints fared; return these: id, state, failing since when."""
    return await db.fetch(
        MARK,
        [one.due.event_id for one in verdicts],
        [one.due.endpoint_id for one in verdicts],
        [one.due.attempt for one in verdicts],
        [one.state for one in verdicts],
        [one.next_attempt_at for one in verdicts],
        [one.at for one in verdicts],
        [one.milliseconds for one in verdicts],
        [one.heard.status for one in verdicts],
        [one.heard.failure for one in verdicts],
        [one.heard.answer for one in verdicts],
        [one.endpoint_id for one in fares],
        [one.delivered for one in fares],
        [one.failed for one in fares],
        [one.at for one in fares],
        [one.asked_until for one in fares],
        PAUSES,
        len(PAUSES),
    )


async def disable(
    db: Session, endpoint_id: int, reason: DisabledReason, *, event: Event, now: datetime
) -> str | None:
    """Disable an endpoint and tell the vendor's others; return the vendor, None: it was already.

    The event's own vendor is not used: it is the endpoint's.
    """
    rows = await db.fetch(
        DISABLE, endpoint_id, now, reason.value, event.event_id, event.type, event.body
    )
    return rows[0]["vendor_id"] if rows else None


async def waiting(db: Session) -> int:
    """Return how many deliveries wait for endpoints that are enabled."""
    count: int = (await db.fetch(COUNT))[0][0]
    return count


async def prune(db: Session, *, before: int) -> int:
    """Forget events numbered below `before`; return how many, PRUNE_MAX at most."""
    return len(await db.fetch(PRUNE, before, PRUNE_MAX))


def claim_length(attempt_seconds: float) -> timedelta:
    """Return how long a claim holds: a try's longest, and as much again to write it down."""
    return timedelta(seconds=2 * attempt_seconds + 10)
