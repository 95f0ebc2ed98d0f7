"""Key changes that vendors ask for in a batch: which codes each gets, and whether a meter moves.

Decided after the batch's sales and written with them, by the same writer: every later sale is under
the new key. One of the same batch is under the old one, and keyed in before the codes. A batch
without any reads nothing here. The meter is safe whatever a vendor says: codes open only with the
key they begin from, and each change ends at the key under which the meter's next token is made.
"""

from datetime import datetime

from vending.batch import Changes
from vending.claims import KeyRequest, Recognised
from vending.errors import Refused
from vending.in_flight import InFlight
from vending.key_data import KeyChange, KeyData
from vending.meters.key_changes import key_of, under
from vending.meters.meter import KEY_TYPE_UNIQUE, Meter, MeterRemoved, parse_meter_number
from vending.payments import rows
from vending.payments.outcomes import Outcome
from vending.payments.payment import OutcomeKind
from vending.payments.rows import Key
from vending.postgres.pool import Session
from vending.shelf import Shelf
from vending.tokens import key_requests
from vending.tokens.identifiers import BASE_DATES
from vending.tokens.issuer import Issuer, KeyExpired, KeyUnfit, TokenRefused
from vending.tokens.key_requests import (
    BaseDateEarlier,
    KeyChangeWaits,
    KeyNotOnRecord,
    KeySame,
    KeysAsked,
    KeysMade,
)
from vending.tokens.special import SpecialConflicts
from vending.values import replace
from vending.vendors.barred import ReferenceBarred
from vending.vendors.vendor import VendorSuspended, vendor_of

_KEY_EXPIRED = "key_expired"
"""The core's own code for a change to a key that no token may be made under any more."""


async def give(
    db: Session,
    found: Recognised,
    changes: Changes,
    meters: Shelf,
    issuer: Issuer,
    *,
    in_flight: InFlight,
) -> dict[int, Outcome | Refused]:
    """Issue what may be issued, one after the other, and add it to what the batch changes.

    `meters` are as the sales leave them, and are left as this leaves them. Returns what each
    request is answered with, by its claim's number.
    """
    if not found.key_requests:
        return {}
    keys = {rows.key_of(one.claim.payment.notice) for one in found.key_requests}
    made = await key_requests.read(db, keys)
    made |= {key: one for key, one in in_flight.keys.items() if key in keys}
    moved = {one.meter_number for one in changes.rekeyed()}
    taken = {one.key for one in changes.specials}
    results: dict[int, Outcome | Refused] = {}
    for one in found.key_requests:
        number = one.claim.payment.payment_id
        try:
            issued = _known(one, made, taken)
            if issued is None:
                issued = _issued(one, meters, moved, issuer=issuer, now=changes.decided_at)
                made[issued.key] = issued
                changes.keys.append(issued)
                changes.barred.add(issued.key)
            results[number] = outcome_of(issued)
        except Refused as reason:
            results[number] = reason
    return results


def outcome_of(made: KeysMade) -> Outcome:
    """Return a key change as whoever waits for it is answered: codes, and no token below them."""
    return Outcome(
        payment_id=made.change.order_id,
        kind=OutcomeKind.TOKEN_ISSUED,
        meter_number=made.meter_number,
        key_change=made.change,
        decided_at=made.issued_at,
    )


def _known(one: KeyRequest, made: dict[Key, KeysMade], taken: set[Key]) -> KeysMade | None:
    """Return what was issued under a request's reference; raises what stands against it.

    `taken` are the references of the tokens that the batch makes.
    """
    key = rows.key_of(one.claim.payment.notice)
    issued = made.get(key)
    if issued is None:
        if one.sold or key in taken:
            raise SpecialConflicts(reference=key[1])
        if one.barred:
            raise ReferenceBarred(reference=key[1])
        if one.suspended:
            raise VendorSuspended(vendor_id=vendor_of(key[0]))
    elif not issued.answers(one.asked, meter_number=parse_meter_number(one.claim.reference)):
        raise SpecialConflicts(reference=key[1])
    return issued


def _issued(
    one: KeyRequest, meters: Shelf, moved: set[str], *, issuer: Issuer, now: datetime
) -> KeysMade:
    """Return new codes, their meter left as they leave it. Raises Refused."""
    meter, _, _ = meters.take(parse_meter_number(one.claim.reference))
    if meter.status == "removed":
        raise MeterRemoved(meter_number=meter.meter_number)
    change, moves = _change(one.asked, meter, issuer, order_id=one.claim.payment.payment_id)
    # One batch moves a meter once: its row would be changed twice by one statement.
    if meter.meter_number in moved or (moves and meter.key_change_due):
        raise KeyChangeWaits(meter_number=meter.meter_number)
    try:
        codes = issuer.change_key(under(meter, change.old), change.new, at=now)
    except TokenRefused as fault:
        if fault.facts.get("rule") == _KEY_EXPIRED:
            key = change.new
            raise KeyExpired(meter_number=meter.meter_number, sgc=key.sgc, krn=key.krn) from None
        raise
    if moves:
        moved.add(meter.meter_number)
        meters.move(under(meter, change.new))
    notice = one.claim.payment.notice
    return KeysMade(
        operator=notice.operator,
        reference=notice.transaction_id,
        kind=one.asked.kind,
        meter_number=meter.meter_number,
        change=replace(change, codes=codes),
        asked_by=one.asked.asked_by,
        issued_at=now,
        moves=moves,
    )


def _change(
    asked: KeysAsked, meter: Meter, issuer: Issuer, *, order_id: int
) -> tuple[KeyChange, bool]:
    """Return a change without its codes, and whether the directory follows. Raises Refused."""
    recorded = key_of(meter)
    wanted = recorded.name if asked.new is None else asked.new
    if asked.old == wanted:
        raise KeySame(meter_number=meter.meter_number)
    if recorded.name not in (asked.old, wanted):
        raise KeyNotOnRecord(meter_number=meter.meter_number)
    moves = asked.old == recorded.name
    old, new = _held(asked.old, issuer), _held(wanted, issuer)
    held = old if moves else new
    if meter.key_type != KEY_TYPE_UNIQUE or held.tid_base != recorded.tid_base:
        raise KeyUnfit(meter_number=meter.meter_number, sgc=recorded.sgc, krn=recorded.krn)
    # A meter forgets its identifiers when the base date changes: an earlier one would repeat them.
    if BASE_DATES[new.tid_base] < BASE_DATES[old.tid_base]:
        raise BaseDateEarlier(meter_number=meter.meter_number)
    old, new = (recorded, new) if moves else (old, recorded)
    return KeyChange(order_id=order_id, old=old, new=new), moves


def _held(name: tuple[str, int, int], issuer: Issuer) -> KeyData:
    sgc, krn, ti = name
    return issuer.key_data(sgc=sgc, krn=krn, ti=ti)
