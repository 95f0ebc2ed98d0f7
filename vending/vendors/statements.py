"""A vendor's statement: every movement of its float, as the ledger has it.

Lines come in the order of their documents' numbers, which rise with time. A sale is numbered when
it comes in and written when it is decided, so the newest lines may still get one in between: who
reads a statement in pages, to go on later where the last page ended, reads up to `settled(now)`.
"""

from datetime import datetime, timedelta

from vending.numbering import first_at
from vending.postgres.pool import Session
from vending.values import Value
from vending.vendors.vendor import float_account, operator_of

SETTLE_TIME = timedelta(minutes=2)
"""Longer than a sale may wait for its turn and its commit."""

PAGE_MAX = 1_000
NEWEST = 2**63 - 1

# Two ranges of two indexes, each no longer than the page, then the ledger by its primary key. The
# condition on the prefix lets the partial index on payments be used.
LINES = """
with document as (
    (select payment_id as document_id, transaction_id as reference, short_code as point_of_sale,
            account_reference as meter
       from payment
      where operator = $1 and operator like 'vendor:%' and payment_id > $4 and payment_id < $5
        and exists (select from entry where document_id = payment_id)
      order by payment_id
      limit $6)
    union all
    (select entry_id, bank || ' ' || bank_reference, '', ''
       from deposit
      where vendor_id = $2 and status = 'confirmed' and entry_id > $4 and entry_id < $5
      order by entry_id
      limit $6)
)
select document_id, sequence, kind, booked_at, reference, point_of_sale, meter,
       -line.amount_minor as amount_minor
  from (select document_id, reference, point_of_sale, meter
          from document order by document_id limit $6) as document
  join entry using (document_id)
 cross join lateral (
        select sum(amount)::bigint as amount_minor
          from unnest(entry.accounts, entry.amounts) as posted (account_id, amount)
          join account using (account_id)
         where account.code = $3
       ) as line
 where line.amount_minor is not null
 order by document_id, sequence
"""


# The smallest of the latest numbers.
FROM = """
select number
  from ((select payment_id as number
           from payment
          where operator = $1 and operator like 'vendor:%'
          order by payment_id desc
          limit $3)
        union all
        (select entry_id
           from deposit
          where vendor_id = $2 and status = 'confirmed'
          order by entry_id desc
          limit $3)) as numbered
 order by number desc
 limit $3
"""


class Line(Value, frozen=True, kw_only=True):
    """One movement: cents into the float (a deposit) or, negative, out of it (a sale).

    `document_id` is where the next page goes on: all lines of one document are on one page.
    """

    document_id: int
    sequence: int
    kind: str
    booked_at: datetime
    reference: str
    point_of_sale: str
    meter: str
    amount_minor: int


def settled(now: datetime) -> int:
    """Return the document number below which no line will come in any more."""
    return first_at(now - SETTLE_TIME)


async def latest(db: Session, vendor_id: str, *, most: int = 50) -> list[Line]:
    """Return the movements of the latest `most` documents, in order."""
    rows = await db.fetch(FROM, operator_of(vendor_id), vendor_id, min(most, PAGE_MAX))
    return await lines(db, vendor_id, after=rows[-1]["number"] - 1, most=most) if rows else []


async def lines(
    db: Session, vendor_id: str, *, after: int = 0, before: int = NEWEST, most: int = 100
) -> list[Line]:
    """Return the movements of up to `most` documents numbered between `after` and `before`."""
    rows = await db.fetch(
        LINES, operator_of(vendor_id), vendor_id, float_account(vendor_id), after, before,
        min(most, PAGE_MAX),
    )  # fmt: skip
    return [Line(**dict(row)) for row in rows]
