"""A directory's past: millions of vends laid straight into the tables, as real ones would lie.

Each past vend is a row of every table that a real one leaves behind, in order of time, meters in no
order. Rows travel from a query on one connection into COPY on another, so that both cores work and
nothing passes through Python but bytes; indexes are built afterwards, as a restored dump's are.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from vending.numbering import EPOCH

SPAN = timedelta(days=90)
QUEUE_BLOCKS = 64
"""Blocks of COPY that may wait between the two connections."""

SESSION = """
set work_mem = '256MB';
set maintenance_work_mem = '1GB';
set max_parallel_maintenance_workers = 1;
set enable_hashjoin = off;
set enable_mergejoin = off;
"""
"""Joins by look-up keep the order of time."""

LIST_METERS = """
create table bench_meter as
select row_number() over (order by hashtext(meter_number), meter_number) - 1 as place, meter_number
  from meter
"""

# Written out rather than passed, since COPY takes no parameters. The last number of a payment's id
# is what its node counted within the millisecond.
PAST = """
  from (select number, timestamptz '{since}' + (number * {step}) * interval '1 millisecond' as at,
               ({since_ms} + number * {step}) << 22 | (number % 16384) as payment_id,
               ((315532800000 + {since_ms} + number * {step}) / 60000)::integer as tid,
               number % {meters} as place
          from generate_series(0::bigint, {vends} - 1) as number) as past
"""
"""`since_ms` counts from 2024; identifiers count minutes from 2014 (IEC 62055-41, 6.3.5)."""

JOINED = PAST + "  join bench_meter using (place)\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The columns of a table that past rows have, and the query that gives them."""

    columns: tuple[str, ...]
    query: str


PAYMENTS = Rows(
    columns=(
        "payment_id", "operator", "transaction_id", "short_code", "product", "account_reference",
        "amount_minor", "paid_at", "received_at", "payer", "payer_kind", "raw",
    ),
    query="""
select payment_id, 'mpesa', 'OLD' || lpad(number::text, 9, '0'), '888880', 'prepaid', meter_number,
       50000::bigint, at, at, '', 'absent', decode(repeat('2d', 380), 'hex')
"""
    + JOINED,
)  # fmt: skip

# Tokens are only digits here: the audit reads rows, and no meter will ever see them.
OUTCOMES = Rows(
    columns=(
        "payment_id", "kind", "meter_number", "tid_base", "tid", "token", "energy_wh", "tariff",
        "tariff_version", "tariff_category", "line_codes", "line_amounts", "decided_at",
    ),
    query="""
select payment_id, 'token_issued', meter_number, 14::smallint, tid,
       lpad((number * 7919 % 100000000000)::text, 20, '7'), 19100::bigint, 'KE-DC', '2025-26', 'DC',
       array['energy', 'vat'], array[43000, 7000]::bigint[], at
"""
    + JOINED,
)  # fmt: skip

ENTRIES = Rows(
    columns=("document_id", "sequence", "kind", "accounts", "amounts", "booked_at"),
    query="""
select payment_id, 0::smallint, 'sale',
       (select array_agg(account_id order by account_id) from account where code like 'history:%'),
       array[50000, -20000, -10000, -5000, -5000, -4000, -3000, -2000, -1000]::bigint[], at
"""
    + PAST,
)

MESSAGES = Rows(
    columns=(
        "bucket", "message_id", "payment_id", "kind", "recipient", "body", "state", "attempts",
        "next_attempt_at", "created_at", "sent_at",
    ),
    query="""
select (payment_id % 16)::smallint, payment_id, payment_id, 'receipt', '+254700000000',
       repeat('-', 150), 'sent', 1::smallint, at, at, at
"""
    + PAST,
)  # fmt: skip

TABLES = {"payment": PAYMENTS, "outcome": OUTCOMES, "entry": ENTRIES, "message": MESSAGES}
"""What a past vend leaves in each table."""

INDEXES = """
select format('alter table %I drop constraint %I', table_name, name) as drop,
       format('alter table %I add constraint %I %s', table_name, name, definition) as make
  from (select conrelid::regclass::text as table_name, conname as name,
               pg_get_constraintdef(oid) as definition
          from pg_constraint
         where conrelid = $1::regclass and contype in ('p', 'u')) as bound
 union all
select format('drop index %I', indexrelid::regclass::text), pg_get_indexdef(indexrelid)
  from pg_index
 where indrelid = $1::regclass
   and not exists (select from pg_constraint where conindid = indexrelid)
"""

LARGEST = """
select pg_prewarm(oid::regclass)
  from pg_class
 where relnamespace = 'public'::regnamespace and relkind in ('r', 'i')
   and (relname like 'meter%' or relkind = 'i')
"""
"""What a vend reads of a large past: the meters, their states, and the indexes."""

# Whatever page is written first after a checkpoint goes to the log whole. Touching each page once
# here leaves that to the warming; pages of indexes were built after the checkpoint.
TOUCH = """
update meter_state set open_debts = open_debts where (ctid::text::point)[1] = 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """So many vends by so many meters, up to an instant."""

    meters: int
    vends: int
    until: datetime

    def written(self, query: str) -> str:
        """Return a query with the numbers written into it."""
        step = int(SPAN.total_seconds() * 1000) // self.vends
        since = self.until - timedelta(milliseconds=step * self.vends)
        since = since.replace(microsecond=0)
        since_ms = (since - EPOCH) // timedelta(milliseconds=1)
        return query.format(
            meters=self.meters,
            vends=self.vends,
            step=step,
            since=since.isoformat(),
            since_ms=since_ms,
        )


async def lay(dsn: str, past: Past, *, say: Callable[[str], None]) -> None:
    """Lay the past into a database that has meters and no vends yet, and warm what is hot."""
    source, target = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    try:
        for db in (source, target):
            await db.execute(SESSION)
        await target.execute(LIST_METERS)
        await target.execute("create unique index on bench_meter (place)")
        await target.execute("vacuum (analyze) bench_meter")
        await target.execute(
            "insert into account (code) select 'history:' || n from generate_series(1, 9) as n"
        )
        makes = []
        for table, rows in TABLES.items():
            makes += await _fill(source, target, table, rows.columns, past.written(rows.query))
            say(f"history: {past.vends:,} rows of {table}")
        await target.execute("drop table bench_meter")
        await target.execute("checkpoint", timeout=3600)
        for statement in makes:
            await target.execute(statement, timeout=3600)
        say("history: indexes built")
        await target.execute("analyze", timeout=3600)
        await target.execute(TOUCH, timeout=3600)
        await target.execute("create extension if not exists pg_prewarm")
        await target.execute(LARGEST, timeout=3600)
    finally:
        await source.close()
        await target.close()


async def _fill(
    source: asyncpg.Connection,
    target: asyncpg.Connection,
    table: str,
    columns: tuple[str, ...],
    query: str,
) -> list[str]:
    """Copy a query's rows into an empty table without its indexes; return how to make those."""
    rows = await target.fetch(INDEXES, table)
    blocks: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_BLOCKS)

    async def read() -> None:
        await source.copy_from_query(query, output=blocks.put, format="binary", timeout=3600)
        await blocks.put(None)

    async def arriving() -> AsyncIterator[bytes]:
        while (block := await blocks.get()) is not None:
            yield block

    async with target.transaction():
        # Truncated in the same transaction, so that rows may be written as frozen ones: nothing
        # needs a vacuum afterwards.
        await target.execute(f"truncate {table}")
        for row in rows:
            await target.execute(row["drop"])
        async with asyncio.TaskGroup() as group:
            group.create_task(read())
            await target.copy_to_table(
                table, columns=columns, source=arriving(),
                format="binary", freeze=True, timeout=3600,
            )  # fmt: skip
    return [row["make"] for row in rows]
