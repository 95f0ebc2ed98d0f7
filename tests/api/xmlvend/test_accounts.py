"""Debts paid at a till: PayAcc takes the money once, answers what is left, and issues nothing."""

from tests.api.xmlvend.tills import Till, Told, a_number, of_meter
from tests.conftest import SettableClock
from tests.vendors.market import PRICE, Market
from vending.api.v1.table import OPERATIONS
from vending.selling.sale import ReferenceReused

DEBT = "insert into debt values ($1, $2, $3, 1, 'percent', 100000, 0, $4, '', $5)"


async def owes(market: Market, meter: str, **kinds: int) -> None:
    for number, (kind, minor) in enumerate(kinds.items()):
        await market.yard.db.execute(DEBT, meter, number, kind, minor, market.yard.clock())
    await market.yard.db.execute("update meter_state set open_debts = $1", len(kinds))


async def paid(
    till: Till, meter: str, amount: str, kind: str = "DebtRecovery", number: int | str = ""
) -> Told:
    account = f'<payAccount xsi:type="{kind}">{of_meter(meter)}<desc>arrears</desc></payAccount>'
    inner = f'{account}<reqAmt value="{amount}" symbol="KES"/>'
    return await till.ask("payAccReq", inner, number=number)


async def test_a_debt_is_paid_once_and_the_receipt_has_what_is_left(
    acme: Till, market: Market, meter: str
) -> None:
    await owes(market, meter, arrears=90_000)
    before, number = await market.balance(), a_number()
    told = await paid(acme, meter, "400.00", number=number)
    assert told.status == 200, told.body
    assert told.root.tag.endswith("Envelope")
    assert told.one("accDesc").text == "arrears"
    assert told.one("balance").attrib["value"] == "500.00"
    assert told.one("tenderAmt").attrib["value"] == "400.00"
    assert told.all("stsCipher") == []
    again = await paid(acme, meter, "400.00", number=number)
    assert again.one("payAccReceipt").attrib == told.one("payAccReceipt").attrib
    other = await paid(acme, meter, "300.00", number=number)
    assert other.fault == ("BusinessRuleEx", "reference_reused")
    assert await market.balance() == before - 40_000
    assert await market.tokens() == 0


async def test_advice_about_a_payment_has_the_three_outcomes_of_a_sale(
    acme: Till, market: Market, meter: str
) -> None:
    await owes(market, meter, arrears=90_000)
    made, refused, unknown = a_number(), a_number(), a_number()
    told = await paid(acme, meter, "400.00", number=made)
    await paid(acme, meter, "5000.00", number=refused)
    found = await acme.advise("LastResp", made)
    receipt = told.one("payAccReceipt").attrib
    assert found.one("payAccReceipt").attrib == receipt
    assert (await acme.advise("LastResp", refused)).text("faultCode") == "debt_exceeded"
    assert (await acme.advise("LastResp", unknown)).fault == ("LastResponseEx", "original_unknown")
    late = await paid(acme, meter, "400.00", number=unknown)
    assert late.fault == ("BusinessRuleEx", "reference_barred")
    assert (await acme.advise("Confirmation", made)).status == 200
    undone = await acme.advise("Reversal", made)
    assert undone.one("adviceResp").attrib["txReversed"] == "false"
    copy = await acme.ask("reprintReq", of_meter(meter))
    assert copy.one("payAccReceipt").attrib == receipt


async def test_each_kind_of_account_has_its_own_debts_and_its_own_fault(
    acme: Till, bolt: Till, market: Market, meter: str
) -> None:
    assert (await paid(acme, meter, "1.00")).fault == ("DebtEx", "debt_none")
    nothing = await paid(acme, meter, "1.00", "ServiceChrg")
    assert nothing.fault == ("ServiceChrgEx", "service_charge_none")
    await owes(market, meter, arrears=11 * PRICE, service_charge=5_000)
    charge = await paid(acme, meter, "50.00", "ServiceChrg")
    assert charge.one("accDesc").text == "service_charge"
    short = await paid(bolt, meter, "5500.00")
    assert short.fault == ("VendorCreditEx", "float_insufficient")
    rest = await paid(acme, meter, "5500.00", "PayAccount")
    assert rest.one("balance").attrib["value"] == "0.00"
    by_account = '<payAccount><idMethod><custIdentifier accNo="4"/></idMethod></payAccount>'
    unknown = await acme.ask("payAccReq", f'{by_account}<reqAmt value="1" symbol="KES"/>')
    assert unknown.fault == ("ConfirmCustomerEx", "customer_unknown")


async def test_a_payment_of_nothing_is_refused_like_a_sale_for_nothing(
    acme: Till, market: Market, meter: str
) -> None:
    await owes(market, meter, arrears=90_000)
    told = await paid(acme, meter, "0.00")
    assert told.fault == ("BusinessRuleEx", "amount_too_small"), told.body
    assert await market.yard.db.fetchval("select count(*) from payment") == 0


async def test_the_json_interface_says_that_the_reference_was_no_sale(
    acme: Till, market: Market, meter: str, clock: SettableClock
) -> None:
    await owes(market, meter, arrears=90_000)
    started = await acme.send(acme.message("startBatchReq", kind="StartShiftBatchReq"))
    assert started.status == 200
    clock.advance(seconds=1)
    number = a_number()
    await paid(acme, meter, "400.00", number=number)
    reference = await market.app.fetchval("select transaction_id from payment")
    headers = {"Authorization": f"Bearer {acme.key}"}
    async with acme.api.session.get(
        f"{acme.api.url}/v1/sales/{reference}", headers=headers
    ) as response:
        assert (response.status, (await response.json())["code"]) == (422, "reference_reused")
    for asked in ("sell", "findSale", "reprintSale"):
        (operation,) = [one for one in OPERATIONS if one.name == asked]
        assert ReferenceReused in operation.problems, asked
    total = await acme.send(acme.message("totalBatchReq", kind="TotalShiftBatchReq"))
    assert total.one("batchTot").attrib["value"] == "400.00"
    assert "1 sales" in [one.text for one in total.all("desc")]
