"""What tills ask before they sell, and of their accounts and shifts; nothing is sold by asking."""

import pytest

from tests.api.xmlvend.tills import Till, Told, of_meter, purchase
from tests.builders import SGC
from tests.conftest import SettableClock
from tests.vendors.market import Market
from vending.meters import directory
from vending.meters.meter import meter_pan


async def test_a_customer_is_confirmed_with_limits_and_the_meter_s_key(
    acme: Till, market: Market, meter: str, clock: SettableClock
) -> None:
    told = await acme.ask("confirmCustomerReq", of_meter(meter))
    assert told.status == 200, told.body
    assert told.text("canVend") == "true"
    assert told.one("minVendAmt").attrib["symbol"] == "KES"
    assert float(told.one("maxVendAmt").attrib["value"]) > 500
    assert told.one("meterDetail").attrib == {"msno": meter, "sgc": SGC, "krn": "1", "ti": "01"}
    assert told.one("meterType").attrib == {"at": "07", "tt": "02"}
    await directory.block(market.yard.db, meter, now=clock())
    blocked = await acme.ask("confirmCustomerReq", of_meter(meter))
    assert (blocked.status, blocked.text("canVend")) == (200, "false")
    assert "meter_blocked" in blocked.text("operatorMsg")


async def test_a_customer_s_name_is_masked_and_free_units_are_told(
    acme: Till, market: Market, meter: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await acme.ask("confirmCustomerReq", of_meter(meter))).text("fbeDue") == "false"
    await market.yard.db.execute(
        "update meter set customer_name = 'Jane Wanjiku', free_month_wh = 50000"
    )
    told = await acme.ask("confirmCustomerReq", of_meter(meter))
    assert told.one("custVendDetail").attrib["name"] == "J*** W******"
    assert told.text("fbeDue") == "true"
    assert b"Wanjiku" not in told.body
    assert "Wanjiku" not in caplog.text


async def test_a_terminal_signs_in_and_is_told_its_balance(acme: Till) -> None:
    first, again = await acme.ask("loginReq"), await acme.ask("loginReq")
    assert (first.text("CDUBalance"), first.text("MaxVendAmt")) == ("50000.00", "50000.00")
    assert (first.text("ID"), first.text("TID")) == (again.text("ID"), again.text("TID"))
    numbered = Till(acme.api, acme.key, terminal="0000000000042")
    assert (await numbered.ask("loginReq")).text("TID") == "42"


async def test_a_customer_is_known_by_the_meter_alone(acme: Till) -> None:
    by_account = '<idMethod><custIdentifier accNo="44-101-7"/></idMethod>'
    for request in ("confirmCustomerReq", "reprintReq"):
        told = await acme.ask(request, by_account)
        assert told.fault == ("ConfirmCustomerEx", "customer_unknown")


async def test_a_meter_is_confirmed_by_its_number_or_its_card(acme: Till, meter: str) -> None:
    by_number = await acme.ask("confirmMeterReq", of_meter(meter))
    track2 = f"{meter_pan(meter)}=00000207123456011"
    card = f"<meterIdentifier><track2Data>{track2}</track2Data></meterIdentifier>"
    by_card = await acme.ask("confirmMeterReq", f"<idMethod>{card}</idMethod>")
    assert by_number.status == by_card.status == 200
    assert by_number.one("meterDetail").attrib == by_card.one("meterDetail").attrib


async def test_a_trial_is_the_sale_with_noughts_and_sells_nothing(
    acme: Till, market: Market, meter: str
) -> None:
    tried = await acme.ask("trialCreditVendReq", purchase(meter))
    assert tried.status == 200, tried.body
    assert (tried.token, await market.tokens()) == ("0" * 20, 0)
    assert await market.app.fetchval("select count(*) from quote") == 0
    made = await acme.sell(meter)
    assert sums(tried) == sums(made)
    assert tried.one("units").attrib == made.one("units").attrib
    units = f'{of_meter(meter)}<purchaseValue><units value="10"/></purchaseValue>'
    by_units = await acme.ask("trialCreditVendReq", units)
    assert float(by_units.one("units").attrib["value"]) >= 10


async def test_a_trial_does_what_a_sale_would_be_refused_for(acme: Till, meter: str) -> None:
    small = await acme.ask("trialCreditVendReq", purchase(meter, "0.01"))
    assert small.fault == ("BusinessRuleEx", "amount_too_small")
    assert "minimum_minor=" in small.text("desc")


async def test_a_statement_has_the_float_and_its_movements_newest_first(
    acme: Till, meter: str
) -> None:
    await acme.sell(meter)
    told = await acme.ask("vendorStatementReq")
    assert told.status == 200, told.body
    body = told.body.decode()
    assert "49500.00" in body
    assert body.index("-500.00") < body.index('"50000.00"')


async def test_a_shift_is_opened_totalled_closed_and_printed_again(
    acme: Till, meter: str, clock: SettableClock
) -> None:
    assert (await shift(acme, "total")).fault == ("CheckBatchTotalEx", "batch_total_refused")
    assert (await shift(acme, "end")).fault == ("EndBatchEx", "shift_unknown")
    assert (await reprinted(acme)).fault == ("ReprintEndBatchEx", "batch_none")
    started = await shift(acme, "start")
    assert (started.status, started.one("startedBatch").attrib["seqNo"]) == (200, "1")
    assert (await shift(acme, "start")).fault == ("StartBatchEx", "shift_open")
    clock.advance(seconds=1)
    assert (await acme.sell(meter)).status == 200
    other = Till(acme.api, acme.key, terminal="TILL-8")
    clock.advance(seconds=60)
    assert (await other.sell(meter)).status == 200
    for told in (await shift(acme, "total"), await shift(acme, "end"), await reprinted(acme)):
        assert told.status == 200, told.body
        assert told.one("batchTot").attrib["value"] == "500.00"
        assert "1 sales" in [one.text for one in told.all("desc")]
    again = await shift(acme, "start")
    assert again.one("startedBatch").attrib["seqNo"] == "2"


async def test_of_batches_within_batches_there_are_shifts_alone(acme: Till) -> None:
    for level in ("Sales", "Bank", "AllBatches"):
        kind = f"Start{level}" + ("" if level == "AllBatches" else "Batch") + "Req"
        told = await acme.send(acme.message("startBatchReq", kind=kind))
        assert told.fault == ("UseCaseSupportEx", "use_case_unsupported")


async def shift(till: Till, act: str) -> Told:
    kind = f"{act.title()}ShiftBatchReq"
    return await till.send(till.message(f"{act}BatchReq", kind=kind))


async def reprinted(till: Till) -> Told:
    return await till.send(till.message("reprintEndBatchReq", kind="ReprintEndShiftBatchReq"))


def sums(told: Told) -> list[str]:
    return [one.attrib["value"] for one in told.all("amt")]
