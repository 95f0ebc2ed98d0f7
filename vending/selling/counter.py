"""The counter: where vendors are sold to, whichever protocol they speak.

A sale goes on whether or not whoever asked for it still waits. While it does, it is known here;
once it is made, it is in the database by its reference; and a refusal is remembered for a while,
for nothing of it is stored. What nobody knows of can be barred, by the same writer that makes the
sales, so that "unknown" is a promise (P8). There is one counter in a server, beside its sequencer.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from vending.answers import SaleUnavailable
from vending.claims import PriceChanged, Terms
from vending.clock import Clock
from vending.errors import Refused
from vending.meters.meter import Meter, parse_meter_number
from vending.numbering import Numbers
from vending.payments.outcomes import Outcome
from vending.payments.payment import NoticeConflicts, PayerKind, Payment, PaymentNotice
from vending.postgres.pool import Session
from vending.selling import disputes, quotes, sales
from vending.selling.disputes import Dispute
from vending.selling.prices import LookUp, PriceList
from vending.selling.quotes import Quoted
from vending.selling.sale import (
    COPIES_MAX,
    Key,
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
from vending.tariffs.quote import Quote as Bill
from vending.values import replace
from vending.vendors import barred
from vending.vendors.barred import ReferenceBarred
from vending.vendors.vendor import ACCOUNT_PRODUCT, NO_TILL, PRODUCT, operator_of

REFUSALS_MAX = 10_000
"""Refusals remembered, the latest: minutes of them, and a few megabytes."""

TRIES_MAX = 3
"""A price, or what a reference stands for, can change between a look and the batch; not often."""


class Seller(Protocol):
    """What the counter needs of the sequencer; see `vending.sequencer.Sequencer`."""

    async def sell(self, payment: Payment, *, terms: Terms | None = None) -> Outcome:
        """Make a sale, on its terms."""
        ...

    async def bar(self, payment: Payment, *, withdraw: bool = False) -> Outcome:
        """Bar a payment's reference, unless there is a sale under it."""
        ...


@dataclass(frozen=True, slots=True)
class _Making:
    facts: bytes = field(repr=False)
    task: "asyncio.Task[Sale]"


class Counter:
    """Sells to vendors, and knows of each sale by its vendor's reference.

    `db` is read, `writer` takes the few rows that are no sale. A receipt has up to `copies_max`.
    `zone` is the utility's.
    """

    def __init__(
        self,
        db: Session,
        writer: Session,
        *,
        seller: Seller,
        numbers: Numbers,
        clock: Clock,
        zone: ZoneInfo,
        copies_max: int = COPIES_MAX,
    ) -> None:
        self._db = db
        self._writer = writer
        self._seller = seller
        self._numbers = numbers
        self._clock = clock
        self._copies_max = copies_max
        self._prices = PriceList(db, zone=zone)
        self._making: dict[Key, _Making] = {}
        self._refused: OrderedDict[Key, Refused] = OrderedDict()

    async def look_up(self, meter: str) -> LookUp:
        """Return what a vendor may know of a meter. Raises MeterNumberMalformed, MeterUnknown."""
        return await self._prices.look_up(meter, at=self._clock())

    async def price(
        self,
        vendor_id: str,
        meter: str,
        *,
        amount_minor: int | None = None,
        energy_wh: int | None = None,
        at: datetime,
    ) -> tuple[Meter, Bill]:
        """Return a meter and what it would get at an instant; nothing is promised or stored.

        Raises as `quote`.
        """
        asked = SaleAsked(
            vendor_id=vendor_id, reference="", point_of_sale=NO_TILL, meter=meter,
            amount_minor=amount_minor, energy_wh=energy_wh,
        )  # fmt: skip
        facts_of(asked)
        if amount_minor is not None:
            return await self._prices.for_money(meter, amount_minor, at=at)
        return await self._prices.for_energy(meter, energy_wh or 0, at=at)

    async def quote(
        self,
        vendor_id: str,
        meter: str,
        *,
        amount_minor: int | None = None,
        energy_wh: int | None = None,
    ) -> Quoted:
        """Promise what a meter gets for a sum, or the smallest sum for at least some energy.

        Raises what would stop the sale: MeterUnknown, MeterBlocked, AmountTooSmall and their like.
        """
        now = self._clock()
        found, bill = await self.price(
            vendor_id, meter, amount_minor=amount_minor, energy_wh=energy_wh, at=now
        )
        quoted = Quoted(
            quote_id=self._numbers.next(),
            vendor_id=vendor_id,
            meter_number=found.meter_number,
            amount_minor=bill.tender_minor,
            energy_wh=bill.energy_wh,
            tariff=bill.tariff,
            tariff_version=bill.version,
            tariff_category=bill.category,
            lines=tuple((line.code, line.amount_minor) for line in bill.lines),
            quoted_at=now,
            expires_at=now + quotes.LASTS,
        )
        await quotes.add(self._writer, quoted)
        return quoted

    async def quoted(self, vendor_id: str, quote_id: int) -> Quoted:
        """Return a vendor's quote, expired or not. Raises QuoteUnknown."""
        return await quotes.find(self._db, vendor_id, quote_id)

    async def sell(self, asked: SaleAsked, *, wait_seconds: float) -> Sale | Pending:
        """Make a sale, or return the one there is; after so many seconds it is pending.

        It goes on then, and `find` has it when it is made. Raises Refused when nothing was sold
        and nothing is held, ReferenceReused, and SaleUnavailable when this server cannot say.
        """
        facts = facts_of(asked)
        making = self._making.get(asked.key)
        first = making is None
        if making is None:
            making = self._begin(asked, facts)
        elif making.facts != facts:
            raise ReferenceReused(reference=asked.reference)
        sale = await _result(making, wait_seconds)
        if sale is None:
            return Pending(reference=asked.reference)
        return sale if first else require_same(sale, facts)

    async def find(self, vendor_id: str, reference: str) -> Sale | Pending:
        """Return what became of a sale. Raises its refusal while that is remembered.

        Raises ReferenceBarred, and SaleUnknown, which promises nothing: see `settle`.
        """
        key = operator_of(vendor_id), reference
        if key in self._making:
            return Pending(reference=reference)
        sale = await sales.find(self._db, key)
        if sale is not None:
            return sale
        if await barred.read(self._db, {key}):
            raise ReferenceBarred(reference=reference)
        if key in self._refused:
            reason = self._refused[key]
            raise type(reason)(**reason.facts)
        raise SaleUnknown(reference=reference)

    async def settle(
        self, vendor_id: str, reference: str, *, wait_seconds: float
    ) -> Sale | Pending:
        """Return the sale under a reference, or bar that: ReferenceBarred is raised, for ever.

        Raises SaleUnavailable when it cannot be told in time.
        """
        key = operator_of(vendor_id), reference
        making = self._making.get(key)
        if making is not None:
            await asyncio.wait({making.task}, timeout=wait_seconds)
            if not making.task.done():
                return Pending(reference=reference)
        return await sales.find(self._db, key) or await self._barred(key, wait_seconds=wait_seconds)

    async def reverse(
        self, vendor_id: str, reference: str, *, reason: str, who: str, wait_seconds: float
    ) -> Withdrawn | Dispute:
        """Withdraw a sale that is not made yet, or open a dispute about one that is.

        From its commit on a token is out: it can be read by phone, and its receipt is on its way.
        Raises SaleUnavailable when it cannot be told in time.
        """
        key = operator_of(vendor_id), reference
        try:
            sale = await sales.find(self._db, key) or await self._barred(
                key, wait_seconds=wait_seconds, withdraw=True
            )
        except ReferenceBarred:
            return Withdrawn(reference=reference)
        return await disputes.open_(
            self._writer, vendor_id, sale.payment_id, dispute_id=self._numbers.next(),
            reason=reason, who=who, now=self._clock(),
        )  # fmt: skip

    async def reprint(self, vendor_id: str, reference: str, *, who: str) -> Sale:
        """Return a sale once more, as a copy that is counted.

        Raises as `find`, SalePending, and ReprintsExhausted.
        """
        sale = await self.find(vendor_id, reference)
        if isinstance(sale, Pending):
            raise SalePending(reference=reference, retry_after_seconds=1)
        copy = await sales.reprint(
            self._writer, sale.payment_id, most=self._copies_max, who=who, now=self._clock()
        )
        if copy is None:
            raise ReprintsExhausted(reference=reference, copies=sale.copies)
        again = await sales.find(self._db, (operator_of(vendor_id), reference))
        return again or sale

    def close(self) -> None:
        """Wait for no sale any more; those that are made are found by their references."""
        for making in self._making.values():
            making.task.cancel()

    def _begin(self, asked: SaleAsked, facts: bytes) -> _Making:
        making = _Making(facts, asyncio.create_task(self._make(asked, facts)))
        self._making[asked.key] = making
        making.task.add_done_callback(lambda task: self._made(asked.key, task))
        return making

    def _made(self, key: Key, task: "asyncio.Task[Sale]") -> None:
        del self._making[key]
        self._refused.pop(key, None)
        reason = None if task.cancelled() else task.exception()
        if isinstance(reason, Refused):
            self._refused[key] = reason.with_traceback(None)
            if len(self._refused) > REFUSALS_MAX:
                self._refused.popitem(last=False)

    async def _make(self, asked: SaleAsked, facts: bytes) -> Sale:
        if asked.amount_minor is None:
            # What it costs now is no fact of a sale that may have been made long ago.
            known = await sales.find(self._db, asked.key)
            if known is not None:
                return require_same(known, facts)
        payment, outcome = await self._sold(asked, facts)
        if outcome is not None and outcome.payment_id == payment.payment_id:
            return Sale(
                payment_id=payment.payment_id,
                reference=asked.reference,
                point_of_sale=asked.point_of_sale,
                amount_minor=payment.notice.amount_minor,
                received_at=payment.received_at,
                facts=facts,
                outcome=outcome,
            )
        known = await sales.find(self._db, asked.key)
        if known is None:
            raise ReferenceReused(reference=asked.reference)
        return require_same(known, facts)

    async def _sold(self, asked: SaleAsked, facts: bytes) -> tuple[Payment, Outcome | None]:
        """Return what was handed to the seller and the outcome; None when it says it was another.

        A number of units is priced anew when the meter's price has changed on the way.
        """
        for left in reversed(range(TRIES_MAX)):
            payment, terms = await self._terms(asked, facts)
            try:
                return payment, await self._seller.sell(payment, terms=terms)
            except PriceChanged:
                if asked.energy_wh is None or not left:
                    raise
            except NoticeConflicts:
                return payment, None
        raise AssertionError(asked.reference)  # the last try returns or raises

    async def _terms(self, asked: SaleAsked, facts: bytes) -> tuple[Payment, Terms]:
        """Return what is to be sold, for how much, and what must hold of it."""
        now = paid_at = self._clock()
        meter, amount_minor, terms = asked.meter or "", asked.amount_minor, Terms()
        if asked.quote_id is not None:
            quoted = await quotes.find(self._db, asked.vendor_id, asked.quote_id)
            if now >= quoted.expires_at:
                raise QuoteExpired(expired_at=quoted.expires_at.isoformat())
            if meter and parse_meter_number(meter) != quoted.meter_number:
                raise QuoteUnknown
            meter, amount_minor, paid_at = (
                quoted.meter_number,
                quoted.amount_minor,
                quoted.quoted_at,
            )
            terms = Terms(lines=quoted.lines, energy_wh=quoted.energy_wh)
        elif asked.energy_wh is not None:
            _, bill = await self._prices.for_energy(meter, asked.energy_wh, at=now)
            amount_minor, terms = bill.tender_minor, Terms(energy_wh=asked.energy_wh)
        notice = PaymentNotice(
            operator=asked.key[0],
            transaction_id=asked.reference,
            short_code=asked.point_of_sale,
            account_reference=parse_meter_number(meter),
            amount_minor=amount_minor or 0,
            paid_at=paid_at,
            payer="",
            payer_kind=PayerKind.ABSENT,
            raw=facts,
        )
        if asked.pays is not None:
            payment = replace(self._payment(notice, now), product=ACCOUNT_PRODUCT)
            return payment, Terms(pays=asked.pays, confirmed=True)
        return self._payment(notice, now), replace(terms, confirmed=asked.confirmed)

    async def _barred(self, key: Key, *, wait_seconds: float, withdraw: bool = False) -> Sale:
        barring = asyncio.create_task(self._bar(key, withdraw=withdraw))
        # Whoever stops waiting takes nothing back.
        barring.add_done_callback(lambda task: task.cancelled() or task.exception())
        done, _ = await asyncio.wait({barring}, timeout=wait_seconds)
        if not done:
            raise SaleUnavailable(why="the reference is not settled yet")
        return barring.result()

    async def _bar(self, key: Key, *, withdraw: bool) -> Sale:
        """Return the sale under a reference. Raises ReferenceBarred when it is barred now."""
        operator, reference = key
        for _ in range(TRIES_MAX):
            now = self._clock()
            notice = PaymentNotice(
                operator=operator, transaction_id=reference, short_code=NO_TILL,
                account_reference="", amount_minor=0, paid_at=now, payer="",
                payer_kind=PayerKind.ABSENT, raw=b"",
            )  # fmt: skip
            try:
                await self._seller.bar(self._payment(notice, now), withdraw=withdraw)
            except ReferenceBarred:
                raise
            except Refused:
                continue  # a sale in the same batch was, so there is none: now it can be barred
            sale = await sales.find(self._db, key)
            if sale is not None:
                return sale
        raise SaleUnavailable(why="the reference is not settled yet")

    def _payment(self, notice: PaymentNotice, now: datetime) -> Payment:
        return Payment(
            payment_id=self._numbers.next(), notice=notice, product=PRODUCT, received_at=now
        )


async def _result(making: _Making, wait_seconds: float) -> Sale | None:
    """Return a sale that is made in time, or None. Raises its refusal."""
    done, _ = await asyncio.wait({making.task}, timeout=wait_seconds)
    return making.task.result() if done else None
