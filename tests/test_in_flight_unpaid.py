"""Tokens without money, and debts paid off, prepared on what is in flight.

Each batch is written before or after the next one has read, and the next comes out alike.
"""

from collections.abc import AsyncIterator, Sequence

import pytest

from tests.builders import a_meter, a_payment
from tests.conftest import SettableClock
from tests.database import Database
from tests.test_in_flight import ADD_DEBT
from tests.test_specials import ACME, Desk
from tests.test_vend import FENCE
from vending.claims import Account, Claim, Terms
from vending.in_flight import NOTHING
from vending.meters.meter import Meter
from vending.payments.outcomes import Outcome
from vending.postgres.pool import Connection
from vending.postgres.writer import Writer
from vending.tokens.special import Caps, SpecialKind
from vending.values import replace
from vending.vend import prepare, write
from vending.vendors.vendor import ACCOUNT_PRODUCT

FEW = Caps(tokens=3, energy_wh=100_000)
MONTH = "202611"

Told = list[str | Outcome]
"""Of each claim its outcome, or the code of its refusal."""


class Counter(Desk):
    """Prepares one batch on another that is written before it reads, or after."""

    def free(self, reference: str, value: int, meter: Meter, *, entitlement: str) -> Claim:
        return self.ask(
            SpecialKind.FREE_BASIC,
            value,
            meter,
            reference=reference,
            caps=FEW,
            entitlement=entitlement,
        )

    def clear(self, reference: str, meter: Meter) -> Claim:
        return self.ask(SpecialKind.CLEAR_TAMPER, 0, meter, reference=reference, caps=FEW)

    def paying(self, reference: str, minor: int, meter: Meter) -> Claim:
        payment = a_payment(
            account_reference=meter.meter_number, operator=ACME, transaction_id=reference,
            amount_minor=minor,
        )  # fmt: skip
        return Claim(
            payment=replace(payment, product=ACCOUNT_PRODUCT), reference=meter.meter_number,
            stored=False, terms=Terms(pays=Account.DEBT, confirmed=True),
        )  # fmt: skip

    async def overlapped(
        self, first: Sequence[Claim], second: Sequence[Claim], *, seen: bool
    ) -> tuple[Told, Told]:
        now = self.clock()
        before = await prepare(self.db, first, in_flight=NOTHING, office=self.office, now=now)
        if seen:
            await write(self.writer, before, fence=FENCE)
        after = await prepare(self.db, second, in_flight=before.leaves, office=self.office, now=now)
        if not seen:
            await write(self.writer, before, fence=FENCE)
        await write(self.writer, after, fence=FENCE)
        told = [
            [one if isinstance(one, Outcome) else one.code for one in results]
            for results in (before.results, after.results)
        ]
        return told[0], told[1]


@pytest.fixture
async def counter(
    db: Connection, database: Database, clock: SettableClock
) -> AsyncIterator[Counter]:
    await db.execute("insert into sequencer_lease values (0, 'test', 1, $1)", clock())
    await db.execute("insert into vendor_float (vendor_id, balance_minor) values ('acme', 50000)")
    writer = Writer(database.dsn, seconds=5.0)
    yield Counter(db, writer, clock)
    writer.drop()


@pytest.fixture
async def meter(counter: Counter) -> Meter:
    meter = a_meter()
    await counter.has(meter)
    return meter


@pytest.mark.parametrize("seen", [True, False])
async def test_references_caps_entitlements_and_identifiers_in_flight_count(
    counter: Counter,
    meter: Meter,
    seen: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    paid = a_payment(account_reference=meter.meter_number)
    await counter.store(paid)
    sale = replace(counter.paying("b", 10_000, meter), terms=None)
    first, second = await counter.overlapped(
        [counter.free("a", 50_000, meter, entitlement=MONTH), counter.clear("b", meter)],
        [
            counter.free("a", 50_000, meter, entitlement=MONTH),
            counter.free("c", 40_000, meter, entitlement=MONTH),
            counter.free("d", 60_000, meter, entitlement="202612"),
            counter.clear("e", meter),
            counter.clear("f", meter),
            sale,
            Claim(payment=paid, reference=meter.meter_number),
        ],
        seen=seen,
    )
    assert second[0] == first[0]
    assert [second[place] for place in (1, 2, 4, 5)] == [
        "free_units_none", "daily_cap_reached", "daily_cap_reached", "reference_barred",
    ]  # fmt: skip
    in_order = [one for one in (*first, second[6], second[3]) if isinstance(one, Outcome)]
    tids = [one.tid or 0 for one in in_order]
    assert len(tids) == 4
    assert tids == sorted(set(tids))
    assert await counter.db.fetchval("select last_tid from meter_state") == tids[-1]


@pytest.mark.parametrize("seen", [True, False])
async def test_debts_floats_and_references_in_flight_count(
    counter: Counter,
    meter: Meter,
    seen: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    for number, minor in ((1, 30_000), (2, 25_000)):
        await counter.db.execute(ADD_DEBT, meter.meter_number, number, 0, minor, counter.clock())
    await counter.db.execute("update meter_state set open_debts = 2")
    first, second = await counter.overlapped(
        [counter.paying("a", 35_000, meter)],
        [
            counter.paying("a", 35_000, meter),
            counter.paying("b", 20_001, meter),
            counter.paying("c", 15_001, meter),
            counter.paying("d", 15_000, meter),
            counter.paying("e", 1, meter),
        ],
        seen=seen,
    )
    assert second[0] == first[0]
    assert second[1:3] == ["debt_exceeded", "float_insufficient"]
    assert isinstance(second[3], Outcome)
    assert second[4] == "float_insufficient"
    assert await counter.db.fetchval("select sum(balance_minor) from debt") == 5_000
    assert await counter.db.fetchval("select open_debts from meter_state") == 1
    assert await counter.db.fetchval("select balance_minor from vendor_float") == 0
