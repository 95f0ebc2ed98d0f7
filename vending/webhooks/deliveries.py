"""What a vendor may see and ask of deliveries: the list, the log of tries, replay, a test.

The vendor is the first condition of every statement: what is another's is not there.
"""

from datetime import datetime, timedelta

import asyncpg

from vending.errors import Rejected
from vending.numbering import Numbers, first_at
from vending.postgres.pool import Session
from vending.values import Value
from vending.webhooks import endpoints
from vending.webhooks.endpoint import WebhookEndpointDisabled, endpoint_name
from vending.webhooks.event import INSERT_EVENTS, Event, EventType, body_of, columns

PAGE_MAX = 200
"""Deliveries in one answer; a page of 200 with its log is some 100 kB."""

REPLAY_MAX = 1_000
"""Events replayed by one request, so that it is one short statement; `after` goes on from there."""

# webhook_delivery_endpoint serves the page; the event comes by its key.
LIST = """
select delivery.event_id, delivery.endpoint_id, event.type, event.occurred_at, delivery.state,
       delivery.attempts, delivery.next_attempt_at, delivery.settled_at,
       last.at, last.status, last.failure
  from webhook_endpoint as endpoint
  join webhook_delivery as delivery on delivery.endpoint_id = endpoint.endpoint_id
  join webhook_event as event
    on event.event_id = delivery.event_id and event.vendor_id = endpoint.vendor_id
  left join lateral (
       select at, status, failure
         from webhook_attempt as attempt
        where attempt.event_id = delivery.event_id and attempt.endpoint_id = delivery.endpoint_id
        order by attempt.attempt desc
        limit 1) as last on true
 where endpoint.vendor_id = $1 and endpoint.endpoint_id = $2 and endpoint.state <> 'deleted'
   and ($3::text is null or delivery.state = $3)
   and ($4::bigint is null or delivery.event_id < $4)
 order by delivery.event_id desc
 limit $5
"""

ATTEMPTS = """
select attempt.attempt, attempt.at, attempt.milliseconds, attempt.status, attempt.failure,
       attempt.answer
  from webhook_endpoint as endpoint
  join webhook_attempt as attempt on attempt.endpoint_id = endpoint.endpoint_id
 where endpoint.vendor_id = $1 and endpoint.endpoint_id = $2 and endpoint.state <> 'deleted'
   and attempt.event_id = $3
 order by attempt.attempt
"""

_NUMBERED_WITHIN = timedelta(hours=3)
"""An event is numbered when it happens, by clocks that are set right by two hours at the most; so
numbers bound the read of a window, and `occurred_at` says what is in it."""

# Whoever asks for something now does not want to wait until a failing endpoint has rested.
ROUSE = """
update webhook_endpoint
   set paused_until = $3
 where vendor_id = $1 and endpoint_id = $2 and state = 'enabled'
returning endpoint_id
"""

# A delivery on its way right now may arrive twice; whoever asks for a replay can bear that.
REPLAY_ONE = """
insert into webhook_delivery as delivery (event_id, endpoint_id, next_attempt_at, created_at)
select event.event_id, endpoint.endpoint_id, $4, $4
  from webhook_endpoint as endpoint
  join webhook_event as event on event.vendor_id = endpoint.vendor_id and event.event_id = $3
   and (event.endpoint_id is null or event.endpoint_id = endpoint.endpoint_id)
 where endpoint.vendor_id = $1 and endpoint.endpoint_id = $2 and endpoint.state = 'enabled'
on conflict (event_id, endpoint_id) do update
   set state = 'waiting', attempts_before = delivery.attempts, next_attempt_at = $4,
       settled_at = null
returning event_id
"""

# What waits is left as it is; so is, unless every event is asked for, what was delivered. Events
# that the endpoint was never told of, because it was disabled or not yet there, are among them.
REPLAY_MANY = """
with wanted as (
    select event.event_id, endpoint.endpoint_id
      from webhook_endpoint as endpoint
      join webhook_event as event on event.vendor_id = endpoint.vendor_id
       and (event.endpoint_id = endpoint.endpoint_id
            or event.endpoint_id is null
               and (endpoint.event_types = '{}' or event.type = any(endpoint.event_types)))
      left join webhook_delivery as delivery
        on delivery.event_id = event.event_id and delivery.endpoint_id = endpoint.endpoint_id
     where endpoint.vendor_id = $1 and endpoint.endpoint_id = $2 and endpoint.state = 'enabled'
       and event.event_id > $3 and event.event_id < $9 and event.spread_at is not null
       and event.occurred_at >= $4 and event.occurred_at < $5
       and (delivery.state is null or delivery.state = any($6::text[]))
     order by event.event_id
     limit $7
), again as (
    insert into webhook_delivery as delivery (event_id, endpoint_id, next_attempt_at, created_at)
    select event_id, endpoint_id, $8, $8 from wanted
    on conflict (event_id, endpoint_id) do update
       set state = 'waiting', attempts_before = delivery.attempts, next_attempt_at = $8,
           settled_at = null
     where delivery.state <> 'waiting'
)
select event_id from wanted order by event_id
"""


class WebhookEventUnknown(Rejected):
    """There is no such event.

    Events are kept for [webhooks] keep_days; an older one is gone, and another vendor's was never
    yours to see.
    """

    code = "webhook_event_unknown"


class Delivery(Value, frozen=True, kw_only=True):
    """How the telling of one event to one endpoint stands; `last_...` is its latest try.

    `next_attempt_at` is None once it is settled. `state` is waiting, delivered or given_up.
    """

    event_id: int
    endpoint_id: int
    event_type: str
    occurred_at: datetime
    state: str
    attempts: int
    next_attempt_at: datetime | None
    settled_at: datetime | None
    last_at: datetime | None
    last_status: int | None
    last_failure: str | None


class Attempt(Value, frozen=True, kw_only=True):
    """One try: how long it took, what was answered, and why it failed if it did.

    `failure` is one of calls.Failure; `answer` the beginning of the answer's body.
    """

    hidden = frozenset({"answer"})

    attempt: int
    at: datetime
    milliseconds: int
    status: int | None
    failure: str | None
    answer: str | None


class Replayed(Value, frozen=True, kw_only=True):
    """How many events a replay set going; where there are more, `after` is for the next request."""

    count: int
    after: int | None


async def listing(
    db: Session,
    *,
    vendor_id: str,
    endpoint_id: int,
    now: datetime,
    state: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Delivery]:
    """Return deliveries to an endpoint, newest event first, PAGE_MAX at most.

    `before` is the event_id of the last one seen. Raises WebhookEndpointUnknown.
    """
    rows = await db.fetch(LIST, vendor_id, endpoint_id, state, before, max(1, min(limit, PAGE_MAX)))
    if not rows:
        await endpoints.find(db, vendor_id=vendor_id, endpoint_id=endpoint_id, now=now)
    return [_delivery(row) for row in rows]


async def attempts(
    db: Session, *, vendor_id: str, endpoint_id: int, event_id: int
) -> list[Attempt]:
    """Return the tries of one event at one endpoint, first to last; none for what is unknown."""
    rows = await db.fetch(ATTEMPTS, vendor_id, endpoint_id, event_id)
    return [
        Attempt(
            attempt=row["attempt"],
            at=row["at"],
            milliseconds=row["milliseconds"],
            status=row["status"],
            failure=row["failure"],
            answer=row["answer"],
        )
        for row in rows
    ]


async def replay(
    db: Session, *, vendor_id: str, endpoint_id: int, event_id: int, now: datetime
) -> None:
    """Send one event to an endpoint again, now, with the same id and the same body.

    Raises WebhookEventUnknown, WebhookEndpointUnknown, WebhookEndpointDisabled.
    """
    await _rouse(db, vendor_id=vendor_id, endpoint_id=endpoint_id, now=now)
    if not await db.fetch(REPLAY_ONE, vendor_id, endpoint_id, event_id, now):
        raise WebhookEventUnknown(event_id=event_id)


async def replay_undelivered(
    db: Session,
    *,
    vendor_id: str,
    endpoint_id: int,
    since: datetime,
    until: datetime,
    after: int = 0,
    now: datetime,
) -> Replayed:
    """Send what happened from `since` to before `until` and did not arrive, to one endpoint.

    That includes what it was never sent because it was disabled or did not exist. REPLAY_MAX
    events at most: go on with `after`. Raises WebhookEndpointUnknown, WebhookEndpointDisabled.
    """
    return await _replay(
        db, ["given_up"], vendor_id=vendor_id, endpoint_id=endpoint_id,
        since=since, until=until, after=after, now=now,
    )  # fmt: skip


async def replay_all(
    db: Session,
    *,
    vendor_id: str,
    endpoint_id: int,
    since: datetime,
    until: datetime,
    after: int = 0,
    now: datetime,
) -> Replayed:
    """Send everything that happened in a window again, delivered or not; see the other replay."""
    return await _replay(
        db, ["given_up", "delivered"], vendor_id=vendor_id, endpoint_id=endpoint_id,
        since=since, until=until, after=after, now=now,
    )  # fmt: skip


async def send_test(
    db: Session, *, vendor_id: str, endpoint_id: int, numbers: Numbers, now: datetime
) -> int:
    """Stage an `endpoint.test` event for one endpoint, whatever it subscribes to; return its id.

    Raises WebhookEndpointUnknown, WebhookEndpointDisabled.
    """
    await _rouse(db, vendor_id=vendor_id, endpoint_id=endpoint_id, now=now)
    event = Event(
        event_id=numbers.next(),
        vendor_id=vendor_id,
        type=EventType.ENDPOINT_TEST,
        body=body_of(
            EventType.ENDPOINT_TEST, at=now, data={"endpoint": endpoint_name(endpoint_id)}
        ),
        endpoint_id=endpoint_id,
    )
    await db.fetch(INSERT_EVENTS, *columns([event], at=now))
    return event.event_id


async def _replay(
    db: Session,
    states: list[str],
    *,
    vendor_id: str,
    endpoint_id: int,
    since: datetime,
    until: datetime,
    after: int,
    now: datetime,
) -> Replayed:
    await _rouse(db, vendor_id=vendor_id, endpoint_id=endpoint_id, now=now)
    rows = await db.fetch(
        REPLAY_MANY, vendor_id, endpoint_id, max(after, first_at(since - _NUMBERED_WITHIN)),
        since, until, states, REPLAY_MAX, now, first_at(until + _NUMBERED_WITHIN),
    )  # fmt: skip
    more = len(rows) == REPLAY_MAX
    return Replayed(count=len(rows), after=rows[-1]["event_id"] if more else None)


async def _rouse(db: Session, *, vendor_id: str, endpoint_id: int, now: datetime) -> None:
    """End the rest of an endpoint; raise if there is none, or one that is told of nothing."""
    if not await db.fetch(ROUSE, vendor_id, endpoint_id, now):
        await endpoints.find(db, vendor_id=vendor_id, endpoint_id=endpoint_id, now=now)
        raise WebhookEndpointDisabled(endpoint_id=endpoint_id)


def _delivery(row: asyncpg.Record) -> Delivery:
    waits = row["state"] == "waiting"
    return Delivery(
        event_id=row["event_id"],
        endpoint_id=row["endpoint_id"],
        event_type=row["type"],
        occurred_at=row["occurred_at"],
        state=row["state"],
        attempts=row["attempts"],
        next_attempt_at=row["next_attempt_at"] if waits else None,
        settled_at=row["settled_at"],
        last_at=row["at"],
        last_status=row["status"],
        last_failure=row["failure"],
    )
