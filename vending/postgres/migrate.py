"""Bring a database to this version of the code: SQL files in order, each applied once for ever.

The files are in dbmate's format, so that tool can read them too: ``0007_name.sql`` with a section
``-- migrate:up`` and nothing after ``-- migrate:down`` used, because history only goes forward.
A file runs in one transaction together with its row in ``schema_migrations``; one marked
``transaction:false`` holds a single statement that PostgreSQL refuses inside a transaction.

Each file is remembered with its checksum. A changed file, a database that knows files we do not,
and a new file numbered before one already applied are all refused before anything runs.
"""

import hashlib
import itertools
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import asyncpg

from vending.errors import Inconsistent, VendingError
from vending.postgres import pool
from vending.postgres.pool import CommitUnknown, Connection, DatabaseUnavailable

DIRECTORY = Path(__file__).with_name("migrations")

_LOCK_KEY = 0x5354494D41
"""The advisory lock two runners meet at ("STIMA"); the only advisory lock in the project."""

_LOCK_TIMEOUT = "5s"
"""A migration that waits longer for a table would hold up every vend queued behind it."""

# Alone in its use: the runner is not hot code, and the table may not exist yet.
TAKE_LOCK = "select pg_advisory_lock($1)"
GIVE_LOCK = "select pg_advisory_unlock($1)"

CREATE_TABLE = """
create table if not exists schema_migrations (
    version text primary key,
    checksum text not null,
    applied_at timestamptz not null
)"""

READ_APPLIED = "select version, checksum from schema_migrations order by version"
RECORD = "insert into schema_migrations (version, checksum, applied_at) values ($1, $2, $3)"


class MigrationMalformed(VendingError):
    """A migration file is not in the form the runner understands.

    Name it by number (`0007_name.sql`), numbers unique, and give it a `-- migrate:up` section.
    """

    code = "migration_malformed"


class MigrationChanged(Inconsistent):
    """A migration file differs from the one that was applied to this database.

    Restore the file as it was and put the change into a new one.
    """

    code = "migration_changed"


class MigrationOutOfOrder(Inconsistent):
    """A new migration file is numbered before one that has been applied.

    Give it the next free number.
    """

    code = "migration_out_of_order"


class SchemaOlder(VendingError):
    """The database has not been migrated to this version of the server.

    Run `vending migrate` with the owner's address first.
    """

    code = "schema_older"


class SchemaNewer(VendingError):
    """The database was migrated by a newer version of the server.

    Run that version, or restore a backup from before; nothing is ever migrated backwards.
    """

    code = "schema_newer"


class MigrationFailed(VendingError):
    """A migration was refused by PostgreSQL and none of it was applied.

    Earlier ones stay applied. Mend the cause it names and run the migration again.
    """

    code = "migration_failed"


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration file, read."""

    version: str
    name: str
    statements: str
    checksum: str
    in_transaction: bool


async def migrate(
    database: str | Connection, *, now: datetime, directory: Path = DIRECTORY
) -> list[str]:
    """Apply what is missing and return the names of the files applied, in order.

    `database` is an owner's address or connection. Raises MigrationMalformed, MigrationChanged,
    MigrationOutOfOrder, SchemaNewer, MigrationFailed.
    """
    known = read(directory)
    async with _connected(database) as connection, _alone(connection):
        await connection.execute(CREATE_TABLE)
        rows = await connection.fetch(READ_APPLIED)
        applied = {row["version"]: row["checksum"] for row in rows}
        waiting = missing(known, applied)
        for migration in waiting:
            await _apply(connection, migration, now)
    return [migration.name for migration in waiting]


async def require_current(database: str | Connection, *, directory: Path = DIRECTORY) -> None:
    """Raise SchemaOlder or SchemaNewer unless the database has exactly these migrations.

    For a server that may not migrate: it needs no more than the right to read. Raises
    DatabaseUnavailable too when the database stops answering.
    """
    async with _connected(database) as connection:
        asked = connection.fetch(READ_APPLIED)
        try:
            rows = await pool.within(pool.READ_SECONDS_MAX, asked, connection=connection)
        except asyncpg.UndefinedTableError:
            rows = []
        except CommitUnknown as fault:  # nothing was to be committed
            raise DatabaseUnavailable(**fault.facts) from fault
    waiting = missing(read(directory), {row["version"]: row["checksum"] for row in rows})
    if waiting:
        raise SchemaOlder(missing=", ".join(migration.name for migration in waiting))


def read(directory: Path) -> list[Migration]:
    """Return the migrations of a directory in the order they are applied."""
    found = [_parse(path) for path in sorted(directory.glob("*.sql"))]
    for one, other in itertools.pairwise(found):
        if one.version == other.version:
            raise MigrationMalformed(files=f"{one.name}, {other.name}", reason="same number")
    return found


def missing(known: list[Migration], applied: Mapping[str, str]) -> list[Migration]:
    """Return the migrations not applied yet; refuse a history that does not fit the files."""
    unknown = applied.keys() - {migration.version for migration in known}
    if unknown:
        raise SchemaNewer(unknown_versions=", ".join(sorted(unknown)))
    for migration in known:
        if migration.checksum != applied.get(migration.version, migration.checksum):
            raise MigrationChanged(file=migration.name)
    waiting = [migration for migration in known if migration.version not in applied]
    if applied and waiting and waiting[0].version < max(applied):
        raise MigrationOutOfOrder(file=waiting[0].name, last_applied=max(applied))
    return waiting


def _parse(path: Path) -> Migration:
    content = path.read_bytes()
    number = re.match(r"(\d+)_", path.name)
    up = re.search(
        r"^-- migrate:up(?P<options>[^\n]*)\n(?P<body>.*?)(?=^-- migrate:down|\Z)",
        content.decode(),
        re.MULTILINE | re.DOTALL,
    )
    if number is None or up is None:
        raise MigrationMalformed(file=path.name)
    return Migration(
        version=number[1],
        name=path.name,
        statements=up["body"],
        checksum=hashlib.sha256(content).hexdigest(),
        in_transaction="transaction:false" not in up["options"].split(),
    )


async def _apply(connection: Connection, migration: Migration, now: datetime) -> None:
    facts = (migration.version, migration.checksum, now)
    try:
        if migration.in_transaction:
            async with pool.transaction(connection):
                await connection.execute(f"set local lock_timeout = '{_LOCK_TIMEOUT}'")
                await connection.execute(migration.statements)
                await connection.execute(RECORD, *facts)
        else:
            await connection.execute(migration.statements)
            await connection.execute(RECORD, *facts)
    except asyncpg.PostgresError as error:
        raise MigrationFailed(file=migration.name, reason=error) from error


@asynccontextmanager
async def _connected(database: str | Connection) -> AsyncIterator[Connection]:
    if not isinstance(database, str):
        yield database
        return
    connection = await pool.connect(database)
    try:
        yield connection
    finally:
        await pool.part(connection)


@asynccontextmanager
async def _alone(connection: Connection) -> AsyncIterator[None]:
    await connection.execute(TAKE_LOCK, _LOCK_KEY)
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.execute(GIVE_LOCK, _LOCK_KEY)
