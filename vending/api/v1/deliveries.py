"""Deliveries of webhooks: the log of tries, sending again, and a test event."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from vending.api.v1 import names, pages
from vending.api.v1.asked import Answer, Asked, Instant, RequestInvalid, instant
from vending.api.v1.pages import Page
from vending.api.v1.teller import Teller
from vending.api.v1.webhooks import number
from vending.webhooks import deliveries
from vending.webhooks.deliveries import WebhookEventUnknown
from vending.webhooks.endpoint import endpoint_name
from vending.webhooks.event import webhook_id

LIST = "deliveries"
REPLAY = "replay"


class DeliveryState(StrEnum):
    """How the telling of one event to one endpoint stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


class DeliveryPage(Page, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which deliveries are asked for."""

    state: Annotated[DeliveryState | None, Meta(description="Only those that stand so.")] = None


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """How the telling of one event stands, and its latest try."""

    event: Annotated[str, Meta(description="The webhook-id of every delivery of it.")]
    event_type: str
    occurred_at: Instant
    state: DeliveryState
    attempts: int
    next_attempt_at: Instant | None
    settled_at: Instant | None
    last_at: Instant | None
    last_status: Annotated[int | None, Meta(description="What the endpoint answered.")]
    last_failure: Annotated[str | None, Meta(description="Why the latest try failed, if it did.")]


class DeliveryList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of deliveries, newest event first."""

    deliveries: list[Delivery]
    next: Annotated[str | None, Meta(description="Cursor of the next page; null on the last one.")]


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try."""

    attempt: int
    at: Instant
    milliseconds: int
    status: int | None
    failure: str | None
    answer: Annotated[str | None, Meta(description="The beginning of what was answered.")]


class AttemptList(msgspec.Struct, frozen=True, kw_only=True):
    """Every try of one event at one endpoint, first to last."""

    attempts: list[Attempt]


class ReplayTime(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events are sent again."""

    since: Annotated[Instant, Meta(description="What happened at this instant or later.")]
    until: Annotated[Instant, Meta(description="And before this one.")]
    delivered: Annotated[bool, Meta(description="Also those that have arrived.")] = False
    cursor: Annotated[
        str,
        Meta(max_length=pages.CURSOR_LETTERS_MAX, description="`next` of the answer before."),
    ] = ""


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """How many events are on their way again."""

    count: int
    next: Annotated[str | None, Meta(description="For the next request, where there are more.")]


class SentTest(msgspec.Struct, frozen=True, kw_only=True):
    """A test event on its way."""

    event: Annotated[str, Meta(description="Its webhook-id.")]
    endpoint: str


async def listing(teller: Teller, asked: Asked[None, DeliveryPage]) -> Answer:
    """Answer a page of the deliveries to one endpoint."""
    page = asked.query
    before = pages.place(LIST, page.cursor, beginning=0) or None
    rows = await deliveries.listing(
        teller.reads, vendor_id=asked.caller.vendor_id, endpoint_id=number(asked.path),
        now=asked.now, state=page.state, before=before, limit=page.limit,
    )  # fmt: skip
    # A full page may be the last one: then the next one is empty.
    full = len(rows) == page.limit
    body = DeliveryList(
        deliveries=[_shown(one) for one in rows],
        next=pages.cursor(LIST, rows[-1].event_id) if full else None,
    )
    return Answer(status=200, body=body)


async def attempts(teller: Teller, asked: Asked[None, None]) -> Answer:
    """Answer the tries of one event at one endpoint."""
    found = await deliveries.attempts(
        teller.reads, vendor_id=asked.caller.vendor_id, endpoint_id=number(asked.path),
        event_id=_event(asked.path),
    )  # fmt: skip
    if not found:
        raise WebhookEventUnknown
    shown = [Attempt(**msgspec.structs.asdict(one)) for one in found]
    return Answer(status=200, body=AttemptList(attempts=shown))


async def replay_one(teller: Teller, asked: Asked[None, None]) -> Answer:
    """Send one event to one endpoint again."""
    await teller.write(
        lambda db: deliveries.replay(
            db, vendor_id=asked.caller.vendor_id, endpoint_id=number(asked.path),
            event_id=_event(asked.path), now=asked.now,
        )
    )  # fmt: skip
    return Answer(status=202, body=Replayed(count=1, next=None))


async def replay(teller: Teller, asked: Asked[ReplayTime, None]) -> Answer:
    """Send what happened in a time to one endpoint again."""
    given = asked.body
    since, until = instant("since", given.since), instant("until", given.until)
    if until < since:
        raise RequestInvalid(member="until", fault="not before since")
    after = pages.place(REPLAY, given.cursor, beginning=0)
    again = deliveries.replay_all if given.delivered else deliveries.replay_undelivered
    found = await teller.write(
        lambda db: again(
            db, vendor_id=asked.caller.vendor_id, endpoint_id=number(asked.path),
            since=since, until=until, after=after, now=asked.now,
        )
    )  # fmt: skip
    following = None if found.after is None else pages.cursor(REPLAY, found.after)
    return Answer(status=202, body=Replayed(count=found.count, next=following))


async def send_test(teller: Teller, asked: Asked[None, None]) -> Answer:
    """Send an event that tells nothing to one endpoint."""
    endpoint_id = number(asked.path)
    event_id = await teller.write(
        lambda db: deliveries.send_test(
            db, vendor_id=asked.caller.vendor_id, endpoint_id=endpoint_id,
            numbers=teller.numbers, now=asked.now,
        )
    )  # fmt: skip
    body = SentTest(event=webhook_id(event_id), endpoint=endpoint_name(endpoint_id))
    return Answer(status=202, body=body)


def _event(path: dict[str, str]) -> int:
    return names.number(names.EVENT, path["event"], unknown=WebhookEventUnknown)


def _shown(one: deliveries.Delivery) -> Delivery:
    return Delivery(
        event=webhook_id(one.event_id),
        event_type=one.event_type,
        occurred_at=one.occurred_at,
        state=DeliveryState(one.state),
        attempts=one.attempts,
        next_attempt_at=one.next_attempt_at,
        settled_at=one.settled_at,
        last_at=one.last_at,
        last_status=one.last_status,
        last_failure=one.last_failure,
    )
