"""Which database this process works on: the configured one, or the embedded PostgreSQL.

A command needs it at once (`opened`); a server can begin without it (`attended`).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import asyncpg

from vending import config
from vending.errors import Rejected
from vending.postgres import embedded, migrate, pool
from vending.postgres.cluster import DiskFull, PostgresDidNotStart
from vending.postgres.embedded import EmbeddedSettings, Place
from vending.postgres.migrate import MigrationFailed
from vending.postgres.occupancy import DataDirectoryBusy
from vending.postgres.pool import CommitUnknown, DatabaseUnavailable

ATTENDED_START_SECONDS = 7 * 86_400.0
"""A recovery that is ended begins anew, so a server that can wait lets it take its time."""

_PASSING = (
    *pool.LOST,
    DatabaseUnavailable,
    CommitUnknown,
    PostgresDidNotStart,
    DiskFull,
    asyncpg.InterfaceError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.LockNotAvailableError,
)
"""Away, starting, full, overrun or busy: another look may find it mended."""


class DatabaseRefuses(Rejected):
    """PostgreSQL answers at the configured address and does not let us in.

    `reason` is PostgreSQL's own; check the role, the password and the database's name in
    [database] dsn and owner_dsn.
    """

    code = "database_refuses"


@dataclass(frozen=True, slots=True)
class Database:
    """The addresses of a database: for the application's role, and for its owner."""

    dsn: str = field(repr=False)
    owner_dsn: str = field(repr=False)
    embedded: bool


@asynccontextmanager
async def opened(
    settings: config.Database, *, on_line: Callable[[str], None] | None = None
) -> AsyncIterator[Database]:
    """Yield the database to work on; the embedded one runs for as long as anybody holds it.

    Raises the errors of `vending.postgres.embedded.running`.
    """
    if settings.dsn:
        yield Database(settings.dsn, settings.owner_dsn or settings.dsn, embedded=False)
        return
    async with embedded.running(_wanted(settings), on_line=on_line) as owner_dsn:
        yield Database(embedded.application_dsn(owner_dsn), owner_dsn, embedded=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attended:
    """A database that may not be there yet, and the way to reach it.

    `new` is an embedded one that was never made: nothing has been entrusted to it.
    """

    base: Database
    new: bool
    _run: Callable[[], Awaitable[None]]

    async def reach(self, *, now: datetime) -> None:
        """Return when the database runs and has the tables of this version.

        Raises what keeps it from that, and may then be tried again; see `passes`.
        """
        await self._run()
        await make_ready(self.base, now=now)


@asynccontextmanager
async def attended(
    settings: config.Database, *, on_line: Callable[[str], None] | None = None
) -> AsyncIterator[Attended]:
    """Yield the database to work on, whether or not it is there; the embedded one is not started.

    Raises the errors of `vending.postgres.embedded.located`.
    """
    if settings.dsn:
        base = Database(settings.dsn, settings.owner_dsn or settings.dsn, embedded=False)
        yield Attended(base=base, new=False, _run=_runs_by_itself)
        return
    wanted = replace(_wanted(settings), start_seconds_max=ATTENDED_START_SECONDS)
    place = await embedded.located(wanted, on_line=on_line)
    base = Database(embedded.application_dsn(place.dsn), place.dsn, embedded=True)
    async with AsyncExitStack() as stack:
        started: list[str] = []

        async def run() -> None:
            if not started:
                running = embedded.started(place, on_line=on_line)
                started.append(await stack.enter_async_context(running))
            _require_same(place, started[0])

        yield Attended(base=base, new=not place.made, _run=run)


def passes(fault: BaseException) -> bool:
    """Return whether waiting may mend what kept a database from being reached."""
    cause = fault.__cause__ if isinstance(fault, MigrationFailed) else fault
    return isinstance(cause, _PASSING)


async def bring_up_to_date(base: Database, *, now: datetime) -> list[str]:
    """Apply the migrations that are missing; return their names.

    Raises DatabaseRefuses, DatabaseUnavailable, and the errors of `vending.postgres.migrate`.
    """
    with _let_in():
        return await migrate.migrate(base.owner_dsn, now=now)


async def make_ready(base: Database, *, now: datetime) -> None:
    """Migrate the embedded database; one given by DSN must have been migrated.

    Raises what `bring_up_to_date` does.
    """
    if base.embedded:
        await bring_up_to_date(base, now=now)
        return
    with _let_in():
        await migrate.require_current(base.dsn)


@contextmanager
def _let_in() -> Iterator[None]:
    try:
        yield
    except (
        asyncpg.InvalidAuthorizationSpecificationError,
        asyncpg.InvalidCatalogNameError,
        asyncpg.ClientConfigurationError,
    ) as refusal:
        # The driver's own words may quote the address, password and all.
        raise DatabaseRefuses(reason=type(refusal).__name__) from None


async def _runs_by_itself() -> None:
    """Do nothing: somebody else runs it."""


def _require_same(place: Place, dsn: str) -> None:
    """Refuse a PostgreSQL that somebody started on the directory, elsewhere, while we waited."""
    if dsn != place.dsn:
        raise DataDirectoryBusy(data_dir=place.site.data_dir, reason="it has another socket")


def _wanted(settings: config.Database) -> EmbeddedSettings:
    return EmbeddedSettings(
        data_dir=Path(settings.data_dir).absolute(),
        bin_dir=Path(settings.bin_dir) if settings.bin_dir else None,
        shared_buffers_mb=settings.shared_buffers_mb,
    )
