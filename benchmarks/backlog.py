"""The morning after an outage: payments that wait in the inbox are vended beside live traffic.

The backlog is laid into the inbox as fifteen hours of stored callbacks, then the server is started
on it. The drain is timed from there to the last token's commit.
"""

import asyncio
import random
from collections.abc import Callable
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

DECIDED = """
select count(*) as decided
  from payment
  join outcome using (payment_id)
 where operator = 'mpesa' and transaction_id >= $1 and transaction_id < $2
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
    acknowledged, vended = _p99s(live, await _stamps(site, server, live), seconds)
    calm_acknowledged, calm_vended = _p99s(alone, await _stamps(site, server, alone), calm)
    result.set(
        "drain_live_p99_ratio",
        vended / calm_vended,
        note=f"token {vended * 1e3:.1f} ms against {calm_vended * 1e3:.1f} ms; acknowledgement "
        f"{acknowledged * 1e3:.1f} ms against {calm_acknowledged * 1e3:.1f} ms",
    )
    result.details["drain"] = {
        "count": count, "seconds": seconds, "progress": progress, "memory_mb": memory,
        "vends": count + live.answered,
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
) -> tuple[Fire, float | None, list[tuple[int, int]]]:
    """Wait until the backlog is vended, with live traffic; (live, seconds, vended by second)."""
    began = datetime.now(UTC).timestamp()
    # Longer than it should take; what comes after the drain is not looked at.
    live_seconds = min(DRAIN_SECONDS_MAX, max(10.0, count / 3_000))
    phases = [Phase(per_second=LIVE_PER_SECOND, seconds=live_seconds)]
    firing = asyncio.create_task(
        site.fire(server, "confirm", connections=LIVE_CONNECTIONS, phases=phases)
    )
    bounds = committed.bounds(PREFIX)
    done = 0
    while done < count and datetime.now(UTC).timestamp() - began < DRAIN_SECONDS_MAX:
        await asyncio.sleep(2.0)
        rows = await site.cluster.fetch(DECIDED, *bounds, database=server.database)
        done = rows[0]["decided"]
    live = await firing
    await committed.settled(site.cluster, server.database, live.prefix)
    rows = await site.cluster.fetch(PROGRESS, *bounds, began, database=server.database)
    progress = [(row["second"], row["vended"]) for row in rows]
    seconds = max((row["latest"] for row in rows), default=0.0) if done >= count else None
    return live, seconds, progress


async def _stamps(site: Site, server: Server, fire: Fire) -> dict[int, float]:
    return await committed.stamps(site.cluster, server.database, fire.prefix)


def _p99s(fire: Fire, stamps: dict[int, float], seconds: float) -> tuple[float, float]:
    due, latency, _status = fire.fired.columns()
    tokens = committed.waits(fire, stamps)
    return (
        percentile(committed.within(due, latency, 0, seconds), 0.99),
        percentile(committed.within(due, tokens, 0, seconds), 0.99),
    )
