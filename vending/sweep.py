"""The sweep: finds paid and undecided payments that no hand-over brings, and what people ask for.

Recovery is the normal path: a crash between storing a payment and vending it leaves a payment
without an outcome, and that is all the sweep looks for. It reads the last seconds often, the last
ten minutes once a minute, and all of history once at every start, on reading connections
that the vend lane does not wait for.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta

import asyncpg

from vending import followups, log, metrics
from vending.claims import Claim
from vending.clock import Clock
from vending.notices import Wording
from vending.numbering import EPOCH, Numbers, first_at
from vending.payments.payment import PayerKind, Payment, PaymentNotice
from vending.payments.rows import payment_of
from vending.postgres.pool import DatabaseUnavailable, Pool
from vending.postgres.writer import DatabaseAway, Writer
from vending.sequencer import Sequencer
from vending.tokens import requests
from vending.tokens.requests import Request
from vending.tokens.special import Caps, SpecialAsked, caller_of, facts_of

FOUND_MAX = 200
"""Payments in one read: a millisecond of the event loop's time to take in."""

RECENT = timedelta(seconds=15)
"""What the frequent look covers: longer than any hand-over takes."""

LATELY = timedelta(minutes=10)
"""What the occasional look covers: longer than any commit can hang."""

LATELY_EVERY = timedelta(minutes=1)

LONG = timedelta(seconds=60)
"""Who has waited so long without a token is told that it is coming."""

SOON_SECONDS = 10.0
"""A token that is this near comes about as quickly as the word that it is coming: none is sent."""

UNSURE_SECONDS = 1
"""The youngest payments are left out: the hand-over is about to bring them."""

WINDOW = timedelta(hours=6)
"""History is read in windows of our time-ordered numbers, each a short range of two indexes."""

AWAY_SECONDS = 1.0

NO_PLACE = "-"
"""Where a request of the utility's own people comes from: no till, no short code."""

UNREADABLE = (
    DatabaseAway,
    DatabaseUnavailable,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
"""What a look raises while the database is away; TimeoutError is an OSError."""

COLUMNS = """
select payment_id, operator, transaction_id, short_code, product, account_reference, amount_minor,
       paid_at, received_at, payer, payer_kind, raw
"""

# The offsets keep each of these a look-up by the payment's number: as a join, a plan made while
# the tables were small would go on reading the whole of them.
UNDECIDED_ONES = """
   and not exists (select from outcome where outcome.payment_id = payment.payment_id offset 0)
   and not exists (select from quarantine
                    where quarantine.payment_id = payment.payment_id and resolved_at is null
                   offset 0)
"""

UNDECIDED = f"""
{COLUMNS} from payment
 where payment_id >= $1 and payment_id < $2 {UNDECIDED_ONES}
 order by payment_id
 limit $3
"""

COUNT_UNDECIDED = f"""
select count(*) from payment
 where payment_id >= $1 and payment_id < $2 {UNDECIDED_ONES}
"""  # noqa: S608

WANTED = f"""
{COLUMNS} from payment
 where payment_id = any($1::bigint[]) {UNDECIDED_ONES}
"""

FIRST_PAYMENT = "select min(payment_id) as payment_id from payment"

# Requests wait here until the sequencer settles them; the payment comes along.
REQUESTED = """
select reassignment_id, reassignment.meter_number, payment.payment_id, operator, transaction_id,
       short_code, product, account_reference, amount_minor, paid_at, received_at, payer,
       payer_kind, raw
  from reassignment
  join payment on payment.payment_id = reassignment.payment_id
 where settled_at is null
 order by requested_at
 limit $1
"""


class Sweep:
    """Looks for undecided payments for as long as `run` runs."""

    def __init__(
        self,
        readers: Pool,
        sequencer: Sequencer,
        *,
        writer: Writer,
        wording: Wording,
        clock: Clock,
        numbers: Numbers,
        every: timedelta,
        caps: Caps,
    ) -> None:
        self._readers = readers
        self._sequencer = sequencer
        self._writer = writer
        self._wording = wording
        self._clock = clock
        self._numbers = numbers
        self._every = every
        self._caps = caps
        self._stopped = asyncio.Event()
        self._log = log.get("sweep")

    def stop(self) -> None:
        """End `run` at its next rest."""
        self._stopped.set()

    async def run(self) -> None:
        """Look, rest, look again; a database that is away is asked again a second later."""
        try:
            await self._run()
        finally:
            self._writer.drop()

    async def _run(self) -> None:
        since: datetime | None = None
        lately_at = self._clock()
        while not self._stopped.is_set():
            now, until = self._clock(), self._until()
            try:
                if not self._sequencer.running:
                    since = None
                    await self._rest(self._every.total_seconds())
                    continue
                if since is None:
                    since = await self._beginning()
                elif abs(now - lately_at) >= LATELY_EVERY:
                    since, lately_at = min(since, until - LATELY), now
                await self._look(since, until)
                await self._requests()
                # On from where this look ended, wherever the clock has jumped to by then.
                since = until - RECENT
            except UNREADABLE as fault:
                self._log.warning("the sweep cannot read", fault=type(fault).__name__)
                await self._rest(AWAY_SECONDS)
                continue
            await self._rest(self._every.total_seconds())

    def _until(self) -> datetime:
        """Return up to when to look: by the clock, or by our numbers when it was set back."""
        now, reached = self._clock(), self._numbers.reached
        if reached > now:
            return reached + timedelta(milliseconds=1)
        return now - timedelta(seconds=UNSURE_SECONDS)

    async def _beginning(self) -> datetime:
        """Return the instant from which history is read after this server became the owner."""
        first = await self._readers.fetchval(FIRST_PAYMENT)
        return EPOCH if first is None else EPOCH + timedelta(milliseconds=first >> 22)

    async def _look(self, since: datetime, until: datetime) -> None:
        """Offer what is undecided in a stretch of time, and tell who has waited long."""
        oldest: datetime | None = None
        now = self._clock()
        while since < until and not self._stopped.is_set():
            upto = min(since + WINDOW, until)
            async for payments in self._undecided(since, upto, until):
                oldest = min(oldest or now, *(one.received_at for one in payments))
                if self._sequencer.estimated_wait > SOON_SECONDS:
                    await followups.stage_coming(
                        self._writer, payments, waited=LONG, wording=self._wording, now=now
                    )
            since = upto
        self._sequencer.know_beyond(0)
        held = self._sequencer.oldest
        ages = [(now - one).total_seconds() for one in (oldest, held) if one is not None]
        metrics.oldest_waiting_seconds.set(max(ages, default=0.0))

    async def _undecided(
        self, since: datetime, upto: datetime, until: datetime
    ) -> AsyncIterator[list[Payment]]:
        """Offer the undecided payments of a window as the sequencer has room, and yield them."""
        start, end = first_at(since), first_at(upto)
        beyond: int | None = 0
        while not self._stopped.is_set() and self._sequencer.running:
            room = min(FOUND_MAX, self._sequencer.room())
            await self._bring_wanted()
            if not room:
                await self._rest(0.05)
                continue
            settled = self._sequencer.watch()
            rows = await self._readers.fetch(UNDECIDED, start, end, room)
            payments = [payment_of(row) for row in rows]
            self._sequencer.offer_swept(
                (Claim(payment=one, reference=one.notice.account_reference) for one in payments),
                settled=settled,
            )
            if payments:
                yield payments
            if len(rows) < room:
                return
            start = payments[-1].payment_id + 1
            if beyond is not None and beyond > room:
                beyond -= room
            else:
                beyond = await self._count(start, first_at(until))
            self._sequencer.know_beyond(beyond)

    async def _count(self, start: int, end: int) -> int | None:
        """Return how many are undecided beyond what has been read; None when it takes too long."""
        try:
            return int(await self._readers.fetchval(COUNT_UNDECIDED, start, end))
        except (TimeoutError, asyncpg.QueryCanceledError):
            return None

    async def _bring_wanted(self) -> None:
        """Bring what customers have asked for and memory had no room for."""
        wanted = self._sequencer.wanted()
        if wanted:
            rows = await self._readers.fetch(WANTED, wanted)
            payments = map(payment_of, rows)
            self._sequencer.bring_forward(
                Claim(payment=one, reference=one.notice.account_reference) for one in payments
            )

    async def _requests(self) -> None:
        await self._bring_wanted()
        rows = await self._readers.fetch(REQUESTED, FOUND_MAX)
        self._sequencer.offer_swept(
            Claim(
                payment=payment_of(row),
                reference=row["meter_number"],
                reassignment=row["reassignment_id"],
            )
            for row in rows
        )
        approved = await requests.approved(self._readers, most=FOUND_MAX)
        self._sequencer.offer_swept(map(self._special, approved))

    def _special(self, request: Request) -> Claim:
        """Return an approved request as the claim that carries it out, on the day that it is."""
        today = self._clock().astimezone(self._wording.time_zone).date()
        return claim_of(request, caps=self._caps, day=today)

    async def _rest(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopped.wait(), seconds)
        except TimeoutError:
            return


def claim_of(request: Request, *, caps: Caps, day: date) -> Claim:
    """Return an approved request as a claim: its number is its reference, and its token's number.

    Names that differ in capitals only are one person's, so that nobody has two caps.
    """
    meter, asked_at = request.meter_number, request.asked_at
    notice = PaymentNotice(
        operator=caller_of(request.asked_by.casefold()), transaction_id=str(request.request_id),
        short_code=NO_PLACE, account_reference=meter or "", amount_minor=0, paid_at=asked_at,
        payer="", payer_kind=PayerKind.ABSENT,
        raw=facts_of(
            request.kind, place=NO_PLACE, meter=meter, value=request.value, reason=request.reason
        ),
    )  # fmt: skip
    asked = SpecialAsked(
        kind=request.kind, value=request.value, reason=request.reason, asked_by=request.asked_by,
        approved_by=request.judged_by, day=day, caps=caps, request_id=request.request_id,
    )  # fmt: skip
    payment = Payment(
        payment_id=request.request_id, notice=notice, product="prepaid",
        received_at=request.judged_at or asked_at,
    )  # fmt: skip
    return Claim(payment=payment, reference=meter or "", stored=False, special=asked)
