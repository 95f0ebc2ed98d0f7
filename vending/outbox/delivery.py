"""The rows behind the relay: claiming what is due, writing down how each try went, and reports.

The try's number is its fence: what a relay learns about a try that has since been claimed again is
ignored, except that a message which has left has left.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from vending.outbox.message import Answer, Message, SendResult, bucket_of
from vending.outbox.pacing import Pace, wait_after
from vending.postgres.columns import (
    any_text_array,
    any_texts,
    instant,
    instant_array,
    instants,
    number_array,
    numbers,
    text_array,
    texts,
)
from vending.postgres.pool import Session

_FAILURE_LETTERS_MAX = 200
_GATEWAY_ID_LETTERS_MAX = 200


class MessageState(StrEnum):
    """Where a message stands."""

    WAITING = "waiting"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    GIVEN_UP = "given_up"


# A share from each end: the newest are people standing at a dark meter now, the oldest have
# waited longest. While nothing is piled up the two are the same rows.
CLAIM = """
with home as (
    select unnest($1::smallint[]) as bucket
), newest as (
    select due.bucket, due.message_id
      from home
     cross join lateral (
           select bucket, message_id, next_attempt_at
             from message
            where message.bucket = home.bucket and state = 'waiting' and next_attempt_at <= $2
            order by next_attempt_at desc
            limit $4
              for update skip locked) as due
     order by due.next_attempt_at desc
     limit $5
), oldest as (
    select due.bucket, due.message_id
      from home
     cross join lateral (
           select bucket, message_id, next_attempt_at
             from message
            where message.bucket = home.bucket and state = 'waiting' and next_attempt_at <= $2
            order by next_attempt_at
            limit $4
              for update skip locked) as due
     order by due.next_attempt_at
     limit $6
), claimed as (
    select bucket, message_id from newest union select bucket, message_id from oldest
)
update message
   set next_attempt_at = $3, attempts = attempts + 1
  from claimed
 where message.bucket = claimed.bucket and message.message_id = claimed.message_id
returning message.message_id, message.payment_id, message.kind, message.recipient, message.body,
          message.created_at, message.attempts
"""

# The select hides the state from the planner: by the index of all that wait it would read them all.
MARK = f"""
update message
   set state = told.state, attempts = told.attempts,
       next_attempt_at = {instant("told.next_attempt")}, sent_at = {instant("told.sent")},
       settled_at = {instant("told.settled")},
       gateway_id = told.gateway_id, last_failure = told.last_failure
  from unnest({number_array(1, "smallint")}, {number_array(2, "bigint")},
              {number_array(3, "smallint")}, {text_array(4)}, {number_array(5, "smallint")},
              {instant_array(6)}, {instant_array(7)}, {instant_array(8)}, {any_text_array(9)},
              {any_text_array(10)})
       as told (bucket, message_id, attempt, state, attempts, next_attempt, sent, settled,
                gateway_id, last_failure)
 where message.bucket = told.bucket and message.message_id = told.message_id
   and message.state = (select 'waiting')
   and (told.state = 'sent' or message.attempts = told.attempt)
"""  # noqa: S608 -- only parameter numbers and type names are put into the text

COUNT_WAITING = """
select count(*) from message where bucket = any($1::smallint[]) and state = 'waiting'
"""

# A report may come twice, or late, or contradict an earlier one: the first final one stands.
SETTLE = """
update message
   set state = $2, settled_at = $3, last_failure = $4
 where gateway_id = $1 and state = 'sent'
returning message_id
"""

KNOWN = """
select 1 from message where gateway_id = $1 limit 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A message this relay may send now, and the number of this try, from 1."""

    message: Message
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What to write down about one try."""

    claimed: Claimed
    state: MessageState
    attempts: int
    next_attempt_at: datetime
    sent_at: datetime | None = None
    settled_at: datetime | None = None
    gateway_id: str | None = None
    failure: str | None = None


async def claim(
    db: Session, *, buckets: Sequence[int], now: datetime, until: datetime, newest: int, oldest: int
) -> list[Claimed]:
    """Claim due messages until an instant: at most so many of the newest and of the oldest.

    May return fewer than are due, but returns none only when none is.
    """
    each = -(-max(newest, oldest) // len(buckets))
    rows = await db.fetch(CLAIM, list(buckets), now, until, each, newest, oldest)
    claimed = [
        Claimed(
            message=Message(
                message_id=row["message_id"],
                payment_id=row["payment_id"],
                kind=row["kind"],
                recipient=row["recipient"],
                body=row["body"],
                due_at=row["created_at"],
            ),
            attempt=row["attempts"],
        )
        for row in rows
    ]
    return sorted(claimed, key=lambda one: one.message.message_id)


async def mark(db: Session, settlements: Iterable[Settlement]) -> None:
    """Write down how tries went, all in one statement."""
    told = list(settlements)
    await db.fetch(
        MARK,
        numbers([bucket_of(one.claimed.message.message_id) for one in told]),
        numbers([one.claimed.message.message_id for one in told]),
        numbers([one.claimed.attempt for one in told]),
        texts([one.state.value for one in told]),
        numbers([one.attempts for one in told]),
        instants([one.next_attempt_at for one in told]),
        instants([one.sent_at for one in told]),
        instants([one.settled_at for one in told]),
        any_texts([one.gateway_id for one in told]),
        any_texts([one.failure for one in told]),
    )


def settlement(
    claimed: Claimed, result: SendResult, *, now: datetime, pace: Pace, chance: random.Random
) -> Settlement:
    """Return what becomes of a message after a try."""
    failure = _storable(result.failure, _FAILURE_LETTERS_MAX)
    if result.answer is Answer.ACCEPTED:
        return Settlement(
            claimed=claimed,
            state=MessageState.SENT,
            attempts=claimed.attempt,
            next_attempt_at=now,
            sent_at=now,
            gateway_id=_storable(result.gateway_id, _GATEWAY_ID_LETTERS_MAX),
        )
    if result.answer is Answer.AWAY:
        # Behind the others that are due, so that the next probe is another message.
        return returned(claimed, at=now + timedelta(seconds=1), counted=False, failure=failure)
    if result.answer is Answer.RETRY and claimed.attempt < pace.attempts_max:
        at = now + wait_after(claimed.attempt, pace=pace, chance=chance)
        return returned(claimed, at=at, counted=True, failure=failure)
    refused = result.answer is Answer.REFUSED
    return Settlement(
        claimed=claimed,
        state=MessageState.FAILED if refused else MessageState.GIVEN_UP,
        attempts=claimed.attempt,
        next_attempt_at=now,
        settled_at=now,
        failure=failure,
    )


def returned(
    claimed: Claimed, *, at: datetime, counted: bool, failure: str | None = None
) -> Settlement:
    """Return a message to the waiting ones, due at an instant; a try that counts stays counted."""
    return Settlement(
        claimed=claimed,
        state=MessageState.WAITING,
        attempts=claimed.attempt if counted else claimed.attempt - 1,
        next_attempt_at=at,
        failure=failure,
    )


async def waiting(db: Session, buckets: Sequence[int]) -> int:
    """Return how many messages have not yet been handed to the carrier."""
    rows = await db.fetch(COUNT_WAITING, list(buckets))
    count: int = rows[0][0]
    return count


async def report(
    db: Session, gateway_id: str, *, delivered: bool, failure: str | None, now: datetime
) -> bool:
    """Take the carrier's final word on a message; return whether we know the message.

    Only the first report of a message that was sent changes it.
    """
    state = MessageState.DELIVERED if delivered else MessageState.FAILED
    told = _storable(failure, _FAILURE_LETTERS_MAX)
    name = _storable(gateway_id, _GATEWAY_ID_LETTERS_MAX)
    if await db.fetch(SETTLE, name, state.value, now, told):
        return True
    return bool(await db.fetch(KNOWN, name))


def _storable(text: str | None, letters_max: int) -> str | None:
    """Return text from outside as PostgreSQL can hold it: no NUL, no half of a surrogate pair."""
    if text is None:
        return None
    return text[:letters_max].replace("\0", "").encode("utf-8", "replace").decode()
