"""Claims: payments whose turn has come, and how a direct sale that comes again is recognised."""

from collections.abc import Collection, Iterator, Sequence

from vending.payments import rows
from vending.payments.payment import NoticeConflicts, Payment, PaymentNotice
from vending.payments.rows import Key
from vending.postgres.pool import Session
from vending.values import Value, replace


class Claim(Value, frozen=True, kw_only=True):
    """A payment whose turn has come, and the meter it is to buy for, as it was typed.

    `reassignment` is the number of the request that moves a refund due to another meter, None for
    the payment's own first decision. `doubtful` means that it may have been decided already: it
    was found by the sweep, or its batch failed. `stored` is False for a direct sale, whose payment
    is stored with its outcome or, when it buys nothing, not at all.
    """

    payment: Payment
    reference: str
    reassignment: int | None = None
    doubtful: bool = False
    stored: bool = True


async def recognised(
    db: Session, claims: Sequence[Claim]
) -> tuple[list[Claim], dict[int, NoticeConflicts]]:
    """Return the claims with every direct sale that is known under its first payment.

    A direct sale may have been made before, or come twice in one batch; either way it becomes a
    claim of the first payment with its reference. One with other facts is a conflict instead,
    returned by its payment's number.
    """
    keys = {rows.key_of(one.payment.notice) for one in claims if not one.stored}
    if not keys:
        return list(claims), {}
    stored = await rows.known(db, keys)
    first: dict[Key, tuple[Claim, PaymentNotice]] = {}
    conflicts: dict[int, NoticeConflicts] = {}
    taken: list[Claim] = []
    for one in claims:
        if one.stored:
            taken.append(one)
            continue
        notice = one.payment.notice
        key = rows.key_of(notice)
        if key not in first:
            first[key] = _under(one, *stored[key]) if key in stored else (one, notice)
        known, facts = first[key]
        if facts.same_sale(notice):
            taken.append(known)
        else:
            conflicts[one.payment.payment_id] = NoticeConflicts(reference=notice.transaction_id)
            taken.append(one)
    return taken, conflicts


def each_once(claims: Sequence[Claim], conflicts: Collection[int]) -> Iterator[Claim]:
    """Return the claims that are to be decided: each payment once, conflicts left out."""
    seen: set[tuple[int, int | None]] = set()
    for one in claims:
        identity = (one.payment.payment_id, one.reassignment)
        if identity not in seen and one.payment.payment_id not in conflicts:
            seen.add(identity)
            yield one


def _under(claim: Claim, number: int, facts: PaymentNotice) -> tuple[Claim, PaymentNotice]:
    payment = replace(claim.payment, payment_id=number)
    return replace(claim, payment=payment, stored=True, doubtful=True), facts
