"""The connection of a task that alone writes: opened when needed, dropped on a deadline.

A statement here is its own transaction. When its deadline passes the socket is dropped and never
a cancel sent: a cancelled COMMIT can leave rows that are visible here and on no standby. Whether
the dropped statement committed is unknown; the caller reads back by its own keys.
"""

import asyncio
from collections.abc import Awaitable

import asyncpg

from vending.errors import Unavailable

CONNECT_SECONDS = 2.0
"""A local or near database answers a connection in milliseconds; two seconds is a database away."""


class DatabaseAway(Unavailable):
    """The database cannot be reached, or stopped answering in the middle of a statement.

    Whether that statement was committed is unknown until it is read back. Look at the database's
    own log; the server tries again by itself.
    """

    code = "database_away"


LOST = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.DiskFullError,
    asyncpg.ReadOnlySQLTransactionError,
)
"""Faults of the database rather than of what was asked of it."""


class Writer:
    """One connection, one statement at a time."""

    def __init__(self, dsn: str, *, seconds: float) -> None:
        self._dsn = dsn
        self._seconds = seconds
        self._db: asyncpg.Connection | None = None
        self._turn = asyncio.Lock()

    async def _connection(self) -> asyncpg.Connection:
        if self._db is None or self._db.is_closed():
            try:
                self._db = await asyncpg.connect(self._dsn, timeout=CONNECT_SECONDS)
            except (*LOST, TimeoutError, asyncpg.InvalidCatalogNameError) as fault:
                raise DatabaseAway(fault=type(fault).__name__) from fault
        return self._db

    async def fetch(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Run one statement and return its rows, committed.

        Raises DatabaseAway when the database is lost or the deadline passes, and asyncpg's own
        errors for what is wrong with the statement's data.
        """
        async with self._turn:
            db = await self._connection()
            return await self._within(db, db.fetch(statement, *arguments))

    async def _within(
        self, db: asyncpg.Connection, answer: Awaitable[list[asyncpg.Record]]
    ) -> list[asyncpg.Record]:
        task = asyncio.ensure_future(answer)
        try:
            done, _ = await asyncio.wait({task}, timeout=self._seconds)
        except asyncio.CancelledError:
            self._drop(db)
            await asyncio.gather(task, return_exceptions=True)
            raise
        if not done:
            self._drop(db)
            await asyncio.gather(task, return_exceptions=True)
            raise DatabaseAway(fault="no answer in time", seconds=self._seconds)
        try:
            return task.result()
        except LOST as fault:
            self._drop(db)
            raise DatabaseAway(fault=type(fault).__name__) from fault

    def _drop(self, db: asyncpg.Connection) -> None:
        db.terminate()
        self._db = None

    async def close(self) -> None:
        """Close the connection, if it is open."""
        if self._db is not None:
            self._drop(self._db)
