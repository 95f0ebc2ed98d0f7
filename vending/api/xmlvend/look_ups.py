"""Look-ups: who may buy and within what limits, what a meter is, what a sum would buy."""

import zlib

from vending.api.v1.teller import Teller
from vending.api.xmlvend import receipts, visit
from vending.api.xmlvend.receipts import Bought
from vending.api.xmlvend.refusals import CustomerUnknown
from vending.api.xmlvend.visit import Visit
from vending.vendors import floats, statements
from vending.xmlvend.answers import (
    CustomerAnswer,
    FoundCustomer,
    LoginAnswer,
    MeterAnswer,
    StatementAnswer,
    StatementLine,
    VendAnswer,
    VendKind,
)
from vending.xmlvend.receipts import TRIAL_TOKEN, Customer
from vending.xmlvend.requests import (
    ConfirmCustomer,
    ConfirmMeter,
    CreditVend,
    CustomerIdentity,
    Login,
    VendorStatement,
)

TRIAL_NUMBER = "0"
"""The receipt number of what was not sold."""

STATEMENT_LINES = 50

_NUMBER_MAX = 2**31 - 1
"""The largest number that a till can read as its user's or terminal's."""


async def login(teller: Teller, asked: Visit, _request: Login) -> LoginAnswer:
    """Tell a terminal what it can still sell for. There is no session: every message signs in."""
    held = await floats.find(teller.reads, asked.vendor_id)
    terminal = asked.sender.message_id.terminal.text
    return LoginAnswer(
        user=_number(asked.vendor_id),
        terminal=_number(terminal),
        terminal_name=terminal,
        balance_minor=held.balance_minor,
        minimum_minor=0,
        maximum_minor=max(0, held.available_minor),
        at=asked.now,
    )


async def confirm_customer(
    teller: Teller, asked: Visit, request: ConfirmCustomer
) -> CustomerAnswer:
    """Tell whether a meter can be sold to, and its limits.

    Raises MeterNumberMalformed, MeterUnknown, and CustomerUnknown for any other way to name one.
    """
    if isinstance(request.identity, CustomerIdentity):
        raise CustomerUnknown(by=request.identity.by.value)
    seen = await teller.counter.look_up(visit.number_of(request.identity))
    meter = await visit.record(teller, seen.meter_number)
    found = FoundCustomer(
        customer=Customer(name=seen.name or "", address=""),
        can_vend=seen.why_not is None,
        free_units_due=bool(seen.free_wh),
        minimum_minor=seen.minimum_minor,
        maximum_minor=seen.maximum_minor,
        meter=visit.shown(meter),
    )
    head = asked.head(operator_text="" if seen.why_not is None else f"Not for sale: {seen.why_not}")
    return CustomerAnswer(head=head, found=(found,))


async def confirm_meter(teller: Teller, asked: Visit, request: ConfirmMeter) -> MeterAnswer:
    """Tell a meter's key and tariff data. Raises MeterNumberMalformed, MeterUnknown."""
    meter = await visit.record(teller, visit.number_of(request.meter))
    return MeterAnswer(head=asked.head(), meter=visit.shown(meter))


async def trial(teller: Teller, asked: Visit, request: CreditVend) -> VendAnswer:
    """Tell what a sale would come to now, with noughts for a token; nothing is kept of it.

    Raises what would stop the sale, but for what the vendor's float does not cover.
    """
    meter, bill = await teller.counter.price(
        asked.vendor_id,
        visit.number_of(request.meter),
        amount_minor=request.amount_minor,
        energy_wh=request.energy_wh,
        at=asked.now,
    )
    bought = Bought(
        number=TRIAL_NUMBER,
        amount_minor=bill.tender_minor,
        energy_wh=bill.energy_wh,
        token=TRIAL_TOKEN,
        tariff=receipts.tariff(bill.tariff, bill.category),
        lines=tuple((line.code, line.amount_minor) for line in bill.lines),
    )
    return VendAnswer(
        kind=VendKind.TRIAL,
        head=asked.head(),
        party=await receipts.party(teller, asked),
        receipt=receipts.receipt(bought, visit.shown(meter)),
    )


async def statement(teller: Teller, asked: Visit, _request: VendorStatement) -> StatementAnswer:
    """Tell the vendor's float and its last movements, newest first."""
    held = await floats.find(teller.reads, asked.vendor_id)
    lines = await statements.latest(teller.reads, asked.vendor_id, most=STATEMENT_LINES)
    return StatementAnswer(
        head=asked.head(),
        account=asked.vendor_id,
        balance_minor=held.balance_minor,
        available_minor=held.available_minor,
        lines=tuple(
            StatementLine(
                at=line.booked_at,
                amount_minor=line.amount_minor,
                text=f"{line.kind} {line.reference}",
            )
            for line in reversed(lines)
        ),
    )


def _number(name: str) -> int:
    """Return the number a name is, or one made of it, the same each time."""
    if name.isascii() and name.isdigit() and int(name) <= _NUMBER_MAX:
        return int(name)
    return zlib.crc32(name.encode()) & _NUMBER_MAX
