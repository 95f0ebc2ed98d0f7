"""The sandbox's waiting, its memory, and its tokens, without a server."""

import asyncio
from itertools import count

import pytest
import sts_core

from tests.conftest import SettableClock
from vending.meters.meter import MeterUnknown
from vending.numbering import Numbers
from vending.sandbox import meters, schedule, tokens
from vending.sandbox.meters import MAGIC, NOBODYS
from vending.sandbox.sandbox import Sandbox
from vending.selling.sale import (
    Pending,
    QuoteUnknown,
    ReferenceReused,
    Sale,
    SaleAsked,
    SaleUnknown,
)
from vending.tariffs.document import parse
from vending.tariffs.example import check
from vending.vendors.barred import ReferenceBarred

NUMBERS = {magic.name: magic.number for magic in MAGIC}
_references = count(1)


class Patience:
    """Lets the clock run for whoever waits, and counts the seconds."""

    def __init__(self, clock: SettableClock) -> None:
        self._clock = clock
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self._clock.advance(seconds=seconds)


@pytest.fixture
def patience(clock: SettableClock) -> Patience:
    return Patience(clock)


@pytest.fixture
def sandbox(clock: SettableClock, patience: Patience) -> Sandbox:
    return Sandbox(numbers=Numbers(clock, node=1), clock=clock, rest=patience)


def asked(name: str = "active", **facts: object) -> SaleAsked:
    given: dict[str, object] = {
        "vendor_id": "acme", "reference": f"S{next(_references):06d}", "point_of_sale": "Kisumu",
        "meter": NUMBERS[name], "amount_minor": 50_000,
    }  # fmt: skip
    return SaleAsked(**(given | facts))  # type: ignore[arg-type]


async def made(sandbox: Sandbox, wanted: SaleAsked) -> Sale:
    sale = await sandbox.sell(wanted, wait_seconds=25)
    assert isinstance(sale, Sale)
    return sale


async def test_a_slow_sale_is_waited_for_as_long_as_it_takes(
    sandbox: Sandbox, patience: Patience
) -> None:
    wanted = asked("slow")
    sale = await made(sandbox, wanted)
    assert patience.seconds == [3]
    assert not sale.repeated
    assert (await made(sandbox, wanted)).repeated
    assert patience.seconds == [3]


async def test_a_very_slow_sale_outlasts_every_wait(sandbox: Sandbox, patience: Patience) -> None:
    wanted = asked("very slow")
    assert isinstance(await sandbox.sell(wanted, wait_seconds=25), Pending)
    sale = await made(sandbox, wanted)
    assert patience.seconds == [25, 5]
    assert sale.repeated
    found = await sandbox.find("acme", wanted.reference)
    assert isinstance(found, Sale)
    assert found.outcome == sale.outcome


async def test_asking_for_the_truth_waits_for_a_slow_sale(
    sandbox: Sandbox, patience: Patience
) -> None:
    wanted = asked("very slow")
    await sandbox.sell(wanted, wait_seconds=1)
    settled = await sandbox.settle("acme", wanted.reference, wait_seconds=5)
    assert isinstance(settled, Pending)
    settled = await sandbox.settle("acme", wanted.reference, wait_seconds=50)
    assert isinstance(settled, Sale)
    assert patience.seconds == [1, 5, 24]


async def test_a_slow_sale_that_is_withdrawn_while_somebody_waits_is_barred(
    clock: SettableClock,
) -> None:
    asleep, wake = asyncio.Event(), asyncio.Event()

    async def rest(seconds: float) -> None:
        if seconds:
            asleep.set()
            await wake.wait()

    sandbox = Sandbox(numbers=Numbers(clock, node=1), clock=clock, rest=rest)
    wanted = asked("slow")
    waiting = asyncio.create_task(sandbox.sell(wanted, wait_seconds=25))
    await asleep.wait()
    await sandbox.reverse("acme", wanted.reference, reason="left", who="till", wait_seconds=5)
    wake.set()
    with pytest.raises(ReferenceBarred):
        await waiting


async def test_too_many_who_wait_are_told_that_it_is_pending(
    sandbox: Sandbox, patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vending.sandbox.sandbox.WAITING_MAX", 0)
    assert isinstance(await sandbox.sell(asked("slow"), wait_seconds=25), Pending)
    assert patience.seconds == []


async def test_the_oldest_references_and_quotes_of_a_vendor_are_forgotten(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vending.sandbox.world.SALES_MAX", 2)
    monkeypatch.setattr("vending.sandbox.world.QUOTES_MAX", 1)
    theirs = await made(sandbox, asked(vendor_id="bolt"))
    wanted = [asked() for _ in range(3)]
    sales = [await made(sandbox, one) for one in wanted]
    with pytest.raises(SaleUnknown):
        await sandbox.find("acme", wanted[0].reference)
    assert await sandbox.find("acme", wanted[2].reference) == sales[2]
    assert await sandbox.find("bolt", theirs.reference) == theirs
    again = await made(sandbox, wanted[0])
    assert again.outcome.token == sales[0].outcome.token
    quotes = [await sandbox.quote("acme", NUMBERS["active"], amount_minor=5_000) for _ in "12"]
    assert await sandbox.quoted("acme", quotes[1].quote_id) == quotes[1]
    with pytest.raises(QuoteUnknown):
        await sandbox.quoted("acme", quotes[0].quote_id)
    with pytest.raises(QuoteUnknown):
        await sandbox.quoted("bolt", quotes[1].quote_id)


async def test_a_slow_sale_keeps_its_facts_while_it_is_made(sandbox: Sandbox) -> None:
    wanted = asked("very slow")
    await sandbox.sell(wanted, wait_seconds=0)
    with pytest.raises(ReferenceReused):
        await sandbox.sell(asked("active", reference=wanted.reference), wait_seconds=0)


async def test_digits_differ_by_vendor_reference_and_facts(sandbox: Sandbox) -> None:
    first = asked(reference="A")
    sales = [
        await made(sandbox, first),
        await made(sandbox, asked(reference="B")),
        await made(sandbox, asked(reference="A", vendor_id="bolt")),
        await made(sandbox, asked(reference="C", amount_minor=50_100)),
    ]
    assert len({sale.outcome.token for sale in sales}) == 4


def test_a_token_is_right_under_the_public_key_and_carries_its_energy() -> None:
    magic = meters.find(NUMBERS["active"])
    ring = sts_core.KeyRing()
    ring.load(
        sgc=tokens.SGC, krn=tokens.KRN, key_type=2, dkga="04", base_date=str(tokens.TID_BASE),
        ken=tokens.KEN_NEVER, key=bytearray(tokens.PUBLIC_KEY),
    )  # fmt: skip
    for number in range(200):
        token = tokens.issued(magic.standing.meter, 21_500, seed=b"%d" % number)
        meter = sts_core.VirtualMeter.commission(
            ring, meter=magic.number, ea=7, sgc=tokens.SGC, krn=tokens.KRN, ti=1
        )
        assert (len(token.digits), token.energy_tenths) == (20, 215)
        assert meter.enter(token.digits).result in ("Accept", "OldError")


def test_the_tariffs_of_the_sandbox_come_out_as_they_say() -> None:
    for text in schedule.texts():
        document = parse(text)
        check(document.tariff, document.examples)


def test_every_magic_meter_has_a_number_that_can_be_typed() -> None:
    for magic in MAGIC:
        assert meters.find(magic.number) == magic
    with pytest.raises(MeterUnknown):
        meters.find(NOBODYS)
