"""Claims: payments whose turn has come, how a known one is recognised, and one put aside."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from vending.errors import Refused
from vending.in_flight import InFlight
from vending.payments import rows
from vending.payments.payment import NoticeConflicts, Payment, PaymentNotice
from vending.payments.rows import Key
from vending.postgres.pool import Session
from vending.tariffs.quote import Quote
from vending.tokens.key_requests import KeysAsked
from vending.tokens.special import SpecialAsked
from vending.values import Value, replace
from vending.vendors import barred, floats
from vending.vendors.barred import ReferenceBarred
from vending.vendors.vendor import vendor_of

PUT_ASIDE = """
insert into quarantine (quarantine_id, operator, reason, transaction_id, payment_id, payload,
                        digest, detail, received_at)
values ($1, $2, 'cannot_be_vended', $3, $4, $5, $6, $7, $8)
on conflict (operator, digest) do update set resolved_at = null, resolved_by = null -- once more
"""


class PriceChanged(Refused):
    """The meter no longer gets for this sum what was quoted.

    Nothing was sold. Ask for a new quote: the meter has bought since, its debts have changed, or
    the tariff has.
    """

    code = "price_changed"


class Wish(StrEnum):
    """What is wanted of a claim."""

    SALE = "sale"
    """A token, or a refund."""

    BAR = "bar"
    """That a vendor's reference be barred, unless there is a sale under it."""

    WITHDRAWAL = "withdrawal"
    """The same, and a sale under it that is decided in the same batch is not made."""


class Account(StrEnum):
    """Which of a meter's debts a payment is for that buys nothing."""

    DEBT = "debt"
    SERVICE_CHARGE = "service_charge"
    ANY = "any"


class Terms(Value, frozen=True, kw_only=True):
    """On what terms a vendor sells: anything else is not what it was told, and is refused.

    `lines` are those of a quote, `energy_wh` what must be bought at least. `confirmed` says that a
    sale like one a moment ago is meant. What `pays` an account buys nothing.
    """

    lines: tuple[tuple[str, int], ...] | None = None
    energy_wh: int = 0
    confirmed: bool = False
    pays: Account | None = None


class Claim(Value, frozen=True, kw_only=True):
    """A payment whose turn has come, and the meter it is to buy for, as it was typed.

    `reassignment` is the number of the request that moves a refund due to another meter, None for
    the payment's own first decision. `doubtful` means that it may have been decided already: it
    was found by the sweep, or its batch failed. `stored` is False for a direct sale, whose payment
    is stored with its outcome or, when it buys nothing, not at all. A vendor's has its `terms`.
    What asks for a `special` token, or for the codes of a key change, has a payment of nothing, for
    its caller and reference alone.
    """

    payment: Payment
    reference: str
    reassignment: int | None = None
    doubtful: bool = False
    stored: bool = True
    wish: Wish = Wish.SALE
    terms: Terms | None = None
    special: SpecialAsked | KeysAsked | None = None


Refusal = NoticeConflicts | ReferenceBarred
"""Why a direct sale is not even decided."""


class Special(Value, frozen=True, kw_only=True):
    """A claim for a special token: whether its reference was used for a sale, or is barred.

    And whether its vendor is suspended, which may have been let in before it was.
    """

    claim: Claim
    asked: SpecialAsked
    sold: bool
    barred: bool
    suspended: bool

    @property
    def reference(self) -> str:
        """The meter that it is for, as it was typed; empty where it is for any."""
        return self.claim.reference


class KeyRequest(Value, frozen=True, kw_only=True):
    """A claim for the codes of a key change, with the same said of it."""

    claim: Claim
    asked: KeysAsked
    sold: bool
    barred: bool
    suspended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """The claims of a batch, each under the payment it is known by.

    `refusals` are of claims that are not to be decided, by their payment's number; `barred` are
    the references that the batch bars. `specials` and `key_requests` are decided apart, after the
    sales; `suspended` are the vendors that may have none of them.
    """

    claims: list[Claim]
    refusals: dict[int, Refusal] = field(default_factory=dict)
    barred: set[Key] = field(default_factory=set)
    specials: list[Special] = field(default_factory=list)
    key_requests: list[KeyRequest] = field(default_factory=list)
    suspended: frozenset[str] = frozenset()

    def meters(self, open_claims: Sequence[Claim]) -> list[str]:
        """Return the meters that open claims and special ones are for, as they were typed."""
        named = [one.reference for one in open_claims]
        named += [one.reference for one in self.specials]
        return named + [one.claim.reference for one in self.key_requests]

    def set_apart(
        self, claim: Claim, asked: SpecialAsked | KeysAsked, *, sold: bool, barred: bool
    ) -> None:
        """Add a claim to those that are decided after the sales."""
        self.claims.append(claim)
        idle = vendor_of(claim.payment.notice.operator) in self.suspended
        if isinstance(asked, KeysAsked):
            self.key_requests.append(
                KeyRequest(claim=claim, asked=asked, sold=sold, barred=barred, suspended=idle)
            )
        else:
            self.specials.append(
                Special(claim=claim, asked=asked, sold=sold, barred=barred, suspended=idle)
            )


async def recognised(db: Session, claims: Sequence[Claim], *, in_flight: InFlight) -> Recognised:
    """Return the claims with every direct sale that is known under its first payment.

    A direct sale may have been made before, be in flight, or come twice in one batch; in each case
    it becomes a claim of the first payment with its reference. One with other facts is refused, as
    is one whose reference is barred. To bar a reference under which there is a sale is to ask what
    became of that one.
    """
    direct = [one for one in claims if not one.stored]
    if not direct:
        return Recognised(claims=list(claims))
    keys = {rows.key_of(one.payment.notice) for one in direct}
    known = {**await rows.known(db, keys), **in_flight.sales}
    closed = {key for key in keys - known.keys() if vendor_of(key[0]) is not None}
    closed = await barred.read(db, closed) | (in_flight.barred & closed) if closed else set()
    # Nearly every batch is of sales that were never heard of, and has nothing to tell apart.
    if len(keys) == len(direct) and not closed and keys.isdisjoint(known) and _plain(direct):
        return Recognised(claims=list(claims))
    return _told_apart(claims, known, closed, suspended=await _suspended(db, claims))


def _plain(claims: Iterable[Claim]) -> bool:
    """Whether a sale is all that is wanted of each claim."""
    return all(one.wish is Wish.SALE and one.special is None for one in claims)


def _told_apart(
    claims: Sequence[Claim],
    known: Mapping[Key, tuple[int, PaymentNotice]],
    closed: set[Key],
    *,
    suspended: frozenset[str],
) -> Recognised:
    """Return claims by what stands against them: a sale under their reference, or a bar."""
    withdrawn = _withdrawn(claims) - known.keys()
    first: dict[Key, tuple[Claim, PaymentNotice]] = {}
    special: set[Key] = set()
    found = Recognised(claims=[], barred=withdrawn - closed, suspended=suspended)
    closed |= withdrawn
    for one in claims:
        if one.stored:
            found.claims.append(one)
            continue
        notice = one.payment.notice
        key = rows.key_of(notice)
        if one.special is not None:
            sold = key in known or key in first
            shut = key in closed and key not in special
            found.set_apart(one, one.special, sold=sold, barred=shut)
            if not shut:
                special.add(key)
            closed.add(key)  # nothing is sold under it any more
            continue
        open_ = key in special or key not in closed
        if one.wish is not Wish.SALE and open_ and not (key in first or key in known):
            closed.add(key)
            special.discard(key)
            found.barred.add(key)
        if key in closed:
            found.barred.update({key} & special)  # told so, whatever comes of the other request
            found.refusals[one.payment.payment_id] = ReferenceBarred(reference=key[1])
            found.claims.append(one)
            continue
        if key not in first:
            first[key] = _under(one, *known[key]) if key in known else (one, notice)
        known_as, facts = first[key]
        if one.wish is not Wish.SALE or facts.same_sale(notice):
            found.claims.append(known_as)
        else:
            found.refusals[one.payment.payment_id] = NoticeConflicts(reference=key[1])
            found.claims.append(one)
    return found


def repaying(claims: Iterable[Claim]) -> list[Claim]:
    """Return those of some claims that pay debts rather than for a token."""
    return [one for one in claims if one.terms is not None and one.terms.pays is not None]


def require_terms(claim: Claim, bill: Quote) -> None:
    """Raise PriceChanged when a bill is not what the vendor was told."""
    terms = claim.terms
    if terms is None:
        return
    if bill.energy_wh < terms.energy_wh or terms.lines not in (None, bill.charged):
        raise PriceChanged(energy_wh=bill.energy_wh)


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


def each_once(claims: Sequence[Claim], refused: Collection[int]) -> Iterator[Claim]:
    """Return the payments that are to be decided: each once, refused ones left out."""
    seen: set[tuple[int, int | None]] = set()
    for one in claims:
        number = one.payment.payment_id
        identity = (number, one.reassignment)
        if identity not in seen and number not in refused and one.special is None:
            seen.add(identity)
            yield one


async def _suspended(db: Session, claims: Sequence[Claim]) -> frozenset[str]:
    """Return those suspended of the vendors that ask for what nobody pays; nearly never any ask."""
    asking = {vendor_of(one.payment.notice.operator) for one in claims if one.special is not None}
    vendors = sorted(filter(None, asking))
    held = await floats.read(db, vendors) if vendors else {}
    return frozenset(vendor_id for vendor_id, one in held.items() if one.suspended)


def _withdrawn(claims: Sequence[Claim]) -> set[Key]:
    return {rows.key_of(one.payment.notice) for one in claims if one.wish is Wish.WITHDRAWAL}


def _under(claim: Claim, number: int, facts: PaymentNotice) -> tuple[Claim, PaymentNotice]:
    payment = replace(claim.payment, payment_id=number)
    return replace(claim, payment=payment, stored=True, doubtful=True), facts
