"""A healthy database: a few payments really stored, really vended, one put right afterwards."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from tests.builders import SGC, a_meter, a_notice, a_payment
from tests.conftest import SettableClock
from tests.database import Database
from tests.offices import an_office
from vending.audit import auditor
from vending.audit.rule import Finding, Terms
from vending.claims import Claim
from vending.lease import Lease
from vending.meters import directory
from vending.numbering import Numbers
from vending.office import Office
from vending.payments.inbox import Inbox, Stored
from vending.payments.payment import Payment, PaymentNotice
from vending.postgres.pool import Connection
from vending.postgres.writer import Writer
from vending.sequencer import Sequencer
from vending.tariffs import catalogue
from vending.tokens import key_orders
from vending.tokens.key_orders import Wanted
from vending.tokens.keys import Description
from vending.tokens.special import Caps, Reason, SpecialAsked, SpecialKind, caller_of, facts_of
from vending.values import replace
from vending.vendors import accounts, commission, credentials, deposits
from vending.vendors.commission import Band
from vending.vendors.credentials import Grant
from vending.vendors.deposits import Slip
from vending.vendors.seals import Seals


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """A database with a history, as its owner sees it, and what the history holds.

    `sold` are payments with a token, the first two for one meter; `moved` was reassigned out of
    suspense; `owed` is a refund due; `aside` is in quarantine, undecided. The vendor "acme" has
    sold `by_vendor`, and has a `deposit` that is confirmed and one that is proposed. `rekeyed`
    brought the codes of a key change; another meter's is due.
    `special` are a free token of acme, an engineering one, and one that two persons approved.
    """

    db: Connection
    database: Database
    now: datetime
    meter: str
    sold: tuple[int, ...]
    moved: int
    owed: int
    aside: int
    deposit: int
    by_vendor: int
    special: tuple[int, ...]
    rekeyed: int

    async def broken(self, *, older_than: timedelta = timedelta(seconds=60)) -> dict[str, Finding]:
        """Return the findings that do not hold, by the rule's name."""
        terms = Terms(
            decided_before=self.now - older_than,
            paid_at_future=timedelta(minutes=5),
            paid_at_past=timedelta(days=30),
        )
        found = [finding async for finding in auditor.examine(self.db, terms)]
        return {one.rule.name: one for one in found if not one.holds}


@pytest.fixture
async def books(database: Database, db: Connection, clock: SettableClock) -> Books:
    meters = [a_meter(), a_meter(language="sw", phones=("+254712000001", "+254712000002"))]
    for meter in meters:
        await directory.register(db, meter, now=clock())
    for text in catalogue.shipped().values():
        await catalogue.load(db, text, now=clock())
    office = an_office(clock)
    clock.advance(minutes=1)
    first, second = (meter.meter_number for meter in meters)

    sold = await _vended(database, clock, office, [a_notice(account_reference=first),
        a_notice(account_reference=second, amount_minor=1_234_500)])  # fmt: skip
    clock.advance(minutes=2)
    # A month earlier, within what is believed, so it counts there; and one nobody can believe.
    late = datetime(2026, 10, 31, 20, 0, tzinfo=UTC)
    ancient = datetime(2011, 1, 1, tzinfo=UTC)
    more = await _vended(database, clock, office, [a_notice(account_reference=first),
        a_notice(account_reference=first, paid_at=late),
        a_notice(account_reference=second, paid_at=ancient)])  # fmt: skip
    owed, moved = await _vended(
        database,
        clock,
        office,
        [a_notice(account_reference="no meter"), a_notice(account_reference="0")],
    )
    clock.advance(minutes=1)
    await _reassigned(database, db, clock, office, moved, second)
    aside = await _set_aside(database, db, clock, office.numbers)
    deposit, by_vendor = await _sold_by_a_vendor(database, db, clock, office, second)
    special = await _given(database, db, clock, office, first)
    rekeyed = await _rekeyed(database, db, clock, office)
    clock.advance(hours=1)
    return Books(
        db=db, database=database, now=clock(), meter=first,
        sold=(sold[0], more[0], sold[1], *more[1:]), moved=moved, owed=owed, aside=aside,
        deposit=deposit, by_vendor=by_vendor, special=special, rekeyed=rekeyed,
    )  # fmt: skip


async def _vended(
    database: Database, clock: SettableClock, office: Office, notices: Sequence[PaymentNotice]
) -> list[int]:
    """Store notices as the server does and vend them; return their payments' numbers."""
    async with _sequencing(database, clock, office) as sequencer:
        return await _stored(database, clock, office.numbers, notices, sequencer.offer)


async def _stored(
    database: Database,
    clock: SettableClock,
    numbers: Numbers,
    notices: Sequence[PaymentNotice],
    on_stored: Callable[[Sequence[Payment]], None],
) -> list[int]:
    writer = Writer(database.dsn, seconds=5)
    inbox = Inbox(writer, numbers=numbers, on_stored=on_stored)
    running = asyncio.create_task(inbox.run())
    found = [
        await inbox.store(notice, product="prepaid", received_at=clock()) for notice in notices
    ]
    inbox.stop()
    await running
    writer.drop()
    assert all(isinstance(one, Stored) for one in found)
    return [one.payment_id for one in found]


async def _reassigned(
    database: Database,
    db: Connection,
    clock: SettableClock,
    office: Office,
    payment_id: int,
    meter: str,
) -> None:
    number = office.numbers.next()
    await db.execute(
        "insert into reassignment (reassignment_id, payment_id, meter_number, person, note,"
        " requested_at) values ($1, $2, $3, 'a person', 'a call', $4)",
        number, payment_id, meter, clock(),
    )  # fmt: skip
    row = await db.fetchrow("select * from payment where payment_id = $1", payment_id)
    assert row is not None
    payment = Payment(
        payment_id=payment_id,
        notice=a_notice(
            transaction_id=row["transaction_id"], amount_minor=row["amount_minor"],
            paid_at=row["paid_at"],
        ),
        product="prepaid",
        received_at=row["received_at"],
    )  # fmt: skip
    claim = Claim(payment=payment, reference=meter, reassignment=number)
    async with _sequencing(database, clock, office) as sequencer:
        sequencer.offer_swept([claim])


async def _rekeyed(database: Database, db: Connection, clock: SettableClock, office: Office) -> int:
    """Order key changes of two meters, and sell to one; return the payment with the codes."""
    meters = [a_meter(phones=("+254712000003",)), a_meter()]
    for meter in meters:
        await directory.register(db, meter, now=clock())
    held = Description(sgc=SGC, krn=1, key_type=2, dkga="04", base_date="14", ken=255)
    wanted = [Wanted(meter_number=meter.meter_number, ti=2) for meter in meters]
    await key_orders.order(
        db, wanted, held=[held], numbers=office.numbers, who="Achieng", note="a new index",
        now=clock(),
    )  # fmt: skip
    clock.advance(minutes=1)
    notice = a_notice(account_reference=meters[0].meter_number)
    return (await _vended(database, clock, office, [notice]))[0]


async def _set_aside(
    database: Database, db: Connection, clock: SettableClock, numbers: Numbers
) -> int:
    """Leave a payment undecided for a person, as the sequencer does with one it cannot vend."""
    (payment_id,) = await _stored(database, clock, numbers, [a_notice()], lambda _payments: None)
    await db.execute(
        "insert into quarantine (quarantine_id, operator, reason, transaction_id, payment_id,"
        " payload, digest, detail, received_at)"
        " select 1, operator, 'cannot_be_vended', transaction_id, payment_id, raw, '\\x00', '',"
        " received_at from payment where payment_id = $1",
        payment_id,
    )
    return payment_id


async def _sold_by_a_vendor(
    database: Database, db: Connection, clock: SettableClock, office: Office, meter: str
) -> tuple[int, int]:
    """Take a vendor on, let it pay in and sell; return its deposit's and its sale's numbers."""
    await accounts.add(db, "acme", name="Acme", who="Jane", now=clock())
    await credentials.issue_key(db, "acme", Grant(), seals=Seals("x" * 32), who="Jane", now=clock())
    await commission.add(
        db, "acme", product="prepaid", effective_from=clock(), bands=[Band(rate_ppm=20_000)],
        who="Jane", now=clock(),
    )  # fmt: skip
    numbers = [office.numbers.next(), office.numbers.next()]
    for number in numbers:
        slip = Slip(vendor_id="acme", bank="kcb", bank_reference=f"FT{number}", amount_minor=80_000)
        await deposits.propose(db, slip, deposit_id=number, who="Jane", now=clock())
    await deposits.confirm(db, numbers[0], entry_id=office.numbers.next, who="Otieno", now=clock())
    sale = a_payment(
        operator="vendor:acme", short_code="-", account_reference=meter, paid_at=clock()
    )
    async with _sequencing(database, clock, office) as sequencer:
        await sequencer.sell(sale)
    return numbers[0], sale.payment_id


async def _given(
    database: Database, db: Connection, clock: SettableClock, office: Office, meter: str
) -> tuple[int, ...]:
    """Make special tokens: two of a vendor, one asked for by Jane and approved by Otieno."""
    caps = Caps(tokens=2, energy_wh=50_000)
    wishes = [
        (SpecialKind.FREE_BASIC, 50_000, "vendor:acme", "202611", None),
        (SpecialKind.POWER_LIMIT, 5_000, "vendor:acme", None, None),
        (SpecialKind.FREE_ISSUE, 10_000, caller_of("Jane"), None, "Otieno"),
    ]
    numbers = [office.numbers.next() for _ in wishes]
    await db.execute(
        "insert into special_request (request_id, kind, meter_number, value, reason, note,"
        " asked_by, asked_at, approved, judged_by, judged_at) values ($1, 'free_issue', $2, 10000,"
        " 'compensation', 'a call', 'Jane', $3, true, 'Otieno', $3)",
        numbers[-1], meter, clock(),
    )  # fmt: skip
    async with _sequencing(database, clock, office) as sequencer:
        for number, (kind, value, operator, entitlement, checker) in zip(
            numbers, wishes, strict=True
        ):
            facts = facts_of(kind, place="-", meter=meter, value=value)
            payment = a_payment(
                operator=operator, transaction_id=str(number), amount_minor=0, raw=facts
            )
            asked = SpecialAsked(
                kind=kind, value=value, entitlement=entitlement, reason=Reason.COMPENSATION,
                asked_by=operator.partition(":")[2], approved_by=checker, day=clock().date(),
                caps=caps, request_id=number if checker else None,
            )  # fmt: skip
            payment = replace(payment, payment_id=number)
            claim = Claim(payment=payment, reference=meter, stored=False, special=asked)
            await sequencer.issue(claim)
    return tuple(numbers)


@asynccontextmanager
async def _sequencing(
    database: Database, clock: SettableClock, office: Office
) -> AsyncIterator[Sequencer]:
    """Run a sequencer; leaving it finishes what it was given."""
    writer = Writer(database.dsn, seconds=5)
    sequencer = Sequencer(
        writer,
        lease_wanted=Lease(shard=0, owner="test", seconds=30),
        batch_max=500,
        open_office=lambda: office,
        clock=clock,
        numbers=office.numbers,
        on_committed=lambda _decided: None,
    )
    running = asyncio.create_task(sequencer.run())
    async with asyncio.timeout(30):
        while not sequencer.running:
            await asyncio.sleep(0)
        yield sequencer
        sequencer.stop()
        await running
    writer.drop()
