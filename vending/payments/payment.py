"""What a payment is: the operator's notice, our record of it, and the outcomes it may have."""

from datetime import datetime, timedelta
from enum import StrEnum

from vending.errors import Inconsistent, Refused, Rejected
from vending.values import Value


class PayerKind(StrEnum):
    """How an operator showed us who paid; the text itself stays opaque to us."""

    CLEAR = "clear"
    HASHED = "hashed"
    MASKED = "masked"
    ABSENT = "absent"


class OutcomeKind(StrEnum):
    """What becomes of a payment: exactly one of these at a time (P2)."""

    TOKEN_ISSUED = "token_issued"  # noqa: S105 -- a status, not a secret
    ACCOUNT_CREDITED = "account_credited"
    REFUND_DUE = "refund_due"
    REFUNDED = "refunded"


LEGAL_CHANGES: dict[OutcomeKind | None, frozenset[OutcomeKind]] = {
    None: frozenset(
        {OutcomeKind.TOKEN_ISSUED, OutcomeKind.ACCOUNT_CREDITED, OutcomeKind.REFUND_DUE}
    ),
    # Money in suspense may still find its meter, or go back to the payer.
    OutcomeKind.REFUND_DUE: frozenset(
        {OutcomeKind.TOKEN_ISSUED, OutcomeKind.ACCOUNT_CREDITED, OutcomeKind.REFUNDED}
    ),
    # A token cannot be recalled from a meter, and paid-out money cannot be spent again.
    OutcomeKind.TOKEN_ISSUED: frozenset(),
    OutcomeKind.ACCOUNT_CREDITED: frozenset(),
    OutcomeKind.REFUNDED: frozenset(),
}


class PaymentNotice(Value, frozen=True, kw_only=True):
    """What an operator told us about one payment, parsed and not yet stored.

    `account_reference` is what the payer typed, trimmed; it may not be a meter at all.
    `paid_at` is the operator's own time of payment in UTC. `raw` is the body as it came.
    """

    hidden = frozenset({"payer", "raw"})

    operator: str
    transaction_id: str
    short_code: str
    account_reference: str
    amount_minor: int
    paid_at: datetime
    payer: str
    payer_kind: PayerKind
    raw: bytes

    def same_facts(self, other: "PaymentNotice") -> bool:
        """Whether two notices of one transaction agree on where the money went, how much, when."""
        return self.same_sale(other) and self.paid_at == other.paid_at

    def same_sale(self, other: "PaymentNotice") -> bool:
        """Whether two notices ask for the same thing; a direct sale's time is only its arrival."""
        return (
            self.short_code == other.short_code
            and self.account_reference == other.account_reference
            and self.amount_minor == other.amount_minor
        )


class Payment(Value, frozen=True, kw_only=True):
    """A notice that is stored: it has our number, and will have exactly one outcome."""

    payment_id: int
    notice: PaymentNotice
    product: str
    received_at: datetime


class NoticeMalformed(Rejected):
    """The operator's message does not have the shape of a payment notice.

    The bytes are kept in quarantine; ask the operator what it meant, or enter the payment by hand.
    """

    code = "notice_malformed"


class NoticeConflicts(Rejected):
    """A known transaction id came again with other facts.

    The first notice stands; the second is in quarantine. Ask the operator which one is true.
    """

    code = "notice_conflicts"


class ShortCodeUnknown(Refused):
    """The money went to a short code that no product is configured for.

    Add the short code under [[route]] or refund the payer.
    """

    code = "short_code_unknown"


class StatusChangeIllegal(Inconsistent):
    """A payment's outcome was about to change in a way that is never allowed."""

    code = "status_change_illegal"


def require_legal(before: OutcomeKind | None, after: OutcomeKind) -> None:
    """Raise StatusChangeIllegal unless an outcome may change from `before` to `after`."""
    if after not in LEGAL_CHANGES[before]:
        raise StatusChangeIllegal(before=before, after=after)


def priced_at(payment: Payment, *, past: timedelta, future: timedelta) -> datetime:
    """Return the instant whose prices a payment gets: the operator's time, if it can be believed.

    A time of payment ahead of its arrival by more than `future`, or behind it by more than `past`,
    is a fault of somebody's clock; the money is sold at the prices of its arrival then.
    """
    paid_at, received_at = payment.notice.paid_at, payment.received_at
    believed = received_at - past <= paid_at <= received_at + future
    return paid_at if believed else received_at
