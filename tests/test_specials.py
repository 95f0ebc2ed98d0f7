"""Special tokens through the story: real PostgreSQL and STS core, a virtual meter as judge."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import sts_core

from tests.builders import a_meter, a_meter_number, a_payment
from tests.conftest import SettableClock
from tests.database import Database
from tests.offices import a_ring
from tests.test_vend import Counter
from vending.claims import Claim, Wish
from vending.errors import Refused
from vending.meters.meter import Meter
from vending.payments.outcomes import Outcome
from vending.payments.payment import PayerKind, Payment, PaymentNotice
from vending.postgres.pool import Connection
from vending.postgres.writer import Writer
from vending.tokens.special import (
    TESTS,
    Caps,
    Reason,
    SpecialAsked,
    SpecialKind,
    facts_of,
)
from vending.values import replace

ACME = "vendor:acme"
CAPS = Caps(tokens=20, energy_wh=1_000_000)


class Desk(Counter):
    """Asks for special tokens where payments are vended."""

    def ask(
        self,
        kind: SpecialKind,
        value: int,
        meter: Meter | None,
        *,
        reference: str = "one",
        operator: str = ACME,
        **facts: Any,
    ) -> Claim:
        now = self.clock()
        number = meter.meter_number if meter else None
        notice = PaymentNotice(
            operator=operator, transaction_id=reference, short_code="-",
            account_reference=number or "", amount_minor=0, paid_at=now, payer="",
            payer_kind=PayerKind.ABSENT, raw=facts_of(kind, place="-", meter=number, value=value),
        )  # fmt: skip
        asked = SpecialAsked(
            kind=kind, value=value, reason=Reason.FIELD_WORK, asked_by="acme by till",
            day=now.date(), caps=CAPS,
        )  # fmt: skip
        payment = Payment(
            payment_id=self.office.numbers.next(), notice=notice, product="prepaid", received_at=now
        )
        return Claim(
            payment=payment, reference=number or "", stored=False, special=replace(asked, **facts)
        )

    async def give(self, *claims: Claim) -> list[Outcome]:
        return await self.vend(list(claims))

    async def refused(self, claim: Claim) -> str:
        (result,) = await self.results([claim])
        assert isinstance(result, Refused), result
        return result.code

    async def made(self) -> int:
        return int(await self.db.fetchval("select count(*) from special_token"))


@pytest.fixture
async def desk(db: Connection, database: Database, clock: SettableClock) -> AsyncIterator[Desk]:
    await db.execute("insert into sequencer_lease values (0, 'test', 1, $1)", clock())
    writer = Writer(database.dsn, seconds=5.0)
    yield Desk(db, writer, clock)
    writer.drop()


@pytest.fixture
async def meter(desk: Desk) -> Meter:
    meter = a_meter()
    await desk.has(meter)
    return meter


def virtual(meter: Meter) -> sts_core.VirtualMeter:
    return sts_core.VirtualMeter.commission(
        a_ring(), meter=meter.meter_number, ea=meter.ea, sgc=meter.sgc, krn=meter.krn, ti=meter.ti
    )


async def test_free_units_are_credit_that_the_meter_takes_and_nobody_pays(
    desk: Desk, meter: Meter, db: Connection
) -> None:
    (made,) = await desk.give(desk.ask(SpecialKind.FREE_ISSUE, 30_000, meter))
    taken = virtual(meter).enter(made.token or "")
    assert (taken.accepted, taken.token_class, taken.amount) == (True, 0, 300)
    assert taken.tid == made.tid
    row = await db.fetchrow("select * from special_token")
    assert row is not None
    assert (row["token"], row["value"], row["nth"], row["day_energy_wh"]) == (
        made.token, 30_000, 1, 30_000,
    )  # fmt: skip
    assert await db.fetchval("select last_tid from meter_state") == made.tid
    assert await db.fetchval("select month_energy_wh from meter_state") == 0
    for table in ("payment", "outcome", "entry", "message"):
        assert await db.fetchval(f"select count(*) from {table}") == 0


async def test_the_same_reference_gets_the_same_digits_and_other_facts_conflict(
    desk: Desk, meter: Meter
) -> None:
    first = desk.ask(SpecialKind.FREE_ISSUE, 30_000, meter)
    again = desk.ask(SpecialKind.FREE_ISSUE, 30_000, meter)
    one, two = await desk.give(first, again)
    assert one.token == two.token
    desk.clock.advance(days=40)
    (three,) = await desk.give(desk.ask(SpecialKind.FREE_ISSUE, 30_000, meter))
    assert three == one
    assert await desk.refused(desk.ask(SpecialKind.FREE_ISSUE, 40_000, meter)) == (
        "special_conflicts"
    )
    assert await desk.made() == 1


async def test_identifiers_rise_across_sales_and_special_tokens_of_one_batch(
    desk: Desk, meter: Meter
) -> None:
    paid = [a_payment(account_reference=meter.meter_number) for _ in range(2)]
    for payment in paid:
        await desk.store(payment)
    sales = [Claim(payment=one, reference=meter.meter_number) for one in paid]
    special = desk.ask(SpecialKind.CLEAR_TAMPER, 0, meter)
    free = desk.ask(SpecialKind.FREE_ISSUE, 10_000, meter, reference="two")
    one, cleared, units, two = await desk.vend([sales[0], special, free, sales[1]])
    (three,) = await desk.pay(a_payment(account_reference=meter.meter_number))
    tids = [token.tid or 0 for token in (one, two, cleared, units, three)]
    assert tids == sorted(set(tids))
    judge = virtual(meter)
    assert all(judge.enter(token.token or "").accepted for token in (one, two, cleared, units))


@pytest.mark.parametrize(
    ("kind", "value", "subclass", "carried"),
    [
        (SpecialKind.POWER_LIMIT, 5_000, 0, 5_000),
        (SpecialKind.POWER_LIMIT, 16_385, 0, 16_394),
        (SpecialKind.PHASE_UNBALANCE, 800, 6, 800),
        (SpecialKind.CLEAR_CREDIT, 0xFFFF, 1, 0xFFFF),
        (SpecialKind.CLEAR_TAMPER, 0, 5, 0),
        (SpecialKind.WATER_FACTOR, 77, 7, 77),
    ],
)
async def test_an_engineering_token_decodes_to_what_is_recorded(
    desk: Desk, meter: Meter, db: Connection, kind: SpecialKind, value: int,
    subclass: int, carried: int,
) -> None:  # fmt: skip
    (made,) = await desk.give(desk.ask(kind, value, meter))
    key = a_ring().decoder_key(
        meter=meter.meter_number, ea=meter.ea, sgc=meter.sgc, krn=meter.krn, ti=meter.ti
    )
    reading = sts_core.decode(made.token or "", key)
    assert (reading.token_class, reading.subclass, reading.tid) == (2, subclass, made.tid)
    assert await db.fetchval("select value from special_token") == carried
    assert await db.fetchval("select last_tid from meter_state") == made.tid
    assert made.energy_wh is None


@pytest.mark.parametrize("number", TESTS)
async def test_a_meter_test_is_for_any_meter_and_takes_no_identifier(
    desk: Desk, meter: Meter, number: int
) -> None:
    (made,) = await desk.give(desk.ask(SpecialKind.METER_TEST, number, None))
    assert (made.meter_number, made.tid) == (None, None)
    reading = sts_core.decode(made.token or "")
    assert (reading.token_class, reading.manufacturer_code) == (1, 0)
    assert reading.control == sts_core.meter_test_control(number)
    assert virtual(meter).enter(made.token or "").accepted


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (SpecialKind.FREE_ISSUE, 0),
        (SpecialKind.FREE_ISSUE, 1_050),
        (SpecialKind.POWER_LIMIT, 18_201_625),
        (SpecialKind.POWER_LIMIT, -1),
        (SpecialKind.CLEAR_CREDIT, 8),
        (SpecialKind.CLEAR_TAMPER, 1),
        (SpecialKind.WATER_FACTOR, 65_536),
        (SpecialKind.METER_TEST, 1),
    ],
)
async def test_a_value_that_no_token_carries_is_refused_and_nothing_is_stored(
    desk: Desk, meter: Meter, db: Connection, kind: SpecialKind, value: int
) -> None:
    assert await desk.refused(desk.ask(kind, value, meter)) == "special_malformed"
    assert await desk.made() == 0
    assert await db.fetchval("select last_tid from meter_state") == 0


async def test_the_cap_of_a_day_counts_tokens_and_free_energy(desk: Desk, meter: Meter) -> None:
    few = Caps(tokens=2, energy_wh=50_000)

    def ask(reference: str, value: int) -> Claim:
        return desk.ask(SpecialKind.FREE_ISSUE, value, meter, reference=reference, caps=few)

    await desk.give(ask("a", 30_000))
    assert await desk.refused(ask("b", 20_100)) == "daily_cap_reached"
    results = await desk.results([ask("c", 20_000), ask("d", 100)])
    assert isinstance(results[0], Outcome)
    assert isinstance(results[1], Refused)
    test = desk.ask(SpecialKind.METER_TEST, 0, None, reference="e", caps=few)
    assert await desk.refused(test) == "daily_cap_reached"
    assert isinstance((await desk.results([ask("a", 30_000)]))[0], Outcome)
    desk.clock.advance(days=1)
    await desk.give(ask("d", 100))
    assert await desk.made() == 3


async def test_one_callers_cap_is_nobody_elses(desk: Desk, meter: Meter) -> None:
    one = Caps(tokens=1, energy_wh=0)
    first = desk.ask(SpecialKind.CLEAR_TAMPER, 0, meter, caps=one)
    other = desk.ask(SpecialKind.CLEAR_TAMPER, 0, meter, caps=one, operator="vendor:bolt")
    both = await desk.give(first, other)
    assert len({token.token for token in both}) == 2


async def test_what_a_meter_is_entitled_to_it_gets_once(desk: Desk, meter: Meter) -> None:
    def ask(reference: str, month: str, value: int = 50_000) -> Claim:
        return desk.ask(
            SpecialKind.FREE_BASIC, value, meter, reference=reference, entitlement=month
        )

    results = await desk.results([ask("a", "202611"), ask("b", "202611")])
    assert [type(one).__name__ for one in results] == ["Outcome", "FreeUnitsNone"]
    assert await desk.refused(ask("c", "202611")) == "free_units_none"
    await desk.give(ask("d", "202612"))
    assert await desk.refused(ask("e", "202701", 0)) == "free_units_none"


async def test_a_reference_of_a_sale_is_not_one_of_a_token_nor_the_other_way(
    desk: Desk, meter: Meter, db: Connection
) -> None:
    payment = a_payment(account_reference=meter.meter_number, operator="mpesa")
    await desk.pay(payment)
    sold = desk.ask(
        SpecialKind.CLEAR_TAMPER, 0, meter, operator="mpesa",
        reference=payment.notice.transaction_id,
    )  # fmt: skip
    assert await desk.refused(sold) == "special_conflicts"
    await desk.give(desk.ask(SpecialKind.CLEAR_TAMPER, 0, meter))
    notice = replace(payment.notice, operator=ACME, transaction_id="one")
    sale = replace(payment, payment_id=desk.office.numbers.next(), notice=notice)
    claim = Claim(payment=sale, reference=meter.meter_number, stored=False)
    assert await desk.refused(claim) == "reference_barred"


async def test_a_barred_reference_gets_no_token(desk: Desk, meter: Meter, db: Connection) -> None:
    await db.execute("insert into sale_barred values ($1, 'one', now())", ACME)
    assert await desk.refused(desk.ask(SpecialKind.CLEAR_TAMPER, 0, meter)) == "reference_barred"


async def test_a_reference_that_is_barred_beside_a_refused_request_stays_barred(
    desk: Desk, meter: Meter
) -> None:
    claims = [desk.ask(SpecialKind.FREE_ISSUE, 0, meter) for _ in range(3)]
    bar = replace(desk.ask(SpecialKind.FREE_ISSUE, 0, meter), special=None, wish=Wish.BAR)
    results = await desk.results([claims[0], claims[1], bar, claims[2]])
    assert [one.code for one in results if isinstance(one, Refused)] == [
        "special_malformed", "special_malformed", "reference_barred", "reference_barred",
    ]  # fmt: skip
    assert await desk.refused(desk.ask(SpecialKind.FREE_ISSUE, 100, meter)) == "reference_barred"
    assert await desk.made() == 0


async def test_a_sale_that_is_told_its_reference_is_barred_beside_a_refused_request_never_sells(
    desk: Desk, meter: Meter
) -> None:
    payment = a_payment(account_reference=meter.meter_number)
    notice = replace(payment.notice, operator=ACME, transaction_id="one")
    sale = replace(payment, payment_id=desk.office.numbers.next(), notice=notice)
    claim = Claim(payment=sale, reference=meter.meter_number, stored=False)
    results = await desk.results([desk.ask(SpecialKind.FREE_ISSUE, 0, meter), claim])
    assert [one.code for one in results if isinstance(one, Refused)] == [
        "special_malformed", "reference_barred",
    ]  # fmt: skip
    assert await desk.refused(claim) == "reference_barred"


async def test_a_vendor_that_is_suspended_gets_what_it_was_given_and_nothing_new(
    desk: Desk, meter: Meter, db: Connection
) -> None:
    await db.execute(
        "insert into vendor (vendor_id, name, status, created_at)"
        " values ('acme', 'Acme', 'active', now())"
    )
    await db.execute("insert into vendor_float (vendor_id) values ('acme')")
    (first,) = await desk.give(desk.ask(SpecialKind.FREE_ISSUE, 30_000, meter))
    await db.execute("update vendor set status = 'suspended'")
    other = desk.ask(SpecialKind.FREE_ISSUE, 30_000, meter, reference="two")
    assert await desk.refused(other) == "vendor_suspended"
    assert await desk.give(desk.ask(SpecialKind.FREE_ISSUE, 30_000, meter)) == [first]
    await desk.give(desk.ask(SpecialKind.CLEAR_TAMPER, 0, meter, operator="vendor:bolt"))


async def test_a_blocked_meter_gets_engineering_and_no_units_and_a_removed_one_neither(
    desk: Desk,
) -> None:
    blocked, removed = a_meter(status="blocked"), a_meter(status="removed")
    await desk.has(blocked, removed)
    units, cleared = SpecialKind.FREE_ISSUE, SpecialKind.CLEAR_TAMPER
    assert await desk.refused(desk.ask(units, 100, blocked)) == "meter_blocked"
    assert await desk.refused(desk.ask(cleared, 0, removed)) == "meter_removed"
    await desk.give(desk.ask(cleared, 0, blocked))


async def test_an_unknown_meter_and_one_without_a_key_get_nothing(desk: Desk) -> None:
    keyless = a_meter(sgc="999999")
    await desk.has(keyless)
    unknown = replace(keyless, meter_number=a_meter_number())
    assert await desk.refused(desk.ask(SpecialKind.CLEAR_TAMPER, 0, unknown)) == "meter_unknown"
    assert await desk.refused(desk.ask(SpecialKind.CLEAR_TAMPER, 0, keyless)) == "key_missing"
