"""What was sold a moment ago: a vendor's sale like another one is refused until it is confirmed.

A till that was not answered sells again under a new reference, and the customer pays twice. So the
same sum for the same meter from the same outlet, within half a minute of another sale and under
another reference, is taken for that mistake. Nearly every meter has bought nothing in the last
minutes, which the last identifier of its tokens tells; the others cost a batch one read.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from vending.claims import Claim
from vending.errors import Refused
from vending.in_flight import InFlight
from vending.meters.meter import MeterUnknown
from vending.payments.payment import OutcomeKind, PaymentNotice
from vending.postgres.pool import Session
from vending.shelf import Shelf
from vending.tokens.identifiers import BASE_DATES
from vending.vendors.vendor import outlet_of

ALIKE_WITHIN = timedelta(seconds=30)
"""A clerk who sells again to the same customer by mistake does it at once."""

# Nearly always one row or none: a meter's tokens have an index, in the order of their identifiers.
# The offsets keep the planner from beginning with the payments, all of which it would read.
READ = """
select payment.operator, payment.transaction_id, payment.short_code, payment.account_reference,
       payment.amount_minor
  from unnest($1::text[], $2::smallint[], $3::integer[]) as asked (meter_number, tid_base, tid)
 cross join lateral (
        select payment_id
          from outcome
         where outcome.meter_number = asked.meter_number
           and outcome.tid_base = asked.tid_base and outcome.tid >= asked.tid
        offset 0
       ) as sold
 cross join lateral (
        select operator, transaction_id, short_code, account_reference, amount_minor, received_at
          from payment
         where payment.payment_id = sold.payment_id
        offset 0
       ) as payment
 where payment.operator like 'vendor:%' and payment.received_at >= $4
"""

Likeness = tuple[str, str, str, int]
"""Vendor, outlet, meter and cents: what two sales have in common that are taken for one."""


class DuplicateSuspected(Refused):
    """This outlet sold the same to this meter less than half a minute ago.

    `earlier` is the reference of that sale: ask what became of it. If another is meant, send this
    one again with `confirm`.
    """

    code = "duplicate_suspected"


class Earlier:
    """Vendors' latest sales to the meters of a batch, and those of the batch itself."""

    def __init__(self, sales: Mapping[Likeness, str]) -> None:
        self._first = sales
        self._sales = dict(sales)

    def afresh(self) -> "Earlier":
        """Return the sales as they were read, before any of the batch."""
        return Earlier(self._first)

    def require_unlike(self, claim: Claim) -> None:
        """Raise DuplicateSuspected for a vendor's sale that is like another and not confirmed."""
        if claim.terms is None or claim.terms.confirmed:
            return
        earlier = self._sales.get(_likeness(claim.payment.notice))
        if earlier is not None:
            raise DuplicateSuspected(earlier=earlier)

    def note(self, claim: Claim) -> None:
        """Remember a sale of the batch."""
        if claim.terms is not None:
            notice = claim.payment.notice
            self._sales[_likeness(notice)] = notice.transaction_id


async def read(
    db: Session, claims: Iterable[Claim], *, meters: Shelf, in_flight: InFlight, now: datetime
) -> Earlier:
    """Return the sales of the last moments that those of a batch could repeat.

    Nothing is read unless a vendor sells, unconfirmed, to a meter that has just bought.
    """
    asked = {
        one.payment.notice.account_reference
        for one in claims
        if one.terms is not None and not one.terms.confirmed
    }
    if not asked:
        return Earlier({})
    since = now - ALIKE_WITHIN
    fresh: list[tuple[str, int, int]] = []
    for number in asked:
        with suppress(MeterUnknown):
            _, state, _ = meters.take(number)
            minute = (since - BASE_DATES[state.tid_base]) // timedelta(minutes=1)
            if state.last_tid >= minute:
                fresh.append((number, state.tid_base, minute))
    if not fresh:
        return Earlier({})
    rows = await db.fetch(READ, *map(list, zip(*fresh, strict=True)), since)
    sales = {
        (row["operator"], outlet_of(row["short_code"]), row["account_reference"],
         row["amount_minor"]): row["transaction_id"]
        for row in rows
    }  # fmt: skip
    flying = (
        notice
        for number, notice in in_flight.sales.values()
        if number in in_flight.outcomes
        and in_flight.outcomes[number].kind is OutcomeKind.TOKEN_ISSUED
    )
    return Earlier(sales | {_likeness(one): one.transaction_id for one in flying})


def _likeness(notice: PaymentNotice) -> Likeness:
    return (
        notice.operator,
        outlet_of(notice.short_code),
        notice.account_reference,
        notice.amount_minor,
    )
