"""Connections, and giving up on a write without ever cancelling it."""

import asyncio
import signal
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.database import Database
from tests.postgres.test_embedded import pid_of
from tests.processes import tell_family
from vending.postgres import pool
from vending.postgres.embedded import EmbeddedSettings, running
from vending.postgres.pool import CommitUnknown, DatabaseUnavailable

INSERT = "insert into receipt (reference) values ($1)"


@pytest.fixture
async def frozen(settings: EmbeddedSettings) -> AsyncIterator["Freezer"]:
    """Run a cluster of one's own that can be frozen, with a table to write to."""
    async with running(settings) as dsn:
        connection = await pool.connect(dsn)
        await connection.execute("create table receipt (reference text primary key)")
        freezer = Freezer(pid_of(settings), dsn, connection)
        yield freezer
        freezer.thaw()


async def begun() -> None:
    """Give the loop the turns in which a write is begun and handed to the socket."""
    for _ in range(5):
        await asyncio.sleep(0)


class Freezer:
    """A PostgreSQL whose whole family can be stopped in its tracks."""

    def __init__(self, pid: int, dsn: str, connection: pool.Connection) -> None:
        self.pid, self.dsn, self.connection = pid, dsn, connection

    def freeze(self) -> None:
        tell_family(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        tell_family(self.pid, signal.SIGCONT)

    async def holds(self, reference: str) -> None:
        """Wait until a row is stored; the test's own time limit ends a wait in vain."""
        while reference not in await self.references():
            await asyncio.sleep(0.02)

    async def references(self) -> set[str]:
        connection = await pool.connect(self.dsn)
        try:
            return {row[0] for row in await connection.fetch("select reference from receipt")}
        finally:
            await connection.close()


async def test_a_write_that_answers_in_time_gives_its_result(db: pool.Connection) -> None:
    assert await pool.within(5, db.fetchval("select 7"), connection=db) == 7


async def test_an_error_of_the_statement_itself_is_passed_on(db: pool.Connection) -> None:
    with pytest.raises(asyncpg.DivisionByZeroError):
        await pool.within(5, db.fetchval("select 1 / 0"), connection=db)
    assert not db.is_closed()


async def test_a_write_to_a_frozen_server_is_unknown_and_is_never_cancelled(
    frozen: Freezer,
) -> None:
    """What was sent before the deadline is carried out after the thaw: no cancel followed it."""
    frozen.freeze()
    with pytest.raises(CommitUnknown):
        write = frozen.connection.execute("insert into receipt values ('a-1')")
        await pool.within(0.2, write, connection=frozen.connection)
    assert frozen.connection.is_closed()
    frozen.thaw()
    await frozen.holds("a-1")


async def test_a_caller_that_is_cancelled_drops_the_socket_and_cancels_nothing(
    frozen: Freezer,
) -> None:
    frozen.freeze()
    write = frozen.connection.execute("insert into receipt values ('b-1')")
    caller = asyncio.ensure_future(pool.within(60, write, connection=frozen.connection))
    await begun()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert frozen.connection.is_closed()
    frozen.thaw()
    await frozen.holds("b-1")


@pytest.mark.parametrize("seconds", [0.2, 60.0], ids=["too late", "cancelled"])
async def test_a_statement_under_way_is_carried_out_whoever_gives_up(
    frozen: Freezer, seconds: float
) -> None:
    """The driver would have it cancelled, which a server that answers does at once."""
    write = frozen.connection.execute("insert into receipt select 'e-1' from pg_sleep(1)")
    caller = asyncio.ensure_future(pool.within(seconds, write, connection=frozen.connection))
    await asyncio.sleep(0.1)
    if seconds > 1:
        caller.cancel()
    with pytest.raises((CommitUnknown, asyncio.CancelledError)):
        await caller
    await frozen.holds("e-1")


async def test_a_connection_cancels_nothing_by_itself(frozen: Freezer) -> None:
    """Not even for a caller that nobody watches over."""
    write = frozen.connection.execute("insert into receipt select 'f-1' from pg_sleep(1)")
    caller = asyncio.ensure_future(write)
    await asyncio.sleep(0.1)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await frozen.holds("f-1")
    assert frozen.connection.is_closed()


async def test_a_server_that_dies_in_mid_write_leaves_it_unknown(frozen: Freezer) -> None:
    write = frozen.connection.execute("select pg_sleep(60)")
    waiting = asyncio.ensure_future(pool.within(60, write, connection=frozen.connection))
    await begun()
    tell_family(frozen.pid, signal.SIGKILL)
    with pytest.raises(CommitUnknown):
        await waiting


async def test_a_new_connection_to_a_frozen_server_is_given_up(frozen: Freezer) -> None:
    frozen.freeze()
    with pytest.raises(DatabaseUnavailable):
        await pool.connect(frozen.dsn)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(DatabaseUnavailable):
        await pool.connect("postgresql://stima@/stima?host=/nonexistent")


async def test_a_commit_to_a_frozen_server_is_unknown(
    frozen: Freezer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "COMMIT_SECONDS_MAX", 0.2)
    with pytest.raises(CommitUnknown):
        async with pool.transaction(frozen.connection) as held:
            await held.execute(INSERT, "c-1")
            frozen.freeze()
    frozen.thaw()
    await frozen.holds("c-1")


async def test_a_rollback_on_a_frozen_server_gives_the_first_error(
    frozen: Freezer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "ROLLBACK_SECONDS_MAX", 0.2)
    with pytest.raises(LookupError):
        async with pool.transaction(frozen.connection) as held:
            await held.execute(INSERT, "d-1")
            frozen.freeze()
            raise LookupError
    frozen.thaw()
    assert await frozen.references() == set()


async def test_a_transaction_keeps_all_or_nothing(db: pool.Connection) -> None:
    await db.execute("create table receipt (reference text primary key)")
    async with pool.transaction(db):
        await db.execute(INSERT, "kept")
    with pytest.raises(LookupError):
        async with pool.transaction(db):
            await db.execute(INSERT, "dropped")
            raise LookupError
    assert await db.fetchval("select array_agg(reference) from receipt") == ["kept"]


async def test_a_transaction_whose_connection_is_gone_passes_the_error_on(
    db: pool.Connection,
) -> None:
    with pytest.raises(LookupError):
        async with pool.transaction(db):
            db.terminate()
            raise LookupError


async def test_a_pool_reads_as_the_application_and_gives_up_on_a_slow_read(
    database: Database,
) -> None:
    async with pool.create(database.dsn, size=2, read_seconds_max=0.2) as readers:
        assert await readers.fetchval("select current_user::text") == "stima_app"
        assert await readers.fetchval("show TimeZone") == "UTC"
        with pytest.raises(TimeoutError):
            await readers.fetchval("select pg_sleep(60)")
        assert await readers.fetchval("select 1") == 1


async def test_a_look_up_goes_by_its_index_though_the_table_was_empty(database: Database) -> None:
    """A plan is made once and kept; the table that was empty then is not for ever."""
    async with pool.create(database.dsn, size=1) as readers:
        plan = await readers.fetch(
            "explain select payment_id from payment where payment_id = any($1::bigint[])", [1]
        )
    told = "\n".join(row[0] for row in plan)
    assert "payment_pkey" in told
    assert "Seq Scan" not in told
