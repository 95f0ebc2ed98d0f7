"""Where vendors are given tokens without money: free units and engineering, within a day's caps.

How many free units there are is never the vendor's to say: a month's free basic units stand on the
meter's record, and what a free issue comes to is a setting. Each comes out once; the sequencer,
which makes the tokens, sees to that. A refusal is remembered for a while, as the counter's are.
"""

import asyncio
from collections import OrderedDict
from typing import Protocol
from zoneinfo import ZoneInfo

from vending.claims import Claim
from vending.clock import Clock
from vending.errors import Refused
from vending.meters import customer
from vending.meters.meter import parse_meter_number
from vending.numbering import Numbers
from vending.payments.outcomes import Outcome
from vending.payments.payment import PayerKind, Payment, PaymentNotice
from vending.postgres.pool import Session
from vending.quantities import month_of
from vending.selling.sale import Key, SalePending
from vending.tokens import special_rows
from vending.tokens.special import (
    Caps,
    Reason,
    SpecialAsked,
    SpecialKind,
    SpecialToken,
    facts_of,
)
from vending.values import Value
from vending.vendors.barred import ReferenceBarred
from vending.vendors.vendor import PRODUCT, operator_of

ONCE = "once"
"""What a free issue uses up of a meter: it comes to each one a single time."""

REFUSALS_MAX = 1_000
"""Refusals remembered, the latest: there are few such requests in a day."""


class Rules(Value, frozen=True, kw_only=True):
    """What the utility allows: a vendor's caps of a day, and what a free issue comes to."""

    caps: Caps
    free_issue_wh: int
    zone: ZoneInfo


class Wanted(Value, frozen=True, kw_only=True):
    """What a vendor asks for under its own reference.

    `meter` is as it was typed, None for a meter test. `value` is None for free units.
    """

    vendor_id: str
    reference: str
    point_of_sale: str
    kind: SpecialKind
    meter: str | None
    value: int | None
    who: str


class Maker(Protocol):
    """What makes the tokens; see `vending.sequencer.Sequencer`."""

    async def issue(self, claim: Claim) -> Outcome:
        """Make a special token."""
        ...


class Specials:
    """Asks for special tokens in vendors' names, and knows each by its reference."""

    def __init__(
        self, db: Session, *, maker: Maker, numbers: Numbers, clock: Clock, rules: Rules
    ) -> None:
        self._db = db
        self._maker = maker
        self._numbers = numbers
        self._clock = clock
        self._rules = rules
        self._making: set[asyncio.Task[SpecialToken]] = set()
        self._refused: OrderedDict[Key, Refused] = OrderedDict()

    async def issue(self, wanted: Wanted, *, wait_seconds: float) -> SpecialToken:
        """Make a token, or return the one there is under the reference.

        Raises Refused when none was made, SaleUnavailable when this server cannot say, and
        SalePending when it is not made in time: it is made all the same.
        """
        making = asyncio.create_task(self._issue(wanted))
        self._making.add(making)
        making.add_done_callback(self._made)
        done, _ = await asyncio.wait({making}, timeout=wait_seconds)
        if not done:
            raise SalePending(reference=wanted.reference, retry_after_seconds=1)
        return making.result()

    async def find(self, vendor_id: str, reference: str) -> SpecialToken | None:
        """Return the token under a reference; None when none was made."""
        return await special_rows.find(self._db, (operator_of(vendor_id), reference))

    def refusal(self, vendor_id: str, reference: str) -> Refused | None:
        """Return what a request was refused with, while that is remembered."""
        return self._refused.get((operator_of(vendor_id), reference))

    def close(self) -> None:
        """Wait for no token any more; those that are made are found by their references."""
        for making in self._making:
            making.cancel()

    def _made(self, making: "asyncio.Task[SpecialToken]") -> None:
        self._making.discard(making)
        if not making.cancelled():
            making.exception()  # whoever waited has it; nobody may have

    async def _issue(self, wanted: Wanted) -> SpecialToken:
        key = operator_of(wanted.vendor_id), wanted.reference
        try:
            claim = await self._claim(wanted)
            outcome = await self._maker.issue(claim)
        except ReferenceBarred:
            self._refused.pop(key, None)  # an advice about it is answered as the first one was
            raise
        except Refused as reason:
            self._refused[key] = reason.with_traceback(None)
            if len(self._refused) > REFUSALS_MAX:
                self._refused.popitem(last=False)
            raise
        self._refused.pop(key, None)
        token = await special_rows.find(self._db, key)
        if token is None:
            raise AssertionError(outcome.payment_id)  # it is committed before it is answered
        return token

    async def _claim(self, wanted: Wanted) -> Claim:
        now, kind = self._clock(), wanted.kind
        day = now.astimezone(self._rules.zone).date()
        number = None if wanted.meter is None else parse_meter_number(wanted.meter)
        value, entitlement = wanted.value or 0, None
        if kind is SpecialKind.FREE_BASIC:
            value = (await customer.find(self._db, number or "")).free_month_wh
            entitlement = str(month_of(now, self._rules.zone))
        elif kind is SpecialKind.FREE_ISSUE:
            value, entitlement = self._rules.free_issue_wh, ONCE
        notice = PaymentNotice(
            operator=operator_of(wanted.vendor_id),
            transaction_id=wanted.reference,
            short_code=wanted.point_of_sale,
            account_reference=number or "",
            amount_minor=0,
            paid_at=now,
            payer="",
            payer_kind=PayerKind.ABSENT,
            raw=facts_of(kind, place=wanted.point_of_sale, meter=number, value=wanted.value),
        )
        payment = Payment(
            payment_id=self._numbers.next(), notice=notice, product=PRODUCT, received_at=now
        )
        asked = SpecialAsked(
            kind=kind,
            value=value,
            entitlement=entitlement,
            reason=Reason.ENTITLEMENT if kind.free else Reason.FIELD_WORK,
            asked_by=wanted.who,
            day=day,
            caps=self._rules.caps,
        )
        return Claim(payment=payment, reference=number or "", stored=False, special=asked)
