"""The sequencer: takes whatever payments wait, runs the story on them, commits, goes on.

One task owns the one connection that writes vends. There is no timer: while a batch commits, the
next one gathers (and is prepared, when it is large: `vending.pipeline`), so batches grow with the
load and latency does not. The right to write is a lease row with an epoch that every batch moves; a
second server waits as a stand-by, and a former owner that wakes up late writes nothing.

What waits is in two lanes (`vending.lanes`): payments as they arrive, and those left behind.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from time import monotonic

from vending import lease, log, metrics
from vending.answers import Answers, SaleUnavailable
from vending.claims import Claim, Terms, Wish
from vending.clock import Clock
from vending.errors import VendingError
from vending.lanes import Lanes, Settled
from vending.lease import Fence, Fenced, Lease
from vending.numbering import Numbers
from vending.office import Office, OfficeClosed
from vending.payments.outcomes import Outcome
from vending.payments.payment import Payment
from vending.pipeline import Pipeline
from vending.postgres.writer import DatabaseAway, Writer

__all__ = ["SaleUnavailable", "Sequencer"]

AWAY_SECONDS = 0.25
"""Pause before the database is asked again: long enough not to spin, short against a payer."""


class Sequencer:
    """Owns the vend lane of one shard for as long as `run` runs.

    `open_office` is asked for the office before each batch, so that a newly loaded tariff counts
    from the next batch on. `on_committed` hears of each committed batch and must not block.
    """

    def __init__(
        self,
        writer: Writer,
        *,
        lease_wanted: Lease,
        batch_max: int,
        open_office: Callable[[], Office],
        clock: Clock,
        numbers: Numbers,
        on_committed: Callable[[Sequence[Outcome]], None],
    ) -> None:
        self._writer = writer
        self._lease = lease_wanted
        self._clock = clock
        self._lanes = Lanes(batch_max=batch_max)
        self._answers = Answers()
        self._pipeline = Pipeline(
            writer,
            lanes=self._lanes,
            answers=self._answers,
            open_office=open_office,
            clock=clock,
            numbers=numbers,
            on_committed=on_committed,
        )
        self._away = False
        self._away_since: float | None = None
        self._fence: Fence | None = None
        self._work = asyncio.Event()
        self._stop_asked = asyncio.Event()
        self._renewed_at = 0.0
        self._takes_back = True
        self._standing_by = False
        self._log = log.get("sequencer")

    @property
    def _stopping(self) -> bool:
        return self._stop_asked.is_set()

    @property
    def running(self) -> bool:
        """Whether this server has the right to write vends now."""
        return self._fence is not None

    @property
    def waiting(self) -> int:
        """How many payments are in memory and not yet decided."""
        return len(self._lanes)

    @property
    def oldest(self) -> datetime | None:
        """When the oldest payment in memory arrived; None when none waits."""
        return self._lanes.oldest

    @property
    def estimated_wait(self) -> float:
        """In how many seconds a payment that comes now has its outcome; infinity when unknown."""
        if not self.running or self._away or self._stopping or not self._pipeline.going:
            return math.inf
        return self._pipeline.estimated_wait

    @property
    def per_second(self) -> float:
        """How many payments are decided in a second while there is work."""
        return self._pipeline.per_second

    def room(self) -> int:
        """Return how many more sidelined payments may be brought."""
        return self._lanes.room() if self.running else 0

    def bump(self, payment_id: int) -> None:
        """Put a waiting payment first: its customer has asked for it, and is at the meter now."""
        if self.running:
            self._lanes.bump(payment_id)

    def wanted(self) -> list[int]:
        """Return, once, the payments that were bumped and were not in memory."""
        return self._lanes.wanted()

    def bring_forward(self, claims: Iterable[Claim]) -> None:
        """Hand over, first of all, payments that were asked for."""
        if not self._standing_by:
            self._lanes.bring_forward(claims)
            self._call()

    def know_beyond(self, count: int | None) -> None:
        """Hear how many undecided payments there are besides those in memory; None: unknown."""
        self._lanes.beyond = None if count is None else max(0, count)

    def know_spooled(self, count: int) -> None:
        """Hear how many payments are in the spool, and come when the database has them."""
        if count != self._lanes.spooled:
            self._lanes.spooled = count
            self._lanes.publish()

    def offer(self, payments: Sequence[Payment]) -> None:
        """Hand over payments that have just been stored.

        Those beyond what memory may hold are left to the sweep, and so are all of them while this
        server stands by: they are on disk, and the owner's sweep finds them there.
        """
        if self._standing_by:
            return
        claims = (Claim(payment=one, reference=one.notice.account_reference) for one in payments)
        self._lanes.arrive(claims, now=self._clock())
        self._call()

    async def sell(self, payment: Payment, *, terms: Terms | None = None) -> Outcome:
        """Vend a payment that is not stored yet, and return its outcome once that is committed.

        Payment, token and entry are one transaction; a reference that comes again gets its first
        outcome. `terms` are those a vendor sells on. Raises Refused when the sale cannot happen
        (then nothing is stored), NoticeConflicts when the reference was used for something else,
        and SaleUnavailable when this server cannot say: ask again by the same reference.
        """
        reference = payment.notice.account_reference
        return await self._result(
            Claim(payment=payment, reference=reference, stored=False, terms=terms)
        )

    async def bar(self, payment: Payment, *, withdraw: bool = False) -> Outcome:
        """Bar the reference of a payment, unless there is a sale under it: return its outcome.

        Of the payment only operator and reference count. Raises ReferenceBarred once that is
        committed, whatever `sell` raises when a sale in the same batch was refused (ask again), and
        SaleUnavailable. To `withdraw` is not to make that sale either.
        """
        wish = Wish.WITHDRAWAL if withdraw else Wish.BAR
        return await self._result(Claim(payment=payment, reference="", stored=False, wish=wish))

    async def issue(self, claim: Claim) -> Outcome:
        """Make a special token, and return it as an outcome once that is committed.

        A reference that comes again gets its first token. Raises Refused when none can be made
        (then nothing is stored), and SaleUnavailable: ask again by the same reference.
        """
        return await self._result(claim)

    async def _result(self, claim: Claim) -> Outcome:
        if not self.running or self._stopping or self._lanes.full:
            raise SaleUnavailable(why="this server does not vend now")
        number = claim.payment.payment_id
        answer = self._answers.awaited(number)
        self._lanes.arrive([claim], now=claim.payment.received_at)
        self._call()
        try:
            result = await answer
        finally:
            self._answers.forget(number)
        if isinstance(result, VendingError):
            raise result
        return result

    def _call(self) -> None:
        """Say that something waits now."""
        self._work.set()
        self._pipeline.stir()

    def watch(self) -> Settled:
        """Return what will hold the payments that are settled from now on, for `offer_swept`."""
        return self._lanes.watch()

    def offer_swept(self, claims: Iterable[Claim], *, settled: Settled | None = None) -> None:
        """Hand over what the sweep found undecided, and requests to reassign.

        What was read as undecided since a watch began is looked up once more before it is decided,
        unless that watch has told ever since what is `settled`.
        """
        if self._standing_by:
            return
        self._lanes.sideline(claims, settled=settled)
        self._call()

    def pause(self) -> None:
        """Let no batch begin until `resume`; payments are still taken in, and wait.

        What is in flight, and what is prepared behind it, is finished.
        """
        self._pipeline.pause()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._pipeline.resume()
        self._work.set()

    def stop(self) -> None:
        """Finish what is in memory and give up the lease; then `run` ends.

        A paused lane finishes nothing: what it holds is on disk, and the next start finds it.
        """
        self._stop_asked.set()
        self._work.set()

    async def run(self) -> None:
        """Own the lane when it is free, and vend, until `stop`."""
        try:
            while not self._stopping or self._has_work_in_hand():
                await self._one_turn()
            await self._give_up()
            self._let_go(why="this server stops")
        finally:
            self._pipeline.close()

    def _has_work_in_hand(self) -> bool:
        return (self.running or self._away) and self._pipeline.has_work

    async def _one_turn(self) -> None:
        try:
            if self._fence is None:
                await self._wait_for_lease()
            else:
                await self._turn(self._fence)
                self._away = False
        except DatabaseAway as fault:
            self._note_away(fault)
            # What was sent may still be under way over there. Taking the lease anew waits for it,
            # or shuts it out by a later epoch: what is read then stays true.
            self._fence, self._takes_back = None, True
            await asyncio.sleep(AWAY_SECONDS)
        except OfficeClosed as fault:
            self._log.error("the vend lane waits for its office", fault=str(fault))
            self.pause()
        except Fenced as fault:
            self._lose(fault)

    def _note_away(self, fault: DatabaseAway) -> None:
        """Note that the database is away; the log has it once, however often it is asked."""
        self._away = True
        if self._away_since is None:
            self._away_since = monotonic()
            self._log.warning("the vend lane waits for the database", fault=str(fault))
        metrics.database_up.set(0)
        self._lanes.away = True
        self._lanes.publish()

    def _note_answer(self) -> None:
        """Note that the database answers, and for how long it did not."""
        metrics.database_up.set(1)
        if self._away_since is not None:
            seconds = round(monotonic() - self._away_since, 1)
            self._away_since = None
            self._log.info("the vend lane has the database again", waited_seconds=seconds)
        if self._lanes.away:
            self._lanes.away = False
            self._lanes.publish()

    async def _wait_for_lease(self) -> None:
        fence = await lease.take(self._writer, self._lease, restarted=self._takes_back)
        self._takes_back = False
        self._note_answer()
        self._standing_by = fence is None
        if fence is None:
            metrics.sequencer_owner.set(0)
            self._let_go(why="another server vends now")
            await _at_most(self._lease.seconds / 4, self._stop_asked)
            return
        self._fence = fence
        self._lanes.unwatch()  # somebody else may have vended since
        self._away = False
        metrics.sequencer_owner.set(1)
        self._log.info("this server vends", shard=fence.shard, epoch=fence.epoch)

    async def _turn(self, fence: Fence) -> None:
        """Vend one batch, or wait for work; either way keep the lease alive."""
        # Cleared first: what is offered or asked from here on, even during a renewal, is heard.
        self._work.clear()
        began = monotonic()
        if await self._pipeline.step(fence):
            self._renewed_at = began
            return
        rest = self._pipeline.rest
        if self._stopping and math.isinf(rest):
            return
        if monotonic() - self._renewed_at > self._lease.seconds / 3:
            await self._renew(fence)
        self._lanes.publish()
        await _at_most(min(rest, self._lease.seconds / 3), self._work)

    async def _renew(self, fence: Fence) -> None:
        await lease.renew(self._writer, fence)
        metrics.database_up.set(1)
        self._renewed_at = monotonic()

    def _lose(self, fault: Fenced) -> None:
        """Stand by: the new owner's sweep finds what this server still held."""
        self._log.warning("this server no longer vends", fault=str(fault))
        metrics.sequencer_owner.set(0)
        self._fence = None
        self._standing_by = True
        self._let_go(why="another server vends now")

    def _let_go(self, *, why: str) -> None:
        """Hold nothing when this server does not vend: the next sweep finds all of it on disk."""
        for claim in self._lanes.clear():
            self._answers.give(claim, SaleUnavailable(why=why))
        self._lanes.publish()

    async def _give_up(self) -> None:
        if self._fence is not None:
            fence, self._fence = self._fence, None
            metrics.sequencer_owner.set(0)
            try:
                await lease.give_up(self._writer, fence)
            except DatabaseAway:
                self._log.info("the lease runs out by itself")


async def _at_most(seconds: float, event: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
