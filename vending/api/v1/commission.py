"""Commission: the rates a vendor sells at, and what it has earned in a time."""

from typing import Annotated

import msgspec
from msgspec import Meta

from vending.api.v1.asked import Answer, Asked, Instant, RequestInvalid, instant
from vending.api.v1.teller import Teller
from vending.vendors import commission
from vending.vendors.commission import RateTable


class CommissionTime(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For which time the earnings are asked: this month so far, unless it is said."""

    since: Annotated[Instant | None, Meta(description="From this instant on.")] = None
    until: Annotated[Instant | None, Meta(description="Before this instant.")] = None


class CommissionBand(msgspec.Struct, frozen=True, kw_only=True):
    """From which tender on, which part of it and which fixed sum are earned."""

    from_minor: Annotated[int, Meta(ge=0, description="Sales of so many cents and more.")]
    rate_ppm: Annotated[int, Meta(ge=0, description="Millionths of the tender: 15000 is 1.5 %.")]
    fixed_minor: Annotated[int, Meta(ge=0, description="Cents for each sale.")]


class CommissionRates(msgspec.Struct, frozen=True, kw_only=True):
    """A rate table: it ends the one before it for the same product."""

    product: str
    effective_from: Instant
    bands: list[CommissionBand]


class Commission(msgspec.Struct, frozen=True, kw_only=True):
    """All rate tables of a vendor, and what the ledger says it earned in a time."""

    rates: list[CommissionRates]
    since: Instant
    until: Instant
    earned_minor: Annotated[int, Meta(description="In cents.")]
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217 code.")]


async def read(teller: Teller, asked: Asked[None, CommissionTime]) -> Answer:
    """Answer the caller's rates and earnings."""
    vendor_id, given = asked.caller.vendor_id, asked.query
    local = asked.now.astimezone(teller.zone)
    month = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    since = instant("since", given.since or month)
    until = instant("until", given.until or asked.now)
    if given.since and given.until and until < since:
        raise RequestInvalid(member="until", fault="not before since")
    tables = await commission.read(teller.reads, [vendor_id])
    body = Commission(
        rates=[_rates(table) for table in tables],
        since=since,
        until=until,
        earned_minor=await commission.accrued(teller.reads, vendor_id, since=since, until=until),
        currency=teller.config.utility.currency,
    )
    return Answer(status=200, body=body)


def _rates(table: RateTable) -> CommissionRates:
    return CommissionRates(
        product=table.product,
        effective_from=table.effective_from,
        bands=[
            CommissionBand(
                from_minor=one.from_minor, rate_ppm=one.rate_ppm, fixed_minor=one.fixed_minor
            )
            for one in table.bands
        ],
    )
