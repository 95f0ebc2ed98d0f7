"""What a vendor is told, and how a batch of it is written.

An event is staged by the transaction whose news it tells: no news, no event. Its body is final
when it is staged, and its number is the `webhook-id` of every delivery of it, so that a receiver
can tell a repetition from news.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import msgspec

from vending.postgres.columns import number_array, numbers, text_array, texts
from vending.values import Value

INSERT_COLUMNS = 6
"""How many parameters `insert_events` takes, so that a longer statement can count on."""


class EventType(StrEnum):
    """What an event tells; a closed list, so that it may label a metric."""

    SALE_COMPLETED = "sale.completed"
    FLOAT_LOW = "float.low"
    ENDPOINT_DISABLED = "endpoint.disabled"
    ENDPOINT_TEST = "endpoint.test"


class Event(Value, frozen=True, kw_only=True):
    """One thing that one vendor is told.

    `type` is one of EventType. `body` is what every delivery carries, to the byte. `endpoint_id`
    names the one endpoint it is for, whatever that subscribes to; None: all that want its type.
    """

    hidden = frozenset({"body"})

    event_id: int
    vendor_id: str
    type: str
    body: str
    endpoint_id: int | None = None


def body_of(event_type: EventType, *, at: datetime, data: object) -> str:
    """Return the body that tells `data`: anything msgspec can write, best under 20 kB.

    `at` is when it happened, not when it is delivered.
    """
    payload = {"type": event_type.value, "timestamp": at, "data": data}
    return msgspec.json.encode(payload).decode()


def webhook_id(event_id: int) -> str:
    """Return what an event is called outside: text, for such numbers are too long for many."""
    return f"evt_{event_id}"


def columns(events: Iterable[Event], *, at: datetime) -> tuple[object, ...]:
    """Return events that happened at one instant as the parameters of `insert_events`."""
    taken = list(events)
    return (
        numbers([event.event_id for event in taken]),
        texts([event.vendor_id for event in taken]),
        texts([str(event.type) for event in taken]),
        texts([event.body for event in taken]),
        numbers([event.endpoint_id for event in taken]),
        at,
    )


def insert_events(first: int = 1) -> str:
    """Return the insert of a batch, its parameters numbered from `first`.

    It is one statement of its own, and also fits as a step of a longer one (`with ... as`).
    """
    arrays = ", ".join(
        (
            number_array(first, "bigint"),
            *(text_array(first + step) for step in (1, 2, 3)),
            number_array(first + 4, "bigint"),
        )
    )
    # Only the numbers of the parameters are put into the text.
    return f"""
insert into webhook_event (event_id, vendor_id, type, body, endpoint_id, occurred_at)
select event_id, vendor_id, type, body, endpoint_id, ${first + INSERT_COLUMNS - 1}::timestamptz
  from unnest({arrays}) as staged (event_id, vendor_id, type, body, endpoint_id)
"""  # noqa: S608


INSERT_EVENTS = insert_events()
