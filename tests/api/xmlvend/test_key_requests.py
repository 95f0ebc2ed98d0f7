"""Key changes asked for at a till: the meter takes the codes, and the record never leaves it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
import sts_core

from tests.api.conftest import Serve, Served
from tests.api.v1.conftest import settings
from tests.api.xmlvend.tills import Till, Told, a_number, of_meter
from tests.builders import SGC, VENDING_KEY, a_meter_number
from tests.conftest import SettableClock
from tests.database import Database
from tests.offices import a_ring
from tests.orders import takes, to_index
from tests.vendors.market import Market
from vending.audit import auditor
from vending.audit.rule import Terms
from vending.meters import directory
from vending.meters.meter import meter_pan
from vending.postgres.pool import Connection
from vending.tokens.issuer import CoreIssuer
from vending.vendors import credentials
from vending.vendors.credentials import Grant, Issued
from vending.vendors.seals import Seals
from vending.vendors.vendor import USUAL_SCOPES, Scope

KEY_RULES = 6
"""The audit has so many about keys and their codes."""

OTHER_SGC, EXPIRED_SGC, EARLY_SGC = "600999", "600888", "600777"


@pytest.fixture
async def crew_key(
    office: Connection, acme_key: Issued, seals: Seals, clock: SettableClock
) -> Issued:
    """Give acme another key, which its technicians have."""
    assert acme_key.secret
    grant = Grant(scopes=USUAL_SCOPES | {Scope.ENGINEERING})
    return await credentials.issue_key(office, "acme", grant, seals=seals, who="Jane", now=clock())


@pytest.fixture
async def api(
    serve: Serve, database: Database, market: Market, crew_key: Issued
) -> AsyncIterator[Served]:
    """Serve the API once every key is there, with three more supply groups to move meters to."""
    assert crew_key.secret
    ring = a_ring()
    for sgc, base, ken in ((OTHER_SGC, "14", 255), (EXPIRED_SGC, "14", 1), (EARLY_SGC, "93", 255)):
        key = bytearray.fromhex(VENDING_KEY)
        ring.load(sgc=sgc, krn=1, key_type=2, dkga="04", base_date=base, ken=ken, key=key)
    CoreIssuer.__init__(market.diary, ring)
    async with serve(sequencer=market.lane.sequencer, **settings(database)) as served:
        yield served


@pytest.fixture
def crew(api: Served, crew_key: Issued) -> Till:
    return Till(api, crew_key.secret, terminal="CREW-1")


async def update(
    till: Till, meter: str, *, sgc: str = SGC, krn: str = "1", ti: str = "02", at: str = "07",
    number: int | str = "",
) -> Told:  # fmt: skip
    told = "".join(
        f' {name}="{value}"' for name, value in (("sgc", sgc), ("krn", krn), ("ti", ti)) if value
    )
    inner = f'<idMethod msno="{meter}"{told}><meterType at="{at}" tt="02"/></idMethod>'
    return await till.ask("updateMeterKeyReq", inner, number=number)


async def change(
    till: Till, meter: str, *, old: tuple[str, str, str] = (SGC, "1", "01"),
    new: tuple[str, str, str] = (SGC, "1", "02"), number: int | str = "",
) -> Told:  # fmt: skip
    names = [side + name for side in ("from", "to") for name in ("SGC", "KRN", "TI")]
    keys = " ".join(f'{name}="{value}"' for name, value in zip(names, old + new, strict=True))
    body = till.message(
        "meterSpecificEngReq", f"{of_meter(meter)}<kctData {keys}/>", kind="EngKCTReq",
        number=number,
    )  # fmt: skip
    return await till.send(body)


def codes(told: Told) -> list[str]:
    assert told.status == 200, told.body
    return [one.text or "" for one in told.all("stsCipher")]


async def on_record(market: Market, meter: str) -> tuple[str, int, int]:
    found = (await directory.find(market.app, [meter]))[meter]
    return found.sgc, found.krn, found.ti


async def audited(db: Connection, at: datetime) -> set[str]:
    """Return the rules about keys and their codes that do not hold."""
    ago = timedelta(days=30)
    terms = Terms(decided_before=at, paid_at_future=ago, paid_at_past=ago)
    found = [one async for one in auditor.examine(db, terms)]
    about = [one for one in found if one.rule.name.startswith(("codes-", "key-"))]
    assert len(about) == KEY_RULES
    return {one.rule.name for one in about if not one.holds}


async def test_a_meter_is_brought_from_its_card_to_the_record_which_stays(
    crew: Till, market: Market, meter: str, clock: SettableClock
) -> None:
    number = a_number()
    told = await update(crew, meter, number=number)
    assert len(told.all("updateMeterKeyResp")) == 1
    key = told.one("kctData").attrib
    assert (key["fromTI"], key["toTI"]) == ("02", "01")
    made = codes(told)
    assert await on_record(market, meter) == (SGC, 1, 1)
    sold = (await crew.sell(meter)).token
    assert takes(meter, *made, sold, ti=2) == ["1stKCT", "Accept", "Accept"]
    clock.advance(days=40)
    again = await update(crew, meter, number=number)
    assert codes(again) == made
    assert again.one("respDateTime").text == told.one("respDateTime").text
    assert await market.app.fetchval("select count(*) from key_change") == 1


async def test_a_card_tells_the_key_by_its_second_track(crew: Till, meter: str) -> None:
    card = f"{meter_pan(meter)}=00000207{SGC}021"
    told = await crew.ask(
        "updateMeterKeyReq", f"<idMethod><track2Data>{card}</track2Data></idMethod>"
    )
    read_off = await update(crew, meter)
    assert codes(told) == codes(read_off)
    broken = await crew.ask(
        "updateMeterKeyReq", f"<idMethod><track2Data>{card[:-1]}</track2Data></idMethod>"
    )
    assert broken.fault == ("STSDataEx", "meter_data_invalid")


async def test_a_change_from_the_recorded_key_takes_the_record_with_it(
    crew: Till, market: Market, db: Connection, meter: str, clock: SettableClock
) -> None:
    number = a_number()
    told = await change(crew, meter, number=number)
    assert len(told.all("engKCToken")) == 1
    made = codes(told)
    assert await on_record(market, meter) == (SGC, 1, 2)
    sold = (await crew.sell(meter)).token
    assert takes(meter, *made, sold) == ["1stKCT", "Accept", "Accept"]
    assert codes(await change(crew, meter, number=number)) == made
    assert await on_record(market, meter) == (SGC, 1, 2)
    other = await change(crew, meter, new=(SGC, "1", "03"), number=number)
    assert other.fault == ("BusinessRuleEx", "special_conflicts")
    assert (await update(crew, meter, ti="01", number=number)).fault == other.fault
    assert (await crew.sell(meter, number=number)).fault == ("BusinessRuleEx", "reference_barred")
    back = await change(crew, meter, old=(SGC, "1", "05"), new=(SGC, "1", "02"))
    assert takes(meter, *codes(back), ti=5) == ["1stKCT", "Accept"]
    assert await on_record(market, meter) == (SGC, 1, 2)
    clock.advance(minutes=5)
    assert await audited(db, clock()) == set()


async def test_a_meter_moves_to_another_supply_group(
    crew: Till, market: Market, meter: str
) -> None:
    made = codes(await change(crew, meter, new=(OTHER_SGC, "1", "01")))
    sold = (await crew.sell(meter)).token
    assert await on_record(market, meter) == (OTHER_SGC, 1, 1)
    judge = sts_core.VirtualMeter.commission(a_ring(), meter=meter, ea=7, sgc=SGC, krn=1, ti=1)
    assert [judge.enter(one).accepted for one in (*made, sold)][-1]


async def test_what_stands_against_a_change_is_the_precise_fault(
    crew: Till, market: Market, db: Connection, meter: str, clock: SettableClock
) -> None:
    elsewhere = (OTHER_SGC, "1", "01")
    recorded = (SGC, "1", "01")
    found = {
        "same": (await update(crew, meter, ti="01")).fault,
        "no such keys": (await change(crew, meter, new=recorded)).fault,
        "unknown": (await update(crew, a_meter_number())).fault,
        "not on record": (await change(crew, meter, old=elsewhere)).fault,
        "no vending key": (await update(crew, meter, sgc="999999")).fault,
        "no key to go to": (await change(crew, meter, new=("999999", "1", "01"))).fault,
        "expired": (await change(crew, meter, new=(EXPIRED_SGC, "1", "01"))).fault,
        "earlier": (await change(crew, meter, new=(EARLY_SGC, "1", "01"))).fault,
        "by number": (await update(crew, meter, sgc="")).fault,
        "no revision": (await update(crew, meter, krn="")).fault,
        "revision 0": (await update(crew, meter, krn="0")).fault,
        "another algorithm": (await update(crew, meter, at="11")).fault,
        "nobody's": (await change(crew, a_meter_number())).fault,
    }
    assert found == {
        "same": ("UpdateMtrKeySameEx", "key_same"),
        "no such keys": ("UpdateMtrKeySameEx", "key_same"),
        "unknown": ("UnknownMeterUpdateMtrKeyEx", "key_meter_unknown"),
        "not on record": ("STSDataEx", "key_not_on_record"),
        "no vending key": ("SGCAuthorisationEx", "key_missing"),
        "no key to go to": ("SGCAuthorisationEx", "key_missing"),
        "expired": ("LatestKRNEx", "key_expired"),
        "earlier": ("STSDataEx", "base_date_earlier"),
        "by number": ("RequireMeterCardEx", "meter_card_needed"),
        "no revision": ("InsufficientMeterDataEx", "meter_data_insufficient"),
        "revision 0": ("STSDataEx", "meter_data_invalid"),
        "another algorithm": ("STSDataEx", "meter_data_invalid"),
        "nobody's": ("UnknownMeterEx", "meter_unknown"),
    }
    await to_index(db, meter, 4, now=clock())
    waits = await change(crew, meter, new=elsewhere)
    assert waits.fault == ("BusinessRuleEx", "key_change_waits")
    assert await market.app.fetchval("select count(*) from key_change") == 0
    await db.execute("update meter set status = 'removed'")
    assert (await update(crew, meter)).fault == ("BlockedMeterEx", "meter_removed")


async def test_a_due_meter_is_brought_to_the_record_first_and_moves_on_with_its_sale(
    crew: Till, db: Connection, meter: str, clock: SettableClock
) -> None:
    await to_index(db, meter, 4, now=clock())
    made = codes(await update(crew, meter))
    token, *more = codes(await crew.sell(meter))
    results = takes(meter, *made, *more, token, ti=2)
    assert results == ["1stKCT", "Accept", "1stKCT", "Accept", "Accept"]


async def test_without_permission_no_key_is_changed(acme: Till, market: Market, meter: str) -> None:
    refused = ("RequestAuthorisationEx", "scope_missing")
    assert (await update(acme, meter)).fault == refused
    assert (await change(acme, meter)).fault == refused
    assert await market.app.fetchval("select count(*) from key_change_order") == 0


async def test_advice_finds_a_key_change_and_bars_one_that_never_came(
    crew: Till, bolt: Till, market: Market, meter: str
) -> None:
    updated, changed, unknown = a_number(), a_number(), a_number()
    first = codes(await update(crew, meter, number=updated))
    second = codes(await change(crew, meter, number=changed))
    found = await crew.advise("LastResp", updated)
    assert (codes(found), found.one("kctData").attrib["toTI"]) == (first, "01")
    assert codes(await crew.advise("LastResp", changed)) == second
    assert (await crew.advise("Confirmation", changed)).status == 200
    undone = await crew.advise("Reversal", changed)
    assert undone.one("adviceResp").attrib["txReversed"] == "false"
    assert (await bolt.advise("LastResp", updated)).fault[0] == "LastResponseEx"
    assert (await crew.advise("LastResp", unknown)).fault == ("LastResponseEx", "original_unknown")
    refused = a_number()
    assert (await change(crew, meter, new=(SGC, "1", "01"), number=refused)).fault[1] == "key_same"
    assert (await crew.advise("LastResp", refused)).fault == ("LastResponseEx", "original_unknown")
    late = await change(crew, meter, old=(SGC, "1", "02"), new=(SGC, "1", "01"), number=unknown)
    assert late.fault == ("BusinessRuleEx", "reference_barred")
    assert await on_record(market, meter) == (SGC, 1, 2)


async def test_a_message_that_was_a_sale_is_no_key_change(crew: Till, meter: str) -> None:
    number = a_number()
    assert (await crew.sell(meter, number=number)).status == 200
    assert (await change(crew, meter, number=number)).fault == (
        "BusinessRuleEx", "special_conflicts",
    )  # fmt: skip


async def test_many_messages_at_once_move_a_meter_one_key_at_a_time(
    crew: Till, market: Market, meter: str
) -> None:
    number = a_number()
    same = [change(crew, meter, number=number) for _ in range(4)]
    others = [change(crew, meter, new=(SGC, "1", f"{ti:02d}")) for ti in range(3, 7)]
    sales = [crew.sell(meter, amount=f"{amount}.00") for amount in range(500, 504)]
    told = await asyncio.gather(*same, *others, *sales)
    moved = await market.app.fetchval("select count(*) from key_change")
    assert moved == 1
    made = [one for one in told[:8] if one.status == 200]
    assert len({tuple(codes(one)) for one in made}) == 1
    refused = {one.fault[1] for one in told[:8] if one.status != 200}
    assert refused <= {"key_not_on_record", "key_change_waits"}
    _, _, index = await on_record(market, meter)
    last = (await crew.sell(meter, amount="700.00")).token
    assert takes(meter, *codes(made[0]), last) == ["1stKCT", "Accept", "Accept"]
    assert index == int(made[0].one("kctData").attrib["toTI"])
