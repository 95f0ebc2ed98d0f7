"""A key-change campaign: two tokens for every meter of a directory, made and kept.

Meters are read in order from the directory, sets are made by the core, and each range of them is
durable in a keyed table when its COPY has committed, so that a campaign can be taken up where it
stopped. The table is the benchmark's own: the product has no campaigns.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import sts_core

from benchmarks.goals import Result
from benchmarks.processors import Spent
from benchmarks.quiet import Quiet, spent_in
from benchmarks.site import GROUPS, Site
from benchmarks.volumes import GROWN

RANGE = 20_000
"""Meters whose sets are made in one go, and committed together."""

# Keys of 64 bits travel in two tokens; those of EA11 need four.
METERS = """
select meter_number, sgc, ti
  from meter
 where ea = 7 and meter_number > $1
 order by meter_number
 limit $2
"""

MAKE = (
    "drop schema if exists campaign cascade",
    "create schema campaign",
    """create table campaign.key_change (
           meter_number text        not null primary key,
           new_krn      smallint    not null,
           tokens       text[]      not null,
           made_at      timestamptz not null
       )""",
)

Range = list[asyncpg.Record]


async def key_changes(site: Site, result: Result, *, quiet: Quiet) -> None:
    """Make and store the whole campaign, and check what was stored."""

    async def work() -> tuple[tuple[int, float], Spent]:
        for statement in MAKE:
            await site.cluster.execute(statement, database=GROWN)
        return await spent_in({}, _campaign(site))

    meters, seconds = await quiet.measure("campaign", work, tries=2)
    rows = await site.cluster.fetch(
        "select count(*) as meters, count(*) filter (where cardinality(tokens) = 2 and "
        "tokens[1] <> tokens[2] and length(tokens[1]) = 20 and length(tokens[2]) = 20) as whole "
        "from campaign.key_change",
        database=GROWN,
    )
    whole = rows[0]["whole"]
    holds = whole == rows[0]["meters"] == meters
    told = f"{meters:,} EA07 meters, {whole:,} whole sets"
    result.books.append(("campaign: every meter has its two tokens", holds, told))
    note = (
        f"{meters:,} EA07 meters of the imported directory in {seconds:.1f} s, read, made by the "
        f"core and committed in ranges of {RANGE:,} to a keyed table of the benchmark's own (the "
        f"product has no campaigns){quiet.told('campaign')}"
    )
    result.set("kct_rows_per_s", meters / seconds, note=note)


def _ring() -> sts_core.KeyRing:
    """Hold an old and a new key for each supply group."""
    ring = sts_core.KeyRing()
    chance = random.Random(1)
    for krn in (1, 2):
        for group in GROUPS:
            ring.load(
                sgc=group, krn=krn, key_type=2, dkga="04", base_date="14", ken=255,
                key=bytearray(chance.randbytes(20)),
            )  # fmt: skip
    return ring


async def _campaign(site: Site) -> tuple[int, float]:
    """Read, make and store at once, a range behind each other; return (meters, seconds)."""
    ring = _ring()
    dsn = site.cluster.dsn(GROWN)
    reader, writer = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    began = time.perf_counter()
    now = datetime.now(UTC)
    meters = 0
    storing: asyncio.Task[object] | None = None
    try:
        async for these in _ranges(reader):
            made = await asyncio.to_thread(_made, ring, these, now)
            if storing is not None:
                await storing
            storing = asyncio.create_task(
                writer.copy_to_table("key_change", schema_name="campaign", source=_once(made))
            )
            meters += len(these)
        if storing is not None:
            await storing
        seconds = time.perf_counter() - began
    finally:
        await reader.close()
        await writer.close()
    return meters, seconds


async def _ranges(reader: asyncpg.Connection) -> AsyncIterator[Range]:
    """Yield the directory's meters in order; the next range is asked for as one is handed out."""
    asked = asyncio.create_task(reader.fetch(METERS, "", RANGE))
    while these := await asked:
        asked = asyncio.create_task(reader.fetch(METERS, these[-1][0], RANGE))
        yield these


async def _once(block: bytes) -> AsyncIterator[bytes]:
    yield block


def _made(ring: sts_core.KeyRing, these: Range, now: datetime) -> bytes:
    """Return the sets of a range in COPY's text format."""
    change, at = ring.issue_key_change, now.isoformat()
    lines = []
    for meter, sgc, ti in these:
        made = change(
            meter=meter, ea=7, sgc=sgc, krn=1, ti=ti, new_sgc=sgc, new_krn=2, new_ti=ti, at=now,
            tokens=2,
        )  # fmt: skip
        first, second = made.tokens
        lines.append(f"{meter}\t2\t{{{first},{second}}}\t{at}\n")
    return "".join(lines).encode()
