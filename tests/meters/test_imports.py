"""Importing meter files into a real PostgreSQL: merged, repeated, faulty, at once, cut short."""

import asyncio
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from tests.builders import a_meter_number
from tests.database import Database
from tests.meters import files
from tests.meters.files import a_row, line, write
from vending.meters import directory, imports, staging
from vending.meters.imports import ImportInterrupted, ImportResult, Progress
from vending.meters.meter import Meter, MeterState
from vending.meters.meter_rows import COLUMNS, OPTIONAL_COLUMNS, MeterFileRefused
from vending.postgres.pool import Connection, DatabaseUnavailable

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=1)

METERS = "select * from meter order by meter_number"
STATES = "select * from meter_state order by meter_number"
TABLES = "select count(*) from pg_tables where schemaname = 'staging'"

IMPORT_WAITS = """
select exists (select from pg_stat_activity
                where wait_event_type = 'Lock' and datname = current_database())
"""

END_THE_OTHERS = """
select pg_terminate_backend(pid) from pg_stat_activity
 where datname = current_database() and pid <> pg_backend_pid()
"""


async def brought_in(
    database: Database, path: Path, *, now: datetime = NOW, told: list[Progress] | None = None
) -> ImportResult:
    """Import a file as the application's role."""
    seen = [] if told is None else told
    return await imports.import_csv(database.dsn, path, now=now, on_progress=seen.append)


def counts(result: ImportResult) -> tuple[int, int, int, int]:
    """Return added, updated, unchanged, rejected."""
    return result.added, result.updated, result.unchanged, result.rejected


@pytest.fixture
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Merge few rows at a time, so that a small file has many ranges."""
    monkeypatch.setattr(staging, "RANGE_ROWS", 7)


async def test_a_file_s_meters_are_found_with_a_fresh_state(
    database: Database, db: Connection, tmp_path: Path
) -> None:
    row = a_row(phones="0712345678;0700000001", ti="7", language="sw", region="Lamu")
    result = await brought_in(database, write(tmp_path / "m.csv", [",".join(row.values()), line()]))
    assert counts(result) == (2, 0, 0, 0)
    assert (result.accepted, result.rejects_path) == (2, None)
    number = row["meter_number"]
    assert await directory.find_with_state(db, [number]) == {
        number: (
            Meter(
                meter_number=number, sgc="201457", krn=1, ti=7, ea=7, tct=2, tid_base=14, ken=255,
                tariff="KE-DC", tariff_category="DC", phones=("+254712345678", "+254700000001"),
                language="sw", region="Lamu",
            ),
            MeterState(meter_number=number, tid_base=14),
        )
    }  # fmt: skip
    assert list(tmp_path.iterdir()) == [tmp_path / "m.csv"]
    assert await db.fetchval(TABLES) == 0


@pytest.mark.usefixtures("small_ranges")
async def test_the_same_file_twice_changes_nothing(
    database: Database, db: Connection, tmp_path: Path
) -> None:
    path = write(tmp_path / "m.csv", [line() for _ in range(30)])
    assert counts(await brought_in(database, path)) == (30, 0, 0, 0)
    before = await db.fetch(METERS), await db.fetch(STATES)
    assert counts(await brought_in(database, path, now=LATER)) == (0, 0, 30, 0)
    assert (await db.fetch(METERS), await db.fetch(STATES)) == before


async def test_a_later_file_updates_the_record_and_leaves_the_state(
    database: Database, db: Connection, tmp_path: Path
) -> None:
    row, other = a_row(), line()
    path = write(tmp_path / "m.csv", [",".join(row.values()), other])
    await brought_in(database, path)
    await db.execute("update meter_state set last_tid = 99, month = 202611, month_energy_wh = 5")
    states = await db.fetch(STATES)
    new = row | {"status": "blocked", "phones": "", "tariff": "KE-SC", "tct": "7", "region": ""}
    write(path, [",".join(new.values()), other])
    assert counts(await brought_in(database, path, now=LATER)) == (0, 1, 1, 0)
    meter = (await directory.find(db, [row["meter_number"]]))[row["meter_number"]]
    assert (meter.status, meter.phones, meter.tariff, meter.tct) == ("blocked", (), "KE-SC", 7)
    assert await db.fetch(STATES) == states
    updated = "select count(*) from meter where updated_at = $1"
    assert [await db.fetchval(updated, at) for at in (NOW, LATER)] == [1, 1]


CUSTOMERS = "select customer_name, free_month_wh from meter order by meter_number"


async def test_a_file_may_have_names_and_entitlements_and_one_without_leaves_them(
    database: Database, db: Connection, tmp_path: Path
) -> None:
    plain, path = line(meter_number=a_meter_number(1)), tmp_path / "m.csv"
    other = line(meter_number=a_meter_number(2))

    async def told(name: str, free: str) -> tuple[tuple[int, int, int, int], list[object]]:
        rows = [f"{plain},{name},{free}", f"{other},,"]
        write(path, rows, columns=[*COLUMNS, *OPTIONAL_COLUMNS])
        done = counts(await brought_in(database, path))
        return done, [tuple(row) for row in await db.fetch(CUSTOMERS)]

    assert await told("Jane Wanjiku", "50000") == (
        (2, 0, 0, 0),
        [("Jane Wanjiku", 50_000), ("", 0)],
    )
    write(path, [plain, other])
    assert counts(await brought_in(database, path)) == (0, 0, 2, 0)
    assert await told("Jane Wanjiku", "50000") == (
        (0, 0, 2, 0),
        [("Jane Wanjiku", 50_000), ("", 0)],
    )
    assert await told("Ng'ang'a", "") == ((0, 1, 1, 0), [("Ng'ang'a", 0), ("", 0)])
    write(path, [f"{plain},Jane"], columns=[*COLUMNS, "customer_name"])
    assert counts(await brought_in(database, path)) == (0, 1, 0, 0)
    assert [tuple(row) for row in await db.fetch(CUSTOMERS)] == [("Jane", 0), ("", 0)]


@pytest.mark.parametrize(
    "change",
    [{"sgc": "201458"}, {"krn": "2"}, {"ti": "02"}, {"ea": "11"}, {"tid_base": "35"}, {"ken": "7"}],
)
async def test_key_data_of_an_existing_meter_is_never_changed_by_a_file(
    database: Database, db: Connection, tmp_path: Path, change: dict[str, str]
) -> None:
    row, other = a_row(), a_row()
    path = write(tmp_path / "m.csv", [",".join(row.values()), ",".join(other.values())])
    await brought_in(database, path)
    before = await db.fetch(METERS)
    changed = row | change | {"region": "Elsewhere"}
    write(path, [",".join(other.values()), ",".join(changed.values())])
    result = await brought_in(database, path, now=LATER)
    assert counts(result) == (0, 0, 1, 1)
    assert result.rejects_path == tmp_path / "m.rejects.csv"
    assert files.rejects(result.rejects_path) == [(3, "key_data_differs")]
    assert await db.fetch(METERS) == before


@pytest.mark.usefixtures("small_ranges")
async def test_of_a_meter_s_rows_in_one_file_the_first_counts(
    database: Database, db: Connection, tmp_path: Path
) -> None:
    row = a_row(region="First")
    texts = [line() for _ in range(20)]
    texts[4] = ",".join(row.values())
    texts[9] = ",".join((row | {"region": "Second", "krn": "2"}).values())
    texts[15] = ",".join((row | {"region": "First"}).values())
    result = await brought_in(database, write(tmp_path / "m.csv", texts))
    assert counts(result) == (18, 0, 0, 2)
    assert result.rejects_path is not None
    assert files.rejects(result.rejects_path) == [
        (11, "duplicate_in_file"),
        (17, "duplicate_in_file"),
    ]
    assert (await directory.find(db, [row["meter_number"]]))[row["meter_number"]].region == "First"


async def test_rejects_tell_line_and_reason_in_the_file_s_order_and_only_to_their_owner(
    database: Database, tmp_path: Path
) -> None:
    twice = line()
    texts = [
        line(), twice, "no row at all", line(krn="0"), line(), twice, line(ti="100"),
        line(phones="nobody"), line(ea="9"), line(meter_number="12345678904"),
        line(region='"open'), "", line(region="x" * 300_000),
    ]  # fmt: skip
    path = write(tmp_path / "m.csv", texts)
    with path.open("ab") as file:
        file.write(line().encode() + b"\xff\n")
    result = await brought_in(database, path)
    assert counts(result) == (3, 0, 0, 10)
    assert result.rejects_path is not None
    assert files.rejects(result.rejects_path) == [
        (4, "column_count"),
        (5, "krn_out_of_range"),
        (7, "duplicate_in_file"),
        (8, "ti_out_of_range"),
        (9, "phone_malformed"),
        (10, "ea_unknown"),
        (11, "check_digit"),
        (12, "quotes_unbalanced"),
        (14, "line_too_long"),
        (15, "bad_encoding"),
    ]
    assert stat.S_IMODE(result.rejects_path.stat().st_mode) == 0o600


async def test_a_mended_rejects_file_can_be_imported(database: Database, tmp_path: Path) -> None:
    result = await brought_in(database, write(tmp_path / "m.csv", [line(krn="0"), line()]))
    assert result.rejects_path is not None
    mended = tmp_path / "mended.csv"
    mended.write_text(result.rejects_path.read_text().replace("201457,0,", "201457,3,"))
    assert counts(await brought_in(database, mended)) == (1, 0, 0, 0)


async def test_rejects_of_an_earlier_run_do_not_outlive_a_clean_one(
    database: Database, tmp_path: Path
) -> None:
    path = write(tmp_path / "m.csv", [line(krn="0")])
    assert (await brought_in(database, path)).rejects_path == tmp_path / "m.rejects.csv"
    write(path, [line()])
    assert (await brought_in(database, path)).rejects_path is None
    assert list(tmp_path.iterdir()) == [path]


async def test_a_file_of_a_header_alone_imports_nothing(database: Database, tmp_path: Path) -> None:
    told: list[Progress] = []
    result = await brought_in(database, write(tmp_path / "m.csv", []), told=told)
    assert counts(result) == (0, 0, 0, 0)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"meter_number,sgc\n1,2\n"])
async def test_what_is_no_meter_file_is_refused_whole(
    database: Database, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(content)
    with pytest.raises(MeterFileRefused):
        await brought_in(database, path)
    assert list(tmp_path.iterdir()) == [path]


async def test_a_file_that_cannot_be_read_is_refused(database: Database, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    for path in (tmp_path / "absent.csv", tmp_path, pipe):
        with pytest.raises(MeterFileRefused) as refused:
            await brought_in(database, path)
        assert refused.value.facts["reason"] == "unreadable"


async def test_a_place_for_rejects_is_made_sure_of_before_anything_is_imported(
    database: Database, db: Connection, tmp_path: Path
) -> None:
    path = write(tmp_path / "m.csv", [line()])
    (tmp_path / "m.rejects.csv").mkdir()
    with pytest.raises(MeterFileRefused) as refused:
        await brought_in(database, path)
    assert refused.value.facts["reason"] == "rejects_unwritable"
    assert await db.fetchval("select count(*) from meter") == 0


async def test_two_imports_of_one_file_at_once_both_end_well(
    database: Database, db: Connection, tmp_path: Path
) -> None:
    good, bad = line(), line(sgc="nonsense")
    mixed = write(tmp_path / "mixed.csv", [good, bad])
    clean = write(tmp_path / "clean.csv", [line()])
    results = await asyncio.gather(*(brought_in(database, one) for one in (mixed, clean) * 2))
    assert [one.rejected for one in results] == [1, 0, 1, 0]
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "clean.csv", "mixed.csv", "mixed.rejects.csv"
    ]  # fmt: skip
    assert len(files.rejects(tmp_path / "mixed.rejects.csv")) == 1
    assert await db.fetchval("select count(*) from meter") == 2


@pytest.mark.usefixtures("small_ranges")
async def test_progress_only_rises_and_ends_at_the_whole(
    database: Database, tmp_path: Path
) -> None:
    told: list[Progress] = []
    path = write(tmp_path / "m.csv", [line() for _ in range(40)])
    await brought_in(database, path, told=told)
    reading = [one for one in told if one.stage == "reading"]
    merging = [one for one in told if one.stage == "merging"]
    assert told == reading + merging
    assert reading[-1].done == reading[-1].total == path.stat().st_size
    assert [one.done for one in merging] == sorted(one.done for one in merging)
    assert merging[-1].done == merging[-1].total == 40


@pytest.mark.usefixtures("small_ranges")
async def test_two_files_of_the_same_meters_are_imported_at_once(
    database: Database, db: Connection, tmp_path: Path
) -> None:
    rows = [a_row(region="One") for _ in range(120)]
    one = write(tmp_path / "one.csv", [",".join(row.values()) for row in rows])
    two = write(
        tmp_path / "two.csv",
        [",".join((row | {"region": "Two"}).values()) for row in reversed(rows)] + [line()],
    )
    first, second = await asyncio.gather(brought_in(database, one), brought_in(database, two))
    assert first.rejected == second.rejected == 0
    assert first.accepted == 120
    assert second.accepted == 121
    assert first.added + second.added == 121
    assert await db.fetchval("select count(*) from meter") == 121
    assert await db.fetchval("select count(*) from meter_state") == 121
    assert await db.fetchval(TABLES) == 0


async def test_a_meter_that_somebody_else_adds_meanwhile_is_taken_as_existing(
    database: Database, db: Connection, tmp_path: Path
) -> None:
    row = a_row(region="File")
    number = row["meter_number"]
    path = write(tmp_path / "m.csv", [",".join(row.values()), line()])
    await brought_in(database, write(tmp_path / "seed.csv", [line()]))
    async with db.transaction():
        await db.execute(
            """
            insert into meter
            select ($1::meter).* from (select 1) one
            """,
            await _copy_of_any(db, number),
        )
        await db.execute("insert into meter_state (meter_number, tid_base) values ($1, 14)", number)
        running = asyncio.create_task(brought_in(database, path, now=LATER))
        watcher = await asyncpg.connect(database.owner_dsn)
        while not await watcher.fetchval(IMPORT_WAITS):
            assert not running.done()
        await watcher.close()
    assert counts(await running) == (1, 1, 0, 0)
    assert (await directory.find(db, [number]))[number].region == "File"


async def _copy_of_any(db: Connection, number: str) -> asyncpg.Record:
    row = await db.fetchrow("select * from meter limit 1")
    assert row is not None
    return (number, *tuple(row)[1:])  # type: ignore[return-value]


async def test_a_range_that_collides_every_time_is_given_up_whole(
    database: Database, db: Connection, tmp_path: Path
) -> None:
    await db.execute(
        """
        create function collide() returns trigger language plpgsql as $$
        begin raise unique_violation; end $$;
        create trigger collide before insert on meter_state for each row execute function collide()
        """
    )
    with pytest.raises(asyncpg.UniqueViolationError):
        await brought_in(database, write(tmp_path / "m.csv", [line(), line()]))
    assert await db.fetchval("select count(*) from meter") == 0
    assert await db.fetchval(TABLES) == 0


async def test_an_orphaned_state_does_not_stop_its_meter(
    database: Database, db: Connection, tmp_path: Path
) -> None:
    number = a_meter_number()
    await db.execute(
        "insert into meter_state (meter_number, tid_base, last_tid) values ($1, 14, 9)", number
    )
    result = await brought_in(database, write(tmp_path / "m.csv", [line(meter_number=number)]))
    assert counts(result) == (1, 0, 0, 0)
    assert (await directory.find_with_state(db, [number]))[number][1].last_tid == 9


@pytest.mark.usefixtures("small_ranges")
async def test_an_import_cut_short_says_so_and_the_next_run_does_the_rest(
    database: Database, db: Connection, tmp_path: Path
) -> None:
    path = write(tmp_path / "m.csv", [line() for _ in range(100)])
    ending: list[asyncio.Task[object]] = []

    def cut(progress: Progress) -> None:
        if progress.stage == "merging" and not ending:
            ending.append(asyncio.create_task(db.execute(END_THE_OTHERS)))

    with pytest.raises(ImportInterrupted):
        await imports.import_csv(database.dsn, path, now=NOW, on_progress=cut)
    await ending[0]
    assert list(tmp_path.iterdir()) == [path]
    there = await db.fetchval("select count(*) from meter")
    assert 0 < there < 100
    assert counts(await brought_in(database, path)) == (100 - there, 0, there, 0)
    assert await db.fetchval("select count(*) from meter_state") == 100
    assert await db.fetchval(TABLES) == 0


async def test_staging_of_a_run_that_died_is_dropped_and_of_a_living_one_is_not(
    database: Database, db: Connection, tmp_path: Path
) -> None:
    app = await asyncpg.connect(database.dsn)
    for number in (1, 2):
        await app.execute(f"create unlogged table staging.meter_rows_{number} ()")
        await app.execute(f"create unlogged table staging.meter_rejects_{number} ()")
    await app.execute("select pg_advisory_lock($1, 2)", staging.LOCK_CLASS)
    await brought_in(database, write(tmp_path / "m.csv", [line()]))
    left = await db.fetch("select tablename from pg_tables where schemaname = 'staging'")
    assert sorted(row[0] for row in left) == ["meter_rejects_2", "meter_rows_2"]
    await app.close()


async def test_without_a_database_nothing_is_imported(tmp_path: Path) -> None:
    path = write(tmp_path / "m.csv", [line()])
    dsn = f"postgresql://stima_app@/stima?host={tmp_path}"
    with pytest.raises(DatabaseUnavailable):
        await imports.import_csv(dsn, path, now=NOW, on_progress=lambda _: None)
    assert list(tmp_path.iterdir()) == [path]


async def test_the_application_may_stage_and_nothing_more(database: Database) -> None:
    app = await asyncpg.connect(database.dsn)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await app.execute("create table public.elsewhere ()")
    await app.close()


def test_every_column_has_a_default_to_build_rows_from() -> None:
    assert tuple(files.ROW) == COLUMNS
