"""Shifts: a clerk opens one at an outlet, or at a till of it, and closes it with its totals.

The totals are what the ledger says of the vendor's float for the sales that came in between; they
are asked of it each time and never kept, so they cannot differ from it. A shift at an outlet takes
in all its tills, one at a till only that till.
"""

from datetime import datetime, timedelta

import asyncpg

from vending.errors import Rejected
from vending.numbering import first_at
from vending.postgres.pool import Session
from vending.values import Value
from vending.vendors.vendor import NO_TILL, float_account, operator_of, point_of_sale

_SLACK = timedelta(hours=1)
"""How far a payment's number may be from its arrival when a clock was set back."""

_CLERK_LENGTH_MAX = 60

# A shift takes in the instant of its opening and not that of its closing, so it lasts at least a
# microsecond, and the next one at its place begins no sooner than it ends: what is sold between two
# commands of one instant is in one shift, and in one alone.
OPEN = """
insert into shift (shift_id, vendor_id, outlet, till, clerk, opened_at)
select $1, $2, $3, $4, $5,
       greatest($6::timestamptz, (select max(closed_at)
                                    from shift
                                   where vendor_id = $2 and outlet = $3 and till = $4))
on conflict (vendor_id, outlet, till) where closed_at is null do nothing
returning shift_id, vendor_id, outlet, till, clerk, opened_at, closed_at
"""

CLOSE = """
update shift set closed_at = greatest($5::timestamptz, opened_at + interval '1 microsecond')
 where vendor_id = $1 and outlet = $2 and till = $3 and ($4::bigint is null or shift_id = $4)
   and closed_at is null
returning shift_id, vendor_id, outlet, till, clerk, opened_at, closed_at
"""

FIND = """
select shift_id, vendor_id, outlet, till, clerk, opened_at, closed_at
  from shift
 where vendor_id = $1 and shift_id = $2
"""

OF_VENDOR = """
select shift_id, vendor_id, outlet, till, clerk, opened_at, closed_at
  from shift
 where vendor_id = $1 and shift_id < $2
 order by shift_id desc
 limit $3
"""

# A till has a few thousand shifts in its life.
OF_TILL = """
select shift_id, vendor_id, outlet, till, clerk, opened_at, closed_at, number
  from (select shift_id, vendor_id, outlet, till, clerk, opened_at, closed_at,
               row_number() over (order by shift_id) as number
          from shift
         where vendor_id = $1 and outlet = $2 and till = $3) as numbered
 where ($4::bigint is null or number = $4) and ($5::boolean is null or (closed_at is null) = $5)
 order by number desc
 limit 1
"""

# A till's sales are under "outlet/till". The prefix is named for the partial index to be used.
TOTALS = """
select count(distinct sold.payment_id) filter (where entry.kind in ('sale', 'repayment')) as sales,
       coalesce(sum(line.amount_minor), 0)::bigint as amount_minor
  from (select payment_id
          from payment
         where operator = $1 and operator like 'vendor:%'
           and payment_id >= $5 and payment_id < $6
           and received_at >= $3 and ($4::timestamptz is null or received_at < $4)
           and (short_code = $2 or starts_with(short_code, $2 || '/'))
       ) as sold
  join entry on entry.document_id = sold.payment_id
 cross join lateral (
        select sum(amount)::bigint as amount_minor
          from unnest(entry.accounts, entry.amounts) as posted (account_id, amount)
          join account using (account_id)
         where account.code = $7
       ) as line
"""

NEWEST = 2**63 - 1


class ShiftOpen(Rejected):
    """There is an open shift at this outlet or till.

    Close it first.
    """

    code = "shift_open"


class ShiftUnknown(Rejected):
    """There is no such open shift at this outlet or till.

    It was never opened, or has been closed.
    """

    code = "shift_unknown"


class ClerkMalformed(Rejected):
    """A clerk's name is at most 60 printable characters."""

    code = "clerk_malformed"


class Shift(Value, frozen=True, kw_only=True):
    """A shift as it is stored; `till` is "-" for one of the whole outlet."""

    shift_id: int
    vendor_id: str
    outlet: str
    till: str
    clerk: str
    opened_at: datetime
    closed_at: datetime | None


class Totals(Value, frozen=True, kw_only=True):
    """What the ledger says of a shift: how many sales, and what they moved out of the float."""

    sales: int
    amount_minor: int


async def open_(
    db: Session,
    vendor_id: str,
    *,
    shift_id: int,
    outlet: str,
    till: str = NO_TILL,
    clerk: str = "",
    now: datetime,
) -> Shift:
    """Open a shift. Raises PointOfSaleMalformed, ClerkMalformed, ShiftOpen."""
    point_of_sale(outlet, till)
    if len(clerk) > _CLERK_LENGTH_MAX or not (clerk.isprintable() or not clerk):
        raise ClerkMalformed
    rows = await db.fetch(OPEN, shift_id, vendor_id, outlet, till, clerk, now)
    if not rows:
        raise ShiftOpen(outlet=outlet, till=till)
    return _shift(rows[0])


async def close(
    db: Session,
    vendor_id: str,
    *,
    outlet: str,
    till: str = NO_TILL,
    shift_id: int | None = None,
    now: datetime,
) -> Shift:
    """Close the open shift of an outlet or till, which may be named. Raises ShiftUnknown."""
    rows = await db.fetch(CLOSE, vendor_id, outlet, till, shift_id, now)
    if not rows:
        raise ShiftUnknown(outlet=outlet[:32], till=till[:32])
    return _shift(rows[0])


async def find(db: Session, vendor_id: str, shift_id: int) -> Shift:
    """Return a vendor's shift, open or closed. Raises ShiftUnknown."""
    rows = await db.fetch(FIND, vendor_id, shift_id)
    if not rows:
        raise ShiftUnknown(shift_id=shift_id)
    return _shift(rows[0])


async def of_vendor(
    db: Session, vendor_id: str, *, before: int = NEWEST, most: int = 50
) -> list[Shift]:
    """Return a vendor's shifts numbered below `before`, newest first."""
    return [_shift(row) for row in await db.fetch(OF_VENDOR, vendor_id, before, most)]


async def of_till(
    db: Session,
    vendor_id: str,
    *,
    outlet: str,
    till: str,
    number: int | None = None,
    open_: bool | None = None,
) -> tuple[int, Shift]:
    """Return a till's last shift and which one of its shifts that is, from 1.

    Only the one of a number, and only one that is open or closed, where that is given. Raises
    ShiftUnknown.
    """
    rows = await db.fetch(OF_TILL, vendor_id, outlet, till, number, open_)
    if not rows:
        raise ShiftUnknown(outlet=outlet, till=till)
    fields = dict(rows[0])
    return fields.pop("number"), Shift(**fields)


async def totals(db: Session, shift: Shift) -> Totals:
    """Return what the ledger says of a shift, so far if it is open."""
    last = first_at(shift.closed_at + _SLACK) if shift.closed_at else NEWEST
    rows = await db.fetch(
        TOTALS, operator_of(shift.vendor_id), point_of_sale(shift.outlet, shift.till),
        shift.opened_at, shift.closed_at, first_at(shift.opened_at - _SLACK), last,
        float_account(shift.vendor_id),
    )  # fmt: skip
    return Totals(sales=rows[0]["sales"], amount_minor=rows[0]["amount_minor"])


def _shift(row: asyncpg.Record) -> Shift:
    return Shift(**dict(row))
