"""What M-PESA sends about a payment to a pay bill: the bodies of its two calls, written by hand.

Shapes: Safaricom Daraja 3.0, customer to business. Both calls carry the same keys. Version 1 hides
the payer behind an unsalted SHA-256 of the number, version 2 masks its middle, the sandbox shows
it. TransTime is East Africa Time without a zone.
"""

import hashlib
import json
import random
import string
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

EAST_AFRICA = timezone(timedelta(hours=3))
_RECEIPT_YEAR_A = 2007
_RECEIPT_LETTERS = string.digits + string.ascii_uppercase


class PayerShown(StrEnum):
    """How much of the payer's number a callback shows."""

    HASHED = "hashed"
    MASKED = "masked"
    CLEAR = "clear"


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerPayment:
    """One payment as the operator knows it. `account` is what the customer typed."""

    transaction_id: str
    account: str
    amount_minor: int
    short_code: str
    paid_at: datetime
    msisdn: str = field(repr=False)
    first_name: str = field(default="ACHIENG", repr=False)
    third_party_id: str = ""

    def with_reference(self, third_party_id: str) -> "CustomerPayment":
        """Return the payment carrying what the validation's answer asked to have repeated."""
        return replace(self, third_party_id=third_party_id)


def receipt_number(paid_at: datetime, randomness: random.Random) -> str:
    """Make a transaction id: letters for year, month and day, then seven letters or digits."""
    local = paid_at.astimezone(EAST_AFRICA)
    year = string.ascii_uppercase[(local.year - _RECEIPT_YEAR_A) % 26]
    month = string.ascii_uppercase[local.month - 1]
    day = _RECEIPT_LETTERS[local.day]
    return year + month + day + "".join(randomness.choices(_RECEIPT_LETTERS, k=7))


def payer_text(msisdn: str, shown: PayerShown) -> str:
    """Return the MSISDN field for a number such as 254708374149."""
    match shown:
        case PayerShown.HASHED:
            return hashlib.sha256(msisdn.encode()).hexdigest()
        case PayerShown.MASKED:
            return f"{msisdn[:4]} ***** {msisdn[-3:]}"
        case PayerShown.CLEAR:
            return msisdn


def amount_text(amount_minor: int) -> str:
    """Return cents the way the operator writes shillings: 50000 → "500.00"."""
    return f"{amount_minor // 100}.{amount_minor % 100:02d}"


def fields(
    payment: CustomerPayment, *, shown: PayerShown, org_balance_minor: int | None
) -> dict[str, object]:
    """Return the keys and values of a body; the balance is None (empty) in a validation."""
    return {
        "TransactionType": "Pay Bill",
        "TransID": payment.transaction_id,
        "TransTime": payment.paid_at.astimezone(EAST_AFRICA).strftime("%Y%m%d%H%M%S"),
        "TransAmount": amount_text(payment.amount_minor),
        "BusinessShortCode": payment.short_code,
        "BillRefNumber": payment.account,
        "InvoiceNumber": "",
        "OrgAccountBalance": "" if org_balance_minor is None else amount_text(org_balance_minor),
        "ThirdPartyTransID": payment.third_party_id,
        "MSISDN": payer_text(payment.msisdn, shown),
        "FirstName": payment.first_name,
        "MiddleName": "",
        "LastName": "",
    }


def body(
    payment: CustomerPayment, *, shown: PayerShown, org_balance_minor: int | None = None
) -> bytes:
    """Return the bytes of a call: a validation, or with a balance a confirmation."""
    return json.dumps(fields(payment, shown=shown, org_balance_minor=org_balance_minor)).encode()


def malformed(payment: CustomerPayment) -> dict[str, bytes]:
    """Return bodies no operator should send and some do, each under the name of its fault."""
    whole = fields(payment, shown=PayerShown.MASKED, org_balance_minor=0)

    def but(**changed: object) -> bytes:
        return json.dumps(whole | changed).encode()

    def without(name: str) -> bytes:
        return json.dumps({key: value for key, value in whole.items() if key != name}).encode()

    return {
        "empty": b"",
        "not_json": b"TransID=" + payment.transaction_id.encode(),
        "cut_short": body(payment, shown=PayerShown.MASKED)[:-25],
        "a_list": b"[" + body(payment, shown=PayerShown.MASKED) + b"]",
        "deep": b'{"TransID":' + b"[" * 4000 + b"]" * 4000 + b"}",
        "utf16": body(payment, shown=PayerShown.MASKED).decode().encode("utf-16"),
        "bad_utf8": b'{"TransID":"\xff\xfe\xfd"}',
        "no_transaction_id": without("TransID"),
        "empty_transaction_id": but(TransID=""),
        "no_amount": without("TransAmount"),
        "amount_words": but(TransAmount="five hundred"),
        "amount_negative": but(TransAmount="-500.00"),
        "amount_zero": but(TransAmount="0.00"),
        "amount_fraction_of_a_cent": but(TransAmount="500.005"),
        "amount_exponent": but(TransAmount="5e999999"),
        "amount_not_a_number": but(TransAmount="NaN"),
        "amount_beyond_64_bits": but(TransAmount="9" * 30),
        "no_time": without("TransTime"),
        "time_impossible": but(TransTime="20261345998877"),
        "no_short_code": without("BusinessShortCode"),
        "account_is_an_object": but(BillRefNumber={"meter": payment.account}),
    }


def now_in_seconds(at: datetime) -> datetime:
    """Return an instant cut to whole seconds, all that TransTime can say."""
    return at.astimezone(UTC).replace(microsecond=0)
