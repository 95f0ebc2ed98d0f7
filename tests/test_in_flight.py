"""What is in flight wins over what was read, whether or not the reads saw it.

Batches are prepared one on top of the other, and each is written before or after the next one has
read; a serial lane on a second database is the judge of what must come out.
"""

import random
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from tests import database as databases
from tests.builders import a_meter, a_meter_number, a_payment
from tests.conftest import SettableClock
from tests.database import Database
from tests.offices import an_office
from vending.claims import Claim
from vending.in_flight import NOTHING
from vending.lease import Fence
from vending.meters import directory
from vending.meters.meter import Meter
from vending.payments.outcomes import Outcome
from vending.payments.payment import NoticeConflicts, OutcomeKind, Payment
from vending.postgres import pool
from vending.postgres.pool import Connection
from vending.postgres.writer import Writer
from vending.values import replace
from vending.vend import Prepared, Result, prepare, vend, write

FENCE = Fence(shard=0, owner="test", epoch=1, lease_seconds=10)

ADD_PAYMENT = "insert into payment values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"

ADD_DEBT = """
insert into debt (meter_number, debt_id, kind, priority, mode, rate_ppm, amount_minor,
                  balance_minor, reason, opened_at)
values ($1, $2, 'preload', 1, 'percent', $3, $4, $4, 'test', $5)
"""

LEFT = {
    "states": """
        select meter_number, last_tid, month, month_energy_wh, fees_paid_through, open_debts
          from meter_state order by meter_number
    """,
    "debts": "select meter_number, debt_id, balance_minor from debt order by 1, 2",
    "outcomes": """
        select payment_id, kind, reason, meter_number, tid, energy_wh, line_codes, line_amounts
          from outcome order by payment_id
    """,
    "postings": """
        select document_id, sequence, account, amount_minor from posting order by 1, 2, 3, 4
    """,
    "messages": "select payment_id, kind, recipient from message order by 1, 2, 3",
    "payments": "select payment_id, transaction_id from payment order by 1",
}


class Town:
    """One database with its meters, and the connections of one lane."""

    def __init__(self, db: Connection, dsn: str, clock: SettableClock) -> None:
        self.db = db
        self.clock = clock
        self.office = an_office(clock)
        self.writer = Writer(dsn, seconds=5.0)
        self.reader = self.writer.beside()

    async def open(self) -> None:
        await self.db.execute("insert into sequencer_lease values (0, 'test', 1, now())")

    async def has(self, meter: Meter, *, owes: Iterable[tuple[int, int]] = ()) -> None:
        await directory.register(self.db, meter, now=self.clock())
        debts = list(owes)
        for number, (rate, minor) in enumerate(debts, start=1):
            await self.db.execute(ADD_DEBT, meter.meter_number, number, rate, minor, self.clock())
        await self.db.execute(
            "update meter_state set open_debts = $2 where meter_number = $1",
            meter.meter_number, len(debts),
        )  # fmt: skip

    async def store(self, claims: Iterable[Claim]) -> None:
        for payment in (one.payment for one in claims if one.stored):
            notice = payment.notice
            await self.db.execute(
                ADD_PAYMENT + " on conflict do nothing",
                payment.payment_id, notice.operator, notice.transaction_id, notice.short_code,
                payment.product, notice.account_reference, notice.amount_minor, notice.paid_at,
                payment.received_at, notice.payer, str(notice.payer_kind), notice.raw,
            )  # fmt: skip

    async def serial(self, claims: Sequence[Claim]) -> list[Result]:
        return await vend(self.writer, claims, fence=FENCE, office=self.office, now=self.clock())

    async def overlapped(
        self, batches: Sequence[Sequence[Claim]], *, seen: Sequence[bool]
    ) -> list[list[Result]]:
        """Prepare each batch on the one before; `seen`: whether that one is written by then."""
        results: list[list[Result]] = []
        before: Prepared | None = None
        for claims, written_first in zip(batches, seen, strict=True):
            if before and written_first:
                await write(self.writer, before, fence=FENCE)
            prepared = await prepare(
                self.reader,
                claims,
                in_flight=before.leaves if before else NOTHING,
                office=self.office,
                now=self.clock(),
            )
            if before and not written_first:
                await write(self.writer, before, fence=FENCE)
            results.append(prepared.results)
            before = prepared
        if before:
            await write(self.writer, before, fence=FENCE)
        return results

    async def left(self) -> dict[str, list[tuple[object, ...]]]:
        return {
            what: [tuple(row) for row in await self.db.fetch(query)] for what, query in LEFT.items()
        }

    def close(self) -> None:
        self.writer.drop()
        self.reader.drop()


@pytest.fixture
async def town(db: Connection, database: Database, clock: SettableClock) -> AsyncIterator[Town]:
    town = Town(db, database.dsn, clock)
    await town.open()
    yield town
    town.close()


@pytest.fixture
async def other_town(cluster: str, clock: SettableClock) -> AsyncIterator[Town]:
    database = await databases.clone(cluster)
    db = await pool.connect(database.owner_dsn)
    town = Town(db, database.dsn, clock)
    await town.open()
    yield town
    town.close()
    await db.close()
    await databases.drop(cluster, database)


either_way = pytest.mark.parametrize("seen", [True, False], ids=["committed", "in flight"])


def _claim(payment: Payment, *, stored: bool = True, doubtful: bool = False) -> Claim:
    reference = payment.notice.account_reference
    return Claim(payment=payment, reference=reference, stored=stored, doubtful=doubtful)


@either_way
async def test_a_meter_in_two_batches_rises_in_identifier_and_pays_its_fees_once(
    town: Town, other_town: Town, *, seen: bool
) -> None:
    meter = a_meter()
    claims = [_claim(a_payment(account_reference=meter.meter_number)) for _ in range(4)]
    for one in (town, other_town):
        await one.has(meter, owes=[(400_000, 30_000), (200_000, 5_000)])
        await one.store(claims)
    batches = [claims[:2], claims[2:3], claims[3:]]
    results = await town.overlapped(batches, seen=[seen] * 3)
    await other_town.serial(claims)
    assert await town.left() == await other_town.left()
    tids = [one.tid or 0 for batch in results for one in batch if isinstance(one, Outcome)]
    assert tids == sorted(set(tids))
    assert len(tids) == 4
    assert await town.db.fetchval("select sum(balance_minor) from debt") == 0


@either_way
async def test_a_direct_sale_that_comes_again_while_in_flight_gets_the_same_digits(
    town: Town, *, seen: bool
) -> None:
    meter = a_meter()
    await town.has(meter)
    sale = a_payment(account_reference=meter.meter_number)
    again, liar = (
        a_payment(
            account_reference=meter.meter_number,
            transaction_id=sale.notice.transaction_id,
            amount_minor=amount,
        )
        for amount in (50_000, 60_000)
    )
    (first,), (second, third) = await town.overlapped(
        [[_claim(sale, stored=False)], [_claim(again, stored=False), _claim(liar, stored=False)]],
        seen=[False, seen],
    )
    assert isinstance(first, Outcome)
    assert first.token is not None
    assert second == first
    assert isinstance(third, NoticeConflicts)
    assert await town.db.fetchval("select count(*) from payment") == 1


@either_way
async def test_a_payment_that_is_in_flight_keeps_that_outcome(town: Town, *, seen: bool) -> None:
    meter = a_meter()
    await town.has(meter)
    good = a_payment(account_reference=meter.meter_number)
    bad = a_payment(account_reference=a_meter_number())
    claims = [_claim(good), _claim(bad)]
    await town.store(claims)
    again = [_claim(good, doubtful=True), _claim(bad)]
    first, second = await town.overlapped([claims, again], seen=[False, seen])
    assert first == second
    assert await town.db.fetchval("select count(*) from outcome") == 2


@either_way
async def test_a_refund_that_is_in_flight_can_be_moved_by_the_next_batch(
    town: Town, *, seen: bool
) -> None:
    meter = a_meter()
    await town.has(meter)
    payment = a_payment(account_reference=a_meter_number())
    claim = _claim(payment)
    await town.store([claim])
    moved = replace(claim, reference=meter.meter_number, reassignment=7, doubtful=True)
    (owed,), (sold,), (still,) = await town.overlapped([[claim], [moved], [moved]], seen=[seen] * 3)
    assert isinstance(owed, Outcome)
    assert isinstance(sold, Outcome)
    assert (owed.kind, sold.kind) == (OutcomeKind.REFUND_DUE, OutcomeKind.TOKEN_ISSUED)
    assert still == sold
    assert await town.db.fetchval("select sum(amount_minor) from posting") == 0


@pytest.mark.parametrize("seed", range(12))
async def test_overlapped_batches_leave_what_serial_ones_leave(
    town: Town, other_town: Town, seed: int
) -> None:
    chance = random.Random(seed)
    meters = [a_meter(status=chance.choice(["active"] * 4 + ["blocked"])) for _ in range(4)]
    for meter in meters:
        owes = [
            (chance.choice((200_000, 400_000)), chance.randrange(1_000, 60_000))
            for _ in range(chance.randrange(3))
        ]
        for one in (town, other_town):
            await one.has(meter, owes=owes)
    batches = _random_batches(chance, [meter.meter_number for meter in meters])
    seen = [chance.random() < 0.5 for _ in batches]
    for one in (town, other_town):
        for claims in batches:
            await one.store(claims)
    results = await town.overlapped(batches, seen=seen)
    expected = [await other_town.serial(claims) for claims in batches]
    assert [[_told(one) for one in batch] for batch in results] == [
        [_told(one) for one in batch] for batch in expected
    ]
    left = await town.left()
    assert left == await other_town.left()
    assert left["outcomes"]


def _random_batches(chance: random.Random, meters: Sequence[str]) -> list[list[Claim]]:
    """Return batches of payments, repeated sales, conflicting sales and doubtful ones."""
    first = datetime(2026, 10, 30, 9, 0, tzinfo=UTC)
    held: list[Claim] = []
    batches: list[list[Claim]] = []
    for _ in range(6):
        batch: list[Claim] = []
        for _ in range(chance.randrange(1, 7)):
            if held and chance.random() < 0.3:
                batch.append(_repeated(chance, chance.choice(held)))
                continue
            payment = a_payment(
                account_reference=chance.choice([*meters, "12345", a_meter_number()]),
                amount_minor=chance.choice((500, 10_000, 50_000, 100_000)),
                paid_at=first + timedelta(hours=chance.randrange(24 * 20)),
            )
            batch.append(_claim(payment, stored=chance.random() < 0.6))
            held.append(batch[-1])
        batches.append(batch)
    return batches


def _repeated(chance: random.Random, claim: Claim) -> Claim:
    """Return a claim again: swept, or for a direct sale by the same reference as another number."""
    if claim.stored:
        return replace(claim, doubtful=True)
    notice = claim.payment.notice
    again = a_payment(
        account_reference=notice.account_reference,
        transaction_id=notice.transaction_id,
        amount_minor=notice.amount_minor + chance.choice((0, 0, 100)),
        paid_at=notice.paid_at,
    )
    return _claim(again, stored=False)


def _told(result: Result) -> object:
    """Return a result without its digits, which hold a nibble of chance."""
    return replace(result, token=None) if isinstance(result, Outcome) else repr(result)
