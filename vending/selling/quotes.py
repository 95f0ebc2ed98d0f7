"""Quotes as rows: what a vendor was told a meter gets, and until when that stands."""

from datetime import datetime, timedelta

from vending.postgres.pool import Session
from vending.selling.sale import QuoteUnknown
from vending.values import Value

LASTS = timedelta(minutes=5)
"""Long enough to count the money, too short to speculate on a change of tariff."""

FORGOTTEN_AFTER = timedelta(days=1)

REMOVED_MAX = 4
"""Old quotes removed for each new one: there are never many, and no job is needed."""

ADD = """
with old as (
    select quote_id
      from quote
     where expires_at < $13
     order by expires_at
     limit $14
), removed as (
    delete from quote using old where quote.quote_id = old.quote_id
)
insert into quote (quote_id, vendor_id, meter_number, amount_minor, energy_wh, tariff,
                   tariff_version, tariff_category, line_codes, line_amounts, quoted_at, expires_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""

FIND = """
select quote_id, vendor_id, meter_number, amount_minor, energy_wh, tariff, tariff_version,
       tariff_category, line_codes, line_amounts, quoted_at, expires_at
  from quote
 where quote_id = $1 and vendor_id = $2
"""


class Quoted(Value, frozen=True, kw_only=True):
    """A quote as it is stored: the receipt's lines as (code, cents), and until when it stands."""

    quote_id: int
    vendor_id: str
    meter_number: str
    amount_minor: int
    energy_wh: int
    tariff: str
    tariff_version: str
    tariff_category: str
    lines: tuple[tuple[str, int], ...]
    quoted_at: datetime
    expires_at: datetime


async def add(db: Session, quoted: Quoted) -> None:
    """Store a quote, and remove a few that have long expired."""
    await db.fetch(
        ADD, quoted.quote_id, quoted.vendor_id, quoted.meter_number, quoted.amount_minor,
        quoted.energy_wh, quoted.tariff, quoted.tariff_version, quoted.tariff_category,
        [code for code, _ in quoted.lines], [minor for _, minor in quoted.lines],
        quoted.quoted_at, quoted.expires_at, quoted.quoted_at - FORGOTTEN_AFTER, REMOVED_MAX,
    )  # fmt: skip


async def find(db: Session, vendor_id: str, quote_id: int) -> Quoted:
    """Return a vendor's quote, expired or not. Raises QuoteUnknown."""
    rows = await db.fetch(FIND, quote_id, vendor_id)
    if not rows:
        raise QuoteUnknown
    fields = dict(rows[0])
    codes, amounts = fields.pop("line_codes"), fields.pop("line_amounts")
    return Quoted(lines=tuple(zip(codes, amounts, strict=True)), **fields)
