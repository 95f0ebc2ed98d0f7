"""Quotes: the exact lines of a receipt, promised for some minutes."""

from typing import Annotated

import msgspec
from msgspec import Meta

from vending.api.v1 import names, receipts
from vending.api.v1.asked import Answer, Asked, Instant
from vending.api.v1.receipts import Amount, Currency, Energy, ReceiptLine, Typed
from vending.api.v1.teller import Teller
from vending.selling.quotes import Quoted
from vending.selling.sale import QuoteUnknown


class NewQuote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be priced: a sum, or a number of units."""

    meter: Typed
    amount_minor: Amount | None = None
    energy_wh: Energy | None = None


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """What a meter gets for a sum; a sale that names it until `expires_at` costs exactly that."""

    quote: Annotated[str, Meta(description="Its name here.")]
    meter: str
    amount_minor: int
    currency: Currency
    energy_wh: Annotated[int, Meta(description="What the token will carry.")]
    lines: list[ReceiptLine]
    tariff: str
    tariff_version: str
    tariff_category: str
    quoted_at: Instant
    expires_at: Instant


async def make(teller: Teller, asked: Asked[NewQuote, None]) -> Answer:
    """Price a purchase and remember the price."""
    given = asked.body
    quoted = await teller.selling(asked.caller).quote(
        asked.caller.vendor_id,
        given.meter,
        amount_minor=given.amount_minor,
        energy_wh=given.energy_wh,
    )
    place = f"/v1/quotes/{names.name(names.QUOTE, quoted.quote_id)}"
    return Answer(status=201, body=_shown(teller, quoted), headers=(("Location", place),))


async def find(teller: Teller, asked: Asked[None, None]) -> Answer:
    """Answer one of the caller's quotes, expired or not."""
    number = names.number(names.QUOTE, asked.path["quote"], unknown=QuoteUnknown)
    quoted = await teller.selling(asked.caller).quoted(asked.caller.vendor_id, number)
    return Answer(status=200, body=_shown(teller, quoted))


def _shown(teller: Teller, quoted: Quoted) -> Quote:
    return Quote(
        quote=names.name(names.QUOTE, quoted.quote_id),
        meter=quoted.meter_number,
        amount_minor=quoted.amount_minor,
        currency=teller.config.utility.currency,
        energy_wh=quoted.energy_wh,
        lines=receipts.lines(quoted.lines),
        tariff=quoted.tariff,
        tariff_version=quoted.tariff_version,
        tariff_category=quoted.tariff_category,
        quoted_at=quoted.quoted_at,
        expires_at=quoted.expires_at,
    )
