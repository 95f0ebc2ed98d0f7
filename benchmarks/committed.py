"""When payments had their tokens: read from the rows afterwards, so that nothing is disturbed.

The instant is PostgreSQL's own commit stamp of the outcome's row. It is taken as the commit is
written, one flush before the server hears of it.
"""

import asyncio
from array import array
from collections.abc import Sequence

from benchmarks.cluster import Cluster
from benchmarks.site import Fire

_POLL_SECONDS = 0.1

STAMPS = """
select transaction_id,
       extract(epoch from pg_xact_commit_timestamp(outcome.xmin))::float8 as committed
  from payment
  join outcome using (payment_id)
 where operator = $1 and transaction_id >= $2 and transaction_id < $3
"""

UNDECIDED = """
select count(*) as undecided
  from payment
 where operator = $1 and transaction_id >= $2 and transaction_id < $3
   and not exists (select from outcome where outcome.payment_id = payment.payment_id)
"""


def bounds(prefix: str) -> tuple[str, str]:
    """Return the range of transaction ids that begin with a prefix."""
    return prefix, prefix + "~"


def number_of(transaction_id: str, prefix: str) -> int:
    """Return a request's number by its transaction id."""
    return int(transaction_id.removeprefix(prefix), 36)


async def settled(cluster: Cluster, database: str, prefix: str, *, seconds: float = 120) -> bool:
    """Wait until every payment of a load is decided; say whether that came in time."""
    async with asyncio.timeout(None) as limit:
        limit.reschedule(asyncio.get_running_loop().time() + seconds + 60)
        for _ in range(round(seconds / _POLL_SECONDS)):
            rows = await cluster.fetch(UNDECIDED, "mpesa", *bounds(prefix), database=database)
            if rows[0]["undecided"] == 0:
                return True
            await asyncio.sleep(_POLL_SECONDS)
    return False


async def stamps(
    cluster: Cluster, database: str, prefix: str, *, operator: str = "mpesa"
) -> dict[int, float]:
    """Return when each request's token was committed (Unix time), by the request's number."""
    rows = await cluster.fetch(STAMPS, operator, *bounds(prefix), database=database)
    return {number_of(row["transaction_id"], prefix): row["committed"] for row in rows}


def waits(fire: Fire, committed: dict[int, float]) -> "array[float]":
    """Return the seconds from each request's due time to its token, -1 for one without."""
    due = fire.fired.columns()[0]
    began = fire.fired.began
    return array(
        "d",
        (
            committed[number] - began - at if number in committed else -1.0
            for number, at in enumerate(due)
        ),
    )


def within(
    due: Sequence[float], values: Sequence[float], since: float, until: float
) -> list[float]:
    """Return, sorted, the values of what was due in an interval; those without one left out."""
    return sorted(
        value
        for at, value in zip(due, values, strict=True)
        if since <= at < until and value >= 0
    )  # fmt: skip
