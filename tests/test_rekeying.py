"""Key changes, from the order to the meter that takes the codes and then its token."""

from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest
import sts_core

from tests.builders import SGC, VENDING_KEY, a_meter, a_payment
from tests.conftest import SettableClock
from tests.database import Database
from tests.offices import an_office
from vending import audit_log
from vending.claims import Claim
from vending.in_flight import NOTHING, InFlight
from vending.lease import Fence
from vending.meters import directory
from vending.meters.meter import Meter
from vending.numbering import Numbers
from vending.payments import outcomes
from vending.payments.outcomes import Outcome
from vending.payments.payment import Payment
from vending.postgres.pool import Connection
from vending.postgres.writer import Writer
from vending.tokens import key_orders
from vending.tokens.issuer import CoreIssuer
from vending.tokens.key_orders import Wanted
from vending.tokens.keys import Description
from vending.vend import Prepared, prepare, write

FENCE = Fence(shard=0, owner="test", epoch=1, lease_seconds=10)
OTHER_KEY = "0123456789abcdef0123456789abcdef01234567"

KEYS = {
    (SGC, 1): ("14", VENDING_KEY),
    (SGC, 2): ("14", OTHER_KEY),
}


def a_ring(*, krns: Sequence[int] = (1, 2)) -> sts_core.KeyRing:
    ring = sts_core.KeyRing()
    for (sgc, krn), (base, key) in KEYS.items():
        if krn in krns:
            ring.load(
                sgc=sgc, krn=krn, key_type=2, dkga="04", base_date=base, ken=255,
                key=bytearray.fromhex(key),
            )  # fmt: skip
    return ring


HELD = [
    Description(sgc=sgc, krn=krn, key_type=2, dkga="04", base_date=base, ken=255)
    for (sgc, krn), (base, _) in KEYS.items()
]


def a_judge(meter: Meter) -> sts_core.VirtualMeter:
    return sts_core.VirtualMeter.commission(
        a_ring(), meter=meter.meter_number, ea=meter.ea, sgc=meter.sgc, krn=meter.krn, ti=meter.ti,
    )  # fmt: skip


class Counter:
    """Orders key changes and sells, as the command and the sequencer do."""

    def __init__(self, db: Connection, writer: Writer, clock: SettableClock) -> None:
        self.db = db
        self.writer = writer
        self.clock = clock
        self.numbers = Numbers(clock, node=3)
        self.office = an_office(clock, issuer=CoreIssuer(a_ring()))

    async def has(self, **facts: object) -> Meter:
        meter = a_meter(**facts)
        await directory.register(self.db, meter, now=self.clock())
        return meter

    async def order(self, meter: Meter, **to: object) -> key_orders.Ordered:
        wanted = Wanted(meter_number=meter.meter_number, **(to or {"krn": 2}))  # type: ignore[arg-type]
        return await key_orders.order(
            self.db, [wanted], held=HELD, numbers=self.numbers, who="Achieng", note="revision 2",
            now=self.clock(),
        )  # fmt: skip

    async def prepare(self, *payments: Payment, in_flight: InFlight = NOTHING) -> Prepared:
        claims = [
            Claim(payment=one, reference=one.notice.account_reference, stored=False)
            for one in payments
        ]
        return await prepare(
            self.db, claims, in_flight=in_flight, office=self.office, now=self.clock()
        )

    async def sell(self, *payments: Payment) -> list[Outcome]:
        prepared = await self.prepare(*payments)
        await write(self.writer, prepared, fence=FENCE)
        sold = [one for one in prepared.results if isinstance(one, Outcome)]
        assert sold == prepared.results
        return sold

    async def record(self, meter: Meter) -> Meter:
        return (await directory.find_with_state(self.db, [meter.meter_number]))[meter.meter_number][
            0
        ]


@pytest.fixture
async def counter(
    db: Connection, database: Database, clock: SettableClock
) -> AsyncIterator[Counter]:
    await db.execute("insert into sequencer_lease values (0, 'test', 1, $1)", clock())
    writer = Writer(database.dsn, seconds=5.0)
    yield Counter(db, writer, clock)
    writer.drop()


def for_meter(meter: Meter) -> Payment:
    return a_payment(account_reference=meter.meter_number)


def codes_of(outcome: Outcome) -> tuple[str, ...]:
    assert outcome.key_change is not None
    return outcome.key_change.codes


@pytest.mark.parametrize(("ea", "count"), [(7, 2), (11, 4)])
async def test_the_next_sale_brings_the_codes_and_a_token_under_the_new_key(
    counter: Counter, ea: int, count: int
) -> None:
    meter = await counter.has(ea=ea)
    judge = a_judge(meter)
    assert (await counter.order(meter)).taken == [meter.meter_number]
    (sold,) = await counter.sell(for_meter(meter))
    assert len(codes_of(sold)) == count
    assert judge.enter(str(sold.token)).result != "Accept", "the token is under the new key"
    for code in codes_of(sold):
        judge.enter(code)
    assert judge.enter(str(sold.token)).result == "Accept"
    assert judge.balance_tenths * 100 == sold.energy_wh
    record = await counter.record(meter)
    assert (record.krn, record.key_change_due) == (2, False)


async def test_the_text_to_the_phone_has_the_codes_above_the_token(
    counter: Counter, db: Connection
) -> None:
    meter = await counter.has()
    await counter.order(meter)
    (sold,) = await counter.sell(for_meter(meter))
    body = (await db.fetchval("select body from message")).replace("-", "")
    places = [body.index(digits) for digits in (*codes_of(sold), str(sold.token))]
    assert places == sorted(places)


async def test_asked_again_the_sale_has_the_same_digits_and_later_ones_have_no_codes(
    counter: Counter, db: Connection
) -> None:
    meter = await counter.has()
    await counter.order(meter)
    first = for_meter(meter)
    (sold,) = await counter.sell(first)
    counter.clock.advance(days=40)
    assert await counter.sell(first) == [sold]
    assert (await outcomes.read(db, [sold.payment_id]))[sold.payment_id] == sold
    (later,) = await counter.sell(for_meter(meter))
    assert later.key_change is None


async def test_two_sales_in_one_batch_bring_the_codes_once_and_rise(counter: Counter) -> None:
    meter = await counter.has()
    await counter.order(meter)
    judge = a_judge(meter)
    first, second = await counter.sell(for_meter(meter), for_meter(meter))
    assert (first.key_change is None, second.key_change is None) == (False, True)
    for code in codes_of(first):
        judge.enter(code)
    assert [judge.enter(str(one.token)).result for one in (first, second)] == ["Accept"] * 2


@pytest.mark.parametrize("seen", [True, False])
async def test_a_sale_that_is_prepared_on_one_in_flight_has_no_codes(
    counter: Counter,
    seen: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    meter = await counter.has()
    await counter.order(meter)
    before = await counter.prepare(for_meter(meter))
    if seen:
        await write(counter.writer, before, fence=FENCE)
    after = await counter.prepare(for_meter(meter), in_flight=before.leaves)
    if not seen:
        await write(counter.writer, before, fence=FENCE)
    await write(counter.writer, after, fence=FENCE)
    first, second = before.results[0], after.results[0]
    assert isinstance(first, Outcome)
    assert isinstance(second, Outcome)
    assert (first.key_change is None, second.key_change is None) == (False, True)
    judge = a_judge(meter)
    for code in codes_of(first):
        judge.enter(code)
    assert judge.enter(str(second.token)).accepted


async def test_while_the_new_key_is_not_loaded_the_old_one_sells_and_the_order_waits(
    counter: Counter,
) -> None:
    meter = await counter.has()
    await counter.order(meter)
    counter.office = an_office(counter.clock, issuer=CoreIssuer(a_ring(krns=[1])))
    (sold,) = await counter.sell(for_meter(meter))
    assert sold.key_change is None
    assert a_judge(meter).enter(str(sold.token)).accepted
    assert (await counter.record(meter)).key_change_due


async def test_an_order_that_is_withdrawn_before_the_batch_is_written_stops_the_batch(
    counter: Counter, db: Connection
) -> None:
    meter = await counter.has()
    await counter.order(meter)
    payment = for_meter(meter)
    prepared = await counter.prepare(payment)
    taken = await key_orders.withdraw(
        db, [meter.meter_number], who="Achieng", note="wrong meter", now=counter.clock()
    )
    assert taken == [meter.meter_number]
    with pytest.raises(asyncpg.NotNullViolationError):
        await write(counter.writer, prepared, fence=FENCE)
    assert await db.fetchval("select count(*) from outcome") == 0
    (sold,) = await counter.sell(payment)
    assert sold.key_change is None
    assert (await counter.record(meter)).krn == 1


async def test_an_order_that_another_has_replaced_before_the_batch_is_written_stops_it_as_well(
    counter: Counter, db: Connection
) -> None:
    meter = await counter.has()
    await counter.order(meter)
    payment = for_meter(meter)
    prepared = await counter.prepare(payment)
    await key_orders.withdraw(
        db, [meter.meter_number], who="Achieng", note="wrong key", now=counter.clock()
    )
    assert (await counter.order(meter, ti=5)).taken == [meter.meter_number]
    with pytest.raises(asyncpg.NotNullViolationError):
        await write(counter.writer, prepared, fence=FENCE)
    (sold,) = await counter.sell(payment)
    assert sold.key_change is not None
    assert sold.key_change.new.name == (SGC, 1, 5)


@pytest.mark.parametrize(
    ("facts", "to", "reason"),
    [
        ({}, {"krn": 1}, "key_same"),
        ({}, {"krn": 3}, "key_missing"),
        ({"krn": 4}, {"krn": 2}, "key_missing"),
        ({"status": "removed"}, {"krn": 2}, "meter_removed"),
        ({"key_type": 1}, {"krn": 2}, "key_unfit"),
        ({"tid_base": 35}, {"krn": 2}, "base_date_earlier"),
    ],
)
async def test_a_change_that_cannot_be_is_refused_when_it_is_ordered(
    counter: Counter, facts: dict[str, object], to: dict[str, object], reason: str
) -> None:
    meter = await counter.has(**facts)
    ordered = await counter.order(meter, **to)
    assert (ordered.taken, ordered.refused) == ([], [(meter.meter_number, reason)])


async def test_a_meter_has_one_open_order_and_each_list_is_an_act(
    counter: Counter, db: Connection
) -> None:
    meter = await counter.has()
    await counter.order(meter)
    again = await counter.order(meter, ti=7)
    assert again.refused == [(meter.meter_number, "key_change_due")]
    strange = await counter.order(a_meter())
    assert [reason for _, reason in strange.refused] == ["meter_unknown"]
    (act,) = await db.fetch("select what, who, subject from act")
    assert act["what"] == "key changes ordered"
    list_id = await db.fetchval("select list_id from key_change_order")
    assert act["subject"] == key_orders.subject(list_id)
    assert (await audit_log.verify(db)).count == 1


async def test_an_order_that_names_no_key_is_refused(counter: Counter) -> None:
    with pytest.raises(key_orders.KeyChangeUntold):
        await key_orders.order(
            counter.db, [Wanted(meter_number=a_meter().meter_number)], held=HELD,
            numbers=counter.numbers, who="Achieng", note="", now=counter.clock(),
        )  # fmt: skip


async def test_the_tariff_index_alone_makes_another_key(counter: Counter) -> None:
    meter = await counter.has()
    await counter.order(meter, ti=42)
    (waiting,) = await key_orders.open_ones(counter.db, most=5)
    assert (waiting.meter_number, waiting.change.new.ti) == (meter.meter_number, 42)
    judge = a_judge(meter)
    (sold,) = await counter.sell(for_meter(meter))
    for code in reversed(codes_of(sold)):
        judge.enter(code)
    assert judge.enter(str(sold.token)).accepted
    assert await key_orders.open_ones(counter.db, most=5) == []
