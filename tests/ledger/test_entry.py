"""Entries sum to zero or cannot be made, and what is written is never changed."""

from datetime import UTC, datetime

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vending.ledger import entry, journal
from vending.ledger.accounts import Chart
from vending.ledger.entry import Entry, EntryUnbalanced
from vending.postgres.pool import Connection

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)


@given(st.lists(st.integers(-(10**12), 10**12).filter(bool), min_size=1))
def test_a_sale_balances_whatever_its_lines(amounts: list[int]) -> None:
    lines = [("revenue:energy", minor) for minor in amounts]
    sale = entry.of_sale(1, debit="collection:mpesa:888880", lines=lines, booked_at=NOW)
    assert sum(minor for _, minor in sale.postings) == 0
    assert sale.postings[0][1] == sum(amounts)


def test_an_entry_that_does_not_balance_cannot_be_made() -> None:
    with pytest.raises(EntryUnbalanced):
        Entry(
            document_id=1,
            sequence=0,
            kind="sale",
            postings=(("a", 100), ("b", -99)),
            booked_at=NOW,
        )


def test_an_entry_needs_two_sides() -> None:
    with pytest.raises(EntryUnbalanced):
        Entry(document_id=1, sequence=0, kind="sale", postings=(("a", 0),), booked_at=NOW)


async def _append(db: Connection, entries: list[Entry]) -> None:
    chart = Chart()
    await chart.open(db, {account for each in entries for account, _ in each.postings})
    await db.execute(journal.insert_entries(1), *journal.columns(entries, chart, booked_at=NOW))


async def test_the_trial_balance_sums_to_zero(db: Connection) -> None:
    await _append(
        db,
        [
            entry.of_suspense(1, debit="collection:mpesa:888880", amount_minor=700, booked_at=NOW),
            entry.of_sale(
                1,
                debit=entry.SUSPENSE,
                lines=[("revenue:energy", 650), ("tax:vat", 60), ("rounding", -10)],
                sequence=1,
                booked_at=NOW,
            ),
        ],
    )
    balances = await journal.trial_balance(db)
    assert balances == {
        "collection:mpesa:888880": 700,
        "revenue:energy": -650,
        "rounding": 10,
        "suspense:refund_due": 0,
        "tax:vat": -60,
    }


async def test_postgresql_refuses_an_unbalanced_entry_as_well(db: Connection) -> None:
    await db.execute("insert into account (code) values ('a'), ('b')")
    with pytest.raises(asyncpg.CheckViolationError):
        await db.execute(
            "insert into entry (document_id, sequence, kind, accounts, amounts, booked_at)"
            " values (1, 0, 'sale', '{1,2}', '{5,-4}', $1)",
            NOW,
        )


async def test_the_same_movement_is_never_booked_twice(db: Connection) -> None:
    one = entry.of_suspense(1, debit="collection:mpesa:888880", amount_minor=700, booked_at=NOW)
    await _append(db, [one])
    with pytest.raises(asyncpg.UniqueViolationError):
        await _append(db, [one])


@pytest.mark.parametrize("table", ["entry", "payment", "account", "tariff_version"])
@pytest.mark.parametrize("act", ["delete from {}", "truncate {}"])
async def test_the_servers_role_cannot_take_history_away(
    db: Connection, table: str, act: str
) -> None:
    await db.execute("set role stima_app")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await db.execute(act.format(table))


async def test_the_servers_role_cannot_rewrite_the_ledger(db: Connection) -> None:
    await db.execute("set role stima_app")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await db.execute("update entry set kind = 'x'")
