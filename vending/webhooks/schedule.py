"""When a delivery is tried again, and how long an endpoint that failed is left alone.

All of it is told the time; none of it waits. docs/reference/webhooks.md shows the schedule to
vendors and a test holds it to this one.
"""

import random
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_MILLISECOND = timedelta(milliseconds=1)

WAITS = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""After each failed try; eleven tries in 75 hours at the least: a weekend is slept through."""

ATTEMPTS_MAX = len(WAITS) + 1

PAUSES = tuple(timedelta(seconds=seconds) for seconds in (1, 2, 4, 8, 16, 32, 60))
"""How long an endpoint rests after so many failures in a row; the last for all beyond. One that
hangs then holds a place for 15 s in 75: 64 places bear 300 of them."""

RETRY_AFTER_MAX = timedelta(hours=24)
"""What an endpoint may ask for at most; it would otherwise be a way never to be disabled."""


def wait_after(attempt: int, *, chance: random.Random) -> timedelta | None:
    """Return how long a delivery waits after its try number `attempt` (from 1); None: no more.

    Up to a quarter more by chance, so that what failed together does not come back together.
    """
    if attempt >= ATTEMPTS_MAX:
        return None
    wait = WAITS[attempt - 1] // _MILLISECOND
    return chance.randint(wait, wait * 5 // 4) * _MILLISECOND


def retry_after(header: str | None, *, now: datetime) -> timedelta | None:
    """Return what a Retry-After header asks for, in seconds or as a date; None: nothing sensible.

    Never negative, never more than RETRY_AFTER_MAX.
    """
    text = (header or "").strip()
    if re.fullmatch("[0-9]{1,9}", text):
        asked = timedelta(seconds=int(text))
    else:
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return None
        asked = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    return max(timedelta(), min(asked, RETRY_AFTER_MAX))
