"""Fair shares: each caller's part of what can be sold, and what of it they have used up.

A token bucket a caller, refilled with an equal part of the measured speed. It decides only while
there is something to divide: while hardly anybody waits, whoever asks is served and unused parts
are lent (`vending.api.admission` asks then for nothing but the bookkeeping).
"""

import math
from collections import OrderedDict
from dataclasses import dataclass

CALLERS_MAX = 1_024
"""Callers remembered; a utility has hundreds. The one that was silent longest is forgotten."""

ACTIVE_SECONDS = 10.0
"""A caller who asked within this time has a part of the whole, whether it was let in or not."""

BURST_SECONDS = 0.1
"""What a caller may save up, in seconds of its part: the size of the queue that is allowed."""

BURST_MIN = 5.0
"""And at least so many requests: a till that sends a handful at once is no flood."""


@dataclass(slots=True)
class _Bucket:
    left: float
    filled_at: float
    asked_at: float


class Shares:
    """The buckets of all callers; times are seconds of a steady clock."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._active = 0
        self._counted_at = -math.inf

    def note(self, caller: str, *, now: float) -> None:
        """Note that a caller asks for something, though nobody is let in: it has its part.

        Otherwise whoever filled the queue would be alone with it, because others are turned away.
        """
        self._bucket(caller, now).asked_at = now

    def take(self, caller: str, *, per_second: float, now: float, lent: bool) -> bool:
        """Take one request out of a caller's bucket, and say whether it had one.

        With `lent` the answer is yes and the bucket may run empty. One caller alone has the whole.
        """
        bucket = self._bucket(caller, now)
        bucket.asked_at = now
        part = per_second / self._active_callers(now)
        most = max(BURST_MIN, part * BURST_SECONDS)
        bucket.left = min(most, bucket.left + part * max(0.0, now - bucket.filled_at))
        bucket.filled_at = now
        has_one = bucket.left >= 1.0
        if has_one or lent:
            bucket.left = max(0.0, bucket.left - 1.0)
        return has_one or lent or self._active <= 1

    def _bucket(self, caller: str, now: float) -> _Bucket:
        """Return a caller's bucket, a full one for a new caller."""
        bucket = self._buckets.get(caller)
        if bucket is not None:
            self._buckets.move_to_end(caller)
            return bucket
        bucket = self._buckets[caller] = _Bucket(math.inf, now, now)
        self._counted_at = -math.inf
        if len(self._buckets) > CALLERS_MAX:
            self._buckets.popitem(last=False)
        return bucket

    def _active_callers(self, now: float) -> int:
        """Return how many asked lately, counted anew once a second; at least one."""
        if now - self._counted_at >= 1.0:
            since = now - ACTIVE_SECONDS
            self._active = sum(one.asked_at >= since for one in self._buckets.values())
            self._counted_at = now
        return max(1, self._active)
