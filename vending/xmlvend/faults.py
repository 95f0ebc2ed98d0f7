"""The 34 faults of XMLVend 2.1, each with a code of ours, and which of them our errors become.

A till matches on the fault's type; a person and a careful client read the code, which is finer:
it is our error's own (docs/reference/errors.md), or the fault's where no error of ours stands
behind it. Nothing is ever wrapped in the system fault that has a type of its own.
"""

from enum import Enum
from typing import Final

from vending.values import Value


class Family(Enum):
    """The three families under the one fault element."""

    PROTOCOL = "XMLVendFaultEx"
    """The message, not the business, is at fault."""

    BUSINESS = "BusinessRuleEx"
    """A rule says no. Asking the same again gets the same."""

    SYSTEM = "SystemEx"
    """We cannot answer now. Whatever it was about is to be asked for by advice."""


class FaultKind(Enum):
    """A fault: its type on the wire, family, our code, and what a till shows its operator."""

    # The roots of the families.
    PROTOCOL = ("XMLVendFaultEx", Family.PROTOCOL, "protocol", "The message is at fault.")
    BUSINESS = ("BusinessRuleEx", Family.BUSINESS, "refused", "The sale cannot happen.")
    SYSTEM = (
        "SystemEx",
        Family.SYSTEM,
        "unavailable",
        "The server cannot answer now. Ask by advice what became of the request.",
    )
    # Protocol.
    SCHEMA = (
        "XMLVendSchemaEx",
        Family.PROTOCOL,
        "xmlvend_malformed",
        "The message cannot be read; nothing has happened.",
    )
    CLIENT_CERTIFICATE = (
        "ClientIDSSLEx",
        Family.PROTOCOL,
        "client_certificate_differs",
        "The client in the message is not the one that signed in.",
    )
    USE_CASE = (
        "UseCaseSupportEx",
        Family.PROTOCOL,
        "use_case_unsupported",
        "This server does not offer that request.",
    )
    NOTHING_TO_CONFIRM = (
        "ConfirmationEx",
        Family.PROTOCOL,
        "confirmation_unknown",
        "There is no sale of that message to confirm.",
    )
    NOTHING_TO_REVERSE = (
        "ReversalEx",
        Family.PROTOCOL,
        "reversal_unknown",
        "There is no sale of that message to reverse.",
    )
    NOTHING_TO_REPEAT = (
        "LastResponseEx",
        Family.PROTOCOL,
        "original_unknown",
        "Nothing was sold under that message, and nothing will be. It may be sold again.",
    )
    # Business: meters and customers.
    METER_UNKNOWN = (
        "UnknownMeterEx",
        Family.BUSINESS,
        "meter_unknown",
        "No meter has this number here.",
    )
    CUSTOMER_UNKNOWN = (
        "ConfirmCustomerEx",
        Family.BUSINESS,
        "customer_unknown",
        "No customer is known by that.",
    )
    METER_DATA_NEEDED = (
        "InsufficientMeterDataEx",
        Family.BUSINESS,
        "meter_data_insufficient",
        "More of the meter's data is needed than is on record.",
    )
    METER_BLOCKED = (
        "BlockedMeterEx",
        Family.BUSINESS,
        "meter_blocked",
        "The meter is blocked and may not be sold to.",
    )
    CHECK_DIGIT = (
        "MSNOCheckDigitEx",
        Family.BUSINESS,
        "meter_number_malformed",
        "This is not a meter number; check its digits.",
    )
    METER_DATA_INVALID = (
        "STSDataEx",
        Family.BUSINESS,
        "meter_data_invalid",
        "The meter's data are not valid.",
    )
    CARD_NEEDED = (
        "RequireMeterCardEx",
        Family.BUSINESS,
        "meter_card_needed",
        "The meter's card must be read for this.",
    )
    # Business: keys.
    SUPPLY_GROUP_FORBIDDEN = (
        "SGCAuthorisationEx",
        Family.BUSINESS,
        "supply_group_forbidden",
        "This vendor may not sell in the meter's supply group.",
    )
    KEY_EXPIRED = (
        "LatestKRNEx",
        Family.BUSINESS,
        "key_expired",
        "The meter's key has expired; it needs a key change first.",
    )
    KEY_SAME = (
        "UpdateMtrKeySameEx",
        Family.BUSINESS,
        "key_same",
        "The meter has that key already.",
    )
    KEY_METER_UNKNOWN = (
        "UnknownMeterUpdateMtrKeyEx",
        Family.BUSINESS,
        "key_meter_unknown",
        "The key of a meter that is not known here cannot be changed.",
    )
    # Business: vendors.
    NOT_AUTHORISED = (
        "RequestAuthorisationEx",
        Family.BUSINESS,
        "not_authorised",
        "This vendor may not do that.",
    )
    CLIENT_BLOCKED = (
        "ClientIDAuthorisationEx",
        Family.BUSINESS,
        "client_blocked",
        "This client may not sell.",
    )
    CREDIT_INSUFFICIENT = (
        "VendorCreditEx",
        Family.BUSINESS,
        "float_insufficient",
        "The vendor's credit does not cover this; nothing was taken.",
    )
    # Business: accounts and free units.
    NO_DEBT = ("DebtEx", Family.BUSINESS, "debt_none", "There is no debt to pay.")
    NO_CHARGE = (
        "ServiceChrgEx",
        Family.BUSINESS,
        "service_charge_none",
        "There is no service charge to pay.",
    )
    NOT_FREE = (
        "FBEEx",
        Family.BUSINESS,
        "free_units_none",
        "No free units are due to this customer.",
    )
    # Business: reprints, batches, tokens.
    NOTHING_TO_REPRINT = (
        "ReprintEx",
        Family.BUSINESS,
        "reprint_none",
        "There is no receipt to print again.",
    )
    NO_DEPOSIT_SLIP = (
        "ReprintDepositSlipEx",
        Family.BUSINESS,
        "deposit_slip_none",
        "There is no deposit slip to print again.",
    )
    NO_BATCH_REPRINT = (
        "ReprintEndBatchEx",
        Family.BUSINESS,
        "batch_none",
        "There is no closed batch to print again.",
    )
    BATCH_NOT_STARTED = (
        "StartBatchEx",
        Family.BUSINESS,
        "batch_start_refused",
        "The batch cannot be opened.",
    )
    BATCH_NOT_TOTALLED = (
        "CheckBatchTotalEx",
        Family.BUSINESS,
        "batch_total_refused",
        "The batch cannot be totalled.",
    )
    BATCH_NOT_ENDED = (
        "EndBatchEx",
        Family.BUSINESS,
        "batch_end_refused",
        "The batch cannot be closed.",
    )
    TOKEN_NOT_VERIFIED = (
        "VerifyTokenEx",
        Family.BUSINESS,
        "token_unverified",
        "The token cannot be verified.",
    )
    NOT_CANCELLED = (
        "CancelEx",
        Family.BUSINESS,
        "cancel_refused",
        "The sale cannot be cancelled.",
    )

    def __init__(self, type_name: str, family: Family, code: str, sentence: str) -> None:
        self.type_name = type_name
        self.family = family
        self.code = code
        self.sentence = sentence


class Fault(Value, frozen=True, kw_only=True):
    """A fault as it is sent: its kind, the code beside it, and a sentence for the operator."""

    kind: FaultKind
    code: str
    text: str


BY_CODE: Final[dict[str, FaultKind]] = {
    **{kind.code: kind for kind in FaultKind if kind is not FaultKind.PROTOCOL},
    # Meters and their keys.
    "meter_removed": FaultKind.METER_BLOCKED,
    "key_missing": FaultKind.SUPPLY_GROUP_FORBIDDEN,
    "key_unfit": FaultKind.METER_DATA_INVALID,
    "key_not_on_record": FaultKind.METER_DATA_INVALID,
    "base_date_earlier": FaultKind.METER_DATA_INVALID,
    "key_change_waits": FaultKind.BUSINESS,
    "identifiers_exhausted": FaultKind.KEY_EXPIRED,
    "token_refused": FaultKind.METER_DATA_INVALID,
    "tariff_category_unknown": FaultKind.METER_DATA_NEEDED,
    "tariff_unknown": FaultKind.METER_DATA_NEEDED,
    # Amounts, quotes and references: rules of the business that have no type of their own.
    "amount_too_small": FaultKind.BUSINESS,
    "amount_too_large": FaultKind.BUSINESS,
    "debt_exceeded": FaultKind.BUSINESS,
    "price_changed": FaultKind.BUSINESS,
    "quote_expired": FaultKind.BUSINESS,
    "duplicate_suspected": FaultKind.BUSINESS,
    "reference_barred": FaultKind.BUSINESS,
    "reference_reused": FaultKind.BUSINESS,
    "reprints_exhausted": FaultKind.NOTHING_TO_REPRINT,
    "special_conflicts": FaultKind.BUSINESS,
    "special_malformed": FaultKind.BUSINESS,
    "daily_cap_reached": FaultKind.NOT_AUTHORISED,
    # What cannot be read.
    "body_too_large": FaultKind.SCHEMA,
    "body_encoded": FaultKind.SCHEMA,
    # Batches.
    "shift_open": FaultKind.BATCH_NOT_STARTED,
    "shift_unknown": FaultKind.BATCH_NOT_ENDED,
    # Who asks.
    "certificate_missing": FaultKind.CLIENT_CERTIFICATE,
    "vendor_suspended": FaultKind.CLIENT_BLOCKED,
    "address_forbidden": FaultKind.CLIENT_BLOCKED,
    "access_token_expired": FaultKind.CLIENT_BLOCKED,
    "access_token_invalid": FaultKind.CLIENT_BLOCKED,
    "credential_expired": FaultKind.CLIENT_BLOCKED,
    "credential_missing": FaultKind.CLIENT_BLOCKED,
    "credential_refused": FaultKind.CLIENT_BLOCKED,
    "credential_revoked": FaultKind.CLIENT_BLOCKED,
    "signature_missing": FaultKind.CLIENT_BLOCKED,
    "signature_refused": FaultKind.CLIENT_BLOCKED,
    "signature_repeated": FaultKind.CLIENT_BLOCKED,
    "sandbox_only": FaultKind.NOT_AUTHORISED,
    "scope_missing": FaultKind.NOT_AUTHORISED,
}
"""The fault that each code becomes; docs/reference/xmlvend.md has the same table."""

UNSENT: Final = frozenset(
    {
        FaultKind.PROTOCOL, FaultKind.BUSINESS, FaultKind.SYSTEM, FaultKind.CLIENT_CERTIFICATE,
        FaultKind.SUPPLY_GROUP_FORBIDDEN, FaultKind.NOT_AUTHORISED, FaultKind.CLIENT_BLOCKED,
        FaultKind.NO_DEPOSIT_SLIP, FaultKind.BATCH_NOT_STARTED, FaultKind.BATCH_NOT_ENDED,
        FaultKind.TOKEN_NOT_VERIFIED, FaultKind.NOT_CANCELLED,
    }
)  # fmt: skip
"""Faults that no answer has with their own code: an error of ours has a finer one, or what the
fault is about is not offered here."""


def fault_of(code: str) -> FaultKind:
    """Return the fault that an error of this code becomes.

    Total: a code that has no fault of its own is a system fault, of which a till knows only that
    it must ask by advice what became of its request. That is right for all that is Unavailable or
    Inconsistent; a refusal that is not in the table is a rule of the business all the same, see
    `vending.api.xmlvend.refusals`.
    """
    return BY_CODE.get(code, FaultKind.SYSTEM)


def fault(code: str, text: str = "") -> Fault:
    """Return the fault for a code: its precise kind, the code itself, and a sentence."""
    kind = fault_of(code)
    return Fault(kind=kind, code=code, text=text or kind.sentence)
