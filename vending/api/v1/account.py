"""A vendor's account: its float, and the statement of every movement of it."""

from typing import Annotated

import msgspec
from msgspec import Meta

from vending.api.v1 import pages
from vending.api.v1.asked import Answer, Asked, Instant, instant
from vending.api.v1.pages import Page
from vending.api.v1.teller import Teller
from vending.numbering import first_at
from vending.vendors import floats, statements
from vending.vendors.statements import NEWEST, Line

STATEMENT = "statement"


class Float(msgspec.Struct, frozen=True, kw_only=True):
    """What a vendor has paid in and not sold yet."""

    balance_minor: Annotated[int, Meta(description="In cents; below zero, what is owed to us.")]
    credit_limit_minor: Annotated[int, Meta(ge=0, description="How far below zero it may go.")]
    available_minor: Annotated[int, Meta(description="What can still be sold for.")]
    warning_minor: Annotated[
        int, Meta(ge=0, description="Below so much available `float.low` is told; 0: never.")
    ]
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217 code.")]
    as_of: Instant


class StatementPage(Page, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which part of a statement is asked for."""

    since: Annotated[
        Instant | None, Meta(description="Only what came in at this instant or later.")
    ] = None
    until: Annotated[Instant | None, Meta(description="Only what came in before this instant.")] = (
        None
    )


class StatementLine(msgspec.Struct, frozen=True, kw_only=True):
    """One movement of the float."""

    kind: Annotated[
        str,
        Meta(description="What it was: sale, repayment (of a debt, by XMLVend), deposit, ..."),
    ]
    amount_minor: Annotated[int, Meta(description="Into the float, or, negative, out of it.")]
    booked_at: Instant
    reference: Annotated[str, Meta(description="The sale's, or the bank's name and reference.")]
    point_of_sale: Annotated[str, Meta(description="Outlet, or outlet/till; empty for a deposit.")]
    meter: Annotated[str, Meta(description="Empty for a deposit.")]
    settled: Annotated[
        bool,
        Meta(
            description="False in the first two minutes, when a line may still come before it: it "
            "comes again when the statement is read on another day."
        ),
    ]


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a statement: lines in the order in which they came in."""

    lines: list[StatementLine]
    next: Annotated[
        str | None,
        Meta(
            description="Where to go on. With `more`, behind the last line; at the end, behind the "
            "last settled line, to be kept for another day."
        ),
    ]
    more: Annotated[bool, Meta(description="Whether there is more at once.")]


async def read_float(teller: Teller, asked: Asked[None, None]) -> Answer:
    """Answer the caller's float."""
    held = await floats.find(teller.reads, asked.caller.vendor_id)
    body = Float(
        balance_minor=held.balance_minor,
        credit_limit_minor=held.credit_limit_minor,
        available_minor=held.available_minor,
        warning_minor=held.warning_minor,
        currency=teller.config.utility.currency,
        as_of=asked.now,
    )
    return Answer(status=200, body=body)


async def read_statement(teller: Teller, asked: Asked[None, StatementPage]) -> Answer:
    """Answer a page of the caller's statement, oldest line first.

    Behind the last settled line a reading goes on to the newest one, and remembers the settled one:
    whoever goes on another day from where it ended misses none, and gets the unsettled ones again.
    """
    page = asked.query
    after, back = pages.places(STATEMENT, page.cursor, beginning=0)
    if page.since is not None:
        after = max(after, first_at(instant("since", page.since)) - 1)
    after = max(0, after)
    before = NEWEST
    if page.until is not None:
        before = max(0, first_at(instant("until", page.until)))
    lines = await statements.lines(
        teller.reads, asked.caller.vendor_id, after=after, before=before, most=page.limit
    )
    # Nothing is settled behind a line that was not when it was read: one may have come before it.
    edge = statements.settled(asked.now) if back is None else 0
    settled = max((line.document_id for line in lines if line.document_id < edge), default=None)
    if settled is not None:
        back = settled
    elif back is None:
        back = after
    more = len({line.document_id for line in lines}) >= page.limit
    following = pages.cursor(STATEMENT, back) if back else None
    if more and lines[-1].document_id != back:
        following = pages.cursor(STATEMENT, lines[-1].document_id, back=back)
    body = Statement(lines=[_line(line, edge=edge) for line in lines], next=following, more=more)
    return Answer(status=200, body=body)


def _line(line: Line, *, edge: int) -> StatementLine:
    return StatementLine(
        kind=line.kind,
        amount_minor=line.amount_minor,
        booked_at=line.booked_at,
        reference=line.reference,
        point_of_sale=line.point_of_sale,
        meter=line.meter,
        settled=line.document_id < edge,
    )
