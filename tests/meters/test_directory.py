"""The directory on a real PostgreSQL: by number, with state, by phone; registered, blocked."""

from datetime import UTC, datetime

import pytest

from tests.builders import a_meter, a_meter_number
from vending.meters import directory
from vending.meters.directory import MeterExists
from vending.meters.meter import DebtRecord, MeterRemoved, MeterState, MeterUnknown
from vending.postgres.pool import Connection

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


async def test_a_registered_meter_is_found_as_it_was_given(db: Connection) -> None:
    meter = a_meter(
        krn=9, ti=99, ea=11, tct=7, tid_base=93, ken=0, status="blocked", language="sw",
        phones=("+254712345678", "+254700000001"), region="Kisumu",
    )  # fmt: skip
    await directory.register(db, meter, now=NOW)
    number = meter.meter_number
    assert await directory.find(db, [number, a_meter_number()]) == {number: meter}
    assert await directory.find_with_state(db, [number, a_meter_number()]) == {
        number: (meter, MeterState(meter_number=number, tid_base=93))
    }


async def test_the_state_is_read_as_the_vend_left_it(db: Connection) -> None:
    meter = a_meter()
    await directory.register(db, meter, now=NOW)
    await db.execute(
        """
        update meter_state
           set tid_base = 35, last_tid = 7, month = 202611, month_energy_wh = 100,
               one_month_ago_wh = 1, two_months_ago_wh = 2, three_months_ago_wh = 3,
               fees_paid_through = 202610, open_debts = 4
        """
    )
    found = await directory.find_with_state(db, [meter.meter_number])
    assert found[meter.meter_number][1] == MeterState(
        meter_number=meter.meter_number, tid_base=35, last_tid=7, month=202611,
        month_energy_wh=100, history_wh=(1, 2, 3), fees_paid_through=202610, open_debts=4,
    )  # fmt: skip


async def test_nobody_asked_for_is_nobody_found(db: Connection) -> None:
    assert await directory.find(db, []) == {}
    assert await directory.find_with_state(db, []) == {}
    assert await directory.debts(db, []) == {}


async def test_a_number_is_registered_once(db: Connection) -> None:
    meter = a_meter()
    await directory.register(db, meter, now=NOW)
    with pytest.raises(MeterExists):
        await directory.register(db, a_meter(meter_number=meter.meter_number, ti=5), now=NOW)
    assert await directory.find(db, [meter.meter_number]) == {meter.meter_number: meter}


async def test_a_phone_finds_its_meters_in_service(db: Connection) -> None:
    mine = a_meter(phones=("+254700000009", "+254711111111"))
    also_mine = a_meter(phones=("+254711111111",), status="blocked")
    gone = a_meter(phones=("+254711111111",), status="removed")
    for meter in (also_mine, mine, gone, a_meter(), a_meter(phones=())):
        await directory.register(db, meter, now=NOW)
    found = await directory.of_phone(db, "+254711111111")
    assert found == sorted((mine, also_mine), key=lambda meter: meter.meter_number)
    assert await directory.of_phone(db, "+254799999999") == []


async def test_the_look_up_by_phone_uses_its_index(db: Connection) -> None:
    await db.execute("set enable_seqscan = off")
    plan = await db.fetch("explain " + directory.OF_PHONE.replace("$1", "'+254711111111'"))
    assert "meter_phones" in "".join(row[0] for row in plan)


async def test_the_vend_s_read_uses_both_indexes(db: Connection) -> None:
    await db.execute("set enable_seqscan = off")
    await db.execute("set plan_cache_mode = force_generic_plan")
    await db.execute(f"prepare vend_read (text) as {directory.FIND_WITH_STATE}")
    plan = await db.fetch("explain execute vend_read ('{1,2}')")
    text = "".join(row[0] for row in plan)
    assert "meter_pkey" in text
    assert "meter_state_pkey" in text
    assert "Seq Scan" not in text


async def test_a_number_of_whatever_characters_is_merely_unknown(db: Connection) -> None:
    meter = a_meter()
    await directory.register(db, meter, now=NOW)
    odd = ["", "\x1e", "\x1f", '"', "\\", "null", ","]
    asked = [*odd, meter.meter_number]
    assert await directory.find(db, asked) == {meter.meter_number: meter}
    assert list(await directory.find_with_state(db, asked)) == [meter.meter_number]
    assert await directory.debts(db, asked) == {}


async def test_open_debts_come_first_to_be_paid_first(db: Connection) -> None:
    number, other = a_meter_number(), a_meter_number()
    rows = [
        (number, 1, "loan", 2, "percent", 200_000, 0, 50_000, "connection", NOW),
        (number, 2, "fine", 1, "fixed", 0, 1_000, 9_000, "tamper", NOW),
        (number, 3, "fine", 0, "all", 0, 0, 0, "paid off", NOW),
    ]
    await db.copy_records_to_table("debt", records=rows)
    owed = await directory.debts(db, [number, other])
    assert list(owed) == [number]
    assert [debt.debt_id for debt in owed[number]] == [2, 1]
    assert owed[number][0] == DebtRecord(
        meter_number=number, debt_id=2, kind="fine", priority=1, mode="fixed", rate_ppm=0,
        amount_minor=1_000, balance_minor=9_000, reason="tamper", opened_at=NOW,
    )  # fmt: skip


async def test_a_blocked_meter_buys_again_when_unblocked(db: Connection) -> None:
    meter = a_meter()
    number = meter.meter_number
    await directory.register(db, meter, now=NOW)
    await directory.block(db, number, now=NOW)
    assert (await directory.find(db, [number]))[number].status == "blocked"
    await directory.unblock(db, number, now=NOW)
    assert (await directory.find(db, [number]))[number].status == "active"


async def test_a_removed_meter_stays_removed(db: Connection) -> None:
    meter = a_meter(status="removed")
    await directory.register(db, meter, now=NOW)
    with pytest.raises(MeterRemoved):
        await directory.unblock(db, meter.meter_number, now=NOW)
    assert (await directory.find(db, [meter.meter_number]))[meter.meter_number] == meter


async def test_a_meter_nobody_knows_cannot_be_blocked(db: Connection) -> None:
    with pytest.raises(MeterUnknown):
        await directory.block(db, a_meter_number(), now=NOW)
