"""Sales: one resource by the vendor's own reference, and 200 or 201 always has a token in it."""

import re
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from vending.api.v1 import names, receipts
from vending.api.v1.asked import Answer, Asked, Instant, RequestInvalid
from vending.api.v1.operation import Header
from vending.api.v1.receipts import (
    REFERENCE,
    Amount,
    Currency,
    Energy,
    Place,
    ReceiptLine,
    Reference,
    Typed,
)
from vending.api.v1.shapes import Money
from vending.api.v1.teller import Teller
from vending.key_data import codes_of
from vending.payments.payment import OutcomeKind
from vending.selling.disputes import Dispute
from vending.selling.sale import (
    Pending,
    QuoteUnknown,
    ReferenceReused,
    Sale,
    SaleAsked,
    SaleUnknown,
)
from vending.vendors.register import Caller
from vending.vendors.vendor import NO_TILL, point_of_sale

WAIT_SECONDS: Final = 5
WAIT_SECONDS_MAX: Final = 25
AGAIN_SECONDS: Final = 1

PREFER: Final = Header(
    name="Prefer",
    says="`wait=N`: seconds to wait for the token, 25 at most and 5 if left out (RFC 7240).",
    pattern="[ -~]{1,200}",
)
IDEMPOTENCY_KEY: Final = Header(
    name="Idempotency-Key",
    says="The sale's reference, in quotes or bare; instead of the body's, or the same.",
    pattern=f'(?:{REFERENCE}|"{REFERENCE}")',
)

_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?([0-9]{1,6})\"?\s*(?=$|[,;])", re.IGNORECASE)
_KEY = re.compile(REFERENCE)


class NewSale(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be sold: a quote, a sum, or a number of units, under the vendor's reference."""

    reference: Reference | None = None
    meter: Typed | None = None
    quote: Annotated[str | None, Meta(description="A quote's name; its meter may be left out.")] = (
        None
    )
    amount_minor: Amount | None = None
    energy_wh: Energy | None = None
    outlet: Annotated[Place, Meta(description="The vendor's own name of the outlet.")] = NO_TILL
    till: Annotated[Place, Meta(description="One till of the outlet.")] = NO_TILL
    confirm: Annotated[
        bool, Meta(description="A sale like one of the last 30 seconds is meant.")
    ] = False


Codes = Annotated[
    list[Annotated[str, Meta(pattern="^[0-9]{20}$")]],
    Meta(
        max_length=4,
        description="Codes of a key change, nearly always none: print them above the token, in "
        "this order. They are typed at the meter first, and cost nothing.",
    ),
]


class MadeSale(msgspec.Struct, frozen=True, kw_only=True):
    """A sale that was made: the token, and the receipt behind it."""

    reference: Reference
    status: Literal["sold"]
    sandbox: Annotated[bool, Meta(description="Sold in the sandbox: no meter takes the token.")]
    money_state: Money
    meter: str
    outlet: str
    till: str
    amount_minor: int
    currency: Currency
    energy_wh: int
    key_change_codes: Codes
    token: Annotated[str, Meta(pattern="^[0-9]{20}$", description="What is typed at the meter.")]
    lines: list[ReceiptLine]
    tariff: str
    tariff_version: str
    tariff_category: str
    sold_at: Instant
    copies: Annotated[int, Meta(ge=0, description="How often the receipt was printed again.")]
    copy: Annotated[
        int, Meta(ge=0, description="Which copy this is: print COPY on it. 0 is the receipt.")
    ]


class PendingSale(msgspec.Struct, frozen=True, kw_only=True):
    """A sale that is being made: ask for it again."""

    reference: Reference
    status: Literal["pending"]
    money_state: Money


class Truth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a sale is asked for."""

    bar: Annotated[
        bool,
        Meta(description="Bar the reference if nothing is known of it, so that selling is safe."),
    ] = False


class ReversalReason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a sale should be undone."""

    reason: Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=200)]


class WithdrawnSale(msgspec.Struct, frozen=True, kw_only=True):
    """A sale that was not made and never will be: its reference is barred."""

    reference: Reference
    status: Literal["withdrawn"]
    money_state: Money


class DisputedSale(msgspec.Struct, frozen=True, kw_only=True):
    """A sale whose token is out, so that a person of the utility decides."""

    reference: Reference
    status: Literal["disputed", "settled"]
    money_state: Money
    dispute: Annotated[str, Meta(description="The case's name here.")]
    reason: str
    opened_at: Instant
    resolution: Annotated[str | None, Meta(description="What was decided; null until then.")]


async def sell(teller: Teller, asked: Asked[NewSale, None]) -> Answer:
    """Make a sale, and answer with the token if it is made in time."""
    wanted = _wanted(asked)
    sale = await teller.selling(asked.caller).sell(wanted, wait_seconds=_patience(asked))
    if isinstance(sale, Pending):
        return _pending(sale)
    return Answer(
        status=200 if sale.repeated else 201,
        body=_made(teller, asked.caller, sale),
        headers=(_place(sale),),
    )


async def find(teller: Teller, asked: Asked[None, Truth]) -> Answer:
    """Answer what became of a sale, and bar its reference if that is asked."""
    vendor_id, reference = asked.caller.vendor_id, _reference(asked.path)
    if asked.query.bar:
        sale = await teller.selling(asked.caller).settle(
            vendor_id, reference, wait_seconds=WAIT_SECONDS
        )
    else:
        sale = await teller.selling(asked.caller).find(vendor_id, reference)
    if isinstance(sale, Pending):
        return _pending(sale)
    return Answer(status=200, body=_made(teller, asked.caller, sale))


async def reprint(teller: Teller, asked: Asked[None, None]) -> Answer:
    """Answer a sale once more, as a copy that is counted."""
    sale = await teller.selling(asked.caller).reprint(
        asked.caller.vendor_id, _reference(asked.path), who=asked.caller.credential
    )
    return Answer(status=200, body=_made(teller, asked.caller, sale, copy=sale.copies))


async def reverse(teller: Teller, asked: Asked[ReversalReason, None]) -> Answer:
    """Withdraw a sale that is not made, or open a dispute about one that is."""
    done = await teller.selling(asked.caller).reverse(
        asked.caller.vendor_id,
        _reference(asked.path),
        reason=asked.body.reason,
        who=asked.caller.credential,
        wait_seconds=WAIT_SECONDS,
    )
    if isinstance(done, Dispute):
        return Answer(status=202, body=_disputed(done))
    body = WithdrawnSale(reference=done.reference, status="withdrawn", money_state=Money.NOT_TAKEN)
    return Answer(status=200, body=body)


def _wanted(asked: Asked[NewSale, None]) -> SaleAsked:
    given = asked.body
    key = asked.headers.get(IDEMPOTENCY_KEY.name.lower(), "").strip('"') or None
    reference = given.reference or key
    if reference is None:
        raise RequestInvalid(member="reference", fault="missing")
    if key not in (None, reference):
        raise RequestInvalid(member=IDEMPOTENCY_KEY.name, fault="the body's reference, or none")
    quote = given.quote
    return SaleAsked(
        vendor_id=asked.caller.vendor_id,
        reference=reference,
        point_of_sale=point_of_sale(given.outlet, given.till),
        meter=given.meter,
        amount_minor=given.amount_minor,
        energy_wh=given.energy_wh,
        quote_id=names.number(names.QUOTE, quote, unknown=QuoteUnknown) if quote else None,
        confirmed=given.confirm,
    )


def _reference(path: dict[str, str]) -> str:
    """Return the reference in a path; what cannot be one is nobody's."""
    text = path["reference"]
    if not _KEY.fullmatch(text):
        raise SaleUnknown
    return text


def _patience(asked: Asked[NewSale, None]) -> int:
    found = _WAIT.search(asked.headers.get(PREFER.name.lower(), ""))
    return min(int(found[1]), WAIT_SECONDS_MAX) if found else WAIT_SECONDS


def _place(sale: Sale | Pending) -> tuple[str, str]:
    return "Location", f"/v1/sales/{sale.reference}"


def _pending(sale: Pending) -> Answer:
    body = PendingSale(reference=sale.reference, status="pending", money_state=Money.HELD)
    return Answer(
        status=202, body=body, headers=(_place(sale), ("Retry-After", str(AGAIN_SECONDS)))
    )


def _made(teller: Teller, caller: Caller, sale: Sale, *, copy: int = 0) -> MadeSale:
    outcome = sale.outcome
    if outcome.kind is not OutcomeKind.TOKEN_ISSUED:
        raise ReferenceReused(reference=sale.reference)
    return MadeSale(
        reference=sale.reference,
        status="sold",
        sandbox=caller.sandbox,
        money_state=Money.TAKEN,
        meter=outcome.meter_number or "",
        outlet=sale.outlet,
        till=sale.till,
        amount_minor=sale.amount_minor,
        currency=teller.config.utility.currency,
        energy_wh=outcome.energy_wh or 0,
        key_change_codes=list(codes_of(outcome.key_change)),
        token=outcome.token or "",
        lines=receipts.lines(outcome.lines),
        tariff=outcome.tariff or "",
        tariff_version=outcome.tariff_version or "",
        tariff_category=outcome.tariff_category or "",
        sold_at=outcome.decided_at,
        copies=sale.copies,
        copy=copy,
    )


def _disputed(dispute: Dispute) -> DisputedSale:
    return DisputedSale(
        reference=dispute.reference,
        status="disputed" if dispute.settled_at is None else "settled",
        money_state=Money.TAKEN,
        dispute=names.name(names.DISPUTE, dispute.dispute_id),
        reason=dispute.reason,
        opened_at=dispute.opened_at,
        resolution=dispute.resolution,
    )
