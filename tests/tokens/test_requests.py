"""Requests for tokens without money: two persons, one token, every step in the log of acts."""

import asyncio
from typing import Any

import asyncpg
import pytest

from tests.builders import a_meter
from tests.conftest import SettableClock
from tests.database import Database
from vending import audit_log
from vending.config import Tokens
from vending.meters import directory
from vending.meters.meter import Meter, MeterUnknown
from vending.postgres.pool import Connection
from vending.sweep import claim_of
from vending.tokens import requests, special_rows
from vending.tokens.requests import (
    ApproverIsRequester,
    TokenNoteMalformed,
    TokenRequestJudged,
    TokenRequestUnknown,
    Wanted,
)
from vending.tokens.special import (
    Caps,
    DailyCapReached,
    Reason,
    SpecialKind,
    SpecialMalformed,
)
from vending.values import replace

CAPS = requests.caps_of(Tokens(day_tokens=3, day_free_kwh=50))


@pytest.fixture
async def meter(db: Connection, clock: SettableClock) -> Meter:
    meter = a_meter()
    await directory.register(db, meter, now=clock())
    return meter


def wanted(meter: Meter, **other: Any) -> Wanted:
    usual = Wanted(
        kind=SpecialKind.FREE_ISSUE, meter_number=meter.meter_number, value=30_000,
        reason=Reason.COMPENSATION, note="ran fast",
    )  # fmt: skip
    return replace(usual, **other)


async def asked(db: Connection, meter: Meter, clock: SettableClock, **other: Any) -> int:
    await requests.ask(
        db, wanted(meter, **other), request_id=7, caps=CAPS, who=" Jane  Doe ", now=clock()
    )
    return 7


async def test_one_person_asks_and_another_approves_and_both_are_in_the_log(
    db: Connection, meter: Meter, clock: SettableClock
) -> None:
    number = await asked(db, meter, clock)
    (waiting,) = await requests.pending(db, most=9)
    assert (waiting.asked_by, waiting.approved, waiting.note) == ("Jane Doe", None, "ran fast")
    assert await requests.approved(db, most=9) == []
    await requests.approve(db, number, who="Mary", now=clock())
    (ready,) = await requests.approved(db, most=9)
    assert (ready.judged_by, ready.settled_at) == ("Mary", None)
    acts = await audit_log.of_subject(db, requests.subject(number))
    assert [(act.who, act.what) for act in acts] == [
        ("Mary", "token approved"), ("Jane Doe", "token requested"),
    ]  # fmt: skip
    assert meter.meter_number in acts[0].facts
    assert (await audit_log.verify(db)).count == 2


async def test_nobody_judges_their_own_request_however_they_write_their_name(
    db: Connection, meter: Meter, clock: SettableClock
) -> None:
    number = await asked(db, meter, clock)
    for name in ("Jane Doe", "jane  doe", "JANE DOE "):
        with pytest.raises(ApproverIsRequester):
            await requests.approve(db, number, who=name, now=clock())
        with pytest.raises(ApproverIsRequester):
            await requests.reject(db, number, note="mine", who=name, now=clock())
    assert (await requests.find(db, number)).approved is None


async def test_a_rejected_request_is_settled_and_says_why(
    db: Connection, meter: Meter, clock: SettableClock
) -> None:
    number = await asked(db, meter, clock)
    with pytest.raises(TokenNoteMalformed):
        await requests.reject(db, number, note=" ", who="Mary", now=clock())
    await requests.reject(db, number, note="no fault found", who="Mary", now=clock())
    settled = await requests.find(db, number)
    assert (settled.approved, settled.result) == (False, "rejected")
    assert await requests.pending(db, most=9) == []
    (act, _) = await audit_log.of_subject(db, requests.subject(number))
    assert (act.what, "no fault found" in act.facts) == ("token rejected", True)
    with pytest.raises(TokenRequestJudged):
        await requests.approve(db, number, who="Mary", now=clock())


async def test_of_two_who_approve_at_once_one_does(
    db: Connection, database: Database, meter: Meter, clock: SettableClock
) -> None:
    number = await asked(db, meter, clock)
    other = await asyncpg.connect(database.dsn)
    try:
        results = await asyncio.gather(
            requests.approve(db, number, who="Mary", now=clock()),
            requests.approve(other, number, who="Amina", now=clock()),
            return_exceptions=True,
        )
    finally:
        await other.close()
    assert sorted(type(one).__name__ for one in results) == ["Request", "TokenRequestJudged"]
    assert await db.fetchval("select count(*) from act") == 2


async def test_what_no_token_and_no_day_can_give_is_refused_before_anybody_judges(
    db: Connection, meter: Meter, clock: SettableClock
) -> None:
    with pytest.raises(SpecialMalformed):
        await asked(db, meter, clock, value=30_050)
    with pytest.raises(SpecialMalformed):
        await asked(db, meter, clock, meter_number=None)
    with pytest.raises(DailyCapReached):
        await asked(db, meter, clock, value=50_100)
    with pytest.raises(MeterUnknown):
        await asked(db, a_meter(), clock)
    with pytest.raises(TokenNoteMalformed):
        await asked(db, meter, clock, note="")
    nobody = Caps(tokens=0, energy_wh=0)
    with pytest.raises(DailyCapReached):
        await requests.ask(db, wanted(meter), request_id=7, caps=nobody, who="Jane", now=clock())
    assert await requests.pending(db, most=9) == []
    assert await db.fetchval("select count(*) from act") == 0


async def test_what_came_first_of_a_request_stays_unless_a_token_was_made_after_all(
    db: Connection, meter: Meter, clock: SettableClock
) -> None:
    number = await asked(db, meter, clock)
    await requests.approve(db, number, who="Mary", now=clock())
    settle = special_rows.answer_requests(1)
    for result, told in (
        ("meter_blocked", "meter_blocked"),
        ("key_missing", "meter_blocked"),
        ("token_issued", "token_issued"),
        ("meter_blocked", "token_issued"),
    ):
        await db.execute(settle, [number], [result], clock())
        assert (await requests.find(db, number)).result == told


async def test_a_number_nobody_has_is_unknown(db: Connection, clock: SettableClock) -> None:
    with pytest.raises(TokenRequestUnknown):
        await requests.approve(db, 1, who="Mary", now=clock())
    with pytest.raises(TokenRequestUnknown):
        await requests.find(db, 1)


async def test_a_name_in_capitals_has_no_cap_of_its_own(
    db: Connection, meter: Meter, clock: SettableClock
) -> None:
    number = await asked(db, meter, clock)
    request = await requests.find(db, number)
    shouted = replace(request, asked_by="JANE DOE")
    callers = {
        claim_of(one, caps=CAPS, day=clock().date()).payment.notice.operator
        for one in (request, shouted)
    }
    assert callers == {"person:jane doe"}
