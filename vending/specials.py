"""Special tokens of a batch: what each caller gets, and why not. Decided after the batch's sales.

They take their identifiers from the same meters as the sales do, and are written with them, by the
same writer: so a meter's identifiers rise whatever they are for (P4). A batch without any reads
nothing here. What a special token costs nobody, its caller's caps of a day limit.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from vending.batch import Changes
from vending.claims import Recognised, Special
from vending.errors import Refused
from vending.in_flight import InFlight
from vending.meters.meter import MeterRemoved, parse_meter_number, require_active
from vending.payments import rows
from vending.payments.outcomes import Outcome
from vending.payments.payment import OutcomeKind
from vending.payments.rows import Key
from vending.postgres.pool import Session
from vending.shelf import Shelf
from vending.tokens import special_rows
from vending.tokens.identifiers import next_identifier
from vending.tokens.issuer import Digits, Issuer, SpecialOrder, TokenRefused
from vending.tokens.special import (
    DailyCapReached,
    FreeUnitsNone,
    SpecialConflicts,
    SpecialKind,
    SpecialToken,
    require_possible,
)
from vending.tokens.special_rows import Entitlement
from vending.vendors.barred import ReferenceBarred
from vending.vendors.vendor import VendorSuspended, vendor_of

TOKEN_ISSUED = OutcomeKind.TOKEN_ISSUED.value
"""What came of a request that was carried out; a refusal's code otherwise."""

Day = tuple[str, date]
"""A caller and its day."""


@dataclass(slots=True, kw_only=True)
class Records:
    """What was made before: under which references, how much in a day, and what is used up."""

    made: dict[Key, SpecialToken] = field(default_factory=dict)
    days: dict[Day, tuple[int, int]] = field(default_factory=dict)
    used: set[Entitlement] = field(default_factory=set)

    def note(self, token: SpecialToken) -> None:
        """Remember a token; one that is remembered already changes nothing."""
        self.made[token.key] = token
        day = token.operator, token.day
        self.days[day] = max(self.days.get(day, (0, 0)), (token.nth, token.day_energy_wh))
        if token.meter_number and token.entitlement:
            self.used.add((token.meter_number, token.kind.value, token.entitlement))


@dataclass(slots=True, kw_only=True)
class Given:
    """What came of a batch's special claims, by their number."""

    answers: dict[int, Outcome] = field(default_factory=dict)
    refusals: dict[int, Refused] = field(default_factory=dict)


async def give(
    db: Session,
    found: Recognised,
    changes: Changes,
    meters: Shelf,
    issuer: Issuer,
    *,
    in_flight: InFlight,
) -> Given:
    """Make what may be made, one after the other, and add it to what the batch changes.

    `meters` are as the sales leave them, and are left as this leaves them.
    """
    given = Given()
    if not found.specials:
        return given
    records = await _read(db, found.specials, in_flight=in_flight)
    for one in found.specials:
        number = one.claim.payment.payment_id
        try:
            token = _known(one, records)
            if token is None:
                token = _made(one, records, meters=meters, issuer=issuer, now=changes.decided_at)
                records.note(token)
                changes.specials.append(token)
            given.answers[number] = outcome_of(token)
            result = TOKEN_ISSUED
        except Refused as reason:
            given.refusals[number] = reason
            result = reason.code
        if one.asked.request_id is not None:
            changes.answered.append((one.asked.request_id, result))
    # Whatever a vendor asks for later under one of these references, it is no sale.
    changes.barred |= {one.key for one in changes.specials if vendor_of(one.operator)}
    return given


async def _read(db: Session, wanted: Sequence[Special], *, in_flight: InFlight) -> Records:
    """Return what was made before that decides on these claims, the batch in flight included."""
    keys = {rows.key_of(one.claim.payment.notice) for one in wanted}
    days = {(one.claim.payment.notice.operator, one.asked.day) for one in wanted}
    entitlements = {
        (parse_meter_number(one.claim.reference), one.asked.kind.value, one.asked.entitlement)
        for one in wanted
        if one.asked.entitlement is not None
    }
    records = Records(used=await special_rows.used(db, entitlements))
    for token in (await special_rows.days(db, days)).values():
        records.note(token)
    for token in (await special_rows.read(db, keys)).values():
        records.note(token)
    for token in in_flight.specials.values():
        records.note(token)
    return records


def outcome_of(token: SpecialToken) -> Outcome:
    """Return a special token as whoever waits for it is answered: there is no receipt behind it."""
    return Outcome(
        payment_id=token.special_id,
        kind=OutcomeKind.TOKEN_ISSUED,
        meter_number=token.meter_number,
        tid_base=token.tid_base,
        tid=token.tid,
        token=token.token,
        energy_wh=token.energy_wh or None,
        decided_at=token.decided_at,
    )


def _known(one: Special, records: Records) -> SpecialToken | None:
    """Return the token there is under a claim's reference; raises what stands against one."""
    key = rows.key_of(one.claim.payment.notice)
    token = records.made.get(key)
    if token is None:
        if one.sold:
            raise SpecialConflicts(reference=key[1])
        if one.barred:
            raise ReferenceBarred(reference=key[1])
        if one.suspended:
            raise VendorSuspended(vendor_id=vendor_of(key[0]))
    elif token.facts != one.claim.payment.notice.raw:
        raise SpecialConflicts(reference=key[1])
    return token


def _made(
    one: Special, records: Records, *, meters: Shelf, issuer: Issuer, now: datetime
) -> SpecialToken:
    """Return a new token, its meter left as that leaves it. Raises Refused."""
    asked = one.asked
    if asked.kind is SpecialKind.METER_TEST:
        require_possible(asked.kind, asked.value, meter=one.reference or None)
        order = SpecialOrder(kind=asked.kind, value=asked.value)
        return _recorded(one, records, order, _issued(order, issuer), now=now)
    meter, state, _ = meters.take(parse_meter_number(one.claim.reference))
    if asked.kind.free:
        require_active(meter)
    elif meter.status == "removed":
        raise MeterRemoved(meter_number=meter.meter_number)
    if asked.entitlement is not None:
        used = meter.meter_number, asked.kind.value, asked.entitlement
        if not asked.value or used in records.used:
            raise FreeUnitsNone(meter_number=meter.meter_number)
    require_possible(asked.kind, asked.value, meter=meter.meter_number)
    last_tid = state.last_tid if state.tid_base == meter.tid_base else 0
    tid = next_identifier(now, tid_base=meter.tid_base, after=last_tid)
    issuer.require_issuable(meter, tid=tid)
    rnd = secrets.randbelow(16)
    order = SpecialOrder(kind=asked.kind, value=asked.value, meter=meter, tid=tid, rnd=rnd)
    token = _recorded(one, records, order, _issued(order, issuer), now=now)
    meters.stamp(meter, tid=tid)
    return token


def _issued(order: SpecialOrder, issuer: Issuer) -> Digits:
    issued = issuer.special(order)
    if isinstance(issued, TokenRefused):
        raise issued
    return issued


def _recorded(
    one: Special, records: Records, order: SpecialOrder, issued: Digits, *, now: datetime
) -> SpecialToken:
    """Return a token as it is stored. Raises DailyCapReached for one too many, or too much."""
    notice, asked, meter = one.claim.payment.notice, one.asked, order.meter
    nth, energy_wh = records.days.get((notice.operator, asked.day), (0, 0))
    nth += 1
    energy_wh += issued.value if asked.kind.free else 0
    if nth > asked.caps.tokens:
        raise DailyCapReached(cap="tokens", of_a_day=asked.caps.tokens)
    if energy_wh > asked.caps.energy_wh:
        raise DailyCapReached(cap="energy_wh", of_a_day=asked.caps.energy_wh)
    return SpecialToken(
        special_id=one.claim.payment.payment_id,
        operator=notice.operator,
        reference=notice.transaction_id,
        kind=asked.kind,
        meter_number=meter.meter_number if meter else None,
        tid_base=meter.tid_base if meter else None,
        tid=order.tid,
        token=issued.digits,
        value=issued.value,
        entitlement=asked.entitlement,
        reason=asked.reason,
        asked_by=asked.asked_by,
        approved_by=asked.approved_by,
        facts=notice.raw,
        day=asked.day,
        nth=nth,
        day_energy_wh=energy_wh,
        day_tokens_max=asked.caps.tokens,
        day_energy_max_wh=asked.caps.energy_wh,
        decided_at=now,
    )
