"""What tests are about, with a default for everything, so that what a test sets is what matters."""

from datetime import UTC, datetime, timedelta
from itertools import count

from vending.meters.check_digits import luhn_digit
from vending.meters.meter import Meter
from vending.numbering import first_at
from vending.payments.payment import PayerKind, Payment, PaymentNotice

SGC = "201457"
"""The supply group of every meter built here."""

VENDING_KEY = "abababababababab949494949494949401234567"
"""The association's published compliance-test key for that supply group; it opens nothing real."""

TARIFF = "KE-DC"

_numbers = count(1)


def a_meter_number(serial: int | None = None) -> str:
    """Return a valid 11-digit meter number."""
    body = f"01{serial if serial is not None else next(_numbers):08d}"
    return body + luhn_digit(body)


def a_meter(**facts: object) -> Meter:
    """Return an active household meter under the test key."""
    given: dict[str, object] = {
        "meter_number": a_meter_number(),
        "sgc": SGC,
        "krn": 1,
        "ti": 1,
        "ea": 7,
        "tct": 2,
        "tid_base": 14,
        "ken": 255,
        "tariff": TARIFF,
        "tariff_category": "DC",
        "phones": ("+254712345678",),
    }
    return Meter(**(given | facts))  # type: ignore[arg-type]


def a_notice(**facts: object) -> PaymentNotice:
    """Return a payment of KSh 500 by M-PESA."""
    given: dict[str, object] = {
        "operator": "mpesa",
        "transaction_id": f"TKM{next(_numbers):07d}",
        "short_code": "888880",
        "account_reference": a_meter_number(1),
        "amount_minor": 50_000,
        "paid_at": datetime(2026, 11, 22, 7, 59, 58, tzinfo=UTC),
        "payer": "",
        "payer_kind": PayerKind.ABSENT,
        "raw": b"{}",
    }
    return PaymentNotice(**(given | facts))  # type: ignore[arg-type]


def a_payment(
    *, product: str = "prepaid", received_at: datetime | None = None, **facts: object
) -> Payment:
    """Return a stored payment, received two seconds after it was made."""
    notice = a_notice(**facts)
    received_at = received_at or notice.paid_at + timedelta(seconds=2)
    return Payment(
        payment_id=first_at(received_at) + next(_numbers),
        notice=notice,
        product=product,
        received_at=received_at,
    )
