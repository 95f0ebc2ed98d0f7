"""Key changes that vendors ask for, through the story: what is in flight counts, and who is first.

The whole way from the till to the meter is in tests/api/xmlvend/test_key_requests.py.
"""

from collections.abc import AsyncIterator
from datetime import datetime

import asyncpg
import pytest

from tests.builders import SGC, a_meter, a_payment
from tests.conftest import SettableClock
from tests.database import Database
from tests.offices import an_office
from tests.test_rekeying import FENCE, a_judge, a_ring
from vending.claims import Claim
from vending.errors import Refused
from vending.in_flight import NOTHING, InFlight
from vending.key_data import KeyData, codes_of
from vending.meters import directory
from vending.meters.meter import Meter
from vending.payments.outcomes import Outcome
from vending.postgres import pool
from vending.postgres.pool import Connection
from vending.postgres.writer import Writer
from vending.tokens.issuer import CoreIssuer, TokenRefused
from vending.tokens.key_requests import KeyAsking, KeyName, KeysAsked
from vending.tokens.special import Caps, Reason, SpecialAsked, SpecialKind
from vending.values import replace
from vending.vend import Prepared, prepare, write

FIRST, SECOND, THIRD = ((SGC, 1, 1), (SGC, 2, 1), (SGC, 1, 2))


class Unwilling(CoreIssuer):
    """An issuer that makes no codes, for a reason of its own."""

    def change_key(self, meter: Meter, new: KeyData, *, at: datetime) -> tuple[str, ...]:
        raise TokenRefused(meter_number=meter.meter_number, rule="unwilling")


class Crew:
    """Asks for key changes, and sells, on what is in flight."""

    def __init__(self, db: Connection, writer: Writer, clock: SettableClock) -> None:
        self.db = db
        self.writer = writer
        self.clock = clock
        self.office = an_office(clock, issuer=CoreIssuer(a_ring()))

    def ask(
        self, meter: Meter, old: KeyName = FIRST, new: KeyName | None = SECOND, *, name: str = "1"
    ) -> Claim:
        kind = KeyAsking.UPDATE if new is None else KeyAsking.CHANGE
        asked = KeysAsked(kind=kind, old=old, new=new, asked_by="acme by till")
        sale = self.sale(meter, name=name)
        payment = replace(sale.payment, payment_id=self.office.numbers.next())
        return replace(sale, payment=payment, special=asked)

    def clear_tamper(self, meter: Meter, *, name: str = "1") -> Claim:
        kind = SpecialKind.CLEAR_TAMPER
        asked = SpecialAsked(
            kind=kind, value=0, reason=Reason.FIELD_WORK, asked_by="acme by till",
            day=self.clock().date(), caps=Caps(tokens=9, energy_wh=0),
        )  # fmt: skip
        return replace(self.ask(meter, name=name), special=asked)

    def sale(self, meter: Meter, *, name: str) -> Claim:
        payment = a_payment(
            account_reference=meter.meter_number, operator="vendor:acme", transaction_id=name
        )
        return Claim(payment=payment, reference=meter.meter_number, stored=False)

    def pay(self, meter: Meter) -> Claim:
        payment = a_payment(account_reference=meter.meter_number)
        return Claim(payment=payment, reference=meter.meter_number, stored=False)

    async def prepare(self, *claims: Claim, on: InFlight = NOTHING) -> Prepared:
        return await prepare(self.db, claims, in_flight=on, office=self.office, now=self.clock())

    async def write(self, prepared: Prepared) -> None:
        await write(self.writer, prepared, fence=FENCE)


@pytest.fixture
async def crew(db: Connection, database: Database, clock: SettableClock) -> AsyncIterator[Crew]:
    await db.execute("insert into sequencer_lease values (0, 'test', 1, $1)", clock())
    writer = Writer(database.dsn, seconds=5.0)
    yield Crew(db, writer, clock)
    writer.drop()


@pytest.fixture
async def meter(crew: Crew) -> Meter:
    meter = a_meter()
    await directory.register(crew.db, meter, now=crew.clock())
    return meter


def of(prepared: Prepared, number: int = 0) -> Outcome:
    result = prepared.results[number]
    assert isinstance(result, Outcome), result
    return result


def why(prepared: Prepared, number: int = 0) -> str:
    result = prepared.results[number]
    assert isinstance(result, Refused), result
    return result.code


@pytest.mark.parametrize("seen", [True, False])
async def test_what_is_prepared_on_a_key_change_in_flight_is_under_the_new_key(
    crew: Crew,
    meter: Meter,
    seen: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    before = await crew.prepare(crew.ask(meter))
    if seen:
        await crew.write(before)
    after = await crew.prepare(
        crew.pay(meter), crew.ask(meter), crew.ask(meter, THIRD, None, name="2"), on=before.leaves
    )
    if not seen:
        await crew.write(before)
    await crew.write(after)
    assert of(after, 1) == of(before)
    change = of(after, 2).key_change
    assert change is not None
    assert change.new.name == SECOND
    judge = a_judge(meter)
    assert [judge.enter(one).accepted for one in codes_of(of(before).key_change)][-1]
    assert judge.enter(str(of(after).token)).accepted


async def test_a_batch_moves_a_meter_once_and_the_first_to_ask_has_it(
    crew: Crew, meter: Meter
) -> None:
    first = crew.ask(meter)
    told = await crew.prepare(
        first, crew.ask(meter), crew.ask(meter, SECOND, THIRD, name="2"),
        crew.ask(meter, FIRST, THIRD), crew.pay(meter),
    )  # fmt: skip
    await crew.write(told)
    assert of(told, 1) == of(told)
    assert (why(told, 2), why(told, 3)) == ("key_change_waits", "special_conflicts")
    judge = a_judge(meter)
    # Decided before it, the sale of the same batch is still under the key that the meter leaves.
    assert judge.enter(str(of(told, 4).token)).accepted
    assert [judge.enter(one).result for one in codes_of(of(told).key_change)][-1] == "Accept"


@pytest.mark.parametrize("token_first", [True, False])
async def test_a_reference_gets_codes_or_a_token_and_never_both(
    crew: Crew,
    meter: Meter,
    token_first: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    keys, token = crew.ask(meter), crew.clear_tamper(meter)
    told = await crew.prepare(*((token, keys) if token_first else (keys, token)))
    await crew.write(told)
    given, refused = (0, 1) if token_first else (1, 0)
    assert of(told, given).token is not None
    assert why(told, refused) == "special_conflicts"
    assert await crew.db.fetchval("select count(*) from key_change_order") == 0


async def test_a_vendor_that_is_suspended_changes_no_more_keys(crew: Crew, meter: Meter) -> None:
    await crew.db.execute(
        "insert into vendor (vendor_id, name, status, created_at)"
        " values ('acme', 'Acme', 'suspended', now())"
    )
    await crew.db.execute("insert into vendor_float (vendor_id) values ('acme')")
    assert why(await crew.prepare(crew.ask(meter))) == "vendor_suspended"


async def test_codes_are_not_written_for_a_meter_whose_record_has_changed_meanwhile(
    crew: Crew, meter: Meter
) -> None:
    for claim in (crew.ask(meter), crew.ask(meter, THIRD, None, name="2")):
        told = await crew.prepare(claim)
        async with crew.db.transaction():
            await crew.db.execute("update meter set ti = 7")
        with pytest.raises(asyncpg.NotNullViolationError):
            await crew.write(told)
        await crew.db.execute("update meter set ti = 1")
    for table in ("key_change", "key_change_order", "sale_barred"):
        assert await crew.db.fetchval(f"select count(*) from {table}") == 0


async def test_a_key_change_waits_for_nobody_who_is_changing_the_meters_record(
    crew: Crew, meter: Meter, database: Database
) -> None:
    told = await crew.prepare(crew.ask(meter))
    other = await pool.connect(database.dsn)
    async with other.transaction():
        await other.execute("update meter set region = 'West'")
        with pytest.raises(asyncpg.NotNullViolationError):
            await crew.write(told)
    await pool.part(other)
    await crew.write(await crew.prepare(crew.ask(meter)))
    assert await crew.db.fetchval("select krn from meter") == 2


async def test_a_meter_of_another_key_type_or_base_date_than_its_key_gets_no_codes(
    crew: Crew, meter: Meter
) -> None:
    await crew.db.execute("update meter set tid_base = 93")
    assert why(await crew.prepare(crew.ask(meter))) == "key_unfit"
    await crew.db.execute("update meter set tid_base = 14, key_type = 1")
    assert why(await crew.prepare(crew.ask(meter))) == "key_unfit"
    await crew.db.execute("update meter set key_type = 2")
    crew.office = an_office(crew.clock, issuer=Unwilling(a_ring()))
    assert why(await crew.prepare(crew.ask(meter))) == "token_refused"
