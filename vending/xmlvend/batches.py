"""What a till's books are made of: batches within each other, their totals, deposit slips."""

from datetime import datetime
from enum import StrEnum

from vending.values import Value


class Level(StrEnum):
    """How wide a batch is: banking holds sales holds shifts. The value is its xsi:type."""

    SHIFT = "ShiftBatch"
    SALES = "SalesBatch"
    BANKING = "BankBatch"


class StartedBatch(Value, frozen=True, kw_only=True):
    """A batch that was opened, with those it is to be made of."""

    level: Level
    sequence: int
    at: datetime
    parts: tuple["StartedBatch", ...] = ()


class Beneficiary(Value, frozen=True, kw_only=True):
    """The account that a deposit goes to."""

    name: str
    account: str
    branch: str
    bank: str
    bank_registration: str


class DepositSlip(Value, frozen=True, kw_only=True):
    """What to bank, where, and the reference that finds it again."""

    reference: str
    amount_minor: int
    title: str = ""
    beneficiary: Beneficiary | None = None


class SaleTotalKind(StrEnum):
    """What a total counts; the value is its xsi:type."""

    SALES = "NormalSaleTotal"
    FREE_ISSUES = "FreeIssueTotal"
    DEBTS = "DebtRecoveryTotal"
    SERVICE_CHARGES = "ServiceChrgTotal"


class SaleTotal(Value, frozen=True, kw_only=True):
    """The money of one kind of sale."""

    kind: SaleTotalKind
    amount_minor: int
    text: str


class TenderTotalKind(StrEnum):
    """How a total was paid; the value is its xsi:type."""

    CASH = "CashTotal"
    CHEQUE = "ChequeTotal"
    CREDIT_CARD = "CreditCardTotal"
    DEBIT_CARD = "DebitCardTotal"
    OTHER = "OtherTotal"


class TenderTotal(Value, frozen=True, kw_only=True):
    """The money of one way to pay."""

    kind: TenderTotalKind
    amount_minor: int
    text: str


class OperatorTotal(Value, frozen=True, kw_only=True):
    """The money one operator took."""

    operator: str
    amount_minor: int


class BatchReport(Value, frozen=True, kw_only=True):
    """A batch's total, taken apart four ways."""

    sales: tuple[SaleTotal, ...] = ()
    operators: tuple[OperatorTotal, ...] = ()
    tenders: tuple[TenderTotal, ...] = ()
    energy_wh: int | None = None


class TillBatch(Value, frozen=True, kw_only=True):
    """A batch and what was in it, with those it is made of."""

    level: Level
    sequence: int
    started: datetime
    ended: datetime
    total_minor: int
    report: BatchReport | None = None
    first: int | None = None
    last: int | None = None
    slip: DepositSlip | None = None
    parts: tuple["TillBatch", ...] = ()
