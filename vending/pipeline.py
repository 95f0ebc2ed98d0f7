"""The pipeline: one batch commits while the next is prepared, and what fails is halved.

At most one batch is being written, and batches are written in the order they were taken. While it
is, the next is read on connections of its own and decided on top of what is in flight; it is
written only after the first is committed. If the first is not, for whatever reason, the second is
thrown away, tokens and all, and decided anew.

Few payments wait for nothing: below AHEAD_MIN they gather while a batch commits, and one batch
takes them all. Of more, a batch takes half: the other half is decided while it commits. Callers
who wait for their answers would otherwise all come back at once, to a lane that stood still until
then. From FLOOD_MIN on it takes all it may.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from time import monotonic

from vending import claims as claimed
from vending import log, metrics, vend
from vending.answers import Answers, SaleUnavailable
from vending.claims import Claim
from vending.clock import Clock
from vending.errors import VendingError
from vending.in_flight import NOTHING, InFlight
from vending.lanes import Lanes, Speed
from vending.lease import Fence, Fenced
from vending.numbering import Numbers
from vending.office import Office, OfficeClosed
from vending.payments.outcomes import Outcome
from vending.postgres.pool import Session
from vending.postgres.writer import DatabaseAway, Writer
from vending.values import replace
from vending.vend import Prepared, Result
from vending.vendors.floats import FloatMoved

AHEAD_MIN = 64
"""So many must wait before a batch is prepared beside another: a small one is dear for each, and
joins the next commit as quickly."""

FLOOD_MIN = 600
"""So many that wait are a flood, and a batch takes all of them: with the loop that busy, what a
batch waits for is noticed late, and a large one waits no more often."""

TOLD_LATER_FROM = 256
"""Telling so many takes the loop ten milliseconds: what the next batch must read is sent before."""

TURNS_BEFORE = 2
"""Turns of the loop in which a batch that is prepared beside another sends its two reads."""

PUT_BACK = (DatabaseAway, Fenced, OfficeClosed)
"""Faults that are no payment's own: everything taken waits for a better time."""


@dataclass(slots=True)
class _Batch:
    """Claims that were taken together; not `prepared` yet, or not any more."""

    claims: list[Claim]
    prepared: Prepared | None = None


class Pipeline:
    """Vends what waits in the lanes, batch by batch.

    `open_office` is asked before each batch, so that a newly loaded tariff counts from the next
    batch on. `on_committed` hears of each committed batch and must not block.
    """

    def __init__(
        self,
        writer: Writer,
        *,
        lanes: Lanes,
        answers: Answers,
        open_office: Callable[[], Office],
        clock: Clock,
        numbers: Numbers,
        on_committed: Callable[[Sequence[Outcome]], None],
    ) -> None:
        self._writer = writer
        self._reader = writer.beside()
        self._second_reader = writer.beside()
        self._lanes = lanes
        self._answers = answers
        self._open_office = open_office
        self._clock = clock
        self._numbers = numbers
        self._on_committed = on_committed
        self._following: _Batch | None = None
        self._in_flight: InFlight | None = None
        self._ahead: asyncio.Task[None] | None = None
        self._going = True
        self._since: float | None = None
        self._speed = Speed()
        self._log = log.get("sequencer")

    @property
    def going(self) -> bool:
        """Whether batches may begin."""
        return self._going

    @property
    def has_work(self) -> bool:
        """Whether there is something to finish: what is taken, and what waits unless paused."""
        return self._following is not None or (self._going and self._lanes.untaken > 0)

    @property
    def per_second(self) -> float:
        """How many payments are decided in a second while there is work."""
        return self._speed.per_second

    @property
    def estimated_wait(self) -> float:
        """In how many seconds a payment that comes now has its outcome."""
        waits = self._lanes.ahead / self._speed.per_second
        return waits if self._since is None else max(waits, monotonic() - self._since)

    @property
    def rest(self) -> float:
        """In how many seconds a batch may begin, if nothing arrives till then."""
        return self._lanes.rest(monotonic()) if self._going else math.inf

    def pause(self) -> None:
        """Let no batch begin; those that are taken are finished."""
        self._going = False

    def resume(self) -> None:
        """Let batches begin again."""
        self._going = True

    def stir(self) -> None:
        """Hear that payments may have come; prepare them while a batch commits, if they are many.

        They are read only now, when every batch before the one in flight is committed.
        """
        if self._in_flight is None or self._ahead is not None or self._lanes.untaken < AHEAD_MIN:
            return
        batch = self._next()
        if batch is not None:
            self._following = batch
            self._ahead = asyncio.create_task(self._prepare_ahead(batch, self._in_flight))

    def close(self) -> None:
        """Let go of the connections."""
        self._writer.drop()
        self._reader.drop()
        self._second_reader.drop()

    async def step(self, fence: Fence) -> bool:
        """Vend one batch, prepare the next one meanwhile, and return whether there was any.

        Raises DatabaseAway, Fenced and OfficeClosed; what was taken is in the lanes again then, in
        doubt, because some of it may be decided.
        """
        batch = self._first()
        if batch is None:
            return False
        try:
            await self._vend(batch, fence)
        except PUT_BACK:
            self._following = self._since = None
            self._lanes.put_back()
            raise
        # The next batch's time counts from here: until now the commit was not its own.
        now, since = monotonic(), self._since
        self._speed.note(len(batch.claims), seconds=now - (since or now))
        self._since = now if self._following else None
        return True

    def _first(self) -> _Batch | None:
        following, self._following = self._following, None
        return following or self._next()

    def _next(self) -> _Batch | None:
        waiting = self._lanes.untaken
        most = waiting if waiting >= FLOOD_MIN else max(AHEAD_MIN, (waiting + 1) // 2)
        claims = self._lanes.take(at=monotonic(), most=most) if self._going else []
        if not claims:
            return None
        if self._since is None:
            self._since = monotonic()
        return _Batch(claims)

    async def _vend(self, batch: _Batch, fence: Fence) -> None:
        """Write a batch, and let the next be prepared meanwhile; a batch that fails is halved."""
        try:
            prepared = batch.prepared or await self._prepare(batch, self._writer, NOTHING)
        except PUT_BACK:
            raise
        except Exception as fault:  # noqa: BLE001 -- one payment must never stop the lane
            await self._halve(batch.claims, fault, fence)
            return
        self._in_flight = prepared.leaves
        self.stir()
        try:
            refused = await self._commit(batch.claims, prepared, fence)
            self._in_flight = None
            if self._ahead is not None:
                await self._ahead
        finally:
            self._in_flight = None
            await self._end_ahead()
        if refused is not None:
            if self._following is not None:
                self._following.prepared = None
            await self._halve(batch.claims, refused, fence)

    async def _prepare(self, batch: _Batch, db: Session, in_flight: InFlight) -> Prepared:
        return await vend.prepare(
            db,
            batch.claims,
            in_flight=in_flight,
            office=self._open_office(),
            now=self._clock(),
            beside=self._second_reader,
        )

    async def _prepare_ahead(self, batch: _Batch, in_flight: InFlight) -> None:
        try:
            batch.prepared = await self._prepare(batch, self._reader, in_flight)
        except Exception as fault:  # noqa: BLE001 -- judged when it is decided with nothing in flight
            self._log.info("a batch is decided again", fault=type(fault).__name__)

    async def _end_ahead(self) -> None:
        """Leave no preparation behind, whether it is over or of no use any more."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and not ahead.done():
            ahead.cancel()
            await asyncio.wait({ahead})

    async def _commit(
        self, claims: list[Claim], prepared: Prepared, fence: Fence
    ) -> Exception | None:
        """Write a batch and tell of it at once; return the fault if its data was refused."""
        try:
            await vend.write(self._writer, prepared, fence=fence)
        except PUT_BACK:
            raise
        except Exception as fault:  # noqa: BLE001 -- one payment must never stop the lane
            return fault
        self._done(claims, prepared.results, decided_at=prepared.decided_at)
        return None

    async def _halve(self, claims: list[Claim], fault: Exception, fence: Fence) -> None:
        """Vend a batch that failed half by half, down to the payment that is to blame.

        When a vendor's float has moved none of them is: first it is decided again as a whole.
        """
        parts = self._halves(claims, fault)
        if isinstance(fault, FloatMoved):
            parts = [[claim for half in reversed(parts) for claim in half]]
        while parts:
            part = parts.pop()
            try:
                now, office = self._clock(), self._open_office()
                results = await vend.vend(self._writer, part, fence=fence, office=office, now=now)
            except PUT_BACK:
                raise
            except Exception as again:  # noqa: BLE001 -- one payment must never stop the lane
                if len(part) > 1:
                    parts += self._halves(part, again)
                else:
                    metrics.batch_failures.labels(type(again).__name__).inc()
                    await self._put_aside(part[0], again, now=self._clock())
            else:
                self._done(part, results, decided_at=now)

    @staticmethod
    def _halves(claims: list[Claim], fault: Exception) -> list[list[Claim]]:
        """Return the parts of a failed batch, the first of them last, to be looked at again.

        One alone may merely be decided already: it is looked up once, and then judged.
        """
        metrics.batch_failures.labels(type(fault).__name__).inc()
        doubtful = [replace(claim, doubtful=True) for claim in claims]
        middle = len(doubtful) // 2
        return [half for half in (doubtful[middle:], doubtful[:middle]) if half]

    def _done(self, claims: list[Claim], results: list[Result], *, decided_at: datetime) -> None:
        metrics.batch_payments.observe(len(claims))
        self._tell(claims, results, turns=TURNS_BEFORE if len(claims) >= TOLD_LATER_FROM else 0)
        now = self._clock()
        decided = []
        waits: list[float] = []
        live: list[float] = []
        drained = 0
        counts: Counter[tuple[str, str]] = Counter()
        for claim, result in zip(claims, results, strict=True):
            late = self._lanes.settled(claim)
            drained += late
            if isinstance(result, VendingError):
                counts["nothing_sold", result.code] += 1
                continue
            decided.append(result)
            if result.decided_at == decided_at:  # not one that had been decided before
                counts[result.kind, result.reason or ""] += 1
                waited = max(0.0, (now - claim.payment.received_at).total_seconds())
                waits.append(waited)
                if not late:
                    live.append(waited)
        metrics.vend_seconds.observe_all(waits)
        for labels, count in counts.items():
            metrics.outcomes.labels(*labels).inc(count)
        self._lanes.drain.note(live, drained=drained, at=monotonic())
        self._lanes.publish()
        self._on_committed(decided)

    def _tell(self, claims: list[Claim], results: list[Result], *, turns: int) -> None:
        """Tell whoever waits what came of their sales, so many turns of the loop from now."""
        if turns:
            again = partial(self._tell, claims, results, turns=turns - 1)
            asyncio.get_running_loop().call_soon(again)
            return
        for claim, result in zip(claims, results, strict=True):
            self._answers.give(claim, result)

    async def _put_aside(self, claim: Claim, fault: Exception, *, now: datetime) -> None:
        """Keep a payment that cannot be vended for a person, and let the others pass."""
        if not claim.stored:
            self._lanes.settled(claim)
            self._answers.give(claim, SaleUnavailable(why=type(fault).__name__))
            self._log.error("a direct sale cannot be made", fault=type(fault).__name__)
            return
        number = self._numbers.next()
        await claimed.put_aside(self._writer, claim, number=number, fault=fault, now=now)
        self._lanes.settled(claim)
        metrics.quarantined.labels("cannot_be_vended").inc()
        self._log.error(
            "a payment cannot be vended and waits for a person",
            payment_id=claim.payment.payment_id,
            transaction_id=claim.payment.notice.transaction_id,
            fault=type(fault).__name__,
            detail=str(fault),
        )
