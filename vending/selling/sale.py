"""What a vendor asks to be sold, what it is told of a sale, and the refusals of both.

A sale is addressed by its vendor's own reference, for ever. Its facts are what was asked for, in
one writing; they are stored with it, so that the same reference with other facts is never taken
for a repetition (P2, P8).
"""

from datetime import datetime

import msgspec

from vending.claims import Account
from vending.errors import Refused, Rejected, Unavailable
from vending.meters.meter import parse_meter_number
from vending.payments.outcomes import Outcome
from vending.values import Value
from vending.vendors.vendor import NO_TILL, operator_of, outlet_of

Key = tuple[str, str]
"""A vendor's operator and its reference."""

COPIES_MAX = 10
"""Copies of one receipt, unless the settings say otherwise."""


class ReferenceReused(Rejected):
    """This reference was used for another sale, or to pay a debt.

    That stands. Ask for the sale by its reference, for the payment by XMLVend; or sell under a new
    reference.
    """

    code = "reference_reused"


class SaleUnknown(Rejected):
    """Nothing is known here of a sale under this reference.

    The request may still be on its way. Send the same again under the same reference. Before you
    sell under another one, ask with `bar=true`: then this one is refused when it comes.
    """

    code = "sale_unknown"


class SalePending(Unavailable):
    """The sale under this reference is not decided yet.

    Ask again by the same reference in a second.
    """

    code = "sale_pending"


class ReprintsExhausted(Rejected):
    """This receipt has been printed again as often as one may be.

    The sale stands: asking for it by its reference still tells the token, as no copy.
    """

    code = "reprints_exhausted"


class SaleAmountMissing(Rejected):
    """A sale is for a quote, for a sum of money, or for a number of units: one of them."""

    code = "sale_amount_missing"


class MeterMissing(Rejected):
    """A sale that names no quote names a meter."""

    code = "meter_missing"


class QuoteUnknown(Rejected):
    """There is no such quote for this vendor and meter.

    Quotes are forgotten a day after they have expired. Ask for a new one.
    """

    code = "quote_unknown"


class QuoteExpired(Refused):
    """The quote has expired.

    Nothing was sold. Ask for a new one.
    """

    code = "quote_expired"


class SaleAsked(Value, frozen=True, kw_only=True):
    """What a vendor asks to be sold: a quote, or a sum of cents or watt-hours for a meter.

    `meter` is as it was typed. With `pays` the sum is for its debts, and buys nothing. `confirmed`
    says that a sale like one a moment ago is meant; it is no fact of the sale.
    """

    vendor_id: str
    reference: str
    point_of_sale: str
    meter: str | None = None
    amount_minor: int | None = None
    energy_wh: int | None = None
    quote_id: int | None = None
    pays: Account | None = None
    confirmed: bool = False

    @property
    def key(self) -> Key:
        """What the sale is called for ever."""
        return operator_of(self.vendor_id), self.reference


class Sale(Value, frozen=True, kw_only=True):
    """A sale that was made: the token and the receipt are in its outcome.

    `copies` is how often it was printed again. `repeated` says that it had been asked for before.
    """

    hidden = frozenset({"facts"})

    payment_id: int
    reference: str
    point_of_sale: str
    amount_minor: int
    received_at: datetime
    facts: bytes
    outcome: Outcome
    copies: int = 0
    repeated: bool = False

    @property
    def outlet(self) -> str:
        """Where it was made."""
        return outlet_of(self.point_of_sale)

    @property
    def till(self) -> str:
        """At which till of the outlet; "-" when none was named."""
        return self.point_of_sale[len(self.outlet) + 1 :] or NO_TILL


class Pending(Value, frozen=True, kw_only=True):
    """A sale that goes on: ask for it by its reference."""

    reference: str


class Withdrawn(Value, frozen=True, kw_only=True):
    """A sale that was never made and never will be: its reference is barred."""

    reference: str


class _Facts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked, in its one writing."""

    place: str
    meter: str | None = None
    amount_minor: int | None = None
    energy_wh: int | None = None
    quote: int | None = None
    pays: str | None = None


def facts_of(asked: SaleAsked) -> bytes:
    """Return the facts of what was asked, as they are stored and compared.

    Raises MeterNumberMalformed, SaleAmountMissing, MeterMissing.
    """
    given = (asked.amount_minor, asked.energy_wh, asked.quote_id)
    if sum(one is not None for one in given) != 1:
        raise SaleAmountMissing
    if asked.meter is None and asked.quote_id is None:
        raise MeterMissing
    meter = None if asked.meter is None else parse_meter_number(asked.meter)
    return msgspec.json.encode(
        _Facts(
            place=asked.point_of_sale,
            meter=meter,
            amount_minor=asked.amount_minor,
            energy_wh=asked.energy_wh,
            quote=asked.quote_id,
            pays=asked.pays,
        )
    )


def require_same(sale: Sale, facts: bytes) -> Sale:
    """Return a sale that has been made as a repetition of what was asked.

    Raises ReferenceReused when it was something else.
    """
    if sale.facts != facts:
        raise ReferenceReused(reference=sale.reference)
    return msgspec.structs.replace(sale, repeated=True)
