"""Selling in the sandbox: the counter's words and refusals, and nothing real behind them.

It reads no database and writes none: no ledger, no float, no meter, no webhook, no statement. What
it was asked is in `vending.sandbox.world`; a sale's digits need no memory.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from vending.answers import SaleUnavailable
from vending.clock import Clock
from vending.earlier import DuplicateSuspected
from vending.errors import Refused, Unavailable
from vending.meters.meter import parse_meter_number
from vending.numbering import Numbers
from vending.payments.outcomes import Outcome
from vending.payments.payment import OutcomeKind
from vending.sandbox import meters, schedule, tokens
from vending.sandbox.meters import Magic, Trick
from vending.sandbox.world import Kept, World, Worlds
from vending.selling import prices, quotes
from vending.selling.disputes import Dispute
from vending.selling.prices import LookUp
from vending.selling.quotes import Quoted
from vending.selling.sale import (
    COPIES_MAX,
    Pending,
    QuoteExpired,
    QuoteUnknown,
    ReferenceReused,
    ReprintsExhausted,
    Sale,
    SaleAsked,
    SalePending,
    SaleUnknown,
    Withdrawn,
    facts_of,
    require_same,
)
from vending.tariffs.quote import Quote
from vending.tokens.issuer import KeyExpired
from vending.values import replace
from vending.vendors.barred import ReferenceBarred
from vending.vendors.floats import FloatInsufficient
from vending.vendors.vendor import NO_TILL

NAME: Final = "S****** C*******"
"""The customer of every meter, as live names are masked."""

WAITING_MAX: Final = 200
"""Callers who may wait for slow sales at once; more are told at once that theirs is pending."""

Rest = Callable[[float], Awaitable[None]]


class AnswerLost(Unavailable):
    """The sandbox closes the connection instead of answering.

    The sale was made, as after any time-out you cannot tell: ask for it by its reference.
    """

    code = "answer_lost"


class Sandbox:
    """Sells to magic meters. `rest` lets seconds pass."""

    def __init__(
        self,
        *,
        numbers: Numbers,
        clock: Clock,
        rest: Rest = asyncio.sleep,
        copies_max: int = COPIES_MAX,
    ) -> None:
        self._numbers = numbers
        self._clock = clock
        self._rest = rest
        self._copies_max = copies_max
        self._worlds = Worlds()
        self._waiting = 0

    async def look_up(self, meter: str) -> LookUp:
        """Return what a vendor may know of a magic meter."""
        standing = meters.find(meter).standing
        seen = prices.seen(standing, tariffs=schedule.catalogue(), at=self._clock())
        return replace(seen, name=NAME)

    async def quote(
        self,
        vendor_id: str,
        meter: str,
        *,
        amount_minor: int | None = None,
        energy_wh: int | None = None,
    ) -> Quoted:
        """Promise what a magic meter gets. Raises as the counter does."""
        now = self._clock()
        asked = SaleAsked(
            vendor_id=vendor_id, reference="", point_of_sale=NO_TILL, meter=meter,
            amount_minor=amount_minor, energy_wh=energy_wh,
        )  # fmt: skip
        facts_of(asked)
        magic = meters.find(meter)
        bill = _bill(magic, amount_minor, energy_wh, at=now)
        quoted = Quoted(
            quote_id=self._numbers.next(),
            vendor_id=vendor_id,
            meter_number=magic.number,
            amount_minor=bill.tender_minor,
            energy_wh=bill.energy_wh,
            tariff=bill.tariff,
            tariff_version=bill.version,
            tariff_category=bill.category,
            lines=_lines(bill),
            quoted_at=now,
            expires_at=now + quotes.LASTS,
        )
        self._worlds.of(vendor_id).promise(quoted)
        return quoted

    async def quoted(self, vendor_id: str, quote_id: int) -> Quoted:
        """Return a vendor's quote, expired or not. Raises QuoteUnknown."""
        found = self._worlds.of(vendor_id).quotes.get(quote_id)
        if found is None:
            raise QuoteUnknown
        return found

    async def sell(self, asked: SaleAsked, *, wait_seconds: float) -> Sale | Pending:
        """Make a sale, or return the one there is. Raises AnswerLost, and as the counter does."""
        facts = facts_of(asked)
        world = self._worlds.of(asked.vendor_id)
        kept = world.sales.get(asked.reference) or Kept()
        if kept.barred:
            raise ReferenceBarred(reference=asked.reference)
        first = kept.sale is None
        if kept.sale is None:
            kept = self._made(world, asked)
        elif kept.sale.facts != facts:
            raise ReferenceReused(reference=asked.reference)
        sale = await self._ready(asked.reference, kept, wait_seconds)
        if sale is None:
            return Pending(reference=asked.reference)
        return sale if first else require_same(sale, facts)

    async def find(self, vendor_id: str, reference: str) -> Sale | Pending:
        """Return what became of a sale. Raises its refusal, ReferenceBarred, SaleUnknown."""
        kept = self._worlds.of(vendor_id).sales.get(reference) or Kept()
        if kept.barred:
            raise ReferenceBarred(reference=reference)
        if kept.sale is not None:
            return await self._ready(reference, kept, 0) or Pending(reference=reference)
        if kept.refused is not None:
            raise type(kept.refused)(**kept.refused.facts)
        raise SaleUnknown(reference=reference)

    async def settle(
        self, vendor_id: str, reference: str, *, wait_seconds: float
    ) -> Sale | Pending:
        """Return the sale under a reference, or bar that: ReferenceBarred is raised, for ever."""
        kept = self._worlds.of(vendor_id).keep(reference)
        if kept.sale is None:
            kept.barred = True
            raise ReferenceBarred(reference=reference)
        sale = await self._ready(reference, kept, wait_seconds)
        return sale or Pending(reference=reference)

    async def reverse(
        self, vendor_id: str, reference: str, *, reason: str, who: str, wait_seconds: float
    ) -> Withdrawn | Dispute:
        """Withdraw a sale that is not made yet, or open a dispute about one that is.

        Nobody settles a dispute here, and none is waited for: `wait_seconds` is the counter's.
        """
        del wait_seconds
        kept = self._worlds.of(vendor_id).keep(reference)
        sale = None if kept.barred else await self._ready(reference, kept, 0)
        if sale is None:
            kept.sale, kept.barred = None, True
            return Withdrawn(reference=reference)
        if kept.dispute is None:
            kept.dispute = Dispute(
                dispute_id=self._numbers.next(),
                payment_id=sale.payment_id,
                vendor_id=vendor_id,
                reference=reference,
                meter_number=sale.outcome.meter_number or "",
                amount_minor=sale.amount_minor,
                reason=reason,
                opened_by=who,
                opened_at=self._clock(),
            )
        return kept.dispute

    async def reprint(self, vendor_id: str, reference: str, *, who: str) -> Sale:
        """Return a sale once more, as a copy that is counted. Raises as the counter does."""
        del who  # nobody asks who printed here
        sale = await self.find(vendor_id, reference)
        if isinstance(sale, Pending):
            raise SalePending(reference=reference, retry_after_seconds=1)
        if sale.copies >= self._copies_max:
            raise ReprintsExhausted(reference=reference, copies=sale.copies)
        again = replace(sale, copies=sale.copies + 1)
        self._worlds.of(vendor_id).keep(reference).sale = again
        return again

    def _made(self, world: World, asked: SaleAsked) -> Kept:
        """Begin a sale, and remember it, or its refusal. Raises what its meter is there for."""
        now = self._clock()
        try:
            magic, bill = _priced(world, asked, now)
            if magic.trick is Trick.DUPLICATE and world.keep(meters.EARLIER).sale is None:
                self._keep(world, replace(asked, reference=meters.EARLIER), magic, bill, now)
            _refuse(magic, asked)
        except Refused as reason:
            world.keep(asked.reference).refused = reason.with_traceback(None)
            raise
        kept = world.keep(asked.reference)
        if magic.trick is Trick.DOWN and not kept.tried:
            kept.tried = True
            raise SaleUnavailable(why="the sandbox is down for this meter, once")
        self._keep(world, asked, magic, bill, now)
        if magic.trick is Trick.ANSWER_LOST:
            raise AnswerLost(reference=asked.reference)
        return kept

    def _keep(
        self, world: World, asked: SaleAsked, magic: Magic, bill: Quote, now: datetime
    ) -> None:
        facts = facts_of(asked)
        seed = b"\0".join((asked.vendor_id.encode(), asked.reference.encode(), facts))
        change, meter = None, magic.standing.meter
        if magic.trick is Trick.KEY_CHANGE:
            change, meter = tokens.rekeyed(meter, number=self._numbers.next(), at=now)
        token = tokens.issued(meter, bill.energy_wh, seed=seed)
        ready_at = now + timedelta(seconds=magic.seconds)
        number = self._numbers.next()
        outcome = Outcome(
            payment_id=number,
            kind=OutcomeKind.TOKEN_ISSUED,
            decided_at=ready_at,
            meter_number=magic.number,
            tid_base=tokens.TID_BASE,
            tid=token.tid,
            token=token.digits,
            energy_wh=bill.energy_wh,
            tariff=bill.tariff,
            tariff_version=bill.version,
            tariff_category=bill.category,
            lines=_lines(bill),
            key_change=change,
        )
        kept = world.keep(asked.reference)
        kept.refused = None
        kept.ready_at = ready_at if magic.seconds else None
        kept.sale = Sale(
            payment_id=number,
            reference=asked.reference,
            point_of_sale=asked.point_of_sale,
            amount_minor=bill.tender_minor,
            received_at=now,
            facts=facts,
            outcome=outcome,
        )

    async def _ready(self, reference: str, kept: Kept, wait_seconds: float) -> Sale | None:
        """Return a sale that is made in time, or None. Raises ReferenceBarred."""
        if kept.ready_at is not None:
            left = (kept.ready_at - self._clock()).total_seconds()
            if left > 0:
                if not await self._patience(min(left, wait_seconds)) or left > wait_seconds:
                    return None
                if kept.barred:
                    raise ReferenceBarred(reference=reference)
            kept.ready_at = None
        return kept.sale

    async def _patience(self, seconds: float) -> bool:
        """Wait, and say whether there was room to."""
        if self._waiting >= WAITING_MAX:
            return False
        self._waiting += 1
        try:
            await self._rest(seconds)
        finally:
            self._waiting -= 1
        return True


def _refuse(magic: Magic, asked: SaleAsked) -> None:
    """Raise what a meter refuses sales with, if that is its trick."""
    match magic.trick:
        case Trick.KEY_EXPIRED:
            raise KeyExpired(meter_number=magic.number, sgc=tokens.SGC, krn=tokens.KRN)
        case Trick.NO_FLOAT:
            raise FloatInsufficient(vendor_id=asked.vendor_id)
        case Trick.DUPLICATE if not asked.confirmed:
            raise DuplicateSuspected(earlier=meters.EARLIER)
        case _:
            return


def _priced(world: World, asked: SaleAsked, now: datetime) -> tuple[Magic, Quote]:
    """Return the meter of a sale and its price. Raises what stops the sale."""
    if asked.quote_id is None:
        magic = meters.find(asked.meter or "")
        return magic, _bill(magic, asked.amount_minor, asked.energy_wh, at=now)
    quoted = world.quotes.get(asked.quote_id)
    if quoted is None:
        raise QuoteUnknown
    if now >= quoted.expires_at:
        raise QuoteExpired(expired_at=quoted.expires_at.isoformat())
    magic = meters.find(quoted.meter_number)
    if asked.meter is not None and parse_meter_number(asked.meter) != magic.number:
        raise QuoteUnknown
    return magic, _bill(magic, quoted.amount_minor, None, at=quoted.quoted_at)


def _bill(magic: Magic, amount_minor: int | None, energy_wh: int | None, *, at: datetime) -> Quote:
    tariffs = schedule.catalogue()
    if amount_minor is not None:
        return prices.for_money(magic.standing, amount_minor, tariffs=tariffs, at=at)
    return prices.for_energy(magic.standing, energy_wh or 0, tariffs=tariffs, at=at)


def _lines(bill: Quote) -> tuple[tuple[str, int], ...]:
    return tuple((line.code, line.amount_minor) for line in bill.lines)
