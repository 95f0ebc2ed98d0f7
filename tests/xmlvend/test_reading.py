"""Requests as tills send them: every golden file is read to the value it means."""

import gzip
import re
from pathlib import Path

import pytest

from tests.xmlvend.answers import SHILLINGS
from tests.xmlvend.golden import GOLDEN
from tests.xmlvend.schema import payload_faults
from vending.xmlvend import read_request
from vending.xmlvend import requests as ask
from vending.xmlvend.errors import Reason, UseCaseUnsupported, XmlvendMalformed
from vending.xmlvend.identity import Device, DeviceKind, MessageId, Soap
from vending.xmlvend.reading import USE_CASES

REQUESTS = {path.stem: path.read_bytes() for path in sorted((GOLDEN / "requests").glob("*.xml"))}
STRICT = [name for name in REQUESTS if name.endswith(".strict")]

METER = ask.MeterNumber(number="37124567895")
CARD = ask.MeterCard(track2="6007270000000000009=00000207123456011")
ORIGINAL = MessageId(
    client=Device(kind=DeviceKind.EAN, text="6001234500015"),
    terminal=Device(kind=DeviceKind.GENERIC, text="TILL-7"),
    stamp="20261122092959",
    number="088",
)
CASH = ask.Tender(by=ask.PayWith.CASH, amount_minor=100_000)


def details(revision: str) -> ask.MeterData:
    return ask.MeterData(
        number="37124567895",
        supply_group="600675",
        key_revision=revision,
        tariff_index="07",
        algorithm="07",
        technology="02",
    )


def customer(by: ask.CustomerBy, text: str) -> ask.ConfirmCustomer:
    return ask.ConfirmCustomer(identity=ask.CustomerIdentity(by=by, text=text))


def sale(
    amount_minor: int | None = None,
    energy_wh: int | None = None,
    tender: ask.Tender | None = None,
    *,
    trial: bool = False,
) -> ask.CreditVend:
    return ask.CreditVend(
        trial=trial, meter=METER, amount_minor=amount_minor, energy_wh=energy_wh, tender=tender
    )


def engineering(kind: ask.EngineeringKind, power_w: int | None = None) -> ask.Engineering:
    return ask.Engineering(kind=kind, meter=METER, power_w=power_w)


MEANT: dict[str, ask.Request] = {
    "login.strict": ask.Login(),
    "login.said_to_be_utf16": ask.Login(),
    "confirm_customer.bare": ask.ConfirmCustomer(identity=METER),
    "confirm_customer_by_meter.strict": ask.ConfirmCustomer(identity=METER),
    "confirm_customer_by_account.strict": customer(ask.CustomerBy.ACCOUNT, "44-101-7"),
    "confirm_customer_by_name.strict": customer(ask.CustomerBy.NAME, "Wanjiku & Sons"),
    "confirm_customer_by_address.strict": customer(ask.CustomerBy.ADDRESS, "12 Moi Avenue, Nyeri"),
    "confirm_customer_by_id_number.strict": customer(ask.CustomerBy.ID_NUMBER, "22334455"),
    "confirm_meter.strict": ask.ConfirmMeter(meter=METER),
    "confirm_meter_by_card.strict": ask.ConfirmMeter(meter=CARD),
    "confirm_meter.extended_detail": ask.ConfirmMeter(meter=details("2")),
    "credit_vend.strict": sale(50_000, tender=CASH),
    "credit_vend.defaulted": sale(90_000),
    "credit_vend.extended": sale(
        2_000, tender=ask.Tender(by=ask.PayWith.UNKNOWN, amount_minor=None)
    ),
    "credit_vend.untyped": sale(energy_wh=10_000),
    "credit_vend_units.strict": sale(energy_wh=36_300),
    "trial_credit_vend.strict": sale(50_000, trial=True),
    "free_basic.strict": ask.FreeVend(kind=ask.FreeKind.BASIC, meter=METER),
    "free_issue.strict": ask.FreeVend(kind=ask.FreeKind.ISSUE, meter=METER),
    "pay_account_debt.strict": ask.PayAccount(
        kind=ask.AccountKind.DEBT,
        amount_minor=25_050,
        identity=ask.CustomerIdentity(by=ask.CustomerBy.ACCOUNT, text="44-101-7"),
        description="Arrears",
        tender=ask.Tender(by=ask.PayWith.UNKNOWN, amount_minor=None),
    ),
    "pay_account_service_charge.strict": ask.PayAccount(
        kind=ask.AccountKind.SERVICE_CHARGE,
        amount_minor=3_300,
        identity=METER,
        description="",
        tender=None,
    ),
    "pay_account.gateway": ask.PayAccount(
        kind=ask.AccountKind.PLAIN,
        amount_minor=10_000,
        identity=ask.CustomerIdentity(by=ask.CustomerBy.ACCOUNT, text="ARREARS_2"),
        description="",
        tender=ask.Tender(by=ask.PayWith.CHEQUE, amount_minor=10_000),
    ),
    "update_meter_key.strict": ask.UpdateMeterKey(meter=details("1")),
    "update_meter_key_by_card.strict": ask.UpdateMeterKey(meter=CARD),
    "eng_key_change.strict": ask.Engineering(
        kind=ask.EngineeringKind.KEY_CHANGE,
        meter=METER,
        from_key=ask.KeyData(supply_group="600675", key_revision="1", tariff_index="07"),
        to_key=ask.KeyData(supply_group="600700", key_revision="2", tariff_index="07"),
    ),
    "eng_power_limit.strict": engineering(ask.EngineeringKind.SET_POWER_LIMIT, 13_800),
    "eng_phase_unbalance.strict": engineering(ask.EngineeringKind.SET_PHASE_UNBALANCE, 4_000),
    "eng_default_credit.strict": engineering(ask.EngineeringKind.DEFAULT_CREDIT),
    "eng_clear_credit.strict": engineering(ask.EngineeringKind.CLEAR_CREDIT),
    "eng_clear_tamper.strict": engineering(ask.EngineeringKind.CLEAR_TAMPER),
    **{
        f"meter_test_{kind.name.lower().removeprefix('test_')}.strict": ask.MeterTest(
            kind=kind, algorithm="07", technology="02"
        )
        for kind in ask.MeterTestKind
    },
    "reprint.strict": ask.Reprint(identity=METER),
    "last_response.strict": ask.LastResponse(original=ORIGINAL),
    "last_response.conlog": ask.LastResponse(
        original=MessageId(
            client=Device(kind=DeviceKind.EAN, text="KIOSKNET"),
            terminal=Device(kind=DeviceKind.EAN, text="0000000000042"),
            stamp="20261122093015",
            number="251",
        )
    ),
    "confirmation.strict": ask.Confirmation(original=ORIGINAL, tender=CASH),
    "reversal.strict": ask.Reversal(original=ORIGINAL),
    **{
        f"{name}_{kind.value}.strict": act(kind=kind)
        for name, act in (
            ("start", ask.StartBatch),
            ("total", ask.TotalBatch),
            ("end", ask.EndBatch),
        )
        for kind in ask.BatchKind
    },
    "reprint_shift.strict": ask.ReprintBatch(kind=ask.BatchKind.SHIFT, sequence=41, whole=False),
    "reprint_sales.strict": ask.ReprintBatch(kind=ask.BatchKind.SALES, sequence=7, whole=True),
    "reprint_banking.strict": ask.ReprintBatch(
        kind=ask.BatchKind.BANKING, sequence=None, whole=False
    ),
    "deposit.strict": ask.Deposit(),
    "reprint_deposit.strict": ask.ReprintDeposit(),
    "vendor_statement.strict": ask.VendorStatement(),
}


def test_every_golden_request_has_a_meaning() -> None:
    assert set(MEANT) == set(REQUESTS)


@pytest.mark.parametrize("name", REQUESTS)
def test_a_golden_request_means_what_it_says(name: str) -> None:
    assert read_request(REQUESTS[name], currency=SHILLINGS).request == MEANT[name]


@pytest.mark.parametrize("name", STRICT)
def test_a_strict_golden_request_is_valid_by_the_schema(name: str) -> None:
    assert payload_faults(REQUESTS[name]) == []


def test_every_use_case_has_a_golden_request() -> None:
    sent = "\n".join(body.decode() for body in REQUESTS.values()).lower()
    absent = [name for name in USE_CASES if not re.search(rf"[<:\"]{name.lower()}\b", sent)]
    # The two of these that stand for a root element of another name are sent under that name.
    assert absent == ["ReprintDepositReq"]


@pytest.mark.parametrize(
    ("old", "new", "meter"),
    [
        (b'msno="37124567895" sgc="600675"', b'track2Data="6007270000000000009=0"', "card"),
        (b'useSTT="false"', b'track2Data="6007270000000000009=0"', "details"),
    ],
)
def test_details_that_carry_a_card_are_the_card_only_where_they_name_no_meter(
    old: bytes, new: bytes, meter: str
) -> None:
    body = REQUESTS["confirm_meter.extended_detail"]
    assert old in body
    read = read_request(body.replace(old, new), currency=SHILLINGS).request
    card = ask.MeterCard(track2="6007270000000000009=0")
    assert read == ask.ConfirmMeter(meter=card if meter == "card" else details("2"))


@pytest.mark.parametrize("by", ["account", "name", "address", "id_number"])
def test_a_customer_is_known_by_what_is_given_where_no_type_says(by: str) -> None:
    name = f"confirm_customer_by_{by}.strict"
    untyped = re.sub(rb'(<ns2:custIdentifier) xsi:type="[^"]+"', rb"\1", REQUESTS[name])
    assert untyped != REQUESTS[name]
    assert read_request(untyped, currency=SHILLINGS).request == MEANT[name]


def test_the_head_says_who_asks_from_where_and_how_it_was_wrapped() -> None:
    caller = read_request(REQUESTS["last_response.strict"], currency=SHILLINGS).caller
    assert caller.soap is Soap.V12
    assert caller.message_id.client == Device(kind=DeviceKind.EAN, text="6001234500015")
    assert caller.message_id.terminal == Device(kind=DeviceKind.GENERIC, text="TILL-7")
    assert caller.credential is not None
    assert caller.credential.operator == "mary"
    assert caller.credential.password == "not-a-real-one"


def test_a_bare_request_is_known_as_one_and_needs_no_credential() -> None:
    caller = read_request(REQUESTS["confirm_customer.bare"], currency=SHILLINGS).caller
    assert caller.soap is Soap.BARE
    assert caller.credential is None


def test_passwords_are_not_in_what_is_printed_of_a_request() -> None:
    printed = repr(read_request(REQUESTS["credit_vend.strict"], currency=SHILLINGS))
    assert "mary" in printed
    assert "not-a-real-one" not in printed


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_the_same_request_is_read_in_other_encodings(codec: str) -> None:
    text = REQUESTS["login.said_to_be_utf16"].decode()
    incoming = read_request(text.encode(codec), currency=SHILLINGS)
    assert incoming.caller.credential is not None
    assert incoming.caller.credential.operator == "Wanjirũ"


@pytest.mark.parametrize("declared", ["iso-8859-1", "windows-1252", "US-ASCII", "UTF8"])
def test_an_old_tills_declared_encoding_is_read(declared: str) -> None:
    text = REQUESTS["login.strict"].decode().replace('"UTF-8"', f'"{declared}"')
    assert read_request(text.encode(), currency=SHILLINGS).request == ask.Login()


def test_a_gzipped_body_is_read_announced_or_not() -> None:
    body = gzip.compress(REQUESTS["credit_vend.strict"], mtime=0)
    assert read_request(body, currency=SHILLINGS).request == MEANT["credit_vend.strict"]


def test_names_and_types_are_read_in_any_case() -> None:
    body = REQUESTS["free_basic.strict"].replace(b"fbeReq", b"FBEReq")
    assert read_request(body, currency=SHILLINGS).request == MEANT["free_basic.strict"]


def test_a_till_may_hand_over_nothing_it_can_tell() -> None:
    body = REQUESTS["credit_vend.strict"].replace(b'<ns2:tenderAmt value="1000"', b"<ns2:tenderAmt")
    read = read_request(body, currency=SHILLINGS).request
    assert isinstance(read, ask.CreditVend)
    assert read.tender == ask.Tender(by=ask.PayWith.CASH, amount_minor=None)


@pytest.mark.parametrize(
    "body",
    [
        b'<Envelope xmlns="urn:other"><Body><loginReq/></Body></Envelope>',
        b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"/>',
        b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body/></s:Envelope>',
        (
            b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><a/><b/></s:Body>'
            b"</s:Envelope>"
        ),
    ],
)
def test_an_envelope_without_exactly_one_request_is_refused(body: bytes) -> None:
    with pytest.raises(XmlvendMalformed) as caught:
        read_request(body, currency=SHILLINGS)
    assert caught.value.reason is Reason.ENVELOPE


def changed(name: str, old: str, new: str) -> bytes:
    text = REQUESTS[name].decode()
    assert old in text
    return text.replace(old, new).encode()


SALE = "credit_vend.strict"
WALLET = 'xsi:type="ns2:Cash"'


@pytest.mark.parametrize(
    ("name", "old", "new", "reason", "at"),
    [
        (SALE, 'value="500.00"', 'value="500.001"', Reason.DECIMALS, "amt"),
        (SALE, 'value="500.00"', 'value="5e2"', Reason.VALUE, "amt"),
        (SALE, 'value="500.00"', 'value="-5"', Reason.VALUE, "amt"),
        (SALE, 'value="500.00"', 'value="500,00"', Reason.VALUE, "amt"),
        (SALE, 'value="500.00"', 'value="\u0665"', Reason.VALUE, "amt"),
        (SALE, 'value="500.00"', 'value="9999999999999"', Reason.VALUE, "amt"),
        (SALE, 'value="500.00"', 'value=""', Reason.MISSING, "amt/@value"),
        (SALE, 'value="500.00" symbol="KES"', 'value="5" symbol="R"', Reason.CURRENCY, "amt"),
        (SALE, "ns3:amt", "ns3:sum", Reason.MISSING, "amt"),
        (
            SALE,
            "</ns3:purchaseValue>",
            '<ns3:units value="1"/></ns3:purchaseValue>',
            Reason.VALUE,
            "purchaseValue",
        ),
        ("credit_vend_units.strict", 'siUnit="kWh"', 'siUnit="kl"', Reason.VALUE, "units"),
        ("credit_vend_units.strict", '"36.3"', '"36.3001"', Reason.DECIMALS, "units"),
        ("eng_power_limit.strict", 'siUnit="kW"', 'siUnit="A"', Reason.VALUE, "pwrLmt"),
        ("eng_power_limit.strict", "ns4:pwrLmt", "ns4:limit", Reason.MISSING, "pwrLmt"),
        ("eng_key_change.strict", 'toKRN="2"', "", Reason.MISSING, "kctData/@toKRN"),
        (SALE, 'msno="37124567895"', "", Reason.MISSING, "meterIdentifier/@msno"),
        (SALE, "37124567895", "3" * 129, Reason.TOO_LONG, "meterIdentifier/@msno"),
        (SALE, "TILL-7", "T" * 65, Reason.TOO_LONG, "terminalID"),
        (SALE, "ns2:clientID", "ns2:client", Reason.MISSING, "clientID"),
        (SALE, 'dateTime="20261122093015"', 'dateTime="now"', Reason.VALUE, "msgID"),
        (SALE, 'uniqueNumber="109"', 'uniqueNumber="-1"', Reason.VALUE, "msgID"),
        (SALE, 'xsi:type="ns2:Cash"', 'xsi:type="gone:Cash"', Reason.TYPE, ""),
        (
            "confirm_customer_by_account.strict",
            "ns2:CustAccountNo",
            "ns2:CustShoeSize",
            Reason.TYPE,
            "custIdentifier",
        ),
        ("last_response.strict", ' xsi:type="ns2:LastRespAdviceReq"', "", Reason.TYPE, "adviceReq"),
        (
            "confirm_customer_by_account.strict",
            ' xsi:type="ns2:CustAccountNo" accNo="44-101-7"',
            "",
            Reason.TYPE,
            "custIdentifier",
        ),
        ("reprint_shift.strict", ">41<", ">last<", Reason.VALUE, "seqNo"),
        ("last_response.strict", "ns2:adviceReqMsgID", "ns2:of", Reason.MISSING, "adviceReqMsgID"),
    ],
)
def test_a_value_that_cannot_be_believed_is_refused_by_name(
    name: str, old: str, new: str, reason: Reason, at: str
) -> None:
    with pytest.raises(XmlvendMalformed) as caught:
        read_request(changed(name, old, new), currency=SHILLINGS)
    assert caught.value.reason is reason
    assert at in caught.value.at


def test_a_refusal_below_the_head_knows_whom_to_answer() -> None:
    with pytest.raises(XmlvendMalformed) as caught:
        read_request(changed(SALE, 'value="500.00"', 'value="x"'), currency=SHILLINGS)
    assert caught.value.caller is not None
    assert caught.value.caller.message_id.number == "109"


def test_a_refusal_within_the_head_knows_nobody() -> None:
    with pytest.raises(XmlvendMalformed) as caught:
        read_request(changed(SALE, "ns2:msgID", "ns2:msg"), currency=SHILLINGS)
    assert caught.value.caller is None


@pytest.mark.parametrize(
    ("name", "old", "new", "use_case"),
    [
        (SALE, "creditVendReq", "cancelVendReq", "cancelVendReq"),
        ("eng_clear_tamper.strict", "ClearTamperReq", "SetWaterFactorReq", "SetWaterFactorReq"),
        (SALE, 'xsi:type="ns2:Electricity"', 'xsi:type="ns2:Water"', "creditVendReq/Water"),
        ("free_basic.strict", '"ns2:Electricity"', '"ns2:Gas"', "fbeReq/Gas"),
        ("eng_clear_tamper.strict", '"ns2:Electricity"', '"ns2:Gas"', "ClearTamperReq/Gas"),
    ],
)
def test_a_use_case_that_is_not_offered_is_named_to_its_caller(
    name: str, old: str, new: str, use_case: str
) -> None:
    with pytest.raises(UseCaseUnsupported) as caught:
        read_request(changed(name, old, new), currency=SHILLINGS)
    assert caught.value.facts["use_case"] == use_case
    assert caught.value.caller is not None


def test_a_strangers_request_without_a_head_is_an_unsupported_use_case() -> None:
    body = b"<validateCustomer><customerRef>1</customerRef></validateCustomer>"
    with pytest.raises(UseCaseUnsupported) as caught:
        read_request(body, currency=SHILLINGS)
    assert caught.value.caller is None


def test_no_golden_file_has_anything_of_a_real_client() -> None:
    for path in Path(GOLDEN).rglob("*.xml"):
        for password in re.findall(r"<[\w:]*assword>([^<]*)<", path.read_text()):
            assert password == "not-a-real-one", path
