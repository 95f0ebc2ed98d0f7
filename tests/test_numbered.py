"""A server that starts with its clock set back hands out no number twice."""

from collections.abc import Awaitable, Callable
from datetime import datetime

import pytest

from tests.builders import a_payment
from tests.conftest import SettableClock
from vending import numbered
from vending.numbering import Numbers
from vending.outbox import message
from vending.outbox.message import Message, MessageKind
from vending.payments import rows
from vending.payments.inbox import QUARANTINE
from vending.postgres.pool import Connection
from vending.selling import disputes, quotes
from vending.selling.quotes import Quoted
from vending.tokens import special_rows
from vending.tokens.special import Reason, SpecialKind, SpecialToken
from vending.values import replace

NODE = 7

Keep = Callable[[Connection, int, datetime], Awaitable[object]]


async def keep_payment(db: Connection, number: int, _now: datetime) -> None:
    payment = replace(a_payment(), payment_id=number)
    await db.fetch(rows.insert_payments(1), *rows.columns([payment]))


async def keep_bytes(db: Connection, number: int, now: datetime) -> None:
    await db.fetch(
        QUARANTINE, number, "mpesa", "notice_malformed", None, b"?", b"%d" % number, "", now
    )


async def keep_message(db: Connection, number: int, now: datetime) -> None:
    kept = Message(
        message_id=number,
        payment_id=None,
        kind=MessageKind.COPY,
        recipient="+254708374149",
        body="your token",
        due_at=now,
    )
    await db.fetch(message.INSERT_MESSAGES, *message.columns([kept], due_at=now))


async def keep_quote(db: Connection, number: int, now: datetime) -> None:
    quoted = Quoted(
        quote_id=number, vendor_id="acme", meter_number="01000000008", amount_minor=5,
        energy_wh=100, tariff="T", tariff_version="1", tariff_category="C",
        lines=(("energy", 5),), quoted_at=now, expires_at=now + quotes.LASTS,
    )  # fmt: skip
    await quotes.add(db, quoted)


async def keep_dispute(db: Connection, number: int, now: datetime) -> None:
    await db.fetch(disputes.OPEN, number, number, "acme", "typo", "till", now)


async def keep_special(db: Connection, number: int, now: datetime) -> None:
    made = SpecialToken(
        special_id=number, operator="vendor:acme", reference=str(number),
        kind=SpecialKind.METER_TEST, meter_number=None, tid_base=None, tid=None, token="0" * 20,
        value=0, entitlement=None, reason=Reason.FIELD_WORK, asked_by="acme by till",
        approved_by=None, facts=b"", day=now.date(), nth=number % 16_384 + 1, day_energy_wh=0,
        day_tokens_max=16_384, day_energy_max_wh=0, decided_at=now,
    )  # fmt: skip
    await db.fetch(special_rows.insert_special(1), *special_rows.columns([made]))


async def keep_key_change(db: Connection, number: int, now: datetime) -> None:
    await db.fetch(
        "insert into key_change_order values ($1, $1, '01000000008', '201457', 1, 1, 14, 255,"
        " '201457', 2, 1, 14, 255, 'acme by till', 'EngKCT', $2)",
        number, now,
    )  # fmt: skip


@pytest.mark.parametrize(
    "keep",
    [
        keep_payment,
        keep_bytes,
        keep_message,
        keep_quote,
        keep_dispute,
        keep_special,
        keep_key_change,
    ],
)
async def test_numbers_go_on_above_those_that_the_database_holds(
    db: Connection, clock: SettableClock, keep: Keep
) -> None:
    before = Numbers(clock, node=NODE)
    held = [before.next() for _ in range(3)]
    for number in held:
        await keep(db, number, clock())
    clock.advance(hours=-1)
    assert await numbered.last(db, clock, node=NODE) == held[-1]


async def test_what_another_node_has_numbered_moves_nothing(
    db: Connection, clock: SettableClock
) -> None:
    clock.advance(hours=1)
    await keep_payment(db, Numbers(clock, node=NODE + 1).next(), clock())
    clock.advance(hours=-1)
    assert await numbered.last(db, clock, node=NODE) == 0
