"""The connection of a task that alone writes: opened when needed, dropped on a deadline.

Each statement is its own transaction. When its outcome is unknown the caller reads back by its own
keys on the next connection; the inbox and the sequencer are both made that way.
"""

import asyncio
from typing import Any

import asyncpg

from vending.errors import Unavailable
from vending.postgres import pool
from vending.postgres.pool import CommitUnknown, Connection, DatabaseUnavailable

UNFIT = (
    CommitUnknown,
    DatabaseUnavailable,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the driver's word for a connection that ended while idle
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.PostgresSystemError,
)
"""Faults of the database rather than of what was asked of it: full, read-only, ending, gone."""


class DatabaseAway(Unavailable):
    """The database cannot be reached, cannot store, or stopped answering in mid-statement.

    Whether that statement was committed is unknown until it is read back. Look at the database's
    own log; the server tries again by itself.
    """

    code = "database_away"


class Writer:
    """One connection, one statement at a time."""

    def __init__(self, dsn: str, *, seconds: float) -> None:
        self._dsn = dsn
        self._seconds = seconds
        self._db: Connection | None = None
        self._turn = asyncio.Lock()

    def beside(self) -> "Writer":
        """Return another one to the same database, which has its own turn and is not open yet."""
        return Writer(self._dsn, seconds=self._seconds)

    async def fetch(self, query: str, *args: Any) -> list[asyncpg.Record]:
        """Run one statement and return its rows, committed.

        Raises DatabaseAway when the database is lost or the deadline passes, and asyncpg's own
        errors for what is wrong with the statement's data.
        """
        async with self._turn:
            try:
                db = await self._connected()
                return await pool.within(self._seconds, db.fetch(query, *args), connection=db)
            except UNFIT as fault:
                self.drop()
                raise DatabaseAway(fault=type(fault).__name__) from fault

    async def _connected(self) -> Connection:
        if self._db is None or self._db.is_closed():
            try:
                self._db = await pool.connect(self._dsn, look_ups=True)
            except asyncpg.PostgresError as fault:  # it answers, and will not let us in
                raise DatabaseUnavailable(reason=type(fault).__name__) from fault
        return self._db

    def drop(self) -> None:
        """Let go of the connection, if there is one; the next statement opens another."""
        if self._db is not None:
            self._db.terminate()
            self._db = None
