"""Token identifiers: minutes since a base date, and never the same one twice for a meter.

IEC 62055-41, 6.3.5: 24 bits of minutes since 1 January of the key's base date. The minute 00:01 of
any day is reserved for special-purpose tokens and is skipped. A meter's identifiers only rise
(P4), so the next one is the later of the present minute and the one after its last.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from vending.errors import Refused

BASE_DATES = {
    93: datetime(1993, 1, 1, tzinfo=UTC),
    14: datetime(2014, 1, 1, tzinfo=UTC),
    35: datetime(2035, 1, 1, tzinfo=UTC),
}
"""The three base dates of the standard, by the two digits of their year."""

TID_MAX = 2**24 - 1

_MINUTE = timedelta(minutes=1)
_MINUTES_A_DAY = 1440
_RESERVED_MINUTE = 1


class IdentifiersExhausted(Refused):
    """The meter's base date has no token identifiers left, or has not begun.

    The meter needs a key change to a later base date before it can take another token.
    """

    code = "identifiers_exhausted"


def next_identifier(at: datetime, *, tid_base: int, after: int) -> int:
    """Return the identifier of a meter's next token.

    `after` is the last identifier used on this base date, 0 when there is none. Raises
    IdentifiersExhausted outside the 24 bits.
    """
    minute = _minute(at, tid_base)
    tid = max(minute, after + 1)
    if tid % _MINUTES_A_DAY == _RESERVED_MINUTE:
        tid += 1
    if minute < 0 or tid > TID_MAX:
        raise IdentifiersExhausted(tid_base=tid_base)
    return tid


@lru_cache(maxsize=16)  # all sales of a batch ask for the same instant
def _minute(at: datetime, tid_base: int) -> int:
    return (at - BASE_DATES[tid_base]) // _MINUTE
