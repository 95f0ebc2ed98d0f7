"""Which database this process works on: the configured one, or the embedded PostgreSQL."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vending import config
from vending.postgres import embedded
from vending.postgres.embedded import EmbeddedSettings


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


def _wanted(settings: config.Database) -> EmbeddedSettings:
    return EmbeddedSettings(
        data_dir=Path(settings.data_dir).absolute(),
        bin_dir=Path(settings.bin_dir) if settings.bin_dir else None,
        shared_buffers_mb=settings.shared_buffers_mb,
    )
