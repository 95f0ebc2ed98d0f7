"""Commission: what a vendor earns on a sale, by product, size of the sale and date.

A rate table is all rates of a vendor and product that begin at one instant; it ends the table
before it. The band of a sale is the one with the largest `from_minor` that its tender reaches. What
is earned is booked in the sale's own entry, expense against what is payable to the vendor.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import asyncpg

from vending import audit_log
from vending.errors import Rejected
from vending.ledger.entry import Posting
from vending.postgres import pool
from vending.postgres.pool import Connection, Session
from vending.values import Value
from vending.vendors import accounts

EXPENSE = "commission:expense"
MILLION = 1_000_000
BANDS_MAX = 20
AMOUNT_MINOR_MAX = 10**13

ADD = """
insert into commission_rate (vendor_id, product, effective_from, from_minor, rate_ppm, fixed_minor)
select $1, $2, $3, from_minor, rate_ppm, fixed_minor
  from unnest($4::bigint[], $5::integer[], $6::bigint[]) as band (from_minor, rate_ppm, fixed_minor)
"""

READ = """
select vendor_id, product, effective_from, from_minor, rate_ppm, fixed_minor
  from commission_rate
 where vendor_id = any($1::text[])
 order by vendor_id, product, effective_from, from_minor
"""

# One table of rates, then its bands; what a vendor was accrued, by the ledger.
PAYABLE = """
select -coalesce(sum(amount_minor), 0)::bigint as minor
  from posting
 where account = $1 and booked_at >= $2 and booked_at < $3
"""


class CommissionMalformed(Rejected):
    """These rates are no rate table.

    One to twenty bands, each from a sum of its own and one of them from nothing; a rate of 0 to
    100 percent and a fixed sum of nothing or more.
    """

    code = "commission_malformed"


class CommissionBackdated(Rejected):
    """A rate table begins in the past, where sales have been made at other rates.

    Let it begin now or later.
    """

    code = "commission_backdated"


class CommissionRepeated(Rejected):
    """There is a rate table for this vendor, product and instant already.

    Rates are never rewritten; let the new ones begin later.
    """

    code = "commission_repeated"


class Band(Value, frozen=True, kw_only=True):
    """From which tender on, how many millionths of it and which fixed sum are earned."""

    from_minor: int = 0
    rate_ppm: int
    fixed_minor: int = 0


class RateTable(Value, frozen=True, kw_only=True):
    """All bands of a vendor and product from an instant on, smallest first."""

    vendor_id: str
    product: str
    effective_from: datetime
    bands: tuple[Band, ...]

    def earned(self, tender_minor: int) -> int:
        """Return what is earned on a tender, in cents; parts of a cent are not paid."""
        band = [one for one in self.bands if one.from_minor <= tender_minor][-1]
        return tender_minor * band.rate_ppm // MILLION + band.fixed_minor


class Rates:
    """The rate tables of some vendors; asked once for each sale."""

    def __init__(self, tables: Iterable[RateTable] = ()) -> None:
        self._tables: dict[tuple[str, str], list[RateTable]] = {}
        for table in sorted(tables, key=lambda one: one.effective_from):
            self._tables.setdefault((table.vendor_id, table.product), []).append(table)

    def in_force(self, vendor_id: str, product: str, at: datetime) -> RateTable | None:
        """Return the table of an instant; None when there is none yet."""
        begun = [
            one for one in self._tables.get((vendor_id, product), ()) if one.effective_from <= at
        ]
        return begun[-1] if begun else None

    def postings(
        self, vendor_id: str, product: str, *, tender_minor: int, at: datetime
    ) -> tuple[Posting, ...]:
        """Return what a sale's entry says of commission: two sides, or nothing when none is due."""
        table = self.in_force(vendor_id, product, at)
        minor = table.earned(tender_minor) if table else 0
        if not minor:
            return ()
        return ((EXPENSE, minor), (payable_account(vendor_id), -minor))


def payable_account(vendor_id: str) -> str:
    """Return the ledger account of the commission that a vendor is owed."""
    return f"commission:payable:{vendor_id}"


async def add(
    db: Connection,
    vendor_id: str,
    *,
    product: str,
    effective_from: datetime,
    bands: Sequence[Band],
    who: str,
    now: datetime,
) -> RateTable:
    """Add a rate table; it ends the one before at its own beginning.

    Raises VendorUnknown, CommissionMalformed, CommissionBackdated, CommissionRepeated.
    """
    bands = sorted(bands, key=lambda one: one.from_minor)
    _require_table(bands)
    if effective_from < now:
        raise CommissionBackdated(effective_from=effective_from.isoformat())
    table = RateTable(
        vendor_id=vendor_id, product=product, effective_from=effective_from, bands=tuple(bands)
    )
    async with pool.transaction(db):
        await accounts.find(db, vendor_id)
        try:
            await db.execute(
                ADD, vendor_id, product, effective_from,
                [one.from_minor for one in bands], [one.rate_ppm for one in bands],
                [one.fixed_minor for one in bands],
            )  # fmt: skip
        except asyncpg.UniqueViolationError:
            raise CommissionRepeated(vendor_id=vendor_id, product=product) from None
        told = [f"from {one.from_minor}: {one.rate_ppm} ppm + {one.fixed_minor}" for one in bands]
        await audit_log.append(
            db, who=who, what="commission set", subject=accounts.subject(vendor_id),
            facts={"product": product, "effective_from": effective_from.isoformat(),
                   "bands": told}, now=now,
        )  # fmt: skip
    return table


async def read(db: Session, vendor_ids: Collection[str]) -> list[RateTable]:
    """Return every rate table of these vendors, oldest first for each."""
    tables: dict[tuple[str, str, datetime], list[Band]] = {}
    for row in await db.fetch(READ, list(vendor_ids)):
        key = (row["vendor_id"], row["product"], row["effective_from"])
        band = Band(
            from_minor=row["from_minor"], rate_ppm=row["rate_ppm"], fixed_minor=row["fixed_minor"]
        )
        tables.setdefault(key, []).append(band)
    return [
        RateTable(vendor_id=vendor, product=product, effective_from=begins, bands=tuple(bands))
        for (vendor, product, begins), bands in tables.items()
    ]


async def accrued(db: Session, vendor_id: str, *, since: datetime, until: datetime) -> int:
    """Return what the ledger says a vendor earned in a time, in cents."""
    (row,) = await db.fetch(PAYABLE, payable_account(vendor_id), since, until)
    minor: int = row["minor"]
    return minor


def _require_table(bands: Sequence[Band]) -> None:
    """Raise CommissionMalformed unless these bands, smallest first, are a rate table."""
    begins = [one.from_minor for one in bands]
    if not 1 <= len(bands) <= BANDS_MAX or begins[0] != 0 or len(set(begins)) != len(begins):
        raise CommissionMalformed(bands=len(bands))
    for one in bands:
        if not (
            0 <= one.rate_ppm <= MILLION
            and 0 <= one.fixed_minor <= AMOUNT_MINOR_MAX
            and one.from_minor <= AMOUNT_MINOR_MAX
        ):
            raise CommissionMalformed(from_minor=one.from_minor)
