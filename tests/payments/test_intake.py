"""Intake while PostgreSQL comes and goes: acknowledged once from somewhere, stored exactly once."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from tests.builders import a_notice
from tests.conftest import SettableClock
from tests.database import Database
from vending import metrics
from vending.numbering import Numbers
from vending.payments import intake as intakes
from vending.payments import segment, spool
from vending.payments.inbox import (
    Conflicting,
    Inbox,
    InboxUnavailable,
    NoticeUnstorable,
    Repeated,
    Stored,
)
from vending.payments.intake import Intake, Spooled, Taken
from vending.payments.payment import Payment, PaymentNotice
from vending.payments.segment import SUFFIX
from vending.payments.spool import Spool
from vending.postgres.pool import Connection
from vending.postgres.writer import Writer

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
PATIENCE_SECONDS = 20
"""What no test waits for unless something is broken."""


class Road:
    """The way to PostgreSQL: a proxy on a socket that a test closes, freezes and opens."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._open = asyncio.Event()
        self._open.set()
        self._closed = False
        self._pairs: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closed:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_unix_connection(self._path)
        self._pairs |= {writer, far_writer}
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._copy(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                await self._open.wait()
                sink.write(data)
        except OSError:
            pass
        finally:
            sink.transport.abort()

    def freeze(self) -> None:
        self._open.clear()

    def thaw(self) -> None:
        self._open.set()

    def close(self) -> None:
        """Refuse new connections and break those there are."""
        self._closed = True
        for writer in self._pairs:
            writer.transport.abort()
        self._pairs.clear()

    def reopen(self) -> None:
        self._closed = False

    async def end(self) -> None:
        self._open.set()
        self.close()
        for task in set(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@dataclass(slots=True)
class Desk:
    """An intake that runs, the road to its database, and what it handed over."""

    intake: Intake
    spool: Spool
    road: Road
    handed: list[Payment]
    left: list[int]

    async def store(self, notice: PaymentNotice) -> Taken:
        return await self.intake.store(notice, product="prepaid", received_at=NOW)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():
                await asyncio.sleep(0.01)

    async def caught_up(self) -> None:
        await self.until(lambda: self.spool.empty and not self.intake.spooling)


@asynccontextmanager
async def a_desk(
    database: Database,
    clock: SettableClock,
    directory: Path,
    *,
    bytes_max: int = 1_000_000,
    patience: float = 0.5,
    runs: bool = True,
) -> AsyncIterator[Desk]:
    parts = urlsplit(database.dsn)
    (host,) = parse_qs(parts.query)["host"]
    road = Road(f"{host}/.s.PGSQL.5432")
    directory.mkdir(exist_ok=True)
    near = await asyncio.start_server(road.carry, "127.0.0.1", 0)
    user = parts.netloc.rpartition("@")[0]
    here = f"{user}@127.0.0.1:{near.sockets[0].getsockname()[1]}"
    writer = Writer(f"postgresql://{here}{parts.path}", seconds=1.0)
    handed: list[Payment] = []
    inbox = Inbox(
        writer, numbers=Numbers(clock, node=1), on_stored=handed.extend, patience=patience
    )
    async with spool.opened(directory, bytes_max=bytes_max) as kept:
        left: list[int] = []
        intake = Intake(inbox, kept, clock=clock, patience=patience, on_left=left.append)
        tasks = [asyncio.create_task(inbox.run())]
        if runs:
            tasks.append(asyncio.create_task(intake.run()))
        yield Desk(intake, kept, road, handed, left)
        intake.stop()
        await road.end()
        near.close()
        inbox.stop()
        await asyncio.gather(*tasks)
        await kept.close()


@pytest.fixture
async def desk(database: Database, clock: SettableClock, tmp_path: Path) -> AsyncIterator[Desk]:
    async with a_desk(database, clock, tmp_path / "spool") as desk:
        yield desk


async def stored(db: Connection) -> list[str]:
    rows = await db.fetch("select transaction_id from payment order by payment_id")
    return [row["transaction_id"] for row in rows]


async def test_a_healthy_database_is_all_that_is_used(desk: Desk, db: Connection) -> None:
    notice = a_notice()
    assert isinstance(await desk.store(notice), Stored)
    assert isinstance(await desk.store(notice), Repeated)
    assert isinstance(await desk.store(replace(notice, amount_minor=1)), Conflicting)
    assert desk.spool.empty
    assert await stored(db) == [notice.transaction_id]


async def test_a_dead_database_is_replaced_by_the_spool_and_filled_from_it_in_order(
    desk: Desk, db: Connection
) -> None:
    desk.road.close()
    notices = [a_notice(payer="254712345678", raw=b"\x00raw") for _ in range(30)]
    for notice in notices:
        assert await desk.store(notice) == Spooled()
    assert desk.intake.spooling
    assert await stored(db) == []
    desk.road.reopen()
    await desk.caught_up()
    assert await stored(db) == [one.transaction_id for one in notices]
    assert [payment.notice for payment in desk.handed] == notices
    assert {payment.received_at for payment in desk.handed} == {NOW}
    assert isinstance(await desk.store(a_notice()), Stored)


async def test_a_frozen_database_keeps_nobody_waiting_and_the_late_commit_is_a_repeat(
    desk: Desk, db: Connection
) -> None:
    await desk.store(a_notice())
    desk.road.freeze()
    first = a_notice()
    assert await desk.store(first) == Spooled()
    others = [a_notice() for _ in range(5)]
    assert [await desk.store(one) for one in others] == [Spooled()] * 5
    desk.road.thaw()
    await desk.caught_up()
    ids = await stored(db)
    assert len(ids) == len(set(ids)) == 7
    assert sorted(one.notice.transaction_id for one in desk.handed) == sorted(ids)


async def test_a_store_that_timed_out_and_committed_after_all_is_one_payment(
    database: Database, clock: SettableClock, db: Connection, tmp_path: Path
) -> None:
    """A lock holds the insert up until the caller was answered from the spool."""
    async with a_desk(database, clock, tmp_path, patience=0.2, runs=False) as desk:
        holder = await asyncpg.connect(database.owner_dsn)
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute("lock table payment in access exclusive mode")
        notice = a_notice()
        assert await desk.store(notice) == Spooled()
        await transaction.rollback()
        await holder.close()
        await desk.until(lambda: bool(desk.handed))
        repeated = metrics.spool_replayed.labels("repeated")._value.get()
        replaying = asyncio.create_task(desk.intake.run())
        await desk.caught_up()
        assert metrics.spool_replayed.labels("repeated")._value.get() == repeated + 1
        desk.intake.stop()
        await replaying
        assert await stored(db) == [notice.transaction_id]
        assert len(desk.handed) == 1


async def test_conflicting_copies_in_the_spool_leave_the_first(desk: Desk, db: Connection) -> None:
    desk.road.close()
    notice = a_notice()
    assert await desk.store(notice) == Spooled()
    assert await desk.store(replace(notice, amount_minor=1, raw=b"liar")) == Spooled()
    desk.road.reopen()
    await desk.caught_up()
    row = await db.fetchrow("select amount_minor from payment")
    assert row is not None
    assert row["amount_minor"] == notice.amount_minor
    assert await db.fetchval("select payload from quarantine") == b"liar"


async def test_bytes_for_a_person_survive_an_outage_too(desk: Desk, db: Connection) -> None:
    desk.road.close()
    for payload in (b"{", b"}"):
        await desk.intake.quarantine(
            operator="mpesa", reason="notice_malformed", payload=payload, detail="not JSON",
            transaction_id=None, received_at=NOW,
        )  # fmt: skip
    desk.road.reopen()
    await desk.caught_up()
    rows = await db.fetch("select payload from quarantine order by quarantine_id")
    assert [row["payload"] for row in rows] == [b"{", b"}"]


async def test_what_neither_takes_is_refused_and_told_once(
    database: Database, clock: SettableClock, tmp_path: Path
) -> None:
    async with a_desk(database, clock, tmp_path, bytes_max=2_000) as desk:
        desk.road.close()
        refused = 0
        with capture_logs() as lines:
            for _ in range(20):
                try:
                    await desk.store(a_notice(raw=b"x" * 200))
                except InboxUnavailable:
                    refused += 1
        taken = 20 - refused
        assert 0 < taken < 20
        pages = [line for line in lines if line["log_level"] == "error"]
        assert len(pages) == 1
        clock.advance(seconds=11)
        with capture_logs() as lines, pytest.raises(InboxUnavailable) as last:
            await desk.store(a_notice(raw=b"x" * 200))
        assert last.value.facts["spool"] == "full"
        assert [line["log_level"] for line in lines] == ["error"]
        desk.road.reopen()
        await desk.caught_up()
        assert len(desk.handed) == taken


async def test_a_disk_that_hangs_is_a_refusal_too(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vending.payments.intake.SPOOL_SECONDS", 0.0)
    desk.road.close()
    with pytest.raises(InboxUnavailable) as refused:
        await desk.store(a_notice())
    assert refused.value.facts["spool"] == "slow"


async def test_a_notice_that_postgresql_refuses_is_not_spooled_for_ever(
    desk: Desk, db: Connection
) -> None:
    bad = a_notice(account_reference="nul\0inside", raw=b"bad")
    with pytest.raises(NoticeUnstorable):
        await desk.store(bad)
    assert not desk.intake.spooling
    desk.road.close()
    other = replace(bad, transaction_id="T2", raw=b"bad too")
    good = a_notice()
    assert await desk.store(other) == Spooled()
    assert await desk.store(good) == Spooled()
    desk.road.reopen()
    await desk.caught_up()
    assert await stored(db) == [good.transaction_id]
    assert await db.fetchval("select count(*) from quarantine") == 2


async def test_leftovers_of_a_killed_server_are_replayed_at_the_next_start(
    database: Database, clock: SettableClock, db: Connection, tmp_path: Path
) -> None:
    notices = [a_notice() for _ in range(3)]
    async with a_desk(database, clock, tmp_path) as desk:
        desk.road.close()
        for notice in notices:
            assert await desk.store(notice) == Spooled()
    clock.advance(hours=2)
    async with a_desk(database, clock, tmp_path, runs=False) as desk:
        desk.road.close()
        replaying = asyncio.create_task(desk.intake.run())
        await desk.until(lambda: metrics.spool_oldest_seconds._value.get() == 7_200)
        assert metrics.spool_payments._value.get() == 3
        assert metrics.spool_eta_seconds._value.get() == math.inf
        assert desk.left[-1] == 3
        desk.road.reopen()
        await desk.caught_up()
        await desk.until(lambda: metrics.spool_oldest_seconds._value.get() == 0)
        assert metrics.spool_payments._value.get() == 0
        assert metrics.spool_eta_seconds._value.get() == 0
        assert desk.left[-1] == 0
        desk.intake.stop()
        await replaying
    assert await stored(db) == [one.transaction_id for one in notices]


async def test_damage_is_put_aside_and_a_torn_end_is_only_noted(
    database: Database, clock: SettableClock, db: Connection, tmp_path: Path
) -> None:
    notices = [a_notice() for _ in range(4)]
    async with a_desk(database, clock, tmp_path) as desk:
        desk.road.close()
        for notice in notices:
            assert await desk.store(notice) == Spooled()
    (left,) = tmp_path.glob(f"*{SUFFIX}")
    written = bytearray(left.read_bytes())
    written[written.index(notices[1].transaction_id.encode())] ^= 1
    written += written[:40]  # a frame that a crash cut short
    left.write_bytes(written)

    odd = tmp_path / f"{10**6:020d}{SUFFIX}"
    odd.write_bytes(segment.frame(b"\xc1 no msgpack"))
    with capture_logs() as lines:
        async with a_desk(database, clock, tmp_path) as desk:
            await desk.caught_up()
    good = [one.transaction_id for one in notices]
    assert await stored(db) == [good[0], *good[2:]]
    rows = await db.fetch("select operator, reason from quarantine")
    assert [tuple(row) for row in rows] == [("spool", "spool_damaged")] * 2
    levels = [line["log_level"] for line in lines if "offset" in line]
    assert sorted(levels) == ["error", "error", "warning"]


async def test_a_replay_that_cannot_be_understood_keeps_the_spool_and_tries_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.road.close()
    await desk.store(a_notice())
    failed = asyncio.Event()

    async def broken(*_: object) -> None:
        failed.set()
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(Intake, "_replay_some", broken)
        desk.road.reopen()
        await asyncio.wait_for(failed.wait(), 20)
        assert not desk.spool.empty
    await desk.caught_up()
    assert len(desk.handed) == 1


async def test_how_long_the_spool_will_last_is_told_while_it_is_brought_in(
    database: Database, clock: SettableClock, tmp_path: Path
) -> None:
    async with a_desk(database, clock, tmp_path, runs=False) as desk:
        desk.intake._turn_away(InboxUnavailable())
        count = 2 * intakes.REPLAY_MAX + 1
        await asyncio.gather(*(desk.store(a_notice()) for _ in range(count)))
        etas: list[tuple[float, float]] = []
        desk.intake._note = lambda count, seconds: etas.append(  # type: ignore[method-assign, misc]
            (metrics.spool_payments._value.get(), metrics.spool_eta_seconds._value.get())
        )
        replaying = asyncio.create_task(desk.intake.run())
        await desk.caught_up()
        desk.intake.stop()
        await replaying
    left = [count - intakes.REPLAY_MAX, count - 2 * intakes.REPLAY_MAX]
    at_first = intakes.REPLAYED_PER_SECOND_AT_FIRST
    assert etas[1:] == [(waits, waits / at_first) for waits in left]


def test_the_speed_of_a_replay_is_measured_and_a_handful_says_little(
    tmp_path: Path, clock: SettableClock
) -> None:
    intake = Intake(cast(Inbox, None), cast(Spool, None), clock=clock, patience=1)
    before = intake._per_second
    intake._note(1, seconds=1)
    assert before * 0.99 < intake._per_second < before
    for _ in range(20):
        intake._note(intakes.REPLAY_MAX, seconds=0.1)
    assert intake._per_second == pytest.approx(intakes.REPLAY_MAX / 0.1, rel=0.01)
