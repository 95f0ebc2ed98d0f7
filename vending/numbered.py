"""What this server has numbered before: where its numbers go on after a restart.

Numbers rise with the clock, so a server whose clock was set back while it was down would hand some
of them out again. Only rows at or beyond the clock's instant matter, and as a rule there are none,
so the look costs eight reads of an index's end.
"""

from vending.clock import Clock
from vending.numbering import first_at, node_of
from vending.outbox.message import BUCKETS
from vending.postgres.pool import Session

LAST = f"""
select max(number)
  from (
    (select payment_id as number
       from payment
      where payment_id >= $1 and {node_of("payment_id")} = $2
      order by payment_id desc
      limit 1)
     union all
    (select quarantine_id
       from quarantine
      where quarantine_id >= $1 and {node_of("quarantine_id")} = $2
      order by quarantine_id desc
      limit 1)
     union all
    (select event_id
       from webhook_event
      where event_id >= $1 and {node_of("event_id")} = $2
      order by event_id desc
      limit 1)
     union all
    (select quote_id
       from quote
      where quote_id >= $1 and {node_of("quote_id")} = $2
      order by quote_id desc
      limit 1)
     union all
    (select dispute_id
       from dispute
      where dispute_id >= $1 and {node_of("dispute_id")} = $2
      order by dispute_id desc
      limit 1)
     union all
    (select special_id
       from special_token
      where special_id >= $1 and {node_of("special_id")} = $2
      order by special_id desc
      limit 1)
     union all
    (select order_id
       from key_change_order
      where order_id >= $1 and {node_of("order_id")} = $2
      order by order_id desc
      limit 1)
     union all
    (select last.message_id
       from generate_series(0, {BUCKETS - 1}) as home (bucket)
      cross join lateral (
            select message_id
              from message
             where message.bucket = home.bucket and message_id >= $1
               and {node_of("message_id")} = $2
             order by message_id desc
             limit 1) as last)
  ) as numbered
"""  # noqa: S608 -- composed of our own constants


async def last(db: Session, clock: Clock, *, node: int) -> int:
    """Return a node's largest number from now on that the database holds; 0 when there is none."""
    rows = await db.fetch(LAST, first_at(clock()), node)
    return rows[0][0] or 0
