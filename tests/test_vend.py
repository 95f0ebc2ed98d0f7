"""The story against real PostgreSQL and the real STS core, with a virtual meter as the judge."""

import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
import sts_core

from tests.builders import SGC, a_meter, a_meter_number, a_payment
from tests.conftest import SettableClock
from tests.database import Database
from tests.offices import a_ring, an_office
from vending.claims import Claim
from vending.lease import Fence, Fenced
from vending.meters import directory
from vending.meters.meter import Meter, MeterNumberMalformed
from vending.office import Office
from vending.payments.outcomes import Outcome
from vending.payments.payment import NoticeConflicts, OutcomeKind, PayerKind, Payment
from vending.postgres.pool import Connection
from vending.postgres.writer import Writer
from vending.tokens.issuer import CoreIssuer, Order, Token, TokenRefused
from vending.values import replace
from vending.vend import Result, TokenDiffers, vend

FENCE = Fence(shard=0, owner="test", epoch=1, lease_seconds=10)

ADD_PAYMENT = """
insert into payment values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""

ADD_DEBT = """
insert into debt (meter_number, debt_id, kind, priority, mode, rate_ppm, amount_minor,
                  balance_minor, reason, opened_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, 'test', $9)
"""


class Counter:
    """Stands where the sequencer stands: stores payments, vends claims, reads what came of it."""

    def __init__(self, db: Connection, writer: Writer, clock: SettableClock) -> None:
        self.db = db
        self.writer = writer
        self.clock = clock
        self.office = an_office(clock)

    async def has(self, *meters: Meter) -> None:
        for meter in meters:
            await directory.register(self.db, meter, now=self.clock())

    async def pay(self, *payments: Payment, office: Office | None = None) -> list[Outcome]:
        for payment in payments:
            await self.store(payment)
        return await self.vend([_claim(payment) for payment in payments], office=office)

    async def store(self, payment: Payment) -> None:
        notice = payment.notice
        await self.db.execute(
            ADD_PAYMENT, payment.payment_id, notice.operator, notice.transaction_id,
            notice.short_code, payment.product, notice.account_reference, notice.amount_minor,
            notice.paid_at, payment.received_at, notice.payer, str(notice.payer_kind), notice.raw,
        )  # fmt: skip

    async def vend(
        self, claims: Sequence[Claim], *, office: Office | None = None, fence: Fence = FENCE
    ) -> list[Outcome]:
        results = await self.results(claims, office=office, fence=fence)
        outcomes = [one for one in results if isinstance(one, Outcome)]
        assert outcomes == results
        return outcomes

    async def results(
        self, claims: Sequence[Claim], *, office: Office | None = None, fence: Fence = FENCE
    ) -> list[Result]:
        return await vend(
            self.writer, claims, fence=fence, office=office or self.office, now=self.clock()
        )

    async def messages(self) -> list[tuple[str, str, str]]:
        rows = await self.db.fetch(
            "select kind, recipient, body from message order by payment_id, message_id"
        )
        return [tuple(row) for row in rows]

    async def postings(self, payment: Payment) -> list[tuple[int, str, int]]:
        rows = await self.db.fetch(
            "select sequence, account, amount_minor from posting where document_id = $1"
            " order by sequence, amount_minor desc, account",
            payment.payment_id,
        )
        return [tuple(row) for row in rows]

    async def untouched(self) -> bool:
        tables = ("outcome", "entry", "message")
        counts = [await self.db.fetchval(f"select count(*) from {name}") for name in tables]
        return not any(counts) and not await self.db.fetchval(
            "select max(last_tid) from meter_state"
        )


def _claim(payment: Payment, **facts: object) -> Claim:
    claim = Claim(payment=payment, reference=payment.notice.account_reference)
    return replace(claim, **facts)


@pytest.fixture
async def counter(
    db: Connection, database: Database, clock: SettableClock
) -> AsyncIterator[Counter]:
    await db.execute("insert into sequencer_lease values (0, 'test', 1, $1)", clock())
    writer = Writer(database.dsn, seconds=5.0)
    yield Counter(db, writer, clock)
    writer.drop()


async def test_a_payment_becomes_a_token_that_the_meter_accepts_once(counter: Counter) -> None:
    meter = a_meter(ea=11)
    await counter.has(meter)
    payment = a_payment(account_reference=meter.meter_number)
    (outcome,) = await counter.pay(payment)
    assert outcome.kind is OutcomeKind.TOKEN_ISSUED
    assert outcome.token is not None
    judge = sts_core.VirtualMeter.commission(
        a_ring(), meter=meter.meter_number, ea=11, sgc=SGC, krn=1, ti=1, manufactured_at=None
    )
    assert judge.enter(outcome.token).result == "Accept"
    assert judge.balance_tenths * 100 == outcome.energy_wh
    assert judge.enter(outcome.token).result == "UsedError"


async def test_the_ledger_holds_the_receipts_own_lines(counter: Counter) -> None:
    meter = a_meter()
    await counter.has(meter)
    payment = a_payment(account_reference=meter.meter_number)
    (outcome,) = await counter.pay(payment)
    assert sum(minor for _, minor in outcome.lines) == payment.notice.amount_minor
    (debit, *credits_) = await counter.postings(payment)
    assert debit == (0, "collection:mpesa:888880", 50_000)
    assert sorted(-minor for _, _, minor in credits_) == sorted(m for _, m in outcome.lines)


async def test_the_receipt_goes_to_the_registered_phone_with_the_tokens_digits(
    counter: Counter,
) -> None:
    meter = a_meter()
    await counter.has(meter)
    (outcome,) = await counter.pay(a_payment(account_reference=meter.meter_number))
    ((kind, recipient, body),) = await counter.messages()
    assert (kind, recipient) == ("receipt", "+254712345678")
    assert str(outcome.token) in body.replace("-", "")


@pytest.mark.parametrize(
    ("payer", "kind", "recipients"),
    [
        ("254711111111", PayerKind.CLEAR, ["+254711111111", "+254712345678"]),
        ("254712345678", PayerKind.CLEAR, ["+254712345678"]),
        ("2547 ***** 126", PayerKind.MASKED, ["+254712345678"]),
        ("a" * 64, PayerKind.HASHED, ["+254712345678"]),
        ("12", PayerKind.CLEAR, ["+254712345678"]),
    ],
)
async def test_a_payer_hears_only_when_the_operator_shows_the_number(
    counter: Counter, payer: str, kind: PayerKind, recipients: list[str]
) -> None:
    meter = a_meter()
    await counter.has(meter)
    await counter.pay(a_payment(account_reference=meter.meter_number, payer=payer, payer_kind=kind))
    assert sorted(recipient for _, recipient, _ in await counter.messages()) == recipients


async def test_two_purchases_in_one_batch_rise_in_identifier_and_month(
    counter: Counter, db: Connection
) -> None:
    meter = a_meter(tariff="THREE-STEP", tariff_category="DOMESTIC")
    await counter.has(replace(meter, tariff_category=_first_class(counter, "THREE-STEP")))
    payments = [
        a_payment(account_reference=meter.meter_number, amount_minor=100_000) for _ in range(3)
    ]
    outcomes = await counter.pay(*payments)
    tids = [one.tid for one in outcomes]
    assert tids == sorted(set(tids))  # type: ignore[type-var]
    energies = [one.energy_wh or 0 for one in outcomes]
    assert energies[0] > energies[2], "the third purchase is in a dearer block"
    row = await db.fetchrow("select last_tid, month, month_energy_wh from meter_state")
    assert row is not None
    assert tuple(row) == (tids[2], 202611, sum(energies))


def _first_class(counter: Counter, code: str) -> str:
    tariff = counter.office.catalogue.in_force(code, counter.clock())
    return tariff.customer_class(None).code


@pytest.mark.parametrize(
    ("meter", "payment", "reason"),
    [
        ({}, {"account_reference": "12345"}, "meter_number_malformed"),
        ({}, {"account_reference": "37009188428"}, "meter_unknown"),
        ({"status": "blocked"}, {}, "meter_blocked"),
        ({"status": "removed"}, {}, "meter_removed"),
        ({}, {"amount_minor": 1}, "amount_too_small"),
        ({}, {"amount_minor": 10**12}, "amount_too_large"),
        ({"tariff": "NONE"}, {}, "tariff_unknown"),
        ({"tariff_category": "NONE"}, {}, "tariff_category_unknown"),
        ({"krn": 9}, {}, "key_missing"),
        ({"ken": 3}, {}, "key_expired"),
        ({"tid_base": 35}, {}, "identifiers_exhausted"),
        ({"tid_base": 93}, {}, "identifiers_exhausted"),
        ({"key_type": 1}, {}, "key_unfit"),
        ({}, {"product": ""}, "short_code_unknown"),
        ({}, {"product": "postpaid"}, "short_code_unknown"),
    ],
)
async def test_money_that_buys_nothing_is_owed_back_and_says_why(
    counter: Counter, meter: dict[str, object], payment: dict[str, object], reason: str
) -> None:
    there = a_meter(**meter)
    await counter.has(there)
    paid = a_payment(**({"account_reference": there.meter_number} | payment))  # type: ignore[arg-type]
    (outcome,) = await counter.pay(paid)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.REFUND_DUE, reason)
    assert outcome.token is None
    amount = paid.notice.amount_minor
    assert await counter.postings(paid) == [
        (0, "collection:mpesa:888880", amount),
        (0, "suspense:refund_due", -amount),
    ]


async def test_a_payer_in_clear_hears_that_the_money_is_safe(counter: Counter) -> None:
    payment = a_payment(account_reference="12345", payer="254711111111", payer_kind=PayerKind.CLEAR)
    await counter.pay(payment)
    ((kind, recipient, body),) = await counter.messages()
    assert (kind, recipient) == ("refund_due", "+254711111111")
    assert payment.notice.transaction_id in body


async def test_one_bad_payment_declines_itself_and_not_its_batch(counter: Counter) -> None:
    meter = a_meter()
    await counter.has(meter)
    outcomes = await counter.pay(
        a_payment(account_reference=meter.meter_number),
        a_payment(account_reference="nonsense"),
        a_payment(account_reference=meter.meter_number),
    )
    assert [str(one.kind) for one in outcomes] == ["token_issued", "refund_due", "token_issued"]


async def test_a_decided_payment_keeps_its_outcome_and_its_digits(counter: Counter) -> None:
    meter = a_meter()
    await counter.has(meter)
    payment = a_payment(account_reference=meter.meter_number)
    first = await counter.pay(payment)
    counter.clock.advance(days=3)
    again = await counter.vend([_claim(payment, doubtful=True)])
    assert again == first
    assert len(await counter.messages()) == 1


async def test_a_payment_decided_behind_its_back_is_refused_by_the_ledger(
    counter: Counter,
) -> None:
    meter = a_meter()
    await counter.has(meter)
    payment = a_payment(account_reference=meter.meter_number)
    (first,) = await counter.pay(payment)
    with pytest.raises(Exception, match="entry_pkey"):
        await counter.vend([_claim(payment)])
    assert await counter.vend([_claim(payment, doubtful=True)]) == [first]


async def test_a_lost_fence_writes_nothing(counter: Counter) -> None:
    meter = a_meter()
    await counter.has(meter)
    payment = a_payment(account_reference=meter.meter_number)
    await counter.store(payment)
    with pytest.raises(Fenced):
        await counter.vend([_claim(payment)], fence=replace(FENCE, epoch=0))
    assert await counter.untouched()


@pytest.mark.parametrize(
    ("paid_at", "version"),
    [
        (datetime(2026, 11, 22, 7, 59, tzinfo=UTC), "2025-26"),
        (datetime(2026, 11, 22, 9, tzinfo=UTC), "2025-26"),
        (datetime(2001, 1, 1, tzinfo=UTC), "2025-26"),
    ],
)
async def test_an_unbelievable_time_of_payment_is_priced_at_its_arrival(
    counter: Counter, paid_at: datetime, version: str
) -> None:
    meter = a_meter()
    await counter.has(meter)
    (outcome,) = await counter.pay(
        a_payment(
            account_reference=meter.meter_number, paid_at=paid_at, received_at=counter.clock()
        )
    )
    assert outcome.tariff_version == version


async def test_a_late_payment_is_priced_at_the_time_it_was_made(counter: Counter) -> None:
    """The rates changed on 1 July 2025, 00:00 in Nairobi; the payment was made a minute before."""
    meter = a_meter()
    await counter.has(meter)
    midnight = datetime(2025, 6, 30, 21, tzinfo=UTC)
    counter.clock.now = midnight + timedelta(hours=15)
    before, after = await counter.pay(
        a_payment(
            account_reference=meter.meter_number,
            paid_at=midnight - timedelta(minutes=1),
            received_at=midnight + timedelta(hours=14),
        ),
        a_payment(account_reference=meter.meter_number, paid_at=midnight),
    )
    assert [before.tariff_version, after.tariff_version] == ["2024-25", "2025-26"]


async def test_debts_are_taken_once_even_twice_in_a_batch(counter: Counter, db: Connection) -> None:
    meter = a_meter()
    await counter.has(meter)
    await db.execute(
        ADD_DEBT,
        meter.meter_number,
        1,
        "preload",
        1,
        "percent",
        400_000,
        0,
        30_000,
        counter.clock(),
    )
    await db.execute("update meter_state set open_debts = 1")
    payments = [a_payment(account_reference=meter.meter_number) for _ in range(3)]
    outcomes = await counter.pay(*payments)
    taken = [dict(one.lines).get("debt:preload", 0) for one in outcomes]
    assert taken == [20_000, 10_000, 0]
    assert await db.fetchval("select balance_minor from debt") == 0
    assert await db.fetchval("select open_debts from meter_state") == 0


async def test_a_refund_due_is_moved_to_the_meter_the_payer_meant(
    counter: Counter, db: Connection
) -> None:
    meter = a_meter()
    await counter.has(meter)
    payment = a_payment(account_reference="12345")
    await counter.pay(payment)
    await _request(db, 7, payment, meter.meter_number, counter.clock())
    claim = _claim(payment, reference=meter.meter_number, reassignment=7, doubtful=True)
    (outcome,) = await counter.vend([claim])
    assert outcome.kind is OutcomeKind.TOKEN_ISSUED
    movements = await counter.postings(payment)
    assert (1, "suspense:refund_due", 50_000) in movements
    assert sum(minor for _, account, minor in movements if account.startswith("suspense")) == 0
    assert await db.fetchval("select result from reassignment") == "token_issued"
    assert await counter.vend([claim]) == [outcome], "asking again changes nothing"


async def test_a_reassignment_that_cannot_be_is_told_and_the_refund_stays_due(
    counter: Counter, db: Connection
) -> None:
    payment = a_payment(account_reference="12345")
    await counter.pay(payment)
    await _request(db, 8, payment, a_meter_number(), counter.clock())
    claim = _claim(payment, reference=a_meter_number(), reassignment=8, doubtful=True)
    (outcome,) = await counter.vend([claim])
    assert outcome.kind is OutcomeKind.REFUND_DUE
    assert await db.fetchval("select result from reassignment") == "meter_unknown"


async def _request(
    db: Connection, number: int, payment: Payment, meter_number: str, now: datetime
) -> None:
    await db.execute(
        "insert into reassignment values ($1, $2, $3, 'Wanjiku', 'typed two digits wrong', $4)",
        number, payment.payment_id, meter_number, now,
    )  # fmt: skip


class Fussy(CoreIssuer):
    """An issuer that refuses one meter's tokens, as a security module might."""

    def __init__(self, refused: str) -> None:
        super().__init__(a_ring())
        self._refused = refused

    def issue(self, orders: Sequence[Order]) -> list[Token | TokenRefused]:
        return [
            TokenRefused(rule="module_says_no")
            if order.meter.meter_number == self._refused
            else token
            for order, token in zip(orders, super().issue(orders), strict=True)
        ]


async def test_a_refused_token_leaves_no_trace_on_its_meter(
    counter: Counter, db: Connection
) -> None:
    good, bad = a_meter(), a_meter()
    await counter.has(good, bad)
    office = an_office(counter.clock, issuer=Fussy(bad.meter_number))
    outcomes = await counter.pay(
        a_payment(account_reference=bad.meter_number),
        a_payment(account_reference=good.meter_number),
        office=office,
    )
    assert [one.reason for one in outcomes] == ["token_refused", None]
    assert [str(one.kind) for one in outcomes] == ["refund_due", "token_issued"]
    state = "select last_tid, month_energy_wh from meter_state where meter_number = $1"
    row = await db.fetchrow(state, bad.meter_number)
    assert row is not None
    assert tuple(row) == (0, 0)


class Generous(CoreIssuer):
    """An issuer whose tokens carry more than was ordered."""

    def issue(self, orders: Sequence[Order]) -> list[Token | TokenRefused]:
        more = [replace(order, energy_tenths=order.energy_tenths + 1) for order in orders]
        return super().issue(more)


async def test_a_token_that_differs_from_its_receipt_stops_the_batch(counter: Counter) -> None:
    meter = a_meter()
    await counter.has(meter)
    payment = a_payment(account_reference=meter.meter_number)
    await counter.store(payment)
    with pytest.raises(TokenDiffers):
        await counter.vend(
            [_claim(payment)], office=an_office(counter.clock, issuer=Generous(a_ring()))
        )
    assert await counter.untouched()


async def test_no_error_or_repr_of_the_story_shows_digits_or_phones(counter: Counter) -> None:
    meter = a_meter()
    await counter.has(meter)
    payment = a_payment(
        account_reference=meter.meter_number, payer="254711111111", payer_kind=PayerKind.CLEAR
    )
    outcomes = await counter.pay(payment)
    shown = repr(outcomes) + repr(payment) + repr(meter)
    assert not re.search(r"[0-9]{20}", shown)
    assert "2547" not in shown


def _sale(payment: Payment) -> Claim:
    return _claim(payment, stored=False)


async def test_a_direct_sale_keeps_whatever_its_texts_hold(
    counter: Counter, db: Connection
) -> None:
    meter = a_meter()
    await counter.has(meter)
    odd = a_payment(
        account_reference=meter.meter_number, transaction_id='a\x1fb\x1e"\\', short_code="",
        raw=bytes(range(256)),
    )  # fmt: skip
    plain = a_payment(account_reference=meter.meter_number)
    sold = await counter.results([_sale(odd), _sale(plain)])
    assert [type(one) for one in sold] == [Outcome, Outcome]
    row = await db.fetchrow(
        "select transaction_id, short_code, paid_at, received_at, raw from payment"
        " where payment_id = $1",
        odd.payment_id,
    )
    assert row is not None
    kept = (row["transaction_id"], row["short_code"], row["raw"])
    assert kept == (odd.notice.transaction_id, "", odd.notice.raw)
    assert (row["paid_at"], row["received_at"]) == (odd.notice.paid_at, odd.received_at)
    again = await counter.results([_sale(odd)])
    assert again == sold[:1]


async def test_a_separator_in_what_was_typed_makes_one_refund_due_and_harms_no_other(
    counter: Counter,
) -> None:
    meter = a_meter()
    await counter.has(meter)
    outcomes = await counter.pay(
        a_payment(account_reference="37\x1f009"),
        a_payment(account_reference=meter.meter_number),
        a_payment(account_reference="\x1e"),
    )
    assert [one.kind for one in outcomes] == [
        OutcomeKind.REFUND_DUE, OutcomeKind.TOKEN_ISSUED, OutcomeKind.REFUND_DUE,
    ]  # fmt: skip


async def test_a_direct_sale_stores_payment_and_token_together(
    counter: Counter, db: Connection
) -> None:
    meter = a_meter()
    await counter.has(meter)
    payment = a_payment(account_reference=meter.meter_number)
    (sold,) = await counter.results([_sale(payment)])
    assert isinstance(sold, Outcome)
    assert await db.fetchval("select payment_id from payment") == sold.payment_id


async def test_a_direct_sale_that_buys_nothing_leaves_no_trace(counter: Counter) -> None:
    payment = a_payment(account_reference="12345")
    (refused,) = await counter.results([_sale(payment)])
    assert isinstance(refused, MeterNumberMalformed)
    assert await counter.untouched()
    assert not await counter.db.fetchval("select count(*) from payment")


async def test_a_direct_sale_that_comes_again_gets_its_first_outcome(counter: Counter) -> None:
    meter = a_meter()
    await counter.has(meter)
    payment = a_payment(account_reference=meter.meter_number)
    copies = [
        replace(
            payment,
            payment_id=payment.payment_id + step,
            notice=replace(payment.notice, paid_at=counter.clock() + timedelta(seconds=step)),
        )
        for step in range(3)
    ]
    first, second = await counter.results([_sale(copies[0]), _sale(copies[1])])
    (third,) = await counter.results([_sale(copies[2])])
    assert isinstance(first, Outcome)
    assert first == second == third


async def test_a_direct_sales_reference_is_good_for_one_sale_only(counter: Counter) -> None:
    meter = a_meter()
    await counter.has(meter)
    payment = a_payment(account_reference=meter.meter_number)
    other = replace(payment.notice, amount_minor=60_000)
    liars = [
        replace(payment, payment_id=payment.payment_id + step, notice=other) for step in (1, 2)
    ]
    first, second = await counter.results([_sale(payment), _sale(liars[0])])
    (third,) = await counter.results([_sale(liars[1])])
    assert isinstance(first, Outcome)
    assert isinstance(second, NoticeConflicts)
    assert isinstance(third, NoticeConflicts)
    assert await counter.db.fetchval("select count(*) from outcome") == 1
