"""The story of this server: claimed payments become tokens, entries and messages.

`prepare` reads what a batch of payments needs, decides each payment by itself and issues the tokens
in one call; `write` writes everything in one statement that is one transaction: a sale has its
token, its ledger entry and its message, or nothing has happened (P2, P3). Only the sequencer's
pipeline calls them, and it alone changes meters' states. So what is read here is still true when
it is written, as long as what is in flight meanwhile is laid over it.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from vending import (
    announcements,
    batch,
    bookings,
    claims,
    cover,
    earlier,
    key_requests,
    notices,
    rekeying,
    shelf,
    specials,
)
from vending.batch import Changes
from vending.claims import Claim, Refusal
from vending.cover import Cover
from vending.earlier import Earlier
from vending.errors import Inconsistent, Refused
from vending.in_flight import NOTHING, InFlight
from vending.key_data import KeyChange, codes_of
from vending.lease import Fence
from vending.ledger.entry import Entry
from vending.meters.meter import Meter, require_active
from vending.office import Office
from vending.outbox.message import Message
from vending.payments import outcomes
from vending.payments.outcomes import Outcome
from vending.payments.payment import LEGAL_CHANGES, OutcomeKind, ShortCodeUnknown, priced_at
from vending.postgres.pool import Session
from vending.postgres.writer import Writer
from vending.quantities import WH_PER_TENTH
from vending.repayments import settle
from vending.shelf import Shelf, usage_of
from vending.tariffs import quote
from vending.tariffs.quote import Quote
from vending.tokens.identifiers import next_identifier
from vending.tokens.issuer import Issuer, Order, Token, TokenRefused
from vending.values import Value

PREPAID = "prepaid"


class TokenDiffers(Inconsistent):
    """A token carries another energy than its receipt says.

    Nothing of the batch was written. The amount rule of the server and the STS core disagree.
    """

    code = "token_differs"


class Approved(Value, frozen=True):
    """A payment that buys: for which meter, what, under which token identifier.

    `change` is of the meter's key, and comes first; `meter` has the new key then.
    """

    claim: Claim
    meter: Meter
    bill: Quote
    tid: int
    change: KeyChange | None


class Declined(Value, frozen=True):
    """A payment that buys nothing, why, and the meter if it was found."""

    claim: Claim
    reason: Refused
    meter: Meter | None


Result = Outcome | Refused | Refusal
"""What a claim is answered with. A stored payment always has an outcome; a direct sale that buys
nothing is refused, and so is one whose reference is barred or was used for something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A batch that is decided and not written: nothing of it may be told to anybody yet.

    `results` answer the claims in order once `statement` is committed; `leaves` is what the
    next batch is to believe meanwhile.
    """

    decided_at: datetime
    results: list[Result] = field(repr=False)
    statement: str = field(repr=False)
    parameters: tuple[object, ...] = field(repr=False)
    leaves: InFlight


async def vend(
    db: Writer, waiting: Sequence[Claim], *, fence: Fence, office: Office, now: datetime
) -> list[Result]:
    """Turn claimed payments into tokens that customers can key in, or into refunds due.

    Returns the result of every claim, in order, once they are committed; a claim that had been
    decided before keeps that outcome. Raises Fenced, FloatMoved and DatabaseAway; any other error
    means that something in the batch cannot be written, and that nothing was.
    """
    prepared = await prepare(db, waiting, in_flight=NOTHING, office=office, now=now)
    await write(db, prepared, fence=fence)
    return prepared.results


async def write(db: Writer, prepared: Prepared, *, fence: Fence) -> None:
    """Write a prepared batch and return when it is committed; raises as `vend` does."""
    await batch.write(db, prepared.statement, prepared.parameters, fence=fence)


async def prepare(
    db: Session,
    waiting: Sequence[Claim],
    *,
    in_flight: InFlight,
    office: Office,
    now: datetime,
    beside: Session | None = None,
) -> Prepared:
    """Decide claimed payments, on top of what is in flight, and change nothing.

    `db`, and `beside` if there is one to read on at the same time, must see every batch but the one
    in flight. Raises DatabaseAway when one cannot be read; any other error means that something in
    the batch cannot be decided.
    """
    aside = None if all(one.stored for one in waiting) else beside
    named = (one.reference for one in waiting)
    async with shelf.reading(aside, named, in_flight=in_flight) as reading:
        found = await claims.recognised(db, waiting, in_flight=in_flight)
        doubtful = [_number(one) for one in found.claims if one.doubtful]
        before = {**await outcomes.read(db, doubtful), **in_flight.outcomes}
        known = claims.each_once(found.claims, found.refusals)
        open_claims = [one for one in known if _open(one, before)]
        read = reading or shelf.read(db, found.meters(open_claims), in_flight=in_flight)
        meters = await read
    money = await cover.read(db, open_claims, in_flight=in_flight)
    past = await earlier.read(db, open_claims, meters=meters, in_flight=in_flight, now=now)

    repaying = claims.repaying(open_claims)
    buying = [one for one in open_claims if one not in repaying] if repaying else open_claims
    sales, declined, stock, money = _sell(buying, meters, money, past, office=office, now=now)

    changes = _changes(sales, declined, stock, money, office=office, now=now)
    changes.barred = found.barred
    # What is no sale: debts paid off, tokens that nobody pays for, changes of keys by themselves.
    unpaid = settle(repaying, changes, meters=stock, money=money, catalogue=office.catalogue)
    given = await specials.give(db, found, changes, stock, office.issuer, in_flight=in_flight)
    keyed = await key_requests.give(db, found, changes, stock, office.issuer, in_flight=in_flight)

    changes.warnings = [office.numbers.next() for _ in changes.drawn]
    after = before | {one.payment_id: one for one in changes.outcomes} | given.answers
    changes.reassigned = _reassigned(found.claims, declined, after)
    reasons = {_number(one.claim): one.reason for one in declined} | given.refusals | unpaid | keyed
    statement, parameters = await batch.parameters(db, changes, chart=office.chart)
    return Prepared(
        decided_at=now,
        results=[
            found.refusals.get(number) or after.get(number) or reasons[number]
            for number in map(_number, found.claims)
        ],
        statement=statement,
        parameters=parameters,
        leaves=changes.left(owed=stock.owed_after),
    )


def decide(
    claim: Claim, *, meters: Shelf, money: Cover, past: Earlier, office: Office, now: datetime
) -> Approved | Declined:
    """Say what a payment buys, or why it buys nothing.

    The only place where a refusal stops being an exception and becomes a value, so that one bad
    payment declines itself and never its batch.
    """
    meter = None
    try:
        if claim.payment.product != PREPAID:
            raise ShortCodeUnknown(short_code=claim.payment.notice.short_code)
        meter, state, debts = meters.take(meters.named(claim.reference))
        require_active(meter)
        change = None
        if meter.key_change_due:
            meter, change = rekeying.applied(meter, meters=meters, issuer=office.issuer, now=now)
        at = priced_at(claim.payment, past=office.paid_at_past, future=office.paid_at_future)
        bill = quote.price(
            claim.payment.notice.amount_minor,
            tariff=office.catalogue.in_force(meter.tariff, at),
            category=meter.tariff_category,
            usage=usage_of(state),
            debts=debts,
            at=at,
        )
        claims.require_terms(claim, bill)
        past.require_unlike(claim)
        money.require(claim.payment)
        last_tid = state.last_tid if state.tid_base == meter.tid_base else 0
        tid = next_identifier(now, tid_base=meter.tid_base, after=last_tid)
        office.issuer.require_issuable(meter, tid=tid)
    except Refused as reason:
        return Declined(claim, reason, meter)
    return Approved(claim, meter, bill, tid, change)


def outcome_of(sale: Approved, token: Token, *, now: datetime) -> Outcome:
    """Return the outcome of a sale: the token, and the receipt that anyone can recompute (P5)."""
    bill = sale.bill
    return Outcome(
        payment_id=_number(sale.claim),
        kind=OutcomeKind.TOKEN_ISSUED,
        meter_number=sale.meter.meter_number,
        tid_base=sale.meter.tid_base,
        tid=sale.tid,
        token=token.digits,
        energy_wh=bill.energy_wh,
        tariff=bill.tariff,
        tariff_version=bill.version,
        tariff_category=bill.category,
        lines=bill.charged,
        key_change=sale.change,
        decided_at=now,
    )


def refund_of(declined: Declined, *, now: datetime) -> Outcome:
    """Return the outcome of a payment that buys nothing: the money is due back, and why."""
    return Outcome(
        payment_id=_number(declined.claim),
        kind=OutcomeKind.REFUND_DUE,
        reason=declined.reason.code,
        meter_number=declined.meter.meter_number if declined.meter else None,
        decided_at=now,
    )


def _sell(
    open_claims: Iterable[Claim],
    meters: Shelf,
    money: Cover,
    past: Earlier,
    *,
    office: Office,
    now: datetime,
) -> tuple[list[tuple[Approved, Token]], list[Declined], Shelf, Cover]:
    """Decide every claim and issue the tokens, until the core refuses none of them.

    A refused token changes what its meter's later payments in the batch cost and what its vendor
    has left, so the batch is decided again without it.
    """
    refusals: dict[int, TokenRefused] = {}
    while True:
        stock, left, before = meters.afresh(), money.afresh(), past.afresh()
        approved: list[Approved] = []
        declined: list[Declined] = []
        for claim in open_claims:
            if refusals and _number(claim) in refusals:
                declined.append(Declined(claim, refusals[_number(claim)], None))
                continue
            decision = decide(claim, meters=stock, money=left, past=before, office=office, now=now)
            if isinstance(decision, Approved):
                stock.put_back(decision.meter, decision.bill, tid=decision.tid)
                left.draw(claim.payment)
                before.note(claim)
                approved.append(decision)
            else:
                declined.append(decision)
        sales: list[tuple[Approved, Token]] = []
        issued = _issue(approved, office.issuer)
        for sale, token in zip(approved, issued, strict=True):
            if isinstance(token, TokenRefused):
                refusals[_number(sale.claim)] = token
            else:
                sales.append((sale, token))
        if len(sales) == len(approved):
            return sales, declined, stock, left


def _changes(
    sales: Sequence[tuple[Approved, Token]],
    declined: Sequence[Declined],
    stock: Shelf,
    money: Cover,
    *,
    office: Office,
    now: datetime,
) -> Changes:
    """Return what sales and refusals change: a refused payment that is stored is owed back."""
    refused = [one for one in declined if one.claim.stored and one.claim.reassignment is None]
    changes = Changes(
        payments=[sale.claim.payment for sale, _ in sales if not sale.claim.stored],
        outcomes=[outcome_of(*sale, now=now) for sale in sales]
        + [refund_of(one, now=now) for one in refused],
        entries=[_sale_entry(sale, money, now) for sale, _ in sales]
        + [bookings.of_suspense(one.claim, now=now) for one in refused],
        messages=[message for sale in sales for message in _receipts(*sale, office, now)]
        + [message for one in refused for message in _apologies(one, office, now)],
        states=stock.changed,
        repaid=stock.repaid,
        drawn=money.drawn,
        number=office.numbers.next(),
        decided_at=now,
    )
    if money.told:
        sold = zip((sale.claim.payment for sale, _ in sales), changes.outcomes, strict=False)
        changes.events = announcements.of_sales(sold, told=money.told, numbers=office.numbers)
    return changes


def _issue(approved: Sequence[Approved], issuer: Issuer) -> list[Token | TokenRefused]:
    """Issue the tokens of a batch, and prove that each carries the energy on its receipt."""
    chance = secrets.token_bytes(len(approved))
    orders = [
        Order(
            meter=sale.meter,
            energy_tenths=sale.bill.energy_wh // WH_PER_TENTH,
            tid=sale.tid,
            rnd=byte & 0xF,
        )
        for sale, byte in zip(approved, chance, strict=True)
    ]
    tokens = issuer.issue(orders) if orders else []
    for order, token in zip(orders, tokens, strict=True):
        if isinstance(token, Token) and (
            token.energy_tenths != order.energy_tenths or token.tid != order.tid
        ):
            raise TokenDiffers(meter_number=order.meter.meter_number, tid=order.tid)
    return tokens


def _sale_entry(sale: Approved, money: Cover, now: datetime) -> Entry:
    commission = money.commission(sale.claim.payment)
    return bookings.of_sale(sale.claim, sale.bill, commission=commission, now=now)


def _receipts(sale: Approved, token: Token, office: Office, now: datetime) -> list[Message]:
    return notices.receipts(
        sale.claim.payment,
        sale.meter,
        sale.bill,
        digits=token.digits,
        codes=codes_of(sale.change),
        wording=office.wording,
        numbers=office.numbers,
        now=now,
    )


def _apologies(declined: Declined, office: Office, now: datetime) -> list[Message]:
    return notices.apologies(
        declined.claim.payment,
        declined.meter,
        reason=declined.reason.code,
        wording=office.wording,
        numbers=office.numbers,
        now=now,
    )


def _open(claim: Claim, before: Mapping[int, Outcome]) -> bool:
    """Whether a claim is still to be decided, given the outcomes there are."""
    known = before.get(_number(claim))
    if claim.reassignment is None:
        return known is None
    return known is not None and OutcomeKind.TOKEN_ISSUED in LEGAL_CHANGES[known.kind]


def _reassigned(
    known: Iterable[Claim], declined: Iterable[Declined], after: Mapping[int, Outcome]
) -> list[tuple[int, str]]:
    """Return what came of each request to reassign: the outcome's kind, or why it was refused."""
    refused = {_number(one.claim): one.reason.code for one in declined}
    return [
        (claim.reassignment, refused.get(_number(claim), str(after[_number(claim)].kind)))
        for claim in known
        if claim.reassignment is not None
    ]


def _number(claim: Claim) -> int:
    return claim.payment.payment_id
