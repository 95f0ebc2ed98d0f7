"""Vendors' sales as rows: found by their reference, and printed again."""

from datetime import datetime

import asyncpg

from vending.payments import outcomes
from vending.postgres.pool import Session
from vending.selling.sale import Key, Sale

FIND = """
select payment_id, transaction_id, short_code, amount_minor, received_at, raw,
       (select coalesce(max(copy), 0) from reprint
         where reprint.payment_id = payment.payment_id) as copies
  from payment
 where operator = $1 and transaction_id = $2
"""

REPRINT = """
insert into reprint (payment_id, copy, asked_by, asked_at)
select $1, coalesce(max(copy), 0) + 1, $2, $3
  from reprint
 where payment_id = $1
having coalesce(max(copy), 0) < $4
returning copy
"""

# payment_reference serves it: one meter's purchases, of all who sell.
LATEST_OF = """
select transaction_id
  from payment
 where operator = $1 and account_reference = $2
 order by payment_id desc
 limit $3
"""

REPRINTERS_MAX = 5
"""Two servers may count the same copy at once; the second one counts again."""


async def find(db: Session, key: Key) -> Sale | None:
    """Return what was sold under a vendor's reference; None for nothing."""
    rows = await db.fetch(FIND, *key)
    if not rows:
        return None
    row = rows[0]
    # A vendor's payment is stored with its outcome, never before it.
    decided = await outcomes.read(db, [row["payment_id"]])
    return Sale(
        payment_id=row["payment_id"],
        reference=row["transaction_id"],
        point_of_sale=row["short_code"],
        amount_minor=row["amount_minor"],
        received_at=row["received_at"],
        facts=row["raw"],
        outcome=decided[row["payment_id"]],
        copies=row["copies"],
    )


async def latest_of(db: Session, operator: str, meter_number: str, *, most: int) -> list[str]:
    """Return the references of the last sales of a vendor to a meter, newest first."""
    rows = await db.fetch(LATEST_OF, operator, meter_number, most)
    return [row["transaction_id"] for row in rows]


async def reprint(
    db: Session, payment_id: int, *, most: int, who: str, now: datetime
) -> int | None:
    """Count another copy of a sale's receipt, and return its number; None when there are `most`."""
    for left in reversed(range(REPRINTERS_MAX)):
        try:
            rows = await db.fetch(REPRINT, payment_id, who, now, most)
        except asyncpg.UniqueViolationError:
            if not left:
                raise
        else:
            return rows[0]["copy"] if rows else None
    raise AssertionError(payment_id)  # the last try returns or raises
