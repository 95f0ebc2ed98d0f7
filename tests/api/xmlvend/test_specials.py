"""Tokens without money over XMLVend: what each is, who may have it, how often, and why not."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sts_core

from tests.api.conftest import Serve, Served
from tests.api.v1.conftest import settings
from tests.api.v1.stalls import busy
from tests.api.xmlvend.tills import Till, Told, a_number, of_meter
from tests.builders import a_meter, a_meter_number
from tests.conftest import SettableClock
from tests.database import Database
from tests.offices import a_ring
from tests.vendors.market import PRICE, Market
from vending.meters import directory
from vending.meters.meter import Meter
from vending.postgres.pool import Connection
from vending.vendors import credentials
from vending.vendors.credentials import Grant
from vending.vendors.seals import Seals
from vending.vendors.vendor import USUAL_SCOPES, Scope

ENTITLED = "update meter set free_month_wh = $2 where meter_number = $1"

POWER = '<pwrLmt value="{}" siUnit="kW"/>'
TYPE = '<meterType at="07" tt="02"/>'

TESTS = {
    "TestAllReq": 0, "TestBreakerReq": 1, "TestDisplayReq": 2, "DispConsTotReq": 3,
    "DispKRNReq": 4, "DispTIReq": 5, "DispPwrLmtReq": 7, "DispTamperReq": 8,
    "DispInstPwrReq": 9, "DispVerReq": 10, "DispPhUnbalanceReq": 11,
}  # fmt: skip


class Engineer(Till):
    """A till that may have tokens without money."""

    async def free(self, element: str, meter: str, *, number: int | str = "") -> Told:
        return await self.ask(element, of_meter(meter), number=number)

    async def engineer(
        self, kind: str, meter: str, more: str = "", *, number: int | str = ""
    ) -> Told:
        inner = of_meter(meter) + more
        body = self.message("meterSpecificEngReq", inner, kind=kind, number=number)
        return await self.send(body)

    async def test(self, kind: str, *, number: int | str = "", inner: str = TYPE) -> Told:
        body = self.message("nonMeterSpecificEngReq", inner, kind=kind, number=number)
        return await self.send(body)


@pytest.fixture
async def allowed() -> dict[str, Any]:
    """Return what the utility allows a vendor; a test may allow less."""
    return {"free_issue_kwh": 15}


@pytest.fixture
async def keys(market: Market, seals: Seals, clock: SettableClock) -> list[str]:
    """Give acme a second key, for everything, and bolt one for free units alone."""
    secrets = []
    for vendor, scopes in (("acme", frozenset(Scope)), ("bolt", {Scope.FREE_ISSUE})):
        key = await credentials.issue_key(
            market.app, vendor, Grant(scopes=frozenset(scopes)), seals=seals, who="Jane",
            now=clock(),
        )  # fmt: skip
        secrets.append(key.secret)
    return secrets


@pytest.fixture
async def api(
    serve: Serve, database: Database, market: Market, keys: list[str], allowed: dict[str, Any]
) -> AsyncIterator[Served]:
    assert len(keys) == 2
    more = settings(database, **allowed)
    async with serve(sequencer=market.lane.sequencer, **more) as served:
        yield served


@pytest.fixture
def engineer(api: Served, keys: list[str]) -> Engineer:
    return Engineer(api, keys[0])


@pytest.fixture
async def found(market: Market) -> Meter:
    meter = await market.yard.meter()
    await market.yard.db.execute(ENTITLED, meter.meter_number, 50_000)
    return meter


@pytest.fixture
def meter(found: Meter) -> str:
    return found.meter_number


def virtual(meter: Meter) -> sts_core.VirtualMeter:
    return sts_core.VirtualMeter.commission(
        a_ring(), meter=meter.meter_number, ea=meter.ea, sgc=meter.sgc, krn=meter.krn, ti=meter.ti
    )


def read(token: str, meter: Meter) -> sts_core.Reading:
    key = a_ring().decoder_key(
        meter=meter.meter_number, ea=meter.ea, sgc=meter.sgc, krn=meter.krn, ti=meter.ti
    )
    return sts_core.decode(token, key)


async def test_a_months_free_units_are_a_token_that_the_meter_takes_for_nothing(
    engineer: Engineer, market: Market, found: Meter, meter: str
) -> None:
    made = await engineer.free("fbeReq", meter)
    assert made.status == 200, made.body
    assert made.root.find(".//{*}fbeResp") is not None
    taken = virtual(found).enter(made.token)
    assert (taken.accepted, taken.token_class, taken.amount) == (True, 0, 500)
    assert made.one("units").attrib == {"value": "50.0", "siUnit": "kWh"}
    assert made.one("tenderAmt").attrib["value"] == "0.00"
    assert made.one("meterDetail").attrib["msno"] == meter
    assert (await market.tokens(), await market.balance()) == (0, 100 * PRICE)
    asked_by = await market.app.fetchval("select asked_by from special_token")
    assert asked_by.startswith("acme by ")


async def test_free_units_come_once_a_month_by_the_utilitys_own_calendar(
    engineer: Engineer, meter: str, clock: SettableClock
) -> None:
    number = a_number()
    first = await engineer.free("fbeReq", meter, number=number)
    assert (await engineer.free("fbeReq", meter)).fault == ("FBEEx", "free_units_none")
    # The last minute of November in Nairobi is 20:59 in UTC.
    now = clock()
    clock.advance(seconds=(now.replace(month=11, day=30, hour=20, minute=59) - now).total_seconds())
    assert (await engineer.free("fbeReq", meter)).fault == ("FBEEx", "free_units_none")
    clock.advance(seconds=60)
    second = await engineer.free("fbeReq", meter)
    assert second.status == 200, second.body
    assert second.token != first.token
    again = await engineer.free("fbeReq", meter, number=number)
    assert again.token == first.token


async def test_a_free_issue_is_what_the_utility_says_and_once_a_meter(
    engineer: Engineer, found: Meter, meter: str
) -> None:
    number = a_number()
    made = await engineer.free("freeIssueReq", meter, number=number)
    assert virtual(found).enter(made.token).amount == 150
    assert (await engineer.free("freeIssueReq", meter, number=number)).body == made.body
    assert (await engineer.free("freeIssueReq", meter)).fault == ("FBEEx", "free_units_none")


async def test_a_meter_that_is_due_nothing_gets_nothing(engineer: Engineer, market: Market) -> None:
    plain = (await market.yard.meter()).meter_number
    assert (await engineer.free("fbeReq", plain)).fault == ("FBEEx", "free_units_none")


@pytest.mark.parametrize(
    ("kind", "more", "subclass", "carried", "told"),
    [
        ("PwrLmtReq", POWER.format("5"), 0, 5_000, "5.0"),
        ("PwrLmtReq", POWER.format("16.385"), 0, 16_385, "16.394"),
        ("PhUnbalReq", POWER.format("0.8"), 6, 800, "0.8"),
        ("ClearCreditReq", "", 1, 0, None),
        ("ClearTamperReq", "", 5, 0, None),
    ],
)
async def test_a_token_that_sets_a_meter_is_class_2_and_says_what_it_carries(
    engineer: Engineer, found: Meter, meter: str,
    kind: str, more: str, subclass: int, carried: int, told: str | None,
) -> None:  # fmt: skip
    number = a_number()
    made = await engineer.engineer(kind, meter, more, number=number)
    assert made.status == 200, made.body
    reading = read(made.token, found)
    assert (reading.token_class, reading.subclass) == (2, subclass)
    if carried < 16_384:
        assert reading.field16 == carried
    assert virtual(found).enter(made.token).accepted
    assert [one.attrib["value"] for one in made.all("pwrLmt")] == ([told] if told else [])
    assert (await engineer.engineer(kind, meter, more, number=number)).body == made.body


@pytest.mark.parametrize("kind", TESTS)
async def test_a_token_that_tests_any_meter_is_class_1(
    engineer: Engineer, found: Meter, kind: str
) -> None:
    number = a_number()
    made = await engineer.test(kind, number=number)
    assert made.status == 200, made.body
    reading = sts_core.decode(made.token)
    assert reading.token_class == 1
    assert reading.control == sts_core.meter_test_control(TESTS[kind])
    assert virtual(found).enter(made.token).accepted
    advised = await engineer.advise("LastResp", number)
    assert (advised.status, advised.token) == (200, made.token)


async def test_a_test_for_a_type_of_meter_that_nobody_knows_is_one_for_any(
    engineer: Engineer,
) -> None:
    made = await engineer.test("TestAllReq", inner='<meterType at="?" tt="x"/>')
    assert made.one("meterType").attrib == {"at": "07", "tt": "02"}
    named = await engineer.test("TestAllReq", inner='<meterType at="11" tt="01"/>')
    assert named.one("meterType").attrib == {"at": "11", "tt": "01"}


async def test_there_is_no_token_for_a_default_credit(engineer: Engineer, meter: str) -> None:
    told = await engineer.engineer("DefCreditReq", meter)
    assert told.fault == ("UseCaseSupportEx", "use_case_unsupported")


async def test_the_advice_finds_a_token_without_money_and_no_sale_is_made_under_its_message(
    engineer: Engineer, market: Market, meter: str
) -> None:
    numbers = [a_number(), a_number()]
    free = await engineer.free("fbeReq", meter, number=numbers[0])
    power = await engineer.engineer("PwrLmtReq", meter, POWER.format("5"), number=numbers[1])
    for number, made in zip(numbers, (free, power), strict=True):
        advised = await engineer.advise("LastResp", number)
        assert (advised.status, advised.token) == (200, made.token), advised.body
        confirmed = await engineer.advise("Confirmation", number)
        assert confirmed.one("adviceResp").attrib["txConfirmed"] == "true"
        kept = await engineer.advise("Reversal", number)
        assert kept.one("adviceResp").attrib["txReversed"] == "false"
        assert "not undone" in kept.text("operatorMsg")
        sold = await engineer.sell(meter, number=number)
        assert sold.fault == ("BusinessRuleEx", "reference_barred")
    assert await market.tokens() == 0


async def test_an_advice_before_the_request_bars_it(
    engineer: Engineer, market: Market, meter: str
) -> None:
    number = a_number()
    asked = await engineer.advise("LastResp", number)
    assert asked.fault == ("LastResponseEx", "original_unknown")
    late = await engineer.free("fbeReq", meter, number=number)
    assert late.fault == ("BusinessRuleEx", "reference_barred")
    again = await engineer.advise("LastResp", number)
    assert again.fault == ("LastResponseEx", "original_unknown")
    assert (await engineer.free("fbeReq", meter)).status == 200


async def test_the_advice_about_a_refused_request_has_its_fault_and_bars_it(
    engineer: Engineer, market: Market
) -> None:
    plain = await market.yard.meter()
    number = a_number()
    none = ("FBEEx", "free_units_none")
    assert (await engineer.free("fbeReq", plain.meter_number, number=number)).fault == none
    told = await engineer.advise("LastResp", number)
    assert (told.status, told.fault) == (200, none)
    await market.yard.db.execute(ENTITLED, plain.meter_number, 50_000)
    late = await engineer.free("fbeReq", plain.meter_number, number=number)
    assert late.fault == ("BusinessRuleEx", "reference_barred")


async def test_copies_of_a_request_at_once_are_one_token(
    engineer: Engineer, market: Market, meter: str
) -> None:
    number = a_number()
    told = await asyncio.gather(*(engineer.free("fbeReq", meter, number=number) for _ in range(20)))
    assert {one.status for one in told} == {200}
    assert len({one.token for one in told}) == 1
    assert await market.app.fetchval("select count(*) from special_token") == 1


async def test_a_message_that_asks_for_something_else_conflicts(
    engineer: Engineer, meter: str, clock: SettableClock
) -> None:
    number = a_number()
    conflicts = ("BusinessRuleEx", "special_conflicts")
    assert (await engineer.free("fbeReq", meter, number=number)).status == 200
    other = await engineer.engineer("ClearTamperReq", meter, number=number)
    assert other.fault == conflicts
    sold = a_number()
    assert (await engineer.sell(meter, number=sold)).status == 200
    assert (await engineer.free("freeIssueReq", meter, number=sold)).fault == conflicts


async def test_without_the_scope_nothing_is_given(
    acme: Till, api: Served, keys: list[str], market: Market, meter: str
) -> None:
    missing = ("RequestAuthorisationEx", "scope_missing")
    plain = Engineer(api, acme.key)
    assert not USUAL_SCOPES & {Scope.FREE_ISSUE, Scope.ENGINEERING}
    for told in (
        await plain.free("fbeReq", meter),
        await plain.free("freeIssueReq", meter),
        await plain.engineer("ClearTamperReq", meter),
        await plain.test("TestAllReq"),
    ):
        assert told.fault == missing
    gifts = Engineer(api, keys[1])
    assert (await gifts.free("fbeReq", meter)).status == 200
    assert (await gifts.engineer("ClearTamperReq", meter)).fault == missing
    assert await market.app.fetchval("select count(*) from special_token") == 1


async def test_each_thing_wrong_with_a_request_has_its_own_fault(
    engineer: Engineer, market: Market, db: Connection, clock: SettableClock, meter: str
) -> None:
    unknown = await engineer.free("fbeReq", a_meter_number())
    assert unknown.fault == ("UnknownMeterEx", "meter_unknown")
    mistyped = await engineer.engineer("ClearTamperReq", "12345678901")
    assert mistyped.fault == ("MSNOCheckDigitEx", "meter_number_malformed")
    much = await engineer.engineer("PwrLmtReq", meter, POWER.format("18201.625"))
    assert much.fault == ("BusinessRuleEx", "special_malformed")
    unsaid = await engineer.engineer("PwrLmtReq", meter)
    assert unsaid.fault == ("XMLVendSchemaEx", "xmlvend_malformed")
    keyless = a_meter(sgc="999999")
    await directory.register(db, keyless, now=clock())
    closed = await engineer.engineer("ClearTamperReq", keyless.meter_number)
    assert closed.fault == ("SGCAuthorisationEx", "key_missing")
    await directory.block(db, meter, now=clock())
    blocked = await engineer.free("fbeReq", meter)
    assert blocked.fault == ("BlockedMeterEx", "meter_blocked")
    assert (await engineer.engineer("ClearTamperReq", meter)).status == 200


class TestCaps:
    """A utility that allows a vendor three tokens and 60 kWh in a day, and no free issue."""

    @pytest.fixture
    def allowed(self) -> dict[str, Any]:
        return {"day_tokens": 3, "day_free_kwh": 60}

    async def test_the_cap_of_a_day_holds_for_energy_and_for_tokens(
        self, engineer: Engineer, market: Market, meter: str, clock: SettableClock
    ) -> None:
        capped = ("RequestAuthorisationEx", "daily_cap_reached")
        other = (await market.yard.meter()).meter_number
        await market.yard.db.execute(ENTITLED, other, 20_000)
        assert (await engineer.free("fbeReq", meter)).status == 200
        number = a_number()
        assert (await engineer.free("fbeReq", other, number=number)).fault == capped
        for _ in range(2):
            assert (await engineer.test("TestAllReq")).status == 200
        assert (await engineer.test("TestAllReq")).fault == capped
        clock.advance(days=1)
        assert (await engineer.free("fbeReq", other, number=number)).status == 200

    async def test_a_utility_that_gives_no_free_issue_says_so(
        self, engineer: Engineer, meter: str
    ) -> None:
        assert (await engineer.free("freeIssueReq", meter)).fault == ("FBEEx", "free_units_none")


async def test_what_takes_too_long_is_made_all_the_same(
    engineer: Engineer, market: Market, meter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = a_number()
    monkeypatch.setattr("vending.api.xmlvend.specials.WAIT_SECONDS", 0.0)
    async with busy(market):
        told = await engineer.free("fbeReq", meter, number=number)
        assert told.fault == ("SystemEx", "sale_pending")
        assert told.headers["Retry-After"] == "1"
    monkeypatch.setattr("vending.api.xmlvend.specials.WAIT_SECONDS", 25.0)
    made = await engineer.advise("LastResp", number)
    assert made.status == 200, made.body
    assert (await engineer.free("fbeReq", meter, number=number)).token == made.token
