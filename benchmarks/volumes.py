"""What the size of a utility costs: its meters imported, their history, a key-change campaign."""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import sts_core

from benchmarks import committed, import_meters
from benchmarks.goals import Result, ratios
from benchmarks.gun import Phase
from benchmarks.rounds import spent_in
from benchmarks.site import GROUPS, Server, Site, numbers_of
from vending.meters import imports

OFFERED = 1_000
"""Payments a second while growth is measured: the same for both sides, so batches are alike."""

KCT_BATCH = 10_000
TWO_TOKENS_EA = 7

HISTORY_MONTHS = 3

# One row of each table for each past vend, in order of time, meters in turns. Tokens are only
# digits here: the audit reads rows, and no meter will ever see them.
LAY_HISTORY = """
with past as (
    select number, $3::timestamptz + number * ($4::timestamptz - $3::timestamptz) / $2 as at,
           (extract(epoch from $3::timestamptz + number
                * ($4::timestamptz - $3::timestamptz) / $2 - timestamptz '2024-01-01 00:00:00Z')
            * 1000)::bigint << 22 as payment_id
      from generate_series($1::bigint, $1::bigint + $5::bigint - 1) as number
), numbered as (
    select past.number, past.at, past.payment_id | (past.number % 16384) as payment_id,
           listed.meter_number,
           ((extract(epoch from past.at) - extract(epoch from timestamptz '2014-01-01 00:00:00Z'))
             / 60)::int as tid
      from past
      join bench_meter as listed on listed.place = past.number % $6::bigint
), paid as (
    insert into payment (payment_id, operator, transaction_id, short_code, product,
                         account_reference, amount_minor, paid_at, received_at, payer, payer_kind,
                         raw)
    select payment_id, 'mpesa', 'OLD' || lpad(number::text, 12, '0'), '888880', 'prepaid',
           meter_number, 50000, at, at, '', 'absent', convert_to(repeat('-', 380), 'utf8')
      from numbered
), decided as (
    insert into outcome (payment_id, kind, meter_number, tid_base, tid, token, energy_wh, tariff,
                         tariff_version, tariff_category, line_codes, line_amounts, decided_at)
    select payment_id, 'token_issued', meter_number, 14, tid,
           lpad((number * 7919 % 100000000000)::text, 20, '7'), 19100, 'KE-DC', '2025-26', 'DC',
           array['energy', 'vat'], array[43000, 7000]::bigint[], at
      from numbered
), booked as (
    insert into entry (document_id, sequence, kind, accounts, amounts, booked_at)
    select payment_id, 0, 'sale', array[1, 2, 3, 4, 5, 6, 7, 8, 9],
           array[50000, -20000, -10000, -5000, -5000, -4000, -3000, -2000, -1000]::bigint[], at
      from numbered
)
insert into message (bucket, message_id, payment_id, kind, recipient, body, state, attempts,
                     next_attempt_at, created_at, sent_at)
select payment_id % 16, payment_id, payment_id, 'receipt', '+254700000000', repeat('-', 150),
       'sent', 1, at, at, at
  from numbered
"""

LIST_METERS = """
create table bench_meter as
select row_number() over (order by md5(meter_number)) - 1 as place, meter_number from meter
"""

WARM = """
select pg_prewarm(oid::regclass)
  from pg_class
 where relnamespace = 'public'::regnamespace and relkind in ('r', 'i')
"""

# Whatever page is written first after a checkpoint goes to the log whole. Touching each page once
# here leaves that to the warming, as it is over within minutes of real traffic.
TOUCH = """
update meter_state set open_debts = open_debts where (ctid::text::point)[1] = 1
"""


async def import_rate(site: Site, result: Result, *, meters: int) -> list[str]:
    """Import so many meters into the empty directory of `grown`; return their numbers."""
    path = site.directory / "many.csv"
    import_meters.generate(path, meters)
    await site.make_database("grown")
    began = time.perf_counter()
    done = await imports.import_csv(
        site.cluster.application_dsn("grown"), path, now=datetime.now(UTC),
        on_progress=lambda _progress: None,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    note = f"{meters:,} meters in {seconds:.1f} s, {done.rejected} rejected"
    result.set("import_rows_per_s", meters / seconds, note=note)
    numbers = numbers_of(path)
    path.unlink()
    return numbers


async def lay_history(site: Site, *, meters: int, vends: int, say: Callable[[str], None]) -> None:
    """Give `grown` so many past vends, evenly over some months, and warm what is hot."""
    db = await asyncpg.connect(site.cluster.dsn("grown"))
    until = datetime.now(UTC)
    since = until.replace(year=until.year - (until.month <= HISTORY_MONTHS),
                          month=(until.month - HISTORY_MONTHS - 1) % 12 + 1, day=1)  # fmt: skip
    try:
        await db.execute(LIST_METERS)
        await db.execute("create unique index on bench_meter (place)")
        await db.execute(
            "insert into account (code) select 'history:' || n from generate_series(1, 9) as n"
        )
        for start in range(0, vends, 250_000):
            count = min(250_000, vends - start)
            await db.execute(LAY_HISTORY, start, vends, since, until, count, meters, timeout=3600)
            say(f"history: {start + count:,} of {vends:,} vends laid in")
        await db.execute("drop table bench_meter")
        await db.execute("vacuum (analyze)", timeout=3600)
        await db.execute("checkpoint", timeout=3600)
        await db.execute("create extension if not exists pg_prewarm")
        await db.execute(WARM, timeout=3600)
        await db.execute(TOUCH, timeout=3600)
    finally:
        await db.close()


async def growth(
    site: Site, result: Result, *, numbers: list[str], vends: int, rounds: int, seconds: float
) -> None:
    """Offer the same to a server with a large history and to one with none, in turns."""
    few = site.meters
    large: list[float] = []
    small: list[float] = []
    async with site.server("grown") as grown, site.server("fresh") as fresh:
        for attempt in range(rounds + 1):
            for server, meters, costs in ((grown, numbers, large), (fresh, few, small)):
                site.meters = meters
                micros = await _database_micros(site, server, seconds)
                if attempt:  # the first time round is for warming
                    costs.append(micros)
    site.meters = few
    note = (
        f"{len(numbers):,} meters and {vends:,} past vends against {len(few):,} and none, warm, "
        f"at {OFFERED:,}/s offered; {sorted(large)[len(large) // 2]:.0f} us against "
        f"{sorted(small)[len(small) // 2]:.0f} us"
    )
    result.set("growth", rounds=ratios(large, small), note=note)


async def _database_micros(site: Site, server: Server, seconds: float) -> float:
    async def run() -> int:
        fire = await site.fire(
            server, "confirm", connections=128,
            phases=[Phase(per_second=OFFERED, seconds=seconds)],
        )  # fmt: skip
        await committed.settled(site.cluster, server.database, fire.prefix)
        return fire.answered

    done, spent = await spent_in({"postgres": site.cluster.pid}, run())
    return spent.trees["postgres"] / max(1, done) * 1e6


async def key_changes(site: Site, result: Result, *, meters: int) -> None:
    """Make two key-change tokens for each meter and store them, in one process.

    Measures the core's calls and a COPY into a keyed table of a campaign's shape in a schema of
    its own; what a campaign does besides is not in it.
    """
    ring = sts_core.KeyRing()
    chance = random.Random(meters)
    for krn in (1, 2):
        for group in GROUPS:
            ring.load(
                sgc=group, krn=krn, key_type=2, dkga="04", base_date="14", ken=255,
                key=bytearray(chance.randbytes(20)),
            )  # fmt: skip
    path = site.directory / "campaign.csv"
    import_meters.generate(path, 2 * meters)
    now = datetime.now(UTC)
    # Keys of 64 bits travel in two tokens; those of EA11 need more.
    rows = [row for row in _meter_keys(path) if row[3] == TWO_TOKENS_EA]
    db = await asyncpg.connect(site.cluster.dsn("tpcb"))
    try:
        await db.execute("create schema scratch")
        await db.execute(
            "create table scratch.key_change (campaign_id bigint, meter_number text, tokens text[],"
            " made_at timestamptz, primary key (campaign_id, meter_number))"
        )
        began = time.perf_counter()
        for start in range(0, len(rows), KCT_BATCH):
            made = [
                (1, meter, _set(ring, meter, sgc, ea, ti, now), now)
                for meter, sgc, ti, ea in rows[start : start + KCT_BATCH]
            ]
            await db.copy_records_to_table("key_change", schema_name="scratch", records=made)
        seconds = time.perf_counter() - began
        await db.execute("drop schema scratch cascade")
    finally:
        await db.close()
    note = (
        f"{len(rows):,} EA07 meters: two tokens each by the core, and COPY into a keyed table of a "
        "campaign's shape; the product has no campaigns yet"
    )
    result.set("kct_rows_per_s", len(rows) / seconds, note=note)


def _meter_keys(path: Path) -> list[tuple[str, str, int, int]]:
    """Return (meter number, supply group, tariff index, algorithm) of an import file."""
    with path.open(encoding="ascii") as file:
        names = next(file).strip().split(",")
        places = [names.index(name) for name in ("meter_number", "sgc", "ti", "ea")]
        rows = [[line.split(",")[place] for place in places] for line in file]
    return [(number, sgc, int(ti), int(ea)) for number, sgc, ti, ea in rows]


def _set(ring: sts_core.KeyRing, meter: str, sgc: str, ea: int, ti: int, at: datetime) -> list[str]:
    made = ring.issue_key_change(
        meter=meter, ea=ea, sgc=sgc, krn=1, ti=ti, new_sgc=sgc, new_krn=2, new_ti=ti, at=at,
        tokens=2,
    )  # fmt: skip
    return made.tokens
