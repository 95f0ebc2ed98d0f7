"""Migrations: applied once, in order, whole, and refused when history does not fit the files."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from tests.conftest import SettableClock
from tests.database import Database
from vending.postgres import migrate, pool
from vending.postgres.migrate import (
    MigrationChanged,
    MigrationFailed,
    MigrationMalformed,
    MigrationOutOfOrder,
    SchemaNewer,
)
from vending.postgres.pool import Connection


@pytest.fixture
async def empty(db: Connection) -> Connection:
    """Forget that the clone was ever migrated."""
    await db.execute("drop schema public cascade; create schema public")
    return db


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write(tmp_path, "0001_first.sql", "create table first (number int);")
    write(tmp_path, "0002_second.sql", "create table second (number int);")
    return tmp_path


def write(directory: Path, name: str, up: str, options: str = "") -> None:
    (directory / name).write_text(
        f"-- A migration.\n\n-- migrate:up{options}\n{up}\n\n-- migrate:down\ndrop everything;\n"
    )


async def tables(connection: Connection) -> set[str]:
    found = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
    return {row["tablename"] for row in found}


async def test_an_empty_database_gets_every_file_in_order_once(
    empty: Connection, files: Path, clock: SettableClock
) -> None:
    applied = await migrate.migrate(empty, now=clock(), directory=files)
    assert applied == ["0001_first.sql", "0002_second.sql"]
    assert await tables(empty) == {"first", "second", "schema_migrations"}
    times = await empty.fetchval("select array_agg(distinct applied_at) from schema_migrations")
    assert times == [clock()]
    assert await migrate.migrate(empty, now=clock(), directory=files) == []


async def test_only_what_is_new_is_applied(
    empty: Connection, files: Path, clock: SettableClock
) -> None:
    await migrate.migrate(empty, now=clock(), directory=files)
    write(files, "0003_third.sql", "create table third (number int);")
    assert await migrate.migrate(empty, now=clock(), directory=files) == ["0003_third.sql"]


async def test_a_changed_file_is_refused_before_anything_runs(
    empty: Connection, files: Path, clock: SettableClock
) -> None:
    await migrate.migrate(empty, now=clock(), directory=files)
    write(files, "0001_first.sql", "create table first (number bigint);")
    write(files, "0003_third.sql", "create table third (number int);")
    with pytest.raises(MigrationChanged, match="0001_first"):
        await migrate.migrate(empty, now=clock(), directory=files)
    assert "third" not in await tables(empty)


async def test_a_database_from_a_newer_version_is_refused(
    empty: Connection, files: Path, clock: SettableClock
) -> None:
    await migrate.migrate(empty, now=clock(), directory=files)
    (files / "0002_second.sql").unlink()
    with pytest.raises(SchemaNewer, match="0002"):
        await migrate.migrate(empty, now=clock(), directory=files)


async def test_a_new_file_numbered_before_an_applied_one_is_refused(
    empty: Connection, files: Path, clock: SettableClock
) -> None:
    (files / "0001_first.sql").rename(files / "later")
    await migrate.migrate(empty, now=clock(), directory=files)
    (files / "later").rename(files / "0001_first.sql")
    with pytest.raises(MigrationOutOfOrder, match="0001_first"):
        await migrate.migrate(empty, now=clock(), directory=files)


async def test_a_failing_file_leaves_nothing_of_itself_and_can_be_mended(
    empty: Connection, files: Path, clock: SettableClock
) -> None:
    write(files, "0003_third.sql", "create table third (number int); select 1 / 0;")
    with pytest.raises(MigrationFailed, match=r"0003_third\.sql.*division by zero"):
        await migrate.migrate(empty, now=clock(), directory=files)
    assert await tables(empty) == {"first", "second", "schema_migrations"}
    write(files, "0003_third.sql", "create table third (number int);")
    assert await migrate.migrate(empty, now=clock(), directory=files) == ["0003_third.sql"]


async def test_a_statement_that_may_not_run_in_a_transaction_runs_outside_one(
    empty: Connection, files: Path, clock: SettableClock
) -> None:
    write(
        files,
        "0003_index.sql",
        "create index concurrently first_number on first (number);",
        options=" transaction:false",
    )
    await migrate.migrate(empty, now=clock(), directory=files)
    assert await empty.fetchval("select to_regclass('first_number')::text") == "first_number"


async def test_a_failing_statement_outside_a_transaction_names_its_file(
    empty: Connection, files: Path, clock: SettableClock
) -> None:
    write(files, "0003_index.sql", "create index on absent (x);", options=" transaction:false")
    with pytest.raises(MigrationFailed, match="0003_index"):
        await migrate.migrate(empty, now=clock(), directory=files)
    assert await empty.fetchval("select max(version) from schema_migrations") == "0002"


@pytest.mark.parametrize(
    ("name", "content"),
    [("first.sql", "-- migrate:up\nselect 1;"), ("0003_third.sql", "select 1;")],
)
async def test_a_file_without_number_or_section_is_refused(
    empty: Connection, files: Path, clock: SettableClock, name: str, content: str
) -> None:
    (files / name).write_text(content)
    with pytest.raises(MigrationMalformed, match=name):
        await migrate.migrate(empty, now=clock(), directory=files)


async def test_two_files_of_one_number_are_refused(files: Path) -> None:
    write(files, "0002_again.sql", "select 1;")
    with pytest.raises(MigrationMalformed, match="same number"):
        migrate.read(files)


async def test_two_runners_at_once_apply_each_file_once(
    empty: Connection, database: Database, files: Path, clock: SettableClock
) -> None:
    runs = (migrate.migrate(database.owner_dsn, now=clock(), directory=files) for _ in range(4))
    done = await asyncio.gather(*runs)
    assert sorted(map(len, done)) == [0, 0, 0, 2]


async def test_the_project_s_own_files_are_applied_to_every_test_database(
    db: Connection, clock: SettableClock
) -> None:
    assert len(migrate.read(migrate.DIRECTORY)) > 0
    assert await migrate.migrate(db, now=clock()) == []


async def test_the_application_may_not_change_the_ledger(database: Database) -> None:
    connection = await pool.connect(database.dsn)
    try:
        for statement in (
            "update payment set amount_minor = 1",
            "delete from payment",
            "truncate payment",
            "delete from schema_migrations",
            "create table mine (number int)",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()
