"""The morning after an outage: payments that wait in the inbox are vended beside live traffic.

The backlog is laid into the inbox as fifteen hours of stored callbacks, then the server is started
on it. The drain is timed from there to the last token's commit.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec

from benchmarks import committed, processors
from benchmarks.goals import Result, percentile
from benchmarks.gun import Phase
from benchmarks.processors import Spent
from benchmarks.quiet import Quiet, spent_in
from benchmarks.requests import base36
from benchmarks.site import SHORT_CODE, Fire, Server, Site
from vending.numbering import first_at

BACKLOG = 540_000
OUTAGE = timedelta(hours=15)
DATABASE = "drain"
PREFIX = "LOS"
"""What the ids of a backlog begin with; a letter for each try comes behind it."""

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


async def lay_in(site: Site, database: str, *, count: int, prefix: str) -> None:
    """Store so many payments of the last fifteen hours, as the inbox would have."""
    chance = random.Random(count)
    now = datetime.now(UTC)
    raw = msgspec.json.encode({"TransactionType": "Pay Bill", "padding": "-" * 330})

    def row(number: int) -> tuple[object, ...]:
        at = now - OUTAGE + OUTAGE * number / count
        return (
            first_at(at) + number % 16_384, "mpesa", prefix + base36(number, 6), SHORT_CODE,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """One drain: how long until its last token (None: too long), and the live traffic's p99s.

    The p99s are of acknowledgement and of token, in seconds, beside the drain and `calm` before it.
    """

    server: Server
    seconds: float | None
    progress: list[tuple[int, int]]
    memory_mb: float
    vends: int
    busy: tuple[float, float]
    calm: tuple[float, float]


async def drain(site: Site, result: Result, *, count: int, calm: float, quiet: Quiet) -> Server:
    """Measure live traffic alone, then lay the backlog in and measure both; return the server."""
    tries = 0

    async def work() -> tuple[Drained, Spent]:
        nonlocal tries
        tries += 1
        prefix = PREFIX + base36(tries, 1)
        async with site.server(DATABASE) as before:
            alone = await _live(site, before, calm)
        await lay_in(site, DATABASE, count=count, prefix=prefix)
        quiet.say(f"{count:,} payments laid in")
        async with site.server(DATABASE) as server:
            server.confirm.answered |= before.confirm.answered
            began = datetime.now(UTC).timestamp()
            drained, spent = await spent_in({}, _drained(site, server, count, prefix))
            live, seconds, progress = drained
            until = began + (seconds or DRAIN_SECONDS_MAX)
            return Drained(
                server=server, seconds=seconds, progress=progress,
                memory_mb=processors.resident_mb(server.pid),
                vends=count + sum(fire.answered for fire in live),
                busy=await _p99s(site, server, live, until=until),
                calm=await _p99s(site, server, [alone], until=until),
            ), spent  # fmt: skip

    one = await quiet.measure("drain", work, tries=2)
    if one.seconds is None:
        reason = f"not drained within {DRAIN_SECONDS_MAX} s{quiet.told('drain')}"
        result.set("drain_540k_s", reason=reason)
        result.set("drain_live_p99_ratio", reason="the drain did not end")
        return one.server
    rate = count / one.seconds
    told = f"{count:,} payments at {rate:,.0f}/s beside {LIVE_PER_SECOND}/s live"
    scale = "" if count == BACKLOG else f" in {one.seconds:.1f} s, scaled to {BACKLOG:,}"
    note = told + scale + quiet.told("drain")
    result.set("drain_540k_s", one.seconds * BACKLOG / count, note=note)
    result.set(
        "drain_live_p99_ratio",
        one.busy[1] / one.calm[1],
        note=f"token {one.busy[1] * 1e3:.1f} ms against {one.calm[1] * 1e3:.1f} ms; "
        f"acknowledgement {one.busy[0] * 1e3:.1f} ms against {one.calm[0] * 1e3:.1f} ms",
    )
    result.details["drain"] = {
        "count": count, "seconds": one.seconds, "progress": one.progress,
        "memory_mb": one.memory_mb, "vends": one.vends,
    }  # fmt: skip
    return one.server


async def _live(site: Site, server: Server, seconds: float) -> Fire:
    phases = [Phase(per_second=LIVE_PER_SECOND, seconds=seconds)]
    await site.fire(server, "confirm", connections=LIVE_CONNECTIONS, seconds=0.5)
    fire = await site.fire(server, "confirm", connections=LIVE_CONNECTIONS, phases=phases)
    await committed.settled(site.cluster, server.database, fire.prefix)
    return fire


async def _drained(
    site: Site, server: Server, count: int, prefix: str
) -> tuple[list[Fire], float | None, list[tuple[int, int]]]:
    """Wait until the backlog is vended, with live traffic; (live, seconds, vended by second)."""
    began = datetime.now(UTC).timestamp()
    phases = [Phase(per_second=LIVE_PER_SECOND, seconds=LIVE_SECONDS)]
    bounds = committed.bounds(prefix)
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
