"""What a message is before it leaves, and how a batch of them is written.

A message is staged by the transaction whose news it tells: no news, no message; no message about
something that did not happen. Its body is final when it is staged, so that a second delivery,
however late, carries the same words and the same digits.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from vending.postgres.columns import number_array, numbers, side_by_side, text_array, texts
from vending.values import Value

BUCKETS = 16
"""Home columns of the message table: the most relays that can share its work."""

_GOLDEN_RATIO = 0x9E37_79B9_7F4A_7C15
_WORD = 2**64 - 1

INSERT_COLUMNS = 7
"""How many parameters `insert_messages` takes, so that a longer statement can count on."""


class MessageKind(StrEnum):
    """What a message tells; a closed list, so that it may label a metric."""

    RECEIPT = "receipt"
    COPY = "copy"
    REFUND_DUE = "refund_due"
    COMING = "coming"


class Message(Value, frozen=True, kw_only=True):
    """One message to one person.

    `kind` is one of MessageKind. `recipient` is a number in E.164; `payment_id` is None for a
    message that is about no payment. `due_at` is both when it was written and the earliest
    instant it may leave.
    """

    hidden = frozenset({"recipient", "body"})

    message_id: int
    payment_id: int | None
    kind: str
    recipient: str
    body: str
    due_at: datetime


class Answer(StrEnum):
    """What a carrier made of a message."""

    ACCEPTED = "accepted"
    """It will deliver it; a report may follow."""
    REFUSED = "refused"
    """It never will: trying again is of no use."""
    RETRY = "retry"
    """Not this time, or nobody knows; the try counts."""
    AWAY = "away"
    """It is serving no message of ours at all; nothing is wrong with this one, and the try does
    not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendResult:
    """How one try went: `gateway_id` is the carrier's own name for a message it accepted."""

    answer: Answer
    gateway_id: str | None = None
    failure: str | None = None


def bucket_of(message_id: int) -> int:
    """Return the home bucket of a message, 0 up to BUCKETS - 1.

    Our numbers rise with time, so their low bits are mostly zero on a quiet day; a multiplicative
    hash spreads them all the same.
    """
    return (message_id * _GOLDEN_RATIO & _WORD) >> 60


def columns(messages: Iterable[Message], *, due_at: datetime) -> tuple[object, ...]:
    """Return messages due at one instant as the parameters of `insert_messages`."""
    taken = list(messages)
    return (
        numbers([bucket_of(message.message_id) for message in taken]),
        numbers([message.message_id for message in taken]),
        numbers([message.payment_id for message in taken]),
        texts([message.kind for message in taken]),
        texts([message.recipient for message in taken]),
        texts([message.body for message in taken]),
        due_at,
    )


def insert_messages(first: int = 1) -> str:
    """Return the insert of a batch, its parameters numbered from `first`.

    It is one statement of its own, and also fits as a step of a longer one (`with ... as`).
    """
    staged = side_by_side(
        {
            "bucket": number_array(first, "smallint"),
            "message_id": number_array(first + 1, "bigint"),
            "payment_id": number_array(first + 2, "bigint"),
            "kind": text_array(first + 3),
            "recipient": text_array(first + 4),
            "body": text_array(first + 5),
        }
    )
    due_at = f"${first + INSERT_COLUMNS - 1}::timestamptz"
    # Only the numbers of the parameters are put into the text.
    return f"""
insert into message
       (bucket, message_id, payment_id, kind, recipient, body, next_attempt_at, created_at)
select bucket, message_id, payment_id, kind, recipient, body, {due_at}, {due_at}
  from {staged} as staged
"""  # noqa: S608


INSERT_MESSAGES = insert_messages()
