"""One answer of every kind, with nothing left out that it can carry: what golden files are of."""

from datetime import UTC, datetime

from vending.values import replace
from vending.xmlvend import answers as told
from vending.xmlvend.amounts import Currency
from vending.xmlvend.batches import (
    BatchReport,
    Beneficiary,
    DepositSlip,
    Level,
    OperatorTotal,
    SaleTotal,
    SaleTotalKind,
    StartedBatch,
    TenderTotal,
    TenderTotalKind,
    TillBatch,
)
from vending.xmlvend.faults import fault
from vending.xmlvend.identity import Device, DeviceKind, MessageId
from vending.xmlvend.receipts import (
    TRIAL_TOKEN,
    AccountLine,
    AccountLineKind,
    BatchStatus,
    CreditKind,
    CreditLine,
    Customer,
    KeyChange,
    Meter,
    Organisation,
    Party,
    Receipt,
    Standing,
)
from vending.xmlvend.requests import EngineeringKind, KeyData, MeterTestKind

SHILLINGS = Currency(symbol="KES", aliases=frozenset({"KSh"}))
AT = datetime(2026, 11, 22, 9, 30, 16, 250_000, tzinfo=UTC)

MESSAGE = MessageId(
    client=Device(kind=DeviceKind.EAN, text="6001234500015"),
    terminal=Device(kind=DeviceKind.GENERIC, text="TILL-7"),
    stamp="20261122093015",
    number="0109",
)
ORIGINAL = replace(MESSAGE, stamp="20261122092959", number="088")
SERVER = Device(kind=DeviceKind.GENERIC, text="stima-1")

OLD_KEY = KeyData(supply_group="600675", key_revision="1", tariff_index="07")
NEW_KEY = KeyData(supply_group="600700", key_revision="2", tariff_index="07")
METER = Meter(number="37124567895", key=NEW_KEY, algorithm="07", technology="02")
CUSTOMER = Customer(
    name="W*** M***",
    address='Nyeri <Town> & "Hills"',
    contact="+2547****5678",
    account="44-101-7",
    location="NYR/12",
    days_since_purchase=0,
)
KEY_CHANGE = KeyChange(
    meter=METER,
    tokens=("11112222333344445555", "66667777888899990000"),
    from_key=OLD_KEY,
    to_key=NEW_KEY,
)
CREDIT = CreditLine(
    kind=CreditKind.SALE,
    amount_minor=41_380,
    energy_wh=18_200,
    token="01234567890123456789",
    meter=METER,
    tariff="Domestic ordinary",
    vat_minor=6_621,
    vat_rate="16",
    key_change=KEY_CHANGE,
)
CHARGES = (
    AccountLine(
        kind=AccountLineKind.SERVICE_CHARGE,
        amount_minor=1_999,
        text="REP levy",
        tariff="Domestic ordinary",
    ),
    AccountLine(
        kind=AccountLineKind.DEBT,
        amount_minor=0,
        text="Arrears",
        tariff="Domestic ordinary",
        account="44-101-7",
        balance_minor=125_000,
    ),
)
RECEIPT = Receipt(
    number="R26112200042",
    lines=(CREDIT, *CHARGES),
    tendered_minor=100_000,
    rounded_minor=1,
    change_minor=49_999,
)
PARTY = Party(
    standing=Standing(
        available_minor=-5, batches=BatchStatus(shift=True, sales=True, banking=False)
    ),
    utility=Organisation(name="Utility", address="Stima Plaza", tax_reference="P051"),
    vendor=Organisation(name="Kiosk Network", address="Nyeri"),
    customer=CUSTOMER,
)
BARE_PARTY = Party(
    standing=Standing(available_minor=0),
    utility=Organisation(name="Utility", address=""),
)


def head(title: str, message_id: MessageId = MESSAGE) -> told.Head:
    return told.Head(
        message_id=message_id,
        server=SERVER,
        at=AT,
        title=title,
        operator_text="Keep the copy.",
        customer_text="Nunua mapema — usiku mwema",
    )


def vend(kind: told.VendKind, credit: CreditKind, token: str) -> told.VendAnswer:
    line = replace(CREDIT, kind=credit, token=token, vat_minor=None, key_change=None)
    return told.VendAnswer(
        kind=kind,
        head=head(kind.value, ORIGINAL),
        party=BARE_PARTY,
        receipt=Receipt(number="R1", lines=(line,), tendered_minor=0),
    )


def engineering(kind: EngineeringKind) -> told.EngineeringAnswer:
    powered = kind in (EngineeringKind.SET_POWER_LIMIT, EngineeringKind.SET_PHASE_UNBALANCE)
    return told.EngineeringAnswer(
        kind=kind,
        head=head("Engineering"),
        party=BARE_PARTY,
        meter=METER,
        token="55554444333322221111",
        text=kind.name,
        power_w=13_800 if powered else None,
        energy_wh=1_000 if kind is EngineeringKind.DEFAULT_CREDIT else None,
        key_change=KEY_CHANGE if kind is EngineeringKind.KEY_CHANGE else None,
    )


def meter_test(kind: MeterTestKind) -> told.MeterTestAnswer:
    return told.MeterTestAnswer(
        kind=kind,
        head=head("Meter test"),
        algorithm="07",
        technology="02",
        token="00000000000150997584",
        text=kind.name,
    )


SALE = told.VendAnswer(
    kind=told.VendKind.CREDIT, head=head("Receipt", ORIGINAL), party=PARTY, receipt=RECEIPT
)
ACCOUNT = told.AccountAnswer(
    head=head("Arrears"),
    party=PARTY,
    receipt=replace(RECEIPT, lines=CHARGES[1:]),
    meter=METER,
)
KEY_UPDATE = told.KeyUpdateAnswer(head=head("Key"), party=BARE_PARTY, key_change=KEY_CHANGE)
REFUSED = told.RefusedAnswer(head=head("Refused", ORIGINAL), fault=fault("meter_blocked"))

SLIP = DepositSlip(
    reference="D-2026-11-22-1",
    amount_minor=1_234_500,
    title="Bank by noon",
    beneficiary=Beneficiary(
        name="Utility", account="0100123456", branch="012", bank="Bank", bank_registration="B-7"
    ),
)
SHIFT = TillBatch(
    level=Level.SHIFT,
    sequence=41,
    started=AT,
    ended=AT,
    total_minor=1_234_500,
    report=BatchReport(
        sales=(
            SaleTotal(kind=SaleTotalKind.SALES, amount_minor=1_200_000, text="Sales"),
            SaleTotal(kind=SaleTotalKind.DEBTS, amount_minor=34_500, text="Arrears"),
        ),
        operators=(OperatorTotal(operator="mary", amount_minor=1_234_500),),
        tenders=(TenderTotal(kind=TenderTotalKind.CASH, amount_minor=1_234_500, text="Cash"),),
        energy_wh=512_300,
    ),
)
SALES = TillBatch(
    level=Level.SALES,
    sequence=7,
    started=AT,
    ended=AT,
    total_minor=1_234_500,
    first=1001,
    last=1099,
    parts=(SHIFT,),
)
BANKING = TillBatch(
    level=Level.BANKING,
    sequence=3,
    started=AT,
    ended=AT,
    total_minor=1_234_500,
    first=7,
    last=7,
    slip=SLIP,
    parts=(SALES,),
)
STARTED = StartedBatch(
    level=Level.BANKING,
    sequence=4,
    at=AT,
    parts=(
        StartedBatch(
            level=Level.SALES,
            sequence=8,
            at=AT,
            parts=(StartedBatch(level=Level.SHIFT, sequence=42, at=AT),),
        ),
    ),
)
ENDED = told.EndAnswer(head=head("Closed"), batch=BANKING)
DEPOSIT = told.DepositAnswer(head=head("Deposit"), slip=SLIP)

ANSWERS: dict[str, told.Answer] = {
    "login": told.LoginAnswer(
        user=12,
        terminal=7,
        terminal_name="TILL-7",
        balance_minor=5_000_000,
        minimum_minor=1_000,
        maximum_minor=3_500_000,
        at=AT,
    ),
    "confirm_customer": told.CustomerAnswer(
        head=head("Customer"),
        found=(
            told.FoundCustomer(
                customer=CUSTOMER,
                can_vend=True,
                free_units_due=False,
                minimum_minor=1_000,
                maximum_minor=3_500_000,
                meter=METER,
            ),
            told.FoundCustomer(
                customer=Customer(name="", address=""),
                can_vend=False,
                free_units_due=True,
                minimum_minor=None,
                maximum_minor=None,
                meter=None,
            ),
        ),
    ),
    "confirm_meter": told.MeterAnswer(head=head("Meter"), meter=METER),
    "credit_vend": SALE,
    "trial_credit_vend": vend(told.VendKind.TRIAL, CreditKind.SALE, TRIAL_TOKEN),
    "free_basic": vend(told.VendKind.FREE_BASIC, CreditKind.FREE_BASIC, "9" * 20),
    "free_issue": vend(told.VendKind.FREE_ISSUE, CreditKind.FREE_ISSUE, "8" * 20),
    "pay_account": ACCOUNT,
    "update_meter_key": KEY_UPDATE,
    **{f"eng_{kind.name.lower()}": engineering(kind) for kind in EngineeringKind},
    **{f"meter_test_{kind.name.lower()}": meter_test(kind) for kind in MeterTestKind},
    "reprint": told.ReprintAnswer(
        head=head("COPY"), sales=(SALE, ACCOUNT, engineering(EngineeringKind.CLEAR_TAMPER))
    ),
    "last_response": told.LastResponseAnswer(head=head("Again"), original=ORIGINAL, answer=SALE),
    "last_response_key": told.LastResponseAnswer(
        head=head("Again"), original=ORIGINAL, answer=KEY_UPDATE
    ),
    "last_response_refused": told.LastResponseAnswer(
        head=head("Again"), original=ORIGINAL, answer=REFUSED
    ),
    "confirmation": told.ConfirmationAnswer(
        head=head("Confirmed"), original=ORIGINAL, confirmed=True
    ),
    "reversal": told.ReversalAnswer(head=head("Reversal"), original=ORIGINAL, undone=False),
    "start_batch": told.StartAnswer(head=head("Open"), batch=STARTED),
    "total_batch": told.TotalAnswer(head=head("So far"), batches=(SHIFT, SALES)),
    "end_batch": ENDED,
    "reprint_batch": told.ReprintBatchAnswer(head=head("COPY"), ended=ENDED),
    "deposit": DEPOSIT,
    "reprint_deposit": told.ReprintDepositAnswer(head=head("COPY"), slips=(DEPOSIT, DEPOSIT)),
    "vendor_statement": told.StatementAnswer(
        head=head("Statement"),
        account="agent-1",
        balance_minor=4_876_550,
        available_minor=4_976_550,
        lines=(
            told.StatementLine(at=AT, amount_minor=-123_450, text="Sales"),
            told.StatementLine(at=AT, amount_minor=5_000_000, text="Deposit D-1"),
        ),
    ),
}
