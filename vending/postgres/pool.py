"""Connections to PostgreSQL, and the one safe way to give up waiting for a write.

A write is never cancelled. A driver's timeout sends PostgreSQL a cancel request, and one that
arrives while a COMMIT waits for its standby makes the rows visible here although no standby holds
them. So `within` drops the socket at its deadline and says that the outcome is unknown; the caller
then asks for it by its own reference on a new connection.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import asyncpg

from vending.errors import Unavailable, VendingError

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool

T = TypeVar("T")


class Session(Protocol):
    """Whatever can run a statement: a connection, a pool, a `Writer`."""

    async def fetch(self, query: str, /, *args: Any) -> list[asyncpg.Record]:
        """Run one statement and return its rows."""
        ...


CONNECT_SECONDS_MAX = 2.0
"""A local or same-city PostgreSQL answers in milliseconds; after two seconds it is away."""

READ_SECONDS_MAX = 5.0
"""A read that takes longer has lost its caller: an operator waits about eight seconds in all."""

_SESSION = {"TimeZone": "UTC", "application_name": "stima"}

# A plan made while tables are empty reads them whole, and is kept while they grow: on a fresh
# database that made one sweep read millions of rows. Every hot statement has an index to go by.
_LOOK_UPS = _SESSION | {"enable_seqscan": "off"}

ROLLBACK_SECONDS_MAX = 2.0
"""A rollback is a formality: when it takes longer the socket is dropped, which does the same."""

GOODBYE_SECONDS_MAX = 2.0
"""A goodbye is one message: whoever does not take it has stopped, and is not waited for."""

COMMIT_SECONDS_MAX = 30.0
"""A commit that waits for its standby may be slow; nobody waits for an answer longer than this."""

LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    # The driver's own state when the server's goodbye arrives as a statement sets off.
    asyncpg.InternalClientError,
    OSError,
)
"""The server went away, or ended us, before it answered: what it did is not known."""


class DatabaseUnavailable(Unavailable):
    """PostgreSQL cannot be reached.

    Nothing has happened. It is tried again by itself; look at PostgreSQL's log if it lasts.
    """

    code = "database_unavailable"


class CommitUnknown(VendingError):
    """The connection ended before PostgreSQL said whether the change was stored.

    It may have been. Read the result back by the reference it was written under before anything
    else is done with it; never write it again under a new one.
    """

    code = "commit_unknown"


class _Uncancelling(Connection):
    """A connection that never asks PostgreSQL to cancel: who stops waiting drops the socket."""

    def _cancel_current_command(self, *_waiters: object) -> None:
        """Drop the socket, where the driver would send a request to cancel after the statement."""
        self.terminate()


async def connect(dsn: str, *, look_ups: bool = False) -> Connection:
    """Open one connection for writing; its statements have no time limit of their own.

    Put every write on it inside `within`. `look_ups` is for statements that all go by an index.
    Raises DatabaseUnavailable.
    """
    session = _LOOK_UPS if look_ups else _SESSION
    try:
        return await asyncpg.connect(
            dsn,
            timeout=CONNECT_SECONDS_MAX,
            server_settings=session,
            connection_class=_Uncancelling,
        )
    except (*LOST, TimeoutError, asyncpg.TooManyConnectionsError) as error:
        raise DatabaseUnavailable(reason=type(error).__name__) from error


async def part(connection: Connection) -> None:
    """Close a connection, whether or not the other side still listens."""
    with suppress(*LOST, asyncpg.InterfaceError):
        await connection.close(timeout=GOODBYE_SECONDS_MAX)


@asynccontextmanager
async def create(
    dsn: str,
    *,
    size: int,
    read_seconds_max: float = READ_SECONDS_MAX,
    shut: Callable[[], bool] = lambda: False,
) -> AsyncIterator[Pool]:
    """Open a pool for look-ups, closed at the end; `size` connections, made when first needed.

    Connections are handed back without the driver's reset, which costs as much as a query; so no
    code may set session state. Its timeout cancels a statement, so it is for reads only. While it
    is `shut` no connection is made, and who asks hears at once that the database is away.
    """

    async def connect_unless_shut(*where: Any, **how: Any) -> Connection:
        if shut():
            raise ConnectionRefusedError
        return await asyncpg.connect(*where, **how)

    pool = asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=size,
        connect=connect_unless_shut,
        reset=_no_reset,
        timeout=CONNECT_SECONDS_MAX,
        command_timeout=read_seconds_max,
        server_settings=_LOOK_UPS,
    )
    async with pool:
        yield pool


@asynccontextmanager
async def transaction(connection: Connection) -> AsyncIterator[Connection]:
    """Hold one transaction: committed at the end of the block, rolled back by an exception.

    A connection that breaks or stalls during the COMMIT itself raises CommitUnknown.
    """
    held = connection.transaction()
    await held.start()
    try:
        yield connection
    except BaseException:
        if not connection.is_closed():
            with suppress(CommitUnknown):  # nothing was committed, whatever became of the socket
                await within(ROLLBACK_SECONDS_MAX, held.rollback(), connection=connection)
        raise
    await within(COMMIT_SECONDS_MAX, held.commit(), connection=connection)


async def within(seconds_max: float, write: Awaitable[T], *, connection: Connection) -> T:
    """Await a write on `connection`, one of `connect`'s, for at most so long; never cancelling it.

    At the deadline, and when the caller itself is cancelled, the socket is dropped and the
    connection is of no further use. Raises CommitUnknown then and when the server goes away.
    """
    late = False

    def give_up() -> None:
        nonlocal late
        late = True
        connection.terminate()

    # No task of its own: each hand-over between tasks waits for a turn of the event loop.
    deadline = asyncio.get_running_loop().call_later(seconds_max, give_up)
    try:
        return await write
    except asyncio.CancelledError:
        connection.terminate()
        raise
    except Exception as error:
        if late:
            raise CommitUnknown(waited_seconds=seconds_max) from error
        if not isinstance(error, LOST):
            raise
        connection.terminate()
        raise CommitUnknown(reason=type(error).__name__) from error
    finally:
        deadline.cancel()


async def _no_reset(_connection: Any) -> None:
    """Leave a returned connection as it is."""
