"""What is told after the first word: once that a token is coming, and the same digits again."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.builders import a_meter, a_meter_number, a_payment
from tests.conftest import SettableClock
from vending import followups
from vending.followups import NobodyToTell, NothingToResend
from vending.meters import directory
from vending.notices import Wording
from vending.numbering import Numbers
from vending.payments.payment import PayerKind, Payment
from vending.postgres.pool import Connection
from vending.values import replace

METER = a_meter_number(800)
PHONE = "+254708374149"
DIGITS = "47182039556108472296"
WAITED = timedelta(seconds=15)
WORDING = Wording(
    utility_name="Demo Power",
    currency_symbol="KSh",
    help_line="97771",
    time_zone=ZoneInfo("Africa/Nairobi"),
)


@pytest.fixture
async def meter(db: Connection, clock: SettableClock) -> None:
    await directory.register(db, a_meter(meter_number=METER, phones=(PHONE,)), now=clock())


async def store(db: Connection, payment: Payment) -> Payment:
    notice = payment.notice
    await db.execute(
        "insert into payment values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        payment.payment_id, notice.operator, notice.transaction_id, notice.short_code,
        payment.product, notice.account_reference, notice.amount_minor, notice.paid_at,
        payment.received_at, notice.payer, notice.payer_kind.value, notice.raw,
    )  # fmt: skip
    return payment


async def issue(db: Connection, payment: Payment) -> None:
    await db.execute(
        """insert into outcome (payment_id, kind, meter_number, tid_base, tid, token, energy_wh,
                                tariff, tariff_version, tariff_category, line_codes, line_amounts,
                                decided_at)
           values ($1, 'token_issued', $2, 14, 7, $3, 15900, 'KE-DC', '2023-24', 'DC1',
                   '{energy,vat,rounding}', '{30912,19080,8}', $4)""",
        payment.payment_id, METER, DIGITS, payment.received_at,
    )  # fmt: skip


async def staged(db: Connection) -> list[tuple[str, str, str]]:
    rows = await db.fetch("select kind, recipient, body from message order by message_id")
    return [tuple(row) for row in rows]


async def coming(db: Connection, payments: list[Payment], clock: SettableClock) -> int:
    return await followups.stage_coming(db, payments, waited=WAITED, wording=WORDING, now=clock())


async def again(db: Connection, payment: Payment, clock: SettableClock) -> None:
    await followups.resend(
        db, payment.payment_id, wording=WORDING, numbers=Numbers(clock, node=3), now=clock()
    )


async def test_a_payment_that_waits_is_told_so_once(
    db: Connection, clock: SettableClock, meter: None
) -> None:
    payment = await store(db, a_payment(account_reference=METER, received_at=clock()))
    assert await coming(db, [payment], clock) == 0
    clock.advance(seconds=15)
    assert await coming(db, [payment], clock) == 1
    clock.advance(seconds=15)
    assert await coming(db, [payment], clock) == 0
    ((kind, recipient, body),) = await staged(db)
    assert (kind, recipient) == ("coming", PHONE)
    assert f"We have your KSh500.00 for meter {METER}" in body
    assert payment.notice.transaction_id in body


async def test_a_payer_shown_in_clear_is_told_rather_than_the_meters_phone(
    db: Connection, clock: SettableClock, meter: None
) -> None:
    payer = {"payer": "254722000111", "payer_kind": PayerKind.CLEAR}
    payment = a_payment(account_reference="no meter at all", received_at=clock(), **payer)
    clock.advance(minutes=1)
    assert await coming(db, [payment], clock) == 1
    ((_, recipient, _),) = await staged(db)
    assert recipient == "+254722000111"


async def test_nobody_is_told_of_what_is_decided_or_has_no_known_phone(
    db: Connection, clock: SettableClock, meter: None
) -> None:
    decided = await store(db, a_payment(account_reference=METER, received_at=clock()))
    await issue(db, decided)
    hidden = a_payment(
        account_reference=a_meter_number(801), received_at=clock(),
        payer="2547 ***** 149", payer_kind=PayerKind.MASKED,
    )  # fmt: skip
    clock.advance(minutes=1)
    assert await coming(db, [decided, hidden], clock) == 0
    assert await coming(db, [], clock) == 0
    assert await staged(db) == []


async def test_a_copy_carries_the_same_digits_and_the_receipts_own_sums(
    db: Connection, clock: SettableClock, meter: None
) -> None:
    payment = await store(db, a_payment(account_reference=METER, received_at=clock()))
    await issue(db, payment)
    clock.advance(days=3)
    await again(db, payment, clock)
    clock.advance(days=1)
    await again(db, payment, clock)
    text = (
        f"COPY Mtr:{METER} Token:4718-2039-5561-0847-2296 Date:20261122 11:00 Units:15.9 "
        "Amt:KSh500.00 TknAmt:309.12 OtherCharges:190.88"
    )
    assert await staged(db) == [("copy", PHONE, text)] * 2


async def test_a_refund_due_is_told_again(
    db: Connection, clock: SettableClock, meter: None
) -> None:
    payment = await store(db, a_payment(account_reference=METER, received_at=clock()))
    await db.execute(
        """insert into outcome (payment_id, kind, reason, meter_number, decided_at)
           values ($1, 'refund_due', 'meter_blocked', $2, $3)""",
        payment.payment_id, METER, clock(),
    )  # fmt: skip
    await again(db, payment, clock)
    ((kind, _, body),) = await staged(db)
    assert kind == "refund_due"
    assert "the meter is blocked" in body


async def test_there_is_nothing_to_send_again_before_the_decision(
    db: Connection, clock: SettableClock, meter: None
) -> None:
    payment = await store(db, a_payment(account_reference=METER, received_at=clock()))
    with pytest.raises(NothingToResend):
        await again(db, payment, clock)
    with pytest.raises(NothingToResend):
        await again(db, replace(payment, payment_id=1), clock)
    assert await staged(db) == []


async def test_a_copy_for_nobody_is_refused(db: Connection, clock: SettableClock) -> None:
    await directory.register(db, a_meter(meter_number=METER, phones=()), now=clock())
    payment = await store(db, a_payment(account_reference=METER, received_at=clock()))
    await issue(db, payment)
    with pytest.raises(NobodyToTell):
        await again(db, payment, clock)
    assert await staged(db) == []
