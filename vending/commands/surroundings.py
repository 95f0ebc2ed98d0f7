"""What every command shares: the settings, the database, the event loop, the console."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import asyncpg
import uvloop
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from vending import config, log
from vending.clock import system_clock
from vending.config import Config
from vending.postgres import database, pool
from vending.postgres.database import Database
from vending.postgres.pool import Connection

T = TypeVar("T")

ConfigFile = Annotated[
    Path | None, Parameter(name="--config", help="Settings file; default: STIMA_CONFIG.")
]
"""The option that every command has."""

By = Annotated[str, Parameter(help="Who decides this.")]
"""The option of every act that is logged."""

console = Console(highlight=False)

_WIDE = 400
"""Columns where nobody looks: what is piped is never folded, whatever the terminal was."""


def settings(file: Path | None) -> Config:
    """Read the settings and set up logging. Raises ConfigInvalid."""
    read = config.read(file)
    log.configure(level=read.log.level, form=read.log.format)
    return read


def show(table: Table) -> None:
    """Print a table of which nothing is cut off: what names a row in one piece, the rest folded.

    Numbers and references are copied from here into other commands.
    """
    for column in table.columns:
        column.overflow = "fold"
    table.columns[0].no_wrap = True
    if not console.is_terminal:
        console.width = _WIDE
    console.print(table)


def program() -> str:
    """Return how this very program is called from the present directory."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{sys.executable} -m vending"
    return os.path.relpath(called) if called.is_absolute() else str(called)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work on the production event loop."""
    return uvloop.run(work)


@asynccontextmanager
async def opened(read: Config) -> AsyncIterator[Database]:
    """Yield the database, with every table there is.

    The embedded one is a running server's, or runs for the command and is migrated.
    """
    async with database.opened(read.database) as base:
        await database.make_ready(base, now=system_clock())
        yield base


@asynccontextmanager
async def connected(read: Config) -> AsyncIterator[asyncpg.Connection]:
    """Yield a connection to the database as the application's role."""
    async with opened(read) as base:
        db = await pool.connect(base.dsn)
        try:
            yield db
        finally:
            await db.close()


def on_database(
    read: Config | Path | None, work: Callable[[Connection], Coroutine[Any, Any, T]]
) -> T:
    """Run a command's work on a connection of the application's role; return what it returns.

    `read` are settings, or the file they are in.
    """
    known = read if isinstance(read, Config) else settings(read)

    async def connected_work() -> T:
        async with connected(known) as db:
            return await work(db)

    return run(connected_work())
