"""What the ledger says of a claim: where the money came from, and what became of it."""

import functools
from collections.abc import Iterable
from datetime import datetime

from vending.claims import Claim
from vending.ledger import entry
from vending.ledger.entry import Entry, Posting
from vending.tariffs.quote import Quote
from vending.vendors.vendor import float_account, vendor_of


def of_sale(
    claim: Claim, bill: Quote, *, commission: Iterable[Posting] = (), now: datetime
) -> Entry:
    """Return the entry of a sale: the receipt's own lines against where the money lies."""
    moved = claim.reassignment is not None
    return entry.of_sale(
        claim.payment.payment_id,
        debit=entry.SUSPENSE if moved else source(claim),
        lines=bill.booked,
        beside=commission,
        sequence=1 if moved else 0,
        booked_at=now,
    )


def of_repayment(
    claim: Claim,
    lines: Iterable[Posting],
    *,
    commission: Iterable[Posting] = (),
    now: datetime,
) -> Entry:
    """Return the entry of debts that were paid off: `lines` are (account, cents) credited."""
    return entry.of_repayment(
        claim.payment.payment_id,
        debit=source(claim),
        lines=lines,
        beside=commission,
        booked_at=now,
    )


def of_suspense(claim: Claim, *, now: datetime) -> Entry:
    """Return the entry of a payment that buys nothing: owed to its payer."""
    return entry.of_suspense(
        claim.payment.payment_id,
        debit=source(claim),
        amount_minor=claim.payment.notice.amount_minor,
        booked_at=now,
    )


def source(claim: Claim) -> str:
    """Return the account a payment's money comes from: a vendor's float, or an operator's hands."""
    notice = claim.payment.notice
    return _account(notice.operator, notice.short_code)


@functools.lru_cache(maxsize=4096)
def _account(operator: str, short_code: str) -> str:
    vendor_id = vendor_of(operator)
    if vendor_id is not None:
        return float_account(vendor_id)
    return entry.collection(operator, short_code)
