"""Shifts of a till: opened, totalled, closed, and printed again; the ledger tells the totals."""

from vending.api.v1.teller import Teller
from vending.api.xmlvend.places import outlet_and_till
from vending.api.xmlvend.refusals import BatchNotOpen, BatchReprintUnknown
from vending.api.xmlvend.visit import Visit
from vending.vendors import shifts
from vending.vendors.shifts import Shift, ShiftUnknown
from vending.xmlvend.answers import EndAnswer, ReprintBatchAnswer, StartAnswer, TotalAnswer
from vending.xmlvend.batches import (
    BatchReport,
    Level,
    SaleTotal,
    SaleTotalKind,
    StartedBatch,
    TillBatch,
)
from vending.xmlvend.requests import EndBatch, ReprintBatch, StartBatch, TotalBatch

CLERK_LETTERS_MAX = 60


async def start(teller: Teller, asked: Visit, _request: StartBatch) -> StartAnswer:
    """Open a shift at the terminal. Raises ShiftOpen."""
    outlet, till = outlet_and_till(asked.sender.message_id)
    await teller.write(
        lambda db: shifts.open_(
            db, asked.vendor_id, shift_id=teller.numbers.next(), outlet=outlet, till=till,
            clerk=_clerk(asked), now=asked.now,
        )
    )  # fmt: skip
    number, shift = await shifts.of_till(teller.reads, asked.vendor_id, outlet=outlet, till=till)
    started = StartedBatch(level=Level.SHIFT, sequence=number, at=shift.opened_at)
    return StartAnswer(head=asked.head(), batch=started)


async def total(teller: Teller, asked: Visit, _request: TotalBatch) -> TotalAnswer:
    """Tell what the open shift comes to so far. Raises BatchNotOpen."""
    outlet, till = outlet_and_till(asked.sender.message_id)
    try:
        number, shift = await shifts.of_till(
            teller.reads, asked.vendor_id, outlet=outlet, till=till, open_=True
        )
    except ShiftUnknown:
        raise BatchNotOpen from None
    return TotalAnswer(head=asked.head(), batches=(await _totalled(teller, asked, number, shift),))


async def end(teller: Teller, asked: Visit, _request: EndBatch) -> EndAnswer:
    """Close the open shift and tell what was in it. Raises ShiftUnknown."""
    outlet, till = outlet_and_till(asked.sender.message_id)
    number, shift = await shifts.of_till(
        teller.reads, asked.vendor_id, outlet=outlet, till=till, open_=True
    )
    closed = await teller.write(
        lambda db: shifts.close(
            db, asked.vendor_id, outlet=outlet, till=till, shift_id=shift.shift_id, now=asked.now
        )
    )
    return EndAnswer(head=asked.head(), batch=await _totalled(teller, asked, number, closed))


async def reprint(teller: Teller, asked: Visit, request: ReprintBatch) -> ReprintBatchAnswer:
    """Tell what was in a closed shift: the last one, or that of a number.

    Raises BatchReprintUnknown.
    """
    outlet, till = outlet_and_till(asked.sender.message_id)
    try:
        number, shift = await shifts.of_till(
            teller.reads, asked.vendor_id, outlet=outlet, till=till, number=request.sequence,
            open_=False,
        )  # fmt: skip
    except ShiftUnknown:
        raise BatchReprintUnknown from None
    ended = EndAnswer(head=asked.head(), batch=await _totalled(teller, asked, number, shift))
    return ReprintBatchAnswer(head=asked.head(title="COPY"), ended=ended)


async def _totalled(teller: Teller, asked: Visit, number: int, shift: Shift) -> TillBatch:
    totals = await shifts.totals(teller.reads, shift)
    sold = SaleTotal(
        kind=SaleTotalKind.SALES, amount_minor=totals.amount_minor, text=f"{totals.sales} sales"
    )
    return TillBatch(
        level=Level.SHIFT,
        sequence=number,
        started=shift.opened_at,
        ended=shift.closed_at or asked.now,
        total_minor=totals.amount_minor,
        report=BatchReport(sales=(sold,)),
    )


def _clerk(asked: Visit) -> str:
    """Return the operator at the till, as far as its name is one."""
    credential = asked.sender.credential
    name = "" if credential is None else " ".join(credential.operator.split())
    return name[:CLERK_LETTERS_MAX] if name.isprintable() else ""
