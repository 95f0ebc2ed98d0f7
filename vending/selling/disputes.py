"""Disputes: sales that a vendor wants undone although their tokens are out.

A token cannot be called back from a meter, so whether the money goes back is for a person to say
who has looked: at the meter, at the log of copies, at the customer.
"""

from datetime import datetime

import asyncpg

from vending import audit_log
from vending.errors import Rejected
from vending.postgres import pool
from vending.postgres.pool import Connection, Session
from vending.values import Value
from vending.vendors import accounts

# A second request finds the first one's case.
OPEN = """
insert into dispute (dispute_id, payment_id, vendor_id, reason, opened_by, opened_at)
values ($1, $2, $3, $4, $5, $6)
on conflict (payment_id) do nothing
"""

_CASE = """
select dispute_id, dispute.payment_id, vendor_id, transaction_id as reference,
       account_reference as meter_number, amount_minor, reason, opened_by, opened_at,
       settled_by, settled_at, resolution
  from dispute
  join payment on payment.payment_id = dispute.payment_id
"""

OF_SALE = _CASE + " where dispute.payment_id = $1"

FIND = _CASE + " where dispute_id = $1"

UNSETTLED = _CASE + " where settled_at is null order by opened_at, dispute_id limit $1"

SETTLE = """
update dispute
   set settled_by = $2, settled_at = $3, resolution = $4
 where dispute_id = $1 and settled_at is null
returning vendor_id
"""


class DisputeUnknown(Rejected):
    """There is no open dispute of this number.

    `vending vendors disputes` lists those there are.
    """

    code = "dispute_unknown"


class Dispute(Value, frozen=True, kw_only=True):
    """A sale somebody wants undone, and what was decided about it; None: nothing yet."""

    dispute_id: int
    payment_id: int
    vendor_id: str
    reference: str
    meter_number: str
    amount_minor: int
    reason: str
    opened_by: str
    opened_at: datetime
    settled_by: str | None = None
    settled_at: datetime | None = None
    resolution: str | None = None


async def open_(
    db: Session,
    vendor_id: str,
    payment_id: int,
    *,
    dispute_id: int,
    reason: str,
    who: str,
    now: datetime,
) -> Dispute:
    """Open the dispute of a sale, or return the one there is."""
    await db.fetch(OPEN, dispute_id, payment_id, vendor_id, reason, who, now)
    (row,) = await db.fetch(OF_SALE, payment_id)
    return _dispute(row)


async def unsettled(db: Session, *, most: int = 100) -> list[Dispute]:
    """Return the disputes that wait for a person, oldest first."""
    return [_dispute(row) for row in await db.fetch(UNSETTLED, most)]


async def settle(
    db: Connection, dispute_id: int, *, resolution: str, who: str, now: datetime
) -> Dispute:
    """Write down what was decided. Raises DisputeUnknown for a case that is not open."""
    async with pool.transaction(db):
        rows = await db.fetch(SETTLE, dispute_id, who, now, resolution)
        if not rows:
            raise DisputeUnknown(dispute_id=dispute_id)
        await audit_log.append(
            db, who=who, what="dispute settled", subject=accounts.subject(rows[0]["vendor_id"]),
            facts={"dispute": str(dispute_id), "resolution": resolution}, now=now,
        )  # fmt: skip
        (row,) = await db.fetch(FIND, dispute_id)
    return _dispute(row)


def _dispute(row: asyncpg.Record) -> Dispute:
    return Dispute(**dict(row))
