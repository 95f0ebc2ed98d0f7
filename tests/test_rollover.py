"""A meter whose identifiers are used up takes tokens again under a key of a later base date."""

from collections.abc import AsyncIterator

import pytest
import sts_core

from tests.builders import SGC, VENDING_KEY, a_meter
from tests.conftest import SettableClock
from tests.database import Database
from tests.offices import an_office
from tests.test_key_requests import Crew, of, why
from tests.test_rekeying import OTHER_KEY
from vending.in_flight import NOTHING
from vending.key_data import codes_of
from vending.meters import directory
from vending.meters.meter import Meter
from vending.numbering import Numbers
from vending.postgres.pool import Connection
from vending.postgres.writer import Writer
from vending.tokens import key_orders
from vending.tokens.issuer import CoreIssuer
from vending.tokens.key_orders import Wanted
from vending.tokens.keys import Description
from vending.vend import Prepared

KEYS = {1: ("93", VENDING_KEY), 2: ("14", OTHER_KEY)}


def a_ring() -> sts_core.KeyRing:
    ring = sts_core.KeyRing()
    for krn, (base, key) in KEYS.items():
        ring.load(
            sgc=SGC, krn=krn, key_type=2, dkga="04", base_date=base, ken=255,
            key=bytearray.fromhex(key),
        )  # fmt: skip
    return ring


@pytest.fixture
async def crew(db: Connection, database: Database, clock: SettableClock) -> AsyncIterator[Crew]:
    await db.execute("insert into sequencer_lease values (0, 'test', 1, $1)", clock())
    writer = Writer(database.dsn, seconds=5.0)
    crew = Crew(db, writer, clock)
    crew.office = an_office(clock, issuer=CoreIssuer(a_ring()))
    yield crew
    writer.drop()


@pytest.fixture
async def meter(crew: Crew) -> Meter:
    meter = a_meter(tid_base=93)
    await directory.register(crew.db, meter, now=crew.clock())
    return meter


async def ordered(crew: Crew, meter: Meter) -> None:
    held = [
        Description(sgc=SGC, krn=krn, key_type=2, dkga="04", base_date=base, ken=255)
        for krn, (base, _) in KEYS.items()
    ]
    await key_orders.order(
        crew.db, [Wanted(meter_number=meter.meter_number, krn=2)], held=held,
        numbers=Numbers(crew.clock, node=9), who="Achieng", note="rollover", now=crew.clock(),
    )  # fmt: skip


@pytest.mark.parametrize("by_order", [True, False])
async def test_a_meter_takes_tokens_of_all_kinds_after_its_identifiers_begin_anew(
    crew: Crew,
    meter: Meter,
    by_order: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    assert why(await crew.prepare(crew.pay(meter))) == "identifiers_exhausted"
    change: Prepared | None = None
    if by_order:
        await ordered(crew, meter)
    else:
        change = await crew.prepare(crew.ask(meter))
    sold = await crew.prepare(
        crew.pay(meter),
        crew.clear_tamper(meter, name="2"),
        crew.pay(meter),
        on=change.leaves if change else NOTHING,
    )
    if change:
        await crew.write(change)
    await crew.write(sold)
    late = await crew.prepare(crew.clear_tamper(meter, name="3"), crew.pay(meter))
    await crew.write(late)
    tokens = [of(sold, 0), of(sold, 2), of(sold, 1), of(late, 1), of(late, 0)]
    tids = [one.tid or 0 for one in tokens]
    assert {one.tid_base for one in tokens} == {14}
    assert tids == sorted(set(tids))
    judge = sts_core.VirtualMeter.commission(
        a_ring(), meter=meter.meter_number, ea=meter.ea, sgc=SGC, krn=1, ti=1
    )
    for code in codes_of(of(change or sold).key_change):
        judge.enter(code)
    assert all(judge.enter(str(one.token)).accepted for one in tokens)
