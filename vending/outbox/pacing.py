"""How fast messages leave, how long a failed one waits, and what to do while the carrier is away.

All of it is told the time; none of it waits.
"""

import random
from collections import deque
from datetime import datetime, timedelta

from vending.outbox.message import Answer
from vending.values import Value

_SECOND = timedelta(seconds=1)
_MILLISECOND = timedelta(milliseconds=1)


class Pace(Value, frozen=True, kw_only=True):
    """The bounds of a relay, and where each comes from.

    `per_second_max` is the rate contracted with the carrier and `attempts_max` the tries that count
    before a message is given up. With the waits below, twelve tries take at least two and a half
    hours: longer than any carrier outage on record, during which most tries do not count anyway.
    `claim_seconds` must exceed the deadline of one send: a claim that lapses is sent again.
    """

    per_second_max: int
    attempts_max: int
    in_flight_max: int = 32
    claim_seconds: int = 30
    first_wait_seconds: int = 10
    wait_seconds_max: int = 3600
    probe_seconds_max: int = 30


def wait_after(attempt: int, *, pace: Pace, chance: random.Random) -> timedelta:
    """Return how long a message waits after its try number `attempt` (from 1) failed.

    Doubles from the first wait up to the longest; the last quarter is left to chance, so that
    messages that failed together do not come back together.
    """
    # Two to the thirtieth seconds is past any longest wait; without a bound the number would grow.
    longest = min(pace.first_wait_seconds << min(attempt - 1, 30), pace.wait_seconds_max) * 1000
    return chance.randint(longest * 3 // 4, longest) * _MILLISECOND


LETS_GO_A_SECOND = 10
"""How often a second messages leave where the contracted rate is what holds them."""


class RateWindow:
    """Lets no more than so many leave in any one second.

    At a rate of hundreds, what may leave is let go a tenth of a second's worth at a time: asking
    the database for one message costs as much as asking for ten.
    """

    def __init__(self, per_second_max: int) -> None:
        self._per_second_max = per_second_max
        self._together = max(1, per_second_max // LETS_GO_A_SECOND)
        self._left: deque[datetime] = deque()

    def allowance(self, now: datetime) -> int:
        """Return how many may leave now."""
        # A clock set back leaves departures in the future; they are forgotten as well.
        while self._left and not now - _SECOND < self._left[0] <= now:
            self._left.popleft()
        room = self._per_second_max - len(self._left)
        return room if room >= self._together else 0

    def leave(self, now: datetime, count: int) -> None:
        """Note that so many leave now."""
        self._left.extend([now] * count)

    def opens_in(self, now: datetime) -> timedelta:
        """Return how long until more may leave."""
        if self.allowance(now) > 0:
            return timedelta(0)
        too_many = len(self._left) - (self._per_second_max - self._together)
        return self._left[too_many - 1] + _SECOND - now


class Carrier:
    """Whether the carrier is believed to be serving us.

    It is away after one answer that says so, or after so many failures in a row that it cannot be
    the messages. Then one message at a time finds out, less and less often, until one gets through.
    """

    def __init__(self, *, failures_max: int, probe_seconds_max: int) -> None:
        self._failures_max = failures_max
        self._probe_seconds_max = probe_seconds_max
        self._failures = 0
        self._probes = 0
        self._probe_at: datetime | None = None

    @property
    def away(self) -> bool:
        """Whether only probes are sent."""
        return self._probe_at is not None

    def allowance(self, now: datetime, *, in_flight: int) -> int | None:
        """Return how many may be sent now, or None for no bound."""
        if self._probe_at is None:
            return None
        return int(in_flight == 0 and now >= self._probe_at)

    def probes_in(self, now: datetime) -> timedelta:
        """Return how long until the next probe."""
        return max((self._probe_at or now) - now, timedelta(0))

    def heard(self, answer: Answer, now: datetime) -> bool:
        """Take note of an answer; return whether it changed what is believed."""
        was_away = self.away
        if answer in {Answer.ACCEPTED, Answer.REFUSED}:
            self._failures = self._probes = 0
            self._probe_at = None
            return was_away
        self._failures += 1
        if was_away or answer is Answer.AWAY or self._failures >= self._failures_max:
            # Those that were in the air together count as one probe.
            if self._probe_at is None or now >= self._probe_at:
                self._probe_at = now + min(1 << min(self._probes, 30), self._probe_seconds_max) * (
                    _SECOND
                )
                self._probes += 1
            return not was_away
        return False
