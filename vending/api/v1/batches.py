"""Batches: the shifts of a vendor's outlets and tills, with totals that are the ledger's own."""

from typing import Annotated

import msgspec
from msgspec import Meta

from vending.api.v1 import names, pages
from vending.api.v1.asked import Answer, Asked, Instant
from vending.api.v1.pages import Page
from vending.api.v1.teller import Teller
from vending.vendors import shifts
from vending.vendors.shifts import Shift, ShiftUnknown
from vending.vendors.vendor import NO_TILL

LIST = "batches"

Place = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,32}$")]


class NewBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a shift begins, and whose it is."""

    outlet: Annotated[
        Place, Meta(description="The vendor's own name of the outlet.", examples=["Kisumu-1"])
    ]
    till: Annotated[Place, Meta(description="One till of it; left out, the whole outlet.")] = (
        NO_TILL
    )
    clerk: Annotated[
        str, Meta(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=60, description="Who works there.")
    ] = ""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A shift, open while `closed_at` is null."""

    batch: Annotated[str, Meta(description="Its name here.")]
    outlet: str
    till: str
    clerk: str
    opened_at: Instant
    closed_at: Instant | None


class BatchTotals(Batch, frozen=True, kw_only=True):
    """A shift and what the ledger says of its time, so far if it is open."""

    sales: Annotated[int, Meta(ge=0, description="How many sales.")]
    amount_minor: Annotated[int, Meta(description="What they took from the float, in cents.")]


class BatchList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of shifts, newest first."""

    batches: list[Batch]
    next: Annotated[str | None, Meta(description="Cursor of the next page; null on the last one.")]


async def open_(teller: Teller, asked: Asked[NewBatch, None]) -> Answer:
    """Open a shift at an outlet or a till where none is open."""
    given = asked.body
    shift = await teller.write(
        lambda db: shifts.open_(
            db, asked.caller.vendor_id, shift_id=teller.numbers.next(), outlet=given.outlet,
            till=given.till, clerk=given.clerk, now=asked.now,
        )
    )  # fmt: skip
    place = f"/v1/batches/{names.name(names.BATCH, shift.shift_id)}"
    return Answer(status=201, body=await _totalled(teller, shift), headers=(("Location", place),))


async def close(teller: Teller, asked: Asked[None, None]) -> Answer:
    """Close a shift; one that is closed stays as it is, and is answered all the same."""
    shift = await _find(teller, asked)
    if shift.closed_at is None:
        try:
            shift = await teller.write(
                lambda db: shifts.close(
                    db, shift.vendor_id, outlet=shift.outlet, till=shift.till,
                    shift_id=shift.shift_id, now=asked.now,
                )
            )  # fmt: skip
        except ShiftUnknown:
            shift = await _find(teller, asked)  # somebody else was quicker
    return Answer(status=200, body=await _totalled(teller, shift))


async def find(teller: Teller, asked: Asked[None, None]) -> Answer:
    """Answer one of the caller's shifts with its totals."""
    return Answer(status=200, body=await _totalled(teller, await _find(teller, asked)))


async def listing(teller: Teller, asked: Asked[None, Page]) -> Answer:
    """Answer a page of the caller's shifts."""
    page = asked.query
    before = pages.place(LIST, page.cursor, beginning=shifts.NEWEST)
    rows = await shifts.of_vendor(
        teller.reads, asked.caller.vendor_id, before=before, most=page.limit + 1
    )
    cut, after = pages.cut(rows, limit=page.limit, of=LIST, number=lambda one: one.shift_id)
    return Answer(status=200, body=BatchList(batches=[_shown(one) for one in cut], next=after))


async def _find(teller: Teller, asked: Asked[None, None]) -> Shift:
    number = names.number(names.BATCH, asked.path["batch"], unknown=ShiftUnknown)
    return await shifts.find(teller.reads, asked.caller.vendor_id, number)


def _shown(shift: Shift) -> Batch:
    return Batch(
        batch=names.name(names.BATCH, shift.shift_id),
        outlet=shift.outlet,
        till=shift.till,
        clerk=shift.clerk,
        opened_at=shift.opened_at,
        closed_at=shift.closed_at,
    )


async def _totalled(teller: Teller, shift: Shift) -> BatchTotals:
    totals = await shifts.totals(teller.reads, shift)
    told = msgspec.structs.asdict(_shown(shift))
    return BatchTotals(**told, sales=totals.sales, amount_minor=totals.amount_minor)
