"""A ledger entry: it sums to zero or it cannot be made.

Debits are positive, credits negative, in cents. One entry a sale: the operator's collection
account is debited with the tender, and each line of the receipt is credited to its own account.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from operator import itemgetter

from vending.errors import Inconsistent
from vending.values import Value

SUSPENSE = "suspense:refund_due"
"""Money that found no meter: it is owed to the payer until it is reassigned or refunded."""


class EntryUnbalanced(Inconsistent):
    """A ledger entry does not sum to zero."""

    code = "entry_unbalanced"


Posting = tuple[str, int]
"""One side of an entry: an account's code and cents, positive for a debit."""

_MINOR = itemgetter(1)

REMEMBERED_MAX = 4_096
"""Receipts whose postings are remembered, since most people pay the same few sums: 4 MB."""


class Entry(Value, frozen=True, kw_only=True):
    """What happened to some money: postings that sum to zero, about one document.

    `document_id` is the payment the money came with; `sequence` is 0 for its first entry and rises
    when the same money moves again.
    """

    document_id: int
    sequence: int
    kind: str
    postings: tuple[Posting, ...]
    booked_at: datetime

    def __post_init__(self) -> None:
        total = sum(map(_MINOR, self.postings))
        if len(self.postings) < 2 or total != 0:  # noqa: PLR2004 -- double entry
            raise EntryUnbalanced(document=self.document_id, kind=self.kind)


def collection(operator: str, short_code: str) -> str:
    """Return the account of the money an operator holds for us on a short code."""
    return f"collection:{operator}:{short_code}"


def of_sale(
    document_id: int,
    *,
    debit: str,
    lines: Iterable[tuple[str, int]],
    booked_at: datetime,
    sequence: int = 0,
    beside: Iterable[Posting] = (),
) -> Entry:
    """Return the entry of a sale: the tender debited to `debit`, each receipt line credited.

    `lines` are (account, cents) as on the receipt; a negative line (rounding) becomes a debit.
    `beside` are postings after them that sum to zero: what somebody else earns on the sale.
    """
    return Entry(
        document_id=document_id,
        sequence=sequence,
        kind="sale",
        postings=_against(debit, tuple(lines), tuple(beside)),
        booked_at=booked_at,
    )


def of_repayment(
    document_id: int,
    *,
    debit: str,
    lines: Iterable[tuple[str, int]],
    booked_at: datetime,
    beside: Iterable[Posting] = (),
) -> Entry:
    """Return the entry of a payment that buys nothing and takes (account, cents) off debts.

    `beside` are postings after them that sum to zero.
    """
    return Entry(
        document_id=document_id,
        sequence=0,
        kind="repayment",
        postings=_against(debit, tuple(lines), tuple(beside)),
        booked_at=booked_at,
    )


def of_suspense(document_id: int, *, debit: str, amount_minor: int, booked_at: datetime) -> Entry:
    """Return the entry of a payment that bought nothing: held in suspense for the payer."""
    return Entry(
        document_id=document_id,
        sequence=0,
        kind="suspense",
        postings=((debit, amount_minor), (SUSPENSE, -amount_minor)),
        booked_at=booked_at,
    )


@lru_cache(maxsize=REMEMBERED_MAX)
def _against(
    debit: str, lines: tuple[tuple[str, int], ...], beside: tuple[Posting, ...]
) -> tuple[Posting, ...]:
    """Return the sum of lines debited, each of them credited, and what is booked beside them."""
    total = sum(map(_MINOR, lines))
    return (debit, total), *[(account, -minor) for account, minor in lines], *beside
