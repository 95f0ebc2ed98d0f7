"""What a receipt is made of: who stands behind a sale, its lines, its tokens.

Money is in minor units of the utility's currency, energy in watt-hours, tokens are twenty digits
each. None or an empty text is left out of the message.
"""

from enum import StrEnum

from vending.values import Value
from vending.xmlvend.requests import KeyData

TRIAL_TOKEN = "0" * 20
"""What a trial is given for a token."""


class Organisation(Value, frozen=True, kw_only=True):
    """The utility, or the vendor, on the receipt. `tax_reference` is the utility's alone."""

    name: str
    address: str
    tax_reference: str = ""


class Customer(Value, frozen=True, kw_only=True):
    """Whose meter it is, as far as the vendor may know: the name is masked before it is here."""

    hidden = frozenset({"name", "address", "contact"})

    name: str
    address: str
    contact: str = ""
    account: str = ""
    location: str = ""
    days_since_purchase: int | None = None


class Meter(Value, frozen=True, kw_only=True):
    """A meter's number, key and tariff data, algorithm (EA) and technology (TCT)."""

    number: str
    key: KeyData
    algorithm: str
    technology: str


class BatchStatus(Value, frozen=True, kw_only=True):
    """Which of a till's batches are open."""

    shift: bool
    sales: bool
    banking: bool


class Standing(Value, frozen=True, kw_only=True):
    """How the vendor stands: credit left, and its batches where it uses them."""

    available_minor: int
    batches: BatchStatus | None = None


class KeyChange(Value, frozen=True, kw_only=True):
    """The tokens that bring a meter from one key to another, in the order they are entered."""

    hidden = frozenset({"tokens"})

    meter: Meter
    tokens: tuple[str, ...]
    from_key: KeyData
    to_key: KeyData
    text: str = "Key change"


class CreditKind(StrEnum):
    """Why a credit was issued; the value is its xsi:type (NRS 009-3 types 000, 010, 005)."""

    SALE = "SaleCredTokenIssue"
    FREE_BASIC = "FBECredTokenIssue"
    FREE_ISSUE = "FreeCredTokenIssue"


class CreditLine(Value, frozen=True, kw_only=True):
    """A receipt's token: what it cost, what it carries, and a key change to enter before it.

    `vat_rate` is a percentage in decimal text; it goes with `vat_minor`, where the tax is not a
    line of its own. The tariff must be named: clients in the field fall over where it is not.
    """

    hidden = frozenset({"token"})

    kind: CreditKind
    amount_minor: int
    energy_wh: int
    token: str
    meter: Meter
    tariff: str
    text: str = "Credit token"
    vat_minor: int | None = None
    vat_rate: str = ""
    key_change: KeyChange | None = None


class AccountLineKind(StrEnum):
    """What else a receipt takes money for; the value is its xsi:type."""

    DEBT = "DebtRecoveryTx"
    SERVICE_CHARGE = "ServiceChrgTx"
    ACCOUNT = "PayAccTx"


class AccountLine(Value, frozen=True, kw_only=True):
    """A receipt's debt, fee, levy or tax. `balance_minor` is what stays owed, of a debt alone."""

    kind: AccountLineKind
    amount_minor: int
    text: str
    tariff: str
    account: str = ""
    balance_minor: int | None = None


class Receipt(Value, frozen=True, kw_only=True):
    """A receipt's lines, in order; what was rounded, handed over and given back."""

    number: str
    lines: tuple[CreditLine | AccountLine, ...]
    tendered_minor: int
    rounded_minor: int | None = None
    change_minor: int | None = None


class Party(Value, frozen=True, kw_only=True):
    """Who stands behind a sale: the vendor's standing, the utility, the vendor, the customer."""

    standing: Standing
    utility: Organisation
    vendor: Organisation | None = None
    customer: Customer | None = None
