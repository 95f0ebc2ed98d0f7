"""What a till is told: one frozen value for each answer of XMLVend 2.1.

Money is in minor units of the utility's currency, energy in watt-hours, instants are aware and in
UTC, tokens are twenty digits each. None, an empty text or an empty tuple is left out of the
message, where the schema lets it be.
"""

from datetime import datetime
from enum import StrEnum

from vending.values import Value
from vending.xmlvend.batches import DepositSlip, StartedBatch, TillBatch
from vending.xmlvend.faults import Fault
from vending.xmlvend.identity import UNKNOWN, Caller, Device, MessageId
from vending.xmlvend.receipts import Customer, KeyChange, Meter, Party, Receipt
from vending.xmlvend.requests import EngineeringKind, FreeKind, MeterTestKind


class Head(Value, frozen=True, kw_only=True):
    """What every answer begins with: the message it answers, who answers, when, and three texts."""

    message_id: MessageId
    server: Device
    at: datetime
    title: str = ""
    operator_text: str = ""
    customer_text: str = ""


def head_of(
    caller: Caller | None,
    *,
    server: Device,
    at: datetime,
    title: str = "",
    operator_text: str = "",
    customer_text: str = "",
) -> Head:
    """Return the head of the answer to a caller, or to one who could not be made out."""
    return Head(
        message_id=UNKNOWN if caller is None else caller.message_id,
        server=server,
        at=at,
        title=title,
        operator_text=operator_text,
        customer_text=customer_text,
    )


class LoginAnswer(Value, frozen=True, kw_only=True):
    """A terminal's balance and limits. It has no head: the field's clients read it without."""

    user: int
    terminal: int
    terminal_name: str
    balance_minor: int
    minimum_minor: int
    maximum_minor: int
    at: datetime


class FoundCustomer(Value, frozen=True, kw_only=True):
    """One customer that fits, whether they may buy, and within what limits."""

    customer: Customer
    can_vend: bool
    free_units_due: bool
    minimum_minor: int | None
    maximum_minor: int | None
    meter: Meter | None


class CustomerAnswer(Value, frozen=True, kw_only=True):
    """Every customer that fits, at least one."""

    head: Head
    found: tuple[FoundCustomer, ...]


class MeterAnswer(Value, frozen=True, kw_only=True):
    """What the server knows of a meter."""

    head: Head
    meter: Meter


class VendKind(StrEnum):
    """Which sale is answered; the value is the answer's type."""

    CREDIT = "CreditVendResp"
    TRIAL = "TrialCreditVendResp"
    FREE_BASIC = "FBEResp"
    FREE_ISSUE = "FreeIssueResp"

    @classmethod
    def of_free(cls, kind: FreeKind) -> "VendKind":
        """Return the answer that goes with a request for free units."""
        return cls.FREE_BASIC if kind is FreeKind.BASIC else cls.FREE_ISSUE


class VendAnswer(Value, frozen=True, kw_only=True):
    """A sale, a trial or free units: the receipt with its token."""

    kind: VendKind
    head: Head
    party: Party
    receipt: Receipt


class AccountAnswer(Value, frozen=True, kw_only=True):
    """Money taken for an account."""

    head: Head
    party: Party
    receipt: Receipt
    meter: Meter | None = None


class KeyUpdateAnswer(Value, frozen=True, kw_only=True):
    """The key change that UpdateMeterKey asked for."""

    head: Head
    party: Party
    key_change: KeyChange


class EngineeringAnswer(Value, frozen=True, kw_only=True):
    """A token that changes one meter.

    `key_change` goes with KEY_CHANGE and is then all of it; otherwise `token`, with `power_w` for
    the two that set a power and `energy_wh` for the default credit.
    """

    hidden = frozenset({"token"})

    kind: EngineeringKind
    head: Head
    party: Party
    meter: Meter
    token: str = ""
    text: str = ""
    power_w: int | None = None
    energy_wh: int | None = None
    key_change: KeyChange | None = None


class MeterTestAnswer(Value, frozen=True, kw_only=True):
    """A token that tests any meter of a type, or has it show something."""

    kind: MeterTestKind
    head: Head
    algorithm: str
    technology: str
    token: str
    text: str


Sale = VendAnswer | AccountAnswer | KeyUpdateAnswer | EngineeringAnswer
"""What can be printed again, and asked for after a time-out."""


class ReprintAnswer(Value, frozen=True, kw_only=True):
    """The last receipts, at least one, as they were first answered."""

    head: Head
    sales: tuple[Sale, ...]


class RefusedAnswer(Value, frozen=True, kw_only=True):
    """A fault: an answer of its own, or what an advice finds an original was answered with."""

    head: Head
    fault: Fault


class LastResponseAnswer(Value, frozen=True, kw_only=True):
    """The whole original answer, a sale or a refusal. That there is none is a fault instead."""

    head: Head
    original: MessageId
    answer: Sale | MeterTestAnswer | RefusedAnswer


class ConfirmationAnswer(Value, frozen=True, kw_only=True):
    """Whether the original is confirmed now."""

    head: Head
    original: MessageId
    confirmed: bool


class ReversalAnswer(Value, frozen=True, kw_only=True):
    """Whether the original is undone now: never, once its token has been released."""

    head: Head
    original: MessageId
    undone: bool


class StartAnswer(Value, frozen=True, kw_only=True):
    """The batch that was opened; of "all", the widest."""

    head: Head
    batch: StartedBatch


class TotalAnswer(Value, frozen=True, kw_only=True):
    """What is in batches so far, at least one."""

    head: Head
    batches: tuple[TillBatch, ...]


class EndAnswer(Value, frozen=True, kw_only=True):
    """The batch that was closed; of "all", the widest."""

    head: Head
    batch: TillBatch


class ReprintBatchAnswer(Value, frozen=True, kw_only=True):
    """A closed batch again."""

    head: Head
    ended: EndAnswer


class DepositAnswer(Value, frozen=True, kw_only=True):
    """A deposit slip."""

    head: Head
    slip: DepositSlip


class ReprintDepositAnswer(Value, frozen=True, kw_only=True):
    """The last deposit slips again, at least one."""

    head: Head
    slips: tuple[DepositAnswer, ...]


class StatementLine(Value, frozen=True, kw_only=True):
    """One movement of the vendor's credit: positive adds to it."""

    at: datetime
    amount_minor: int
    text: str


class StatementAnswer(Value, frozen=True, kw_only=True):
    """The vendor's account: balance, credit left, and its last movements, newest first."""

    head: Head
    account: str
    balance_minor: int
    available_minor: int
    lines: tuple[StatementLine, ...]


Answer = (
    LoginAnswer
    | CustomerAnswer
    | MeterAnswer
    | VendAnswer
    | AccountAnswer
    | KeyUpdateAnswer
    | EngineeringAnswer
    | MeterTestAnswer
    | ReprintAnswer
    | LastResponseAnswer
    | ConfirmationAnswer
    | ReversalAnswer
    | StartAnswer
    | TotalAnswer
    | EndAnswer
    | ReprintBatchAnswer
    | DepositAnswer
    | ReprintDepositAnswer
    | StatementAnswer
)
