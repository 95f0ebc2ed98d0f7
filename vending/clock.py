"""The only reader of the system clock; everything else is told the time."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Says what time it is, as an aware UTC instant."""

    def __call__(self) -> datetime:
        """Return the present instant."""
        ...


def system_clock() -> datetime:
    """Return the machine's present instant in UTC."""
    return datetime.now(UTC)


SET_BACK_MAX = timedelta(hours=2)
"""An hour is the common mistake; a clock that was further ahead than this was simply wrong."""


class RisingClock:
    """A clock that does not go back when the one behind it is set back.

    It runs at half speed until the other has caught up, so that what is decided later also says
    so: identifiers rise with time, and what is due in a minute is due within two. A clock that is
    set back by more than SET_BACK_MAX is followed at once.
    """

    def __init__(self, clock: Clock, *, steady: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._steady = steady
        self._last = clock()
        self._steady_last = steady()

    def __call__(self) -> datetime:
        """Return the present instant, never one before the last."""
        now, steady = self._clock(), self._steady()
        if now < self._last and self._last - now <= SET_BACK_MAX:
            now = max(now, self._last + timedelta(seconds=(steady - self._steady_last) / 2))
        self._last, self._steady_last = now, steady
        return now
