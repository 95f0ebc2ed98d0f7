"""A past that is laid in lies as a real one would: whole, balanced, in order and indexed."""

from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from benchmarks import history, import_meters
from benchmarks.history import SPAN, Past
from tests.database import Database
from vending.meters import imports
from vending.numbering import first_at

UNTIL = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
PAST = Past(meters=40, vends=300, until=UNTIL)

INDEXES = "select indexname, indexdef from pg_indexes where tablename = any($1) order by 1"

WHOLE = """
select count(*) as vends, count(distinct outcome.meter_number) as meters,
       bool_and(outcome.meter_number = payment.account_reference) as for_the_meter_paid_for,
       bool_and(amounts is not null and cardinality(amounts) = cardinality(accounts)) as booked,
       bool_and(message_id is not null) as told,
       bool_and(received_at = decided_at and decided_at = booked_at) as at_once,
       bool_and(tid = floor(extract(epoch from decided_at - timestamptz '2014-01-01 00:00Z') / 60))
           as identified,
       min(decided_at) as first, max(decided_at) as last
  from payment
  join outcome using (payment_id)
  left join entry on document_id = payment_id
  left join message using (payment_id)
"""


async def laid(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "meters.csv"
    import_meters.generate(path, PAST.meters)
    await imports.import_csv(
        database.dsn, path, now=UNTIL, on_progress=lambda _: None
    )  # fmt: skip
    await history.lay(database.owner_dsn, PAST, say=lambda _: None)


async def test_every_past_vend_has_its_row_in_every_table(
    database: Database, db: asyncpg.Connection, tmp_path: Path
) -> None:
    await laid(database, tmp_path)
    row = await db.fetchrow(WHOLE)
    assert row is not None
    assert (row["vends"], row["meters"]) == (PAST.vends, PAST.meters)
    assert row["for_the_meter_paid_for"]
    assert row["booked"]
    assert row["told"]
    assert row["at_once"]
    assert row["identified"]
    assert UNTIL - SPAN <= row["first"] < row["last"] < UNTIL


async def test_the_ids_of_a_past_are_those_of_its_instants(
    database: Database, db: asyncpg.Connection, tmp_path: Path
) -> None:
    await laid(database, tmp_path)
    for row in await db.fetch("select payment_id, received_at from payment"):
        assert first_at(row["received_at"]) >> 22 == row["payment_id"] >> 22


async def test_the_tables_have_the_same_indexes_after_a_past_as_before(
    database: Database, db: asyncpg.Connection, tmp_path: Path
) -> None:
    before = await db.fetch(INDEXES, list(history.TABLES))
    await laid(database, tmp_path)
    assert await db.fetch(INDEXES, list(history.TABLES)) == before
    assert len(before) > len(history.TABLES)
