"""What a till may ask: one frozen value for each use case, parsed and not yet believed.

Texts are as they came, trimmed and of bounded length; whether a meter number is one is for the
meters' own rules to say. Money is in minor units of the utility's currency, energy in watt-hours.
"""

from enum import StrEnum

from vending.values import Value
from vending.xmlvend.identity import Caller, MessageId


class MeterNumber(Value, frozen=True, kw_only=True):
    """A meter by its number alone."""

    number: str


class MeterCard(Value, frozen=True, kw_only=True):
    """A meter by its card's second track: number, key and tariff data, as the card has them."""

    track2: str


class MeterData(Value, frozen=True, kw_only=True):
    """A meter by what was read off it or off an old token; "" where not given."""

    number: str
    supply_group: str
    key_revision: str
    tariff_index: str
    algorithm: str
    technology: str


MeterIdentity = MeterNumber | MeterCard | MeterData


class CustomerBy(StrEnum):
    """What a customer is searched by; the value is its xsi:type."""

    ACCOUNT = "CustAccountNo"
    NAME = "CustName"
    ADDRESS = "CustAddress"
    ID_NUMBER = "CustIDNumber"


class CustomerIdentity(Value, frozen=True, kw_only=True):
    """A customer by one of four texts."""

    hidden = frozenset({"text"})

    by: CustomerBy
    text: str


Identity = MeterIdentity | CustomerIdentity


class PayWith(StrEnum):
    """How the customer pays the vendor; the value is its xsi:type."""

    CASH = "Cash"
    CHEQUE = "Cheque"
    CREDIT_CARD = "CreditCard"
    DEBIT_CARD = "DebitCard"
    UNKNOWN = "Unknown"


class Tender(Value, frozen=True, kw_only=True):
    """How the customer pays and, where the till says so, how much was handed over.

    Numbers of cards and cheques are not kept.
    """

    by: PayWith
    amount_minor: int | None


class Login(Value, frozen=True, kw_only=True):
    """A terminal begins its day; it is told its balance and limits."""


class ConfirmCustomer(Value, frozen=True, kw_only=True):
    """Asks who this is and whether they may buy."""

    identity: Identity


class ConfirmMeter(Value, frozen=True, kw_only=True):
    """Asks what the server knows of a meter's key and tariff data."""

    meter: MeterIdentity


class CreditVend(Value, frozen=True, kw_only=True):
    """Sell. Exactly one of money and energy is given. A trial does everything but the token."""

    trial: bool
    meter: MeterIdentity
    amount_minor: int | None
    energy_wh: int | None
    tender: Tender | None


class FreeKind(StrEnum):
    """Why no money is asked for; the value is the request's type."""

    BASIC = "FBEReq"
    ISSUE = "FreeIssueReq"


class FreeVend(Value, frozen=True, kw_only=True):
    """A token without money. How many units is the server's to know, not the till's to say."""

    kind: FreeKind
    meter: MeterIdentity


class AccountKind(StrEnum):
    """What is paid on an account; the value is its xsi:type. PLAIN is left to the server."""

    DEBT = "DebtRecovery"
    SERVICE_CHARGE = "ServiceChrg"
    PLAIN = "PayAccount"


class PayAccount(Value, frozen=True, kw_only=True):
    """Money for an account rather than for units."""

    kind: AccountKind
    amount_minor: int
    identity: Identity
    description: str
    tender: Tender | None


class KeyData(Value, frozen=True, kw_only=True):
    """A supply group, key revision and tariff index, as they came."""

    supply_group: str
    key_revision: str
    tariff_index: str


class UpdateMeterKey(Value, frozen=True, kw_only=True):
    """Bring a meter from the key data on its card, or read off it, to the server's.

    Its number alone does not tell them; that the card is needed is for the server to say.
    """

    meter: MeterIdentity


class EngineeringKind(StrEnum):
    """Tokens that change one meter; the value is the request's type."""

    KEY_CHANGE = "EngKCTReq"
    SET_POWER_LIMIT = "PwrLmtReq"
    SET_PHASE_UNBALANCE = "PhUnbalReq"
    DEFAULT_CREDIT = "DefCreditReq"
    CLEAR_CREDIT = "ClearCreditReq"
    CLEAR_TAMPER = "ClearTamperReq"


class Engineering(Value, frozen=True, kw_only=True):
    """A token that changes one meter.

    `power_w` goes with the two that set a power, `from_key` and `to_key` with the key change.
    """

    kind: EngineeringKind
    meter: MeterIdentity
    power_w: int | None = None
    from_key: KeyData | None = None
    to_key: KeyData | None = None


class MeterTestKind(StrEnum):
    """Tokens any meter of a type takes: tests and displays; the value is the request's type."""

    TEST_ALL = "TestAllReq"
    TEST_BREAKER = "TestBreakerReq"
    TEST_DISPLAY = "TestDisplayReq"
    SHOW_POWER_LIMIT = "DispPwrLmtReq"
    SHOW_TARIFF_INDEX = "DispTIReq"
    SHOW_KEY_REVISION = "DispKRNReq"
    SHOW_TAMPER = "DispTamperReq"
    SHOW_POWER = "DispInstPwrReq"
    SHOW_TOTAL = "DispConsTotReq"
    SHOW_PHASE_UNBALANCE = "DispPhUnbalanceReq"
    SHOW_VERSION = "DispVerReq"


class MeterTest(Value, frozen=True, kw_only=True):
    """A token that tests a meter or has it show something; it needs the type, not the meter."""

    kind: MeterTestKind
    algorithm: str
    technology: str


class Reprint(Value, frozen=True, kw_only=True):
    """The last receipts of a meter or customer, again."""

    identity: Identity


class LastResponse(Value, frozen=True, kw_only=True):
    """Asks what was answered to an earlier message: the question after a time-out."""

    original: MessageId


class Confirmation(Value, frozen=True, kw_only=True):
    """An earlier message has been carried out at the till; how it was paid may come late."""

    original: MessageId
    tender: Tender | None


class Reversal(Value, frozen=True, kw_only=True):
    """An earlier message has not been carried out at the till; undo it if that can be."""

    original: MessageId


Advice = LastResponse | Confirmation | Reversal


class BatchKind(StrEnum):
    """What a till opens and closes: shifts make a sales batch, those a banking batch."""

    SHIFT = "shift"
    SALES = "sales"
    BANKING = "banking"
    ALL = "all"


class StartBatch(Value, frozen=True, kw_only=True):
    """Open a batch."""

    kind: BatchKind


class TotalBatch(Value, frozen=True, kw_only=True):
    """Asks what is in a batch so far; it stays open."""

    kind: BatchKind


class EndBatch(Value, frozen=True, kw_only=True):
    """Close a batch and tell what was in it."""

    kind: BatchKind


class ReprintBatch(Value, frozen=True, kw_only=True):
    """A closed batch again: the last one, or that of a number; with those it is made of, or not."""

    kind: BatchKind
    sequence: int | None
    whole: bool


class Deposit(Value, frozen=True, kw_only=True):
    """A deposit slip for what was sold since the last one."""


class ReprintDeposit(Value, frozen=True, kw_only=True):
    """The last deposit slips again."""


class VendorStatement(Value, frozen=True, kw_only=True):
    """The last movements of the vendor's credit."""


Request = (
    Login
    | ConfirmCustomer
    | ConfirmMeter
    | CreditVend
    | FreeVend
    | PayAccount
    | UpdateMeterKey
    | Engineering
    | MeterTest
    | Reprint
    | LastResponse
    | Confirmation
    | Reversal
    | StartBatch
    | TotalBatch
    | EndBatch
    | ReprintBatch
    | Deposit
    | ReprintDeposit
    | VendorStatement
)


class Incoming(Value, frozen=True, kw_only=True):
    """A whole message: who asks, and what."""

    caller: Caller
    request: Request
