"""The inbox on a real PostgreSQL: repeats, conflicts, and a database that goes away."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tests.builders import a_notice
from tests.conftest import SettableClock
from tests.database import Database
from vending.numbering import Numbers
from vending.operators import mpesa
from vending.payments import inbox as inboxes
from vending.payments import rows
from vending.payments.inbox import (
    Conflicting,
    Found,
    Inbox,
    InboxUnavailable,
    NoticeUnstorable,
    Repeated,
    Stored,
)
from vending.payments.payment import Payment, PaymentNotice
from vending.postgres import pool
from vending.postgres.pool import Connection
from vending.postgres.writer import Writer
from vending.values import replace

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)


class Desk:
    """An inbox that runs, and what it handed over."""

    def __init__(self, inbox: Inbox, handed: list[Payment]) -> None:
        self.inbox = inbox
        self.handed = handed

    async def store(self, notice: PaymentNotice) -> Found:
        return await self.inbox.store(notice, product="prepaid", received_at=NOW)

    async def store_all(self, notices: Sequence[PaymentNotice]) -> list[Found]:
        return list(await asyncio.gather(*map(self.store, notices)))


@asynccontextmanager
async def a_desk(dsn: str, clock: SettableClock) -> AsyncIterator[Desk]:
    handed: list[Payment] = []
    writer = Writer(dsn, seconds=2.0)
    inbox = Inbox(writer, numbers=Numbers(clock, node=1), on_stored=handed.extend)
    running = asyncio.create_task(inbox.run())
    yield Desk(inbox, handed)
    inbox.stop()
    await running
    writer.drop()


@pytest.fixture
async def desk(database: Database, clock: SettableClock) -> AsyncIterator[Desk]:
    async with a_desk(database.dsn, clock) as desk:
        yield desk


async def test_a_new_notice_is_stored_as_it_came_and_handed_over(
    desk: Desk, db: Connection
) -> None:
    notice = a_notice(raw=b'{"TransID":"X"}', payer="2547 ***** 126")
    found = await desk.store(notice)
    assert isinstance(found, Stored)
    row = await db.fetchrow("select * from payment")
    assert row is not None
    assert (row["payment_id"], row["transaction_id"]) == (found.payment_id, notice.transaction_id)
    assert (row["raw"], row["payer"], row["amount_minor"]) == (notice.raw, notice.payer, 50_000)
    assert (row["paid_at"], row["received_at"]) == (notice.paid_at, NOW)
    assert [payment.payment_id for payment in desk.handed] == [found.payment_id]


async def test_a_repeat_finds_the_first_and_is_not_handed_over_again(desk: Desk) -> None:
    notice = a_notice()
    first = await desk.store(notice)
    again = await desk.store(replace(notice, raw=b"spaced differently"))
    assert again == Repeated(first.payment_id)
    assert len(desk.handed) == 1


async def test_a_thousand_copies_at_once_are_one_payment(desk: Desk, db: Connection) -> None:
    notice = a_notice()
    found = await desk.store_all([notice] * 1000)
    assert len([one for one in found if isinstance(one, Stored)]) == 1
    assert len({one.payment_id for one in found}) == 1
    assert await db.fetchval("select count(*) from payment") == 1
    assert len(desk.handed) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"amount_minor": 50_001},
        {"account_reference": "37009188428"},
        {"short_code": "888888"},
        {"paid_at": NOW - timedelta(hours=1)},
    ],
)
async def test_other_facts_under_a_known_id_are_quarantined_and_the_first_stands(
    desk: Desk, db: Connection, other: dict[str, object]
) -> None:
    notice = a_notice()
    first = await desk.store(notice)
    found = await desk.store(replace(notice, raw=b"other", **other))
    assert found == Conflicting(first.payment_id)
    assert await db.fetchval("select count(*) from payment") == 1
    row = await db.fetchrow("select reason, transaction_id, payload from quarantine")
    assert row is not None
    assert tuple(row) == ("notice_conflicts", notice.transaction_id, b"other")
    assert len(desk.handed) == 1


async def test_conflicting_copies_in_one_batch_leave_one_payment(
    desk: Desk, db: Connection
) -> None:
    notice = a_notice()
    liar = replace(notice, amount_minor=1, raw=b"liar")
    found = await desk.store_all([notice, liar, notice, liar])
    assert [type(one) for one in found] == [Stored, Conflicting, Repeated, Conflicting]
    assert await db.fetchval("select count(*) from quarantine") == 1


async def test_two_operators_may_use_one_transaction_id(desk: Desk, db: Connection) -> None:
    found = await desk.store_all(
        [a_notice(transaction_id="A1", operator=name) for name in ("mpesa", "airtel")]
    )
    assert all(isinstance(one, Stored) for one in found)


async def test_what_postgresql_cannot_store_fails_alone_and_is_kept(
    desk: Desk, db: Connection
) -> None:
    bad = a_notice(account_reference="nul\0inside", raw=b"bad")
    good = [a_notice() for _ in range(5)]
    results = await asyncio.gather(*map(desk.store, [*good, bad]), return_exceptions=True)
    assert [isinstance(one, Stored) for one in results] == [True] * 5 + [False]
    assert isinstance(results[5], InboxUnavailable)
    assert await db.fetchval("select payload from quarantine") == b"bad"
    assert await db.fetchval("select count(*) from payment") == 5


TYPED = ("37\x1f009", "\x1e", "", '"', "\\", '","', "null", "{a,b}", " é\n")
"""What customers may type that means something to whoever joins texts."""


async def test_whatever_a_customer_types_is_stored_as_it_is_beside_the_others(
    desk: Desk, db: Connection
) -> None:
    notices = [
        a_notice(account_reference=typed, payer=typed, raw=typed.encode()) for typed in TYPED
    ]
    found = await desk.store_all([a_notice(), *notices, a_notice()])
    assert all(isinstance(one, Stored) for one in found)
    for notice in notices:
        row = await db.fetchrow(
            "select account_reference, payer, raw from payment where transaction_id = $1",
            notice.transaction_id,
        )
        assert row is not None
        assert tuple(row) == (notice.account_reference, notice.payer, notice.raw)
    again = await desk.store_all(notices)
    assert again == [Repeated(one.payment_id) for one in found[1:-1]]
    assert await db.fetchval("select count(*) from quarantine") == 0


async def test_an_operators_notice_with_a_separator_in_its_reference_is_stored_with_the_others(
    desk: Desk, db: Connection
) -> None:
    bodies = [
        {
            "TransID": f"TKM{number:07d}",
            "TransTime": "20261122105958",
            "TransAmount": "500.00",
            "BusinessShortCode": "888880",
            "BillRefNumber": reference,
            "MSISDN": "2547 ***** 126",
        }
        for number, reference in enumerate(["37009188428", "3700\x1f9188\x1e428", "37009188428"])
    ]
    notices = [mpesa.notice(json.dumps(body).encode()) for body in bodies]
    found = await desk.store_all(notices)
    assert all(isinstance(one, Stored) for one in found)
    stored = await db.fetch("select account_reference, raw from payment order by transaction_id")
    assert [tuple(row) for row in stored] == [
        (body["BillRefNumber"], notice.raw) for body, notice in zip(bodies, notices, strict=True)
    ]


@pytest.mark.parametrize("member", ["account_reference", "transaction_id", "payer"])
async def test_a_text_that_postgresql_cannot_hold_fails_alone(
    desk: Desk, db: Connection, member: str
) -> None:
    bad = replace(a_notice(raw=b"bad"), **{member: "nul\0inside"})
    good = [a_notice() for _ in range(5)]
    results = await asyncio.gather(
        *map(desk.store, [*good[:2], bad, *good[2:]]), return_exceptions=True
    )
    assert [type(one) for one in results] == [Stored, Stored, NoticeUnstorable, *[Stored] * 3]
    assert await db.fetchval("select payload from quarantine") == b"bad"


async def test_a_sum_beyond_what_postgresql_counts_fails_alone(desk: Desk, db: Connection) -> None:
    bad = a_notice(amount_minor=2**63, raw=b"bad")
    results = await asyncio.gather(*map(desk.store, [a_notice(), bad]), return_exceptions=True)
    assert [type(one) for one in results] == [Stored, NoticeUnstorable]
    assert await db.fetchval("select payload from quarantine") == b"bad"


@pytest.mark.parametrize("paid_at", [NOW, datetime(2026, 11, 22, 7, 59, 58, 999_999, tzinfo=UTC)])
async def test_the_times_of_a_payment_are_kept_to_the_microsecond(
    desk: Desk, db: Connection, paid_at: datetime
) -> None:
    raw = bytes(range(256))
    await desk.store(a_notice(paid_at=paid_at, raw=raw))
    row = await db.fetchrow("select paid_at, received_at, raw from payment")
    assert row is not None
    assert tuple(row) == (paid_at, NOW, raw)


async def test_known_payments_are_looked_up_by_their_index(database: Database) -> None:
    db = await pool.connect(database.owner_dsn, look_ups=True)
    await db.execute("set plan_cache_mode = force_generic_plan")
    await db.execute(f"prepare known (text, text) as {rows.READ_KNOWN}")
    plan = await db.fetch("explain execute known ('{}', '{}')")
    await db.close()
    text = "\n".join(row[0] for row in plan)
    assert "Index Scan using payment_operator_transaction_id_key" in text
    assert "Seq Scan" not in text


async def test_quarantined_bytes_are_kept_once(desk: Desk, db: Connection) -> None:
    for _ in range(3):
        await desk.inbox.quarantine(
            operator="mpesa", reason="notice_malformed", payload=b"{", detail="not JSON",
            transaction_id=None, received_at=NOW,
        )  # fmt: skip
    assert await db.fetchval("select count(*) from quarantine") == 1


async def test_nothing_is_acknowledged_while_the_database_is_away(
    cluster: str, clock: SettableClock
) -> None:
    async with a_desk(urlunsplit(urlsplit(cluster)._replace(path="/absent")), clock) as desk:
        with pytest.raises(InboxUnavailable):
            await desk.store(a_notice())
        with pytest.raises(InboxUnavailable):
            await desk.inbox.quarantine(
                operator="mpesa", reason="x", payload=b"", detail="", transaction_id=None,
                received_at=NOW,
            )  # fmt: skip


async def test_a_lost_connection_loses_no_notice(
    desk: Desk, db: Connection, database: Database
) -> None:
    await desk.store(a_notice())
    await db.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )
    notice = a_notice()
    for _ in range(3):  # the operator's own retries
        try:
            found = await desk.store(notice)
        except InboxUnavailable:
            continue
        assert isinstance(found, Stored | Repeated)
        break
    assert await db.fetchval(
        "select count(*) from payment where transaction_id = $1", notice.transaction_id
    )


async def test_a_caller_that_goes_away_does_not_take_its_notice_along(
    desk: Desk, db: Connection
) -> None:
    caller = asyncio.create_task(desk.store(a_notice()))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    await desk.store(a_notice())
    assert await db.fetchval("select count(*) from payment") == 2


async def test_a_full_house_refuses_instead_of_growing(
    database: Database, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inboxes, "WAITING_MAX", 3)
    monkeypatch.setattr(inboxes, "STORE_SECONDS", 0.01)
    inbox = Inbox(
        Writer(database.dsn, seconds=1), numbers=Numbers(clock, node=1), on_stored=lambda _: None
    )
    for _ in range(3):  # nobody runs it, so they wait
        with pytest.raises(InboxUnavailable):
            await inbox.store(a_notice(), product="prepaid", received_at=NOW)
    with pytest.raises(InboxUnavailable) as refused:
        await inbox.store(a_notice(), product="prepaid", received_at=NOW)
    assert refused.value.facts == {"waiting": 3}


async def test_a_stopped_inbox_answers_those_it_has_and_takes_no_more(
    database: Database, clock: SettableClock
) -> None:
    async with a_desk(database.dsn, clock) as desk:
        stored = asyncio.create_task(desk.store(a_notice()))
        await asyncio.sleep(0)
        desk.inbox.stop()
        with pytest.raises(InboxUnavailable):
            await desk.store(a_notice())
        assert isinstance(await stored, Stored)


async def test_a_frozen_database_is_told_to_the_caller_and_the_outcome_is_found_later(
    desk: Desk, db: Connection, database: Database
) -> None:
    """The lock stands for a database that does not answer; the retry finds what committed."""
    notice = a_notice()
    holder = await asyncpg.connect(database.owner_dsn)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("lock table payment in access exclusive mode")
    with pytest.raises(InboxUnavailable):
        await desk.store(notice)
    await transaction.rollback()
    await holder.close()
    found = await desk.store(notice)
    assert isinstance(found, Stored | Repeated)
    assert await db.fetchval("select count(*) from payment") == 1
