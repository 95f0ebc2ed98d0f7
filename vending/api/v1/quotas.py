"""How often a vendor may ask: a burst and a day, told with every answer.

The headers follow draft-ietf-httpapi-ratelimit-headers: `RateLimit-Policy` names each quota (`q`)
and its window in seconds (`w`), `RateLimit` what remains of it (`r`) and in how many seconds it is
whole again (`t`). The burst refills evenly; the day begins at midnight UTC. Counts are in memory:
they bound what one vendor can load us with, and are no accounting. Processes that answer the same
vendors tell each other what they let in, and each takes that off as well. What one lets in before
it has heard of the others leaves a vendor in debt, so that over time it has its quota and no more.
"""

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from vending.clock import Clock
from vending.config import Vendors
from vending.errors import Unavailable

SPREAD_SECONDS: Final = 3
"""Refused callers are asked back over so many different seconds."""

BURST_SECONDS: Final = 10
"""In what time a burst refills: a till that sends a morning's worth at once is no flood."""

DAY_SECONDS: Final = 86_400

Headers = tuple[tuple[str, str], ...]


class QuotaExceeded(Unavailable):
    """The vendor has asked more often than was agreed.

    Nothing has happened. `policy` says which quota is used up; ask again after the seconds in
    Retry-After.
    """

    code = "quota_exceeded"


class Shared:
    """What this process has let in and not told yet; and who takes off what others let in."""

    def __init__(self) -> None:
        self._here: Counter[str] = Counter()
        self._take_off: Callable[[Mapping[str, int]], None] | None = None

    def count(self, vendor_id: str) -> None:
        """Count one request that was let in here."""
        self._here[vendor_id] += 1

    def heard_by(self, take_off: Callable[[Mapping[str, int]], None]) -> None:
        """Have told, from here on, what others let in."""
        self._take_off = take_off

    def hear(self, counts: Mapping[str, int]) -> None:
        """Take what another process let in. It counts at once: kept for later it would be owed."""
        if self._take_off is not None:
            self._take_off(counts)

    def untold(self) -> dict[str, int]:
        """Return what was counted since this was last asked."""
        told, self._here = self._here, Counter()
        return dict(told)


@dataclass(slots=True)
class _Used:
    left: float
    seen_at: float
    day: date
    today: int = 0


class Quotas:
    """The quotas of all vendors; `seconds` is a steady clock, `clock` tells the day.

    `shared` is given where other processes answer the same vendors.
    """

    def __init__(
        self,
        settings: Vendors,
        *,
        chance: random.Random,
        clock: Clock,
        seconds: Callable[[], float] = time.monotonic,
        shared: Shared | None = None,
    ) -> None:
        self._burst = settings.burst_quota
        self._window = BURST_SECONDS
        self._day = settings.day_quota
        self._chance = chance
        self._seconds = seconds
        self._clock = clock
        self._shared = shared
        if shared is not None:
            shared.heard_by(self._take_off)
        self._used: dict[str, _Used] = {}
        self._policy = (
            f'"burst";q={self._burst};w={self._window}, "day";q={self._day};w={DAY_SECONDS}'
        )

    def take(self, vendor_id: str, *, now: datetime) -> None:
        """Count one request. Raises QuotaExceeded, which counts for nothing."""
        used = self._refilled(vendor_id, now)
        if used.today >= self._day:
            raise self._refusal("day", _until_midnight(now))
        if used.left < 1.0:
            raise self._refusal("burst", (1.0 - used.left) * self._window / self._burst)
        used.left -= 1.0
        used.today += 1
        if self._shared is not None:
            self._shared.count(vendor_id)

    def headers(self, vendor_id: str, *, now: datetime) -> Headers:
        """Return what a vendor is told of its quotas."""
        used = self._refilled(vendor_id, now)
        whole = math.ceil((self._burst - used.left) * self._window / self._burst)
        left = max(0, self._day - used.today)
        told = (
            f'"burst";r={max(0, math.floor(used.left))};t={whole}, '
            f'"day";r={left};t={math.ceil(_until_midnight(now))}'
        )
        return (("RateLimit-Policy", self._policy), ("RateLimit", told))

    def _refilled(self, vendor_id: str, now: datetime) -> _Used:
        at, today = self._seconds(), now.date()
        used = self._used.get(vendor_id)
        if used is None:
            # One for each vendor the register knows: tens.
            used = self._used[vendor_id] = _Used(float(self._burst), at, today)
        more = (at - used.seen_at) * self._burst / self._window
        used.left = min(float(self._burst), used.left + more)
        used.seen_at = at
        if today != used.day:
            used.day, used.today = today, 0
        return used

    def _take_off(self, counts: Mapping[str, int]) -> None:
        """Count what others let in just now."""
        now = self._clock()
        for vendor_id, number in counts.items():
            used = self._refilled(vendor_id, now)
            used.left -= number
            used.today += number

    def _refusal(self, policy: str, wait: float) -> QuotaExceeded:
        after = math.ceil(wait) + self._chance.randrange(SPREAD_SECONDS)
        return QuotaExceeded(policy=policy, retry_after_seconds=max(1, after))


def _until_midnight(now: datetime) -> float:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return (midnight - now).total_seconds()
