"""The morning after an outage: payments that wait in the inbox are vended beside live traffic.

The backlog is laid into the inbox as fifteen hours of stored callbacks, then the server is started
on it. The drain is timed from there to the last token's commit.
"""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec

from benchmarks import committed, processors
from benchmarks.goals import Result, percentile
from benchmarks.gun import Phase
from benchmarks.requests import base36
from benchmarks.site import SHORT_CODE, Fire, Server, Site
from vending.numbering import first_at

BACKLOG = 540_000
OUTAGE = timedelta(hours=15)
PREFIX = "LOST"
LIVE_PER_SECOND = 300
LIVE_CONNECTIONS = 64
LIVE_SECONDS = 10.0
"""Live traffic comes in pieces of so long, for as long as the drain takes."""

DRAIN_SECONDS_MAX = 400

COLUMNS = (
    "payment_id", "operator", "transaction_id", "short_code", "product", "account_reference",
    "amount_minor", "paid_at", "received_at", "payer", "payer_kind", "raw",
)  # fmt: skip

PROGRESS = """
select floor(extract(epoch from pg_xact_commit_timestamp(outcome.xmin)) - $3)::int as second,
       count(*) as vended,
       max(extract(epoch from pg_xact_commit_timestamp(outcome.xmin)) - $3)::float8 as latest
  from payment
  join outcome using (payment_id)
 where operator = 'mpesa' and transaction_id >= $1 and transaction_id < $2
 group by 1
 order by 1
"""

# The sweep goes from the oldest to the newest, so the newest of them tell cheaply how far it is.
UNDECIDED_LAST = """
select count(*) as undecided
  from (select payment_id
          from payment
         where operator = 'mpesa' and transaction_id >= $1 and transaction_id < $2
         order by transaction_id desc
         limit 1000) as newest
 where not exists (select from outcome where outcome.payment_id = newest.payment_id)
"""


async def lay_in(site: Site, database: str, *, count: int) -> None:
    """Store so many payments of the last fifteen hours, as the inbox would have."""
    chance = random.Random(count)
    now = datetime.now(UTC)
    raw = msgspec.json.encode({"TransactionType": "Pay Bill", "padding": "-" * 330})

    def row(number: int) -> tuple[object, ...]:
        at = now - OUTAGE + OUTAGE * number / count
        return (
            first_at(at) + number % 16_384, "mpesa", PREFIX + base36(number, 6), SHORT_CODE,
            "prepaid", chance.choice(site.meters), chance.choice((100_00, 200_00, 500_00)), at, at,
            "", "absent", raw,
        )  # fmt: skip

    db = await asyncpg.connect(site.cluster.dsn(database))
    try:
        for start in range(0, count, 20_000):
            rows = [row(number) for number in range(start, min(start + 20_000, count))]
            await db.copy_records_to_table("payment", records=rows, columns=COLUMNS)
        await db.execute("vacuum (analyze) payment")
    finally:
        await db.close()
    await site.cluster.execute("checkpoint")


async def drain(
    site: Site, result: Result, *, count: int, calm: float, say: Callable[[str], None]
) -> Server:
    """Measure live traffic alone, then lay the backlog in and measure both; return the server."""
    database = "drain"
    async with site.server(database) as server:
        alone = await _live(site, server, calm)
    await lay_in(site, database, count=count)
    say(f"{count:,} payments laid in")
    async with site.server(database) as server:
        began = datetime.now(UTC).timestamp()
        live, seconds, progress = await _drained(site, server, count)
        memory = processors.resident_mb(server.pid)
    if seconds is None:
        result.set("drain_540k_s", reason=f"not drained within {DRAIN_SECONDS_MAX} s")
        result.set("drain_live_p99_ratio", reason="the drain did not end")
        return server
    scaled = seconds * BACKLOG / count
    told = f"{count:,} payments at {count / seconds:,.0f}/s beside {LIVE_PER_SECOND}/s live"
    scale = "" if count == BACKLOG else f" in {seconds:.1f} s, scaled to {BACKLOG:,}"
    result.set("drain_540k_s", scaled, note=told + scale)
    until = began + seconds
    acknowledged, vended = await _p99s(site, server, live, until=until)
    calm_acknowledged, calm_vended = await _p99s(site, server, [alone], until=until)
    result.set(
        "drain_live_p99_ratio",
        vended / calm_vended,
        note=f"token {vended * 1e3:.1f} ms against {calm_vended * 1e3:.1f} ms; acknowledgement "
        f"{acknowledged * 1e3:.1f} ms against {calm_acknowledged * 1e3:.1f} ms",
    )
    result.details["drain"] = {
        "count": count, "seconds": seconds, "progress": progress, "memory_mb": memory,
        "vends": count + sum(fire.answered for fire in live),
    }  # fmt: skip
    return server


async def _live(site: Site, server: Server, seconds: float) -> Fire:
    phases = [Phase(per_second=LIVE_PER_SECOND, seconds=seconds)]
    await site.fire(server, "confirm", connections=LIVE_CONNECTIONS, seconds=0.5)
    fire = await site.fire(server, "confirm", connections=LIVE_CONNECTIONS, phases=phases)
    await committed.settled(site.cluster, server.database, fire.prefix)
    return fire


async def _drained(
    site: Site, server: Server, count: int
) -> tuple[list[Fire], float | None, list[tuple[int, int]]]:
    """Wait until the backlog is vended, with live traffic; (live, seconds, vended by second)."""
    began = datetime.now(UTC).timestamp()
    phases = [Phase(per_second=LIVE_PER_SECOND, seconds=LIVE_SECONDS)]
    bounds = committed.bounds(PREFIX)
    live = []
    left = 1
    while left and datetime.now(UTC).timestamp() - began < DRAIN_SECONDS_MAX:
        live.append(await site.fire(server, "confirm", connections=LIVE_CONNECTIONS, phases=phases))
        rows = await site.cluster.fetch(UNDECIDED_LAST, *bounds, database=server.database)
        left = rows[0]["undecided"]
    for fire in live:
        await committed.settled(site.cluster, server.database, fire.prefix)
    rows = await site.cluster.fetch(PROGRESS, *bounds, began, database=server.database)
    progress = [(row["second"], row["vended"]) for row in rows]
    whole = sum(vended for _, vended in progress) == count
    return live, max(row["latest"] for row in rows) if whole else None, progress


async def _p99s(
    site: Site, server: Server, fires: Sequence[Fire], *, until: float
) -> tuple[float, float]:
    """Return the p99 of acknowledgements and of tokens for what was due until an instant."""
    acknowledged: list[float] = []
    vended: list[float] = []
    for fire in fires:
        stamps = await committed.stamps(site.cluster, server.database, fire.prefix)
        due, latency, _status = fire.fired.columns()
        seconds = until - fire.fired.began
        acknowledged += committed.within(due, latency, 0, seconds)
        vended += committed.within(due, committed.waits(fire, stamps), 0, seconds)
    return percentile(sorted(acknowledged), 0.99), percentile(sorted(vended), 0.99)
