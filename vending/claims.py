"""Claims: payments whose turn has come, how a known one is recognised, and one put aside."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime

from vending.payments import rows
from vending.payments.payment import NoticeConflicts, Payment, PaymentNotice
from vending.payments.rows import Key
from vending.postgres.pool import Session
from vending.values import Value, replace

PUT_ASIDE = """
insert into quarantine (quarantine_id, operator, reason, transaction_id, payment_id, payload,
                        digest, detail, received_at)
values ($1, $2, 'cannot_be_vended', $3, $4, $5, $6, $7, $8)
on conflict (operator, digest) do update set resolved_at = null, resolved_by = null -- once more
"""


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
    db: Session,
    claims: Sequence[Claim],
    *,
    in_flight: Mapping[Key, tuple[int, PaymentNotice]],
) -> tuple[list[Claim], dict[int, NoticeConflicts]]:
    """Return the claims with every direct sale that is known under its first payment.

    A direct sale may have been made before, be in flight, or come twice in one batch; in each case
    it becomes a claim of the first payment with its reference. One with other facts is a conflict
    instead, returned by its payment's number.
    """
    keys = {rows.key_of(one.payment.notice) for one in claims if not one.stored}
    if not keys:
        return list(claims), {}
    stored = {**await rows.known(db, keys), **in_flight}
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


async def put_aside(
    db: Session, claim: Claim, *, number: int, fault: Exception, now: datetime
) -> None:
    """Keep a stored payment that cannot be vended for a person, under a number of ours."""
    notice = claim.payment.notice
    payment_id = claim.payment.payment_id
    await db.fetch(
        PUT_ASIDE,
        number,
        notice.operator,
        notice.transaction_id,
        payment_id,
        notice.raw,
        hashlib.sha256(b"%d:%d" % (payment_id, claim.reassignment or 0)).digest(),
        type(fault).__name__,
        now,
    )


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
