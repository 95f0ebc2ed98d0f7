"""The lanes: what waits in memory to be vended, in which order, how much of the backlog at once.

Two lanes. Fresh payments are served first, in the order of arrival: once the backlog has its share
the fresh lane is served faster than it fills, and an order that newest-first would gain a little on
is one that every customer in it can understand. Payments older than a minute, however they came,
are sidelined: they have a guaranteed share of each batch while fresh ones wait, and as much more as
leaves the fresh ones quick (`Drain`). A customer who asks for a waiting payment is at the meter
now: that payment goes to the front of the fresh lane.
"""

import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from vending import metrics
from vending.claims import Claim
from vending.values import replace

FRESH_MAX = 20_000
"""Payments held in memory as they arrive: two seconds of work. The rest waits in the database."""

SIDELINED_MAX = 5_000
"""Payments held in memory that the sweep found; it brings more when these are done."""

SIDELINED_SHARE = 0.3
"""Part of a batch that the backlog gets while live payments wait too."""

SIDELINED_AFTER = timedelta(seconds=60)
"""A payment that has waited so long has been told that its token is coming; others have not."""

WANTED_MAX = 1_000
"""Payments asked for that are not in memory: more people do not dial in between two looks."""

DRAIN_LEAST = 16
"""So many of the backlog go into a batch at first, and whatever live payments take. Each step of a
batch keeps a processor from what live payments need; batches of half as many drain less."""

PACE_LEAST = 10_500.0
"""So many of the backlog in a second if the machine can, whatever live payments take: what fifteen
hours of outage leave behind, 540,000, is to be gone within a minute."""

LIVE_SECONDS = 0.01
"""Live p99 up to which the backlog may grow its part: a commit of the inbox and two batches."""

LIVE_RATIO = 1.5
"""Where live payments take longer by themselves, the backlog may add half of that and no more."""

SAVED_SECONDS = 0.02
"""What a paced backlog could not take while others were served, it may take so long after."""

DRAIN_WINDOW_SECONDS = 1.0
DRAIN_SAMPLES_MIN = 20
"""Fewer live payments than these in a window have no p99, and hardly anybody waits."""

SPEED_AT_FIRST = 2_000.0
"""Payments a second assumed before any batch is measured: what a small machine does."""

SPEED_BATCH = 64
"""A batch from this size on says what the machine can do: it is what work that waits comes in."""

Identity = tuple[int, int | None]

Settled = set[Identity]
"""What is settled while a watch lasts."""


class Lanes:
    """Claims that wait, each at most once, and those being decided."""

    def __init__(self, *, batch_max: int) -> None:
        self._batch_max = batch_max
        self._fresh: OrderedDict[Identity, Claim] = OrderedDict()
        self._sidelined: OrderedDict[Identity, Claim] = OrderedDict()
        self._taken: dict[Identity, Claim] = {}
        self._late: set[Identity] = set()
        self._settled: Settled | None = None
        self._wanted: set[int] = set()
        self.drain = Drain(least=min(DRAIN_LEAST, batch_max), most=batch_max)
        self.beyond: int | None = 0
        """Undecided payments that the sweep knows of besides; None: too many to count in time."""
        self.spooled = 0
        """Payments in the spool, which nobody can vend before the database has them."""
        self.away = False
        """Whether the database is away: what waits in it cannot be counted, nor be decided."""

    def __len__(self) -> int:
        return len(self._fresh) + len(self._sidelined) + len(self._taken)

    @property
    def fresh(self) -> int:
        """How many live payments wait."""
        return len(self._fresh)

    @property
    def sidelined(self) -> int:
        """How many left-behind payments wait in memory."""
        return len(self._sidelined)

    @property
    def untaken(self) -> int:
        """How many payments wait to be taken."""
        return len(self._fresh) + len(self._sidelined)

    def rest(self, at: float) -> float:
        """Return in how many seconds there is something to take, if nothing arrives till then."""
        if self._fresh:
            return 0.0
        return self.drain.rest(at) if self._sidelined else math.inf

    @property
    def ahead(self) -> int:
        """How many payments are decided before one that arrives now."""
        return len(self._taken) + len(self._fresh) + min(len(self._sidelined), self.drain.most_now)

    @property
    def oldest(self) -> datetime | None:
        """When the oldest payment in memory arrived; None when none waits."""
        heads = (next(iter(one.values()), None) for one in (self._fresh, self._sidelined))
        first_taken = next(iter(self._taken.values()), None)
        return min(
            (one.payment.received_at for one in (*heads, first_taken) if one is not None),
            default=None,
        )

    def room(self) -> int:
        """Return how many more sidelined payments may be brought."""
        return max(0, SIDELINED_MAX - len(self._sidelined))

    @property
    def full(self) -> bool:
        """Whether no more live payments are held."""
        return len(self._fresh) >= FRESH_MAX

    def arrive(self, claims: Iterable[Claim], *, now: datetime) -> None:
        """Take in payments as they are stored; those beyond what memory holds are left out."""
        long_ago = now - SIDELINED_AFTER
        for claim in claims:
            if claim.payment.received_at < long_ago:
                if len(self._sidelined) < SIDELINED_MAX:
                    self._hold(claim, self._sidelined)
            elif not self.full:
                self._hold(claim, self._fresh)

    def watch(self) -> Settled:
        """Return what will hold everything that is settled from now on, for `sideline`."""
        self._settled = Settled()
        return self._settled

    def unwatch(self) -> None:
        """Hear that others may have settled payments as well: no watch is of any use now."""
        self._settled = None

    def sideline(self, claims: Iterable[Claim], *, settled: Settled | None = None) -> None:
        """Take in what the sweep found: perhaps decided already.

        Unless it was undecided when the watch began that has `settled`, and is not settled since.
        """
        if settled is None or settled is not self._settled:
            for claim in claims:
                self._hold(replace(claim, doubtful=True), self._sidelined)
            return
        self._settled = None
        for claim in claims:
            if _identity(claim) not in settled:
                self._hold(claim, self._sidelined)

    def take(self, *, at: float, most: int | None = None) -> list[Claim]:
        """Return the next batch: live payments first, with the backlog's share kept for it.

        `at` is a steady clock's time in seconds; `most` makes the batch smaller than batch_max.
        """
        room = self._batch_max if most is None else min(most, self._batch_max)
        kept = min(len(self._sidelined), int(room * SIDELINED_SHARE))
        fresh = self._pop(self._fresh, room - kept)
        share = int(len(fresh) * SIDELINED_SHARE / (1 - SIDELINED_SHARE))
        part = max(share, self.drain.part(at))
        late = self._pop(self._sidelined, min(room - len(fresh), part))
        self.drain.took(len(late))
        self._late.update(map(_identity, late))
        return fresh + late

    def settled(self, claim: Claim) -> bool:
        """Forget a claim that was taken: it has its outcome, or a person has it.

        Returns whether it was of the backlog.
        """
        identity = _identity(claim)
        self._taken.pop(identity, None)
        if self._settled is not None:
            self._settled.add(identity)
        late = identity in self._late
        self._late.discard(identity)
        return late

    def put_back(self) -> None:
        """Keep what was taken and is not settled, first in the sidelined lane: it is in doubt."""
        for identity, claim in reversed(self._taken.items()):
            self._sidelined[identity] = replace(claim, doubtful=True)
            self._sidelined.move_to_end(identity, last=False)
        self._forget_taken()

    def bump(self, payment_id: int) -> bool:
        """Move a waiting payment to the front; one that is not in memory is noted for the sweep.

        Returns whether it was here.
        """
        identity = (payment_id, None)
        claim = self._sidelined.pop(identity, None)
        if claim is not None:
            self._fresh[identity] = claim
            self._late.add(identity)
        if identity in self._fresh:
            self._fresh.move_to_end(identity, last=False)
        elif identity not in self._taken:
            if len(self._wanted) < WANTED_MAX:
                self._wanted.add(payment_id)
            return False
        return True

    def wanted(self) -> list[int]:
        """Return, once, the payments that were asked for and were not in memory."""
        wanted, self._wanted = sorted(self._wanted), set()
        return wanted

    def bring_forward(self, claims: Iterable[Claim]) -> None:
        """Take in payments that were asked for, at the front of the fresh lane."""
        for claim in claims:
            identity = _identity(claim)
            self._hold(replace(claim, doubtful=True), self._fresh)
            if identity in self._fresh:
                self._late.add(identity)
                self._fresh.move_to_end(identity, last=False)

    def clear(self) -> list[Claim]:
        """Forget everything and return it."""
        held = [*self._taken.values(), *self._fresh.values(), *self._sidelined.values()]
        self._forget_taken()
        for lane in (self._fresh, self._sidelined):
            self._late.difference_update(lane)
            lane.clear()
        self._wanted.clear()
        self.beyond = 0
        return held

    def publish(self) -> None:
        """Set the gauges that tell how much waits and when the backlog will be gone."""
        metrics.waiting_payments.set(len(self))
        waits = len(self._sidelined) + (self.beyond or 0) + self.spooled
        metrics.backlog_payments.set(waits)
        unknown = self.away or self.beyond is None
        metrics.backlog_eta_seconds.set(math.inf if unknown else self.drain.eta(waits))

    def _hold(self, claim: Claim, lane: "OrderedDict[Identity, Claim]") -> None:
        identity = _identity(claim)
        if not (identity in self._fresh or identity in self._sidelined or identity in self._taken):
            lane[identity] = claim

    def _forget_taken(self) -> None:
        self._late.difference_update(self._taken)
        self._taken.clear()
        self.unwatch()

    def _pop(self, lane: "OrderedDict[Identity, Claim]", most: int) -> list[Claim]:
        popped = [lane.popitem(last=False) for _ in range(min(most, len(lane)))]
        self._taken.update(popped)
        return [claim for _identity, claim in popped]


class Drain:
    """How many of the backlog go into one batch: all that leaves live payments quick.

    Few at first. Once a second the p99 of the live payments decided in it is looked at. Above its
    limit the backlog's part shrinks by 30 %, but never below the least, and then its pace by 15 %,
    but never below PACE_LEAST; under it the pace grows by 10 %, and when that holds nothing back
    the part; and by half when hardly anybody live was there. The limit is LIVE_SECONDS, or
    LIVE_RATIO times what live payments take while nothing is drained.
    """

    def __init__(self, *, least: int, most: int) -> None:
        self._least = least
        self._most = most
        self.most_now = least
        self._pace = math.inf
        self._allowed = 0.0
        self._allowed_at = -math.inf
        self._usual = LIVE_SECONDS / LIVE_RATIO
        self._waits: list[float] = []
        self._drained = 0
        self._since: float | None = None
        self._rate = 0.0

    def part(self, at: float) -> int:
        """Return how many may be taken: none until it is time for the least of them."""
        if math.isinf(self._pace):
            return self.most_now
        passed = max(0.0, at - self._allowed_at)
        saved = max(self.most_now, self._pace * SAVED_SECONDS)
        self._allowed = min(saved, self._allowed + self._pace * passed)
        self._allowed_at = at
        return min(self.most_now, int(self._allowed)) if self._allowed >= self._least else 0

    def took(self, count: int) -> None:
        """Hear how many were taken."""
        self._allowed -= count

    def rest(self, at: float) -> float:
        """Return in how many seconds some may be taken."""
        return 0.0 if self.part(at) else (self._least - self._allowed) / self._pace

    def note(self, waits: Sequence[float], *, drained: int, at: float) -> None:
        """Take note of a batch: how long its live payments waited, in seconds, and its backlog.

        `at` is a steady clock's time in seconds.
        """
        if self._since is None:
            self._since = at
        self._waits += waits
        self._drained += drained
        passed = at - self._since
        if passed >= DRAIN_WINDOW_SECONDS:
            self._judge(passed)
            self._waits, self._drained, self._since = [], 0, at

    def eta(self, waiting: int) -> float:
        """Return in how many seconds so many are drained; infinity while nothing is."""
        if not waiting:
            return 0.0
        return waiting / self._rate if self._rate else math.inf

    def _judge(self, passed: float) -> None:
        rate = self._drained / passed
        self._rate = (self._rate + rate) / 2 if self._rate and rate else rate
        if len(self._waits) < DRAIN_SAMPLES_MIN:
            self._pace = math.inf
            self._grow(1.5)
            return
        p99 = sorted(self._waits)[int(len(self._waits) * 0.99)]
        if not self._drained:
            # Slow by themselves is what they are for long, not in the first moments of a server.
            self._usual = min(p99, self._usual + (p99 - self._usual) / 8)
        elif p99 > max(LIVE_SECONDS, LIVE_RATIO * self._usual):
            if self.most_now == self._least:
                self._pace = max(PACE_LEAST, min(self._pace, rate) * 0.85)
            self.most_now = max(self._least, int(self.most_now * 0.7))
        elif rate * 1.1 < self._pace < math.inf:
            self._pace = math.inf  # it is not the pace that holds the backlog back
        elif self._pace < math.inf:
            self._pace *= 1.1
        else:
            self._grow(1.1)

    def _grow(self, by: float) -> None:
        self.most_now = min(self._most, math.ceil(self.most_now * by))


class Speed:
    """Payments decided in a second while there is work, measured batch by batch."""

    def __init__(self) -> None:
        self.per_second = SPEED_AT_FIRST

    def note(self, payments: int, *, seconds: float) -> None:
        """Take note of a batch. A small one never counts against: its time is the commit's."""
        measured = payments / max(seconds, 1e-6)
        if payments >= SPEED_BATCH or measured > self.per_second:
            weight = 0.3 * min(1.0, payments / SPEED_BATCH)
            self.per_second += weight * (measured - self.per_second)


def _identity(claim: Claim) -> Identity:
    return claim.payment.payment_id, claim.reassignment
