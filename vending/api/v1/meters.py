"""Meters as vendors see them before they sell."""

from typing import Annotated

import msgspec
from msgspec import Meta

from vending.api.v1.asked import Answer, Asked, Instant
from vending.api.v1.teller import Teller
from vending.selling.prices import LookUp


class Arrears(msgspec.Struct, frozen=True, kw_only=True):
    """One debt of a meter that purchases pay off."""

    kind: Annotated[str, Meta(description="What it is for; its receipt line is debt: and this.")]
    balance_minor: Annotated[int, Meta(ge=0)]


class MeterSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A meter, whether it can be sold to, and at what price; null where no tariff tells."""

    meter: Annotated[str, Meta(description="Its number, spaces and hyphens left out.")]
    can_vend: bool
    why_not: Annotated[
        str | None, Meta(description="The code every sale would be refused with; or null.")
    ]
    name: Annotated[
        str | None,
        Meta(description="The customer's name: each word's first letter; null if unknown."),
    ]
    minimum_minor: Annotated[int | None, Meta(description="The smallest sum that buys now.")]
    maximum_minor: Annotated[int | None, Meta(description="The largest sum in one purchase.")]
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217 code.")]
    kwh_minor: Annotated[
        int | None,
        Meta(description="One more kilowatt-hour, taxes included, fixed charges left out."),
    ]
    arrears_minor: Annotated[int, Meta(ge=0, description="What the meter owes in all.")]
    arrears: list[Arrears]
    free_wh: Annotated[
        int | None,
        Meta(description="Free energy still due this month; null where none is due ever."),
    ]
    tariff: str
    tariff_version: str | None
    tariff_category: str | None
    as_of: Instant


async def look_up(teller: Teller, asked: Asked[None, None]) -> Answer:
    """Answer what a vendor may know of a meter."""
    seen = await teller.selling(asked.caller).look_up(asked.path["meter"])
    return Answer(status=200, body=_seen(seen, asked, currency=teller.config.utility.currency))


def _seen(seen: LookUp, asked: Asked[None, None], *, currency: str) -> MeterSeen:
    return MeterSeen(
        meter=seen.meter_number,
        can_vend=seen.why_not is None,
        why_not=seen.why_not,
        name=seen.name,
        minimum_minor=seen.minimum_minor,
        maximum_minor=seen.maximum_minor,
        currency=currency,
        kwh_minor=seen.kwh_minor,
        arrears_minor=seen.arrears_minor,
        arrears=[Arrears(kind=one.kind, balance_minor=one.balance_minor) for one in seen.debts],
        free_wh=seen.free_wh,
        tariff=seen.tariff,
        tariff_version=seen.tariff_version,
        tariff_category=seen.tariff_category,
        as_of=asked.now,
    )
