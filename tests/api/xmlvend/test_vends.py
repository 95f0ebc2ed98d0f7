"""Selling over XMLVend: one message is one sale, and an advice is the truth for ever."""

import asyncio
import re
from typing import Any

import pytest

from tests.api.v1.conftest import Caller
from tests.api.v1.stalls import busy
from tests.api.xmlvend.tills import SOAP_12, STAMP, Till, a_number, of_meter, purchase
from tests.builders import a_meter, a_meter_number
from tests.conftest import SettableClock
from tests.vendors.market import PRICE, Market
from tests.yard import until
from vending.meters import directory


async def test_a_sale_is_answered_with_its_token_and_the_same_message_with_the_same(
    acme: Till, market: Market, meter: str, clock: SettableClock
) -> None:
    number = a_number()
    made = await acme.sell(meter, number=number)
    assert made.status == 200, made.body
    assert len(made.token) == 20
    paid = [int(one.attrib["value"].replace(".", "")) for one in made.all("amt")]
    rounded = [int(one.attrib["value"].replace(".", "")) for one in made.all("lessRound")]
    assert sum(paid) + sum(rounded) == 50_000
    assert made.one("tenderAmt").attrib["value"] == "500.00"
    assert made.one("reqMsgID").attrib["uniqueNumber"] == str(number)
    assert made.one("meterDetail").attrib["msno"] == meter
    assert made.one("availCredit").attrib["value"] == "49500.00"
    clock.advance(days=400)
    again = await acme.sell(meter, number=f"0{number}")
    assert again.token == made.token
    renumbered = made.body.replace(f'"{number}"'.encode(), f'"0{number}"'.encode())
    assert again.body == renumbered
    assert await market.balance() == 99 * PRICE


async def test_a_message_with_other_facts_is_not_taken_for_a_repetition(
    acme: Till, market: Market, meter: str
) -> None:
    number = a_number()
    assert (await acme.sell(meter, number=number)).status == 200
    other = await acme.sell(meter, number=number, amount="600.00")
    assert other.fault == ("BusinessRuleEx", "reference_reused")
    assert await market.tokens() == 1


async def test_thirty_copies_of_a_message_at_once_are_one_token(
    acme: Till, market: Market, meter: str
) -> None:
    number = a_number()
    answers = await asyncio.gather(*(acme.sell(meter, number=number) for _ in range(30)))
    assert {one.status for one in answers} == {200}
    assert len({one.token for one in answers}) == 1
    assert (await market.tokens(), await market.balance()) == (1, 99 * PRICE)


async def test_units_are_sold_for_the_smallest_sum_that_buys_them(acme: Till, meter: str) -> None:
    units = f'{of_meter(meter)}<purchaseValue><units value="10.0" siUnit="kWh"/></purchaseValue>'
    made = await acme.ask("creditVendReq", units)
    assert made.status == 200, made.body
    assert float(made.one("units").attrib["value"]) >= 10


async def test_two_vendors_with_the_same_message_do_not_see_each_other(
    acme: Till, bolt: Till, market: Market, meter: str
) -> None:
    number = a_number()
    first = await acme.sell(meter, number=number)
    asked = await bolt.advise("LastResp", number)
    assert asked.fault == ("LastResponseEx", "original_unknown")
    second = await bolt.sell(meter, number=number)
    assert second.fault == ("BusinessRuleEx", "reference_barred")
    third = await bolt.sell(meter)
    assert third.token != first.token
    assert await market.balance("bolt") == 9 * PRICE
    reprinted = await bolt.ask("reprintReq", of_meter(meter))
    assert [one.text for one in reprinted.all("stsCipher")] == [third.token]


async def test_after_a_time_out_the_advice_has_the_whole_original_answer(
    acme: Till, market: Market, meter: str
) -> None:
    number = a_number()
    async with busy(market):
        asking = asyncio.create_task(acme.sell(meter, number=number))
        await until(lambda: market.lane.sequencer.waiting > 1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    truth = await acme.advise("LastResp", number, soap=SOAP_12)
    assert truth.headers["Content-Type"].startswith("application/soap+xml")
    assert truth.token == (await acme.sell(meter, number=number)).token
    assert await market.tokens() == 2


async def test_a_sale_that_is_not_made_yet_is_undone(
    acme: Till, market: Market, meter: str
) -> None:
    number = a_number()
    async with busy(market):
        selling = asyncio.create_task(acme.sell(meter, number=number))
        await until(lambda: market.lane.sequencer.waiting > 1)
        undoing = asyncio.create_task(acme.advise("Reversal", number))
        await until(lambda: market.lane.sequencer.waiting > 2)
    undone = await undoing
    assert undone.one("adviceResp").attrib["txReversed"] == "true"
    assert (await selling).fault == ("BusinessRuleEx", "reference_barred")
    assert (await market.tokens(), await market.balance()) == (1, 100 * PRICE)


async def test_the_advice_about_a_sale_has_its_answer_word_for_word(acme: Till, meter: str) -> None:
    number = a_number()
    made = await acme.sell(meter, number=number)
    told = await acme.advise("LastResp", number)
    assert told.status == 200, told.body
    assert told.token == made.token
    assert told.one("adviceReqMsgID").attrib["uniqueNumber"] == str(number)
    assert [one.attrib for one in told.all("amt")] == [one.attrib for one in made.all("amt")]


async def test_an_advice_about_an_unknown_message_bars_it_before_it_arrives(
    acme: Till, market: Market, meter: str
) -> None:
    for kind, fault in (
        ("LastResp", ("LastResponseEx", "original_unknown")),
        ("Confirmation", ("ConfirmationEx", "confirmation_unknown")),
        ("Reversal", ("ReversalEx", "reversal_unknown")),
    ):
        number = a_number()
        assert (await acme.advise(kind, number)).fault == fault
        assert (await acme.advise(kind, number)).fault == fault
        late = await acme.sell(meter, number=number)
        assert (late.status, late.fault) == (500, ("BusinessRuleEx", "reference_barred"))
    assert await market.tokens() == 0
    assert (await acme.sell(meter)).status == 200


async def test_the_advice_about_a_refusal_has_its_fault_and_it_may_be_sold_again(
    acme: Till, market: Market, meter: str
) -> None:
    number = a_number()
    small = await acme.sell(meter, number=number, amount="0.01")
    assert small.fault == ("BusinessRuleEx", "amount_too_small")
    told = await acme.advise("LastResp", number)
    assert (told.status, told.fault) == (200, ("BusinessRuleEx", "amount_too_small"))
    again = await acme.sell(meter, number=number)
    assert again.fault == ("BusinessRuleEx", "reference_barred")
    told = await acme.advise("LastResp", number)
    assert told.fault == ("LastResponseEx", "original_unknown")
    assert (await acme.sell(meter)).status == 200
    assert await market.balance() == 99 * PRICE


async def test_a_sale_is_confirmed_and_is_not_undone_once_its_token_is_out(
    acme: Till, market: Market, meter: str
) -> None:
    number = a_number()
    await acme.sell(meter, number=number)
    confirmed = await acme.advise("Confirmation", number)
    assert confirmed.one("adviceResp").attrib["txConfirmed"] == "true"
    for _ in range(2):
        kept = await acme.advise("Reversal", number)
        assert kept.one("adviceResp").attrib["txReversed"] == "false"
        assert "dispute" in kept.text("operatorMsg")
    assert await market.balance() == 99 * PRICE
    cases = await market.app.fetchval("select count(*) from dispute")
    assert cases == 1


async def test_the_last_receipts_are_printed_again_as_copies_that_are_counted(
    acme: Till, meter: str, clock: SettableClock
) -> None:
    tokens = []
    for _ in range(4):
        tokens.append((await acme.sell(meter)).token)
        clock.advance(seconds=40)
    first = await acme.ask("reprintReq", of_meter(meter))
    assert [one.text for one in first.all("stsCipher")] == tokens[:0:-1]
    assert [one.text for one in first.all("dispHeader")] == ["COPY", *["COPY 1"] * 3]
    second = await acme.ask("reprintReq", of_meter(meter))
    assert [one.text for one in second.all("dispHeader")] == ["COPY", *["COPY 2"] * 3]


async def test_a_receipt_printed_too_often_is_left_out_and_then_refused(
    acme: Till, meter: str, clock: SettableClock
) -> None:
    first = await acme.sell(meter)
    for copy in range(1, 10):
        told = await acme.ask("reprintReq", of_meter(meter))
        assert [one.text for one in told.all("dispHeader")] == ["COPY", f"COPY {copy}"]
    clock.advance(seconds=40)
    second = await acme.sell(meter)
    both = await acme.ask("reprintReq", of_meter(meter))
    assert [one.text for one in both.all("stsCipher")] == [second.token, first.token]
    left = await acme.ask("reprintReq", of_meter(meter))
    assert [one.text for one in left.all("stsCipher")] == [second.token]
    said = next(one.text for one in left.all("operatorMsg"))
    assert said == "1 more, printed again too often."
    for copy in range(3, 11):
        told = await acme.ask("reprintReq", of_meter(meter))
        assert [one.text for one in told.all("dispHeader")] == ["COPY", f"COPY {copy}"]
    spent = await acme.ask("reprintReq", of_meter(meter))
    assert spent.fault == ("ReprintEx", "reprints_exhausted")


async def test_a_receipt_that_was_never_printed_is_not_printed_again(
    acme: Till, meter: str
) -> None:
    assert (await acme.ask("reprintReq", of_meter(meter))).fault == ("ReprintEx", "reprint_none")


async def test_an_exhausted_float_sells_nothing_and_the_same_message_sells_after_a_deposit(
    bolt: Till, market: Market
) -> None:
    meters = [(await market.yard.meter()).meter_number for _ in range(11)]
    for meter in meters[:10]:
        assert (await bolt.sell(meter)).status == 200
    number = a_number()
    empty = await bolt.sell(meters[10], number=number)
    assert empty.fault == ("VendorCreditEx", "float_insufficient")
    assert await market.tokens() == 10
    await market.deposit(PRICE, "bolt")
    assert (await bolt.sell(meters[10], number=number)).status == 200
    assert await market.balance("bolt") == 0


async def test_each_thing_wrong_with_a_meter_has_its_own_fault(
    acme: Till, market: Market, meter: str, clock: SettableClock
) -> None:
    unknown = await acme.sell(a_meter_number())
    assert unknown.fault == ("UnknownMeterEx", "meter_unknown")
    mistyped = await acme.sell("12345678901")
    assert mistyped.fault == ("MSNOCheckDigitEx", "meter_number_malformed")
    await directory.block(market.yard.db, meter, now=clock())
    blocked = await acme.sell(meter)
    assert blocked.fault == ("BlockedMeterEx", "meter_blocked")
    trial = await acme.ask("trialCreditVendReq", purchase(meter))
    assert trial.fault == ("BlockedMeterEx", "meter_blocked")
    large = await acme.sell((await market.yard.meter()).meter_number, amount="99999999.00")
    assert large.fault == ("BusinessRuleEx", "amount_too_large")
    assert (await market.tokens(), await market.balance()) == (0, 100 * PRICE)


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        ({"status": "removed"}, ("BlockedMeterEx", "meter_removed")),
        ({"tariff": "NO-SUCH"}, ("InsufficientMeterDataEx", "tariff_unknown")),
        ({"tariff_category": "XX"}, ("InsufficientMeterDataEx", "tariff_category_unknown")),
        ({"tid_base": 35}, ("LatestKRNEx", "identifiers_exhausted")),
        ({"ken": 1}, ("LatestKRNEx", "key_expired")),
        ({"sgc": "999999"}, ("SGCAuthorisationEx", "key_missing")),
        ({"key_type": 1}, ("STSDataEx", "key_unfit")),
    ],
    ids=str,
)
async def test_a_meter_whose_record_is_in_the_way_has_the_precise_fault(
    acme: Till, market: Market, record: dict[str, Any], fault: tuple[str, str]
) -> None:
    meter = a_meter(**record)
    await directory.register(market.yard.db, meter, now=market.yard.clock())
    assert (await acme.sell(meter.meter_number)).fault == fault
    assert (await market.tokens(), await market.balance()) == (0, 100 * PRICE)


async def test_the_same_purchase_again_within_seconds_is_suspected(
    acme: Till, market: Market, meter: str, clock: SettableClock
) -> None:
    assert (await acme.sell(meter)).status == 200
    assert (await acme.sell(meter)).fault == ("BusinessRuleEx", "duplicate_suspected")
    clock.advance(seconds=31)
    assert (await acme.sell(meter)).status == 200
    assert await market.tokens() == 2


async def test_what_takes_too_long_is_to_be_asked_for(
    acme: Till, market: Market, meter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = a_number()
    monkeypatch.setattr("vending.api.xmlvend.vends.WAIT_SECONDS", 0.0)
    async with busy(market):
        for told in (await acme.sell(meter, number=number), await acme.advise("LastResp", number)):
            assert told.fault == ("SystemEx", "sale_pending")
            assert told.headers["Retry-After"] == "1"
    monkeypatch.setattr("vending.api.xmlvend.vends.WAIT_SECONDS", 25.0)
    assert (await acme.sell(meter, number=number)).status == 200


async def test_tills_and_the_json_api_sell_over_one_counter(
    acme: Till, meter: str, clock: SettableClock
) -> None:
    number = a_number()
    sold = await acme.sell(meter, number=number)
    vendor = Caller(acme.api, "acme", acme.key)
    found = await vendor.get(f"/v1/sales/6001234500015:TILL-7:{STAMP}:{number}")
    assert (found.json["token"], found.json["till"]) == (sold.token, "TILL-7")
    clock.advance(seconds=40)
    body = {"reference": "web-1", "meter": meter, "outlet": "web", "amount_minor": 50_000}
    made = await vendor.post("/v1/sales", body, headers={"Prefer": "wait=25"})
    reprinted = await acme.ask("reprintReq", of_meter(meter))
    assert [one.text for one in reprinted.all("stsCipher")] == [made.json["token"], sold.token]


async def test_a_till_may_be_called_anything(acme: Till, market: Market, meter: str) -> None:
    strange = Till(acme.api, acme.key, terminal="Kiosk 7 / Ñandú, near the market")
    number = a_number()
    made = await strange.sell(meter, number=number)
    assert made.status == 200, made.body
    assert (await strange.advise("LastResp", number)).token == made.token
    place = await market.app.fetchval("select short_code from payment")
    assert re.fullmatch(r"6001234500015/Kiosk_7___[A-Za-z0-9._-]{1,22}", place)
