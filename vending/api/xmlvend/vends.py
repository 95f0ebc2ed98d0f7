"""Sales: made once for each message, asked for after a time-out, undone if need be, reprinted."""

import re
from typing import Final

from vending.api.v1.teller import Teller
from vending.api.xmlvend import keys, receipts, specials, visit
from vending.api.xmlvend.keys import KeysTold
from vending.api.xmlvend.places import place
from vending.api.xmlvend.receipts import Sold
from vending.api.xmlvend.refusals import (
    ConfirmationUnknown,
    CustomerUnknown,
    OriginalUnknown,
    ReprintUnknown,
    ReversalUnknown,
    fault_of,
)
from vending.api.xmlvend.specials import Given
from vending.api.xmlvend.visit import SERVER, Visit
from vending.errors import Refused
from vending.selling import sales
from vending.selling.sale import (
    Pending,
    ReprintsExhausted,
    Sale,
    SaleAsked,
    SalePending,
    SaleUnknown,
    Withdrawn,
)
from vending.vendors.barred import ReferenceBarred
from vending.vendors.vendor import operator_of
from vending.xmlvend.answers import (
    ConfirmationAnswer,
    LastResponseAnswer,
    RefusedAnswer,
    ReprintAnswer,
    ReversalAnswer,
    head_of,
)
from vending.xmlvend.identity import Caller as Sender
from vending.xmlvend.identity import Device, MessageId
from vending.xmlvend.requests import (
    Confirmation,
    CreditVend,
    CustomerIdentity,
    LastResponse,
    Reprint,
    Reversal,
)

WAIT_SECONDS: Final = 20.0
"""Tills listen for a minute and more; whoever carries for a front has half of one."""

REPRINTS: Final = 3
"""Receipts of a meter that are printed again at once: each counts as a copy."""

_MESSAGE: Final = re.compile(
    r"(?P<client>[^:]+):(?P<terminal>[^:]+):(?P<stamp>[0-9]{14,17}):(?P<number>[0-9]{1,18})"
)
"""A reference that names a message; those of /v1 and digests do not."""


async def sell(teller: Teller, asked: Visit, request: CreditVend) -> Sold:
    """Make the sale of a message, or answer the one there is.

    Raises what the counter raises, and SalePending when it is not made in time.
    """
    message = asked.sender.message_id
    wanted = SaleAsked(
        vendor_id=asked.vendor_id,
        reference=message.reference,
        point_of_sale=place(message),
        meter=visit.number_of(request.meter),
        amount_minor=request.amount_minor,
        energy_wh=request.energy_wh,
    )
    sale = made(await teller.counter.sell(wanted, wait_seconds=WAIT_SECONDS))
    return await receipts.of_sale(teller, asked, sale, message=message)


async def last_response(teller: Teller, asked: Visit, request: LastResponse) -> LastResponseAnswer:
    """Answer what was answered to an earlier message; one that is unknown is barred.

    Raises OriginalUnknown, which is a promise, and SalePending. An original that was refused a
    while ago is answered with its fault, and barred as well: it may be sold again all the same.
    """
    refused = await _refusal(teller, asked, request.original)
    sale = await _settled(teller, asked, request.original)
    answer: Sold | Given | KeysTold | RefusedAnswer
    if sale is not None:
        answer = await receipts.of_sale(teller, asked, sale, message=request.original)
    elif (given := await _given(teller, asked, request.original)) is not None:
        answer = given
    elif refused is not None:
        sender = Sender(soap=asked.sender.soap, message_id=request.original, credential=None)
        head = head_of(sender, server=SERVER, at=asked.now)
        answer = RefusedAnswer(head=head, fault=fault_of(refused))
    else:
        raise OriginalUnknown(reference=request.original.reference)
    return LastResponseAnswer(head=asked.head(), original=request.original, answer=answer)


async def confirm(teller: Teller, asked: Visit, request: Confirmation) -> ConfirmationAnswer:
    """Confirm a sale that was made; one that was not is barred, and ConfirmationUnknown raised."""
    sale = await _settled(teller, asked, request.original)
    if sale is None and await _given(teller, asked, request.original) is None:
        raise ConfirmationUnknown(reference=request.original.reference)
    return ConfirmationAnswer(head=asked.head(), original=request.original, confirmed=True)


async def reverse(teller: Teller, asked: Visit, request: Reversal) -> ReversalAnswer:
    """Withdraw a sale that is under way, or open a dispute about one that is made.

    One of which nothing is known is barred, and ReversalUnknown raised.
    """
    reference = request.original.reference
    try:
        await teller.counter.find(asked.vendor_id, reference)
    except (SaleUnknown, Refused):
        if await _settled(teller, asked, request.original) is None:
            if await _given(teller, asked, request.original) is None:
                raise ReversalUnknown(reference=reference) from None
            head = asked.head(operator_text="A token without money is not undone")
            return ReversalAnswer(head=head, original=request.original, undone=False)
    done = await teller.counter.reverse(
        asked.vendor_id, reference, reason="XMLVend reversal advice",
        who=asked.caller.credential, wait_seconds=WAIT_SECONDS,
    )  # fmt: skip
    undone = isinstance(done, Withdrawn)
    said = "" if isinstance(done, Withdrawn) else f"The utility decides: dispute {done.dispute_id}"
    head = asked.head(operator_text=said)
    return ReversalAnswer(head=head, original=request.original, undone=undone)


async def reprint(teller: Teller, asked: Visit, request: Reprint) -> ReprintAnswer:
    """Answer the vendor's last receipts of a meter once more, each a copy that is counted.

    One that was printed again too often is left out, and the operator told. Raises
    MeterNumberMalformed, CustomerUnknown, ReprintUnknown, and ReprintsExhausted when none is left.
    """
    if isinstance(request.identity, CustomerIdentity):
        raise CustomerUnknown(by=request.identity.by.value)
    meter = visit.number_of(request.identity)
    references = await sales.latest_of(
        teller.reads, operator_of(asked.vendor_id), meter, most=REPRINTS
    )
    if not references:
        raise ReprintUnknown
    answers = []
    exhausted: list[ReprintsExhausted] = []
    for reference in references:
        try:
            sale = await teller.counter.reprint(
                asked.vendor_id, reference, who=asked.caller.credential
            )
        except ReprintsExhausted as reason:
            exhausted.append(reason)
            continue
        message = named(asked.sender.message_id, reference)
        title = f"COPY {sale.copies}"
        answers.append(await receipts.of_sale(teller, asked, sale, message=message, title=title))
    if not answers:
        raise exhausted[0]
    said = f"{len(exhausted)} more, printed again too often." if exhausted else ""
    return ReprintAnswer(head=asked.head(title="COPY", operator_text=said), sales=tuple(answers))


def named(sender: MessageId, reference: str) -> MessageId:
    """Return the message whose reference this is; the sender's where it cannot be told."""
    found = _MESSAGE.fullmatch(reference)
    if found is None:
        return sender
    return MessageId(
        client=Device(kind=sender.client.kind, text=found["client"]),
        terminal=Device(kind=sender.terminal.kind, text=found["terminal"]),
        stamp=found["stamp"],
        number=found["number"],
    )


def made(sale: Sale | Pending) -> Sale:
    """Return a sale that is made. Raises SalePending."""
    if isinstance(sale, Pending):
        raise SalePending(reference=sale.reference, retry_after_seconds=1)
    return sale


async def _settled(teller: Teller, asked: Visit, original: MessageId) -> Sale | None:
    """Return the sale of a message; None when there is none and never will be."""
    try:
        return made(
            await teller.counter.settle(
                asked.vendor_id, original.reference, wait_seconds=WAIT_SECONDS
            )
        )
    except ReferenceBarred:
        return None


async def _given(teller: Teller, asked: Visit, original: MessageId) -> Given | KeysTold | None:
    """Return what a message that is settled got without money; None when it got nothing."""
    token = await teller.specials.find(asked.vendor_id, original.reference)
    if token is not None:
        return await specials.answer(teller, asked, token, message=original)
    return await keys.under(teller, asked, original)


async def _refusal(teller: Teller, asked: Visit, original: MessageId) -> Refused | None:
    """Return what an original was refused with, while that is remembered."""
    special = teller.specials.refusal(asked.vendor_id, original.reference)
    if special is not None:
        return special
    try:
        await teller.counter.find(asked.vendor_id, original.reference)
    except (SaleUnknown, ReferenceBarred):
        return None
    except Refused as refused:
        return refused
    return None
