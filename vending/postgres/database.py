"""Which database this process works on: the configured one, or the embedded PostgreSQL."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import asyncpg

from vending import config
from vending.errors import Rejected
from vending.postgres import embedded, migrate
from vending.postgres.embedded import EmbeddedSettings


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


def _wanted(settings: config.Database) -> EmbeddedSettings:
    return EmbeddedSettings(
        data_dir=Path(settings.data_dir).absolute(),
        bin_dir=Path(settings.bin_dir) if settings.bin_dir else None,
        shared_buffers_mb=settings.shared_buffers_mb,
    )
