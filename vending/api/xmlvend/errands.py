"""Messages answered where they may be: here, or for a front by its core.

A front has read the message, and its core reads it again: that takes less than any other writing
of it would.
"""

from http import HTTPStatus
from typing import Final

from vending.api.v1.errand import Carried, Errand
from vending.api.v1.teller import Teller
from vending.api.xmlvend.offers import Offer, offer_of
from vending.api.xmlvend.visit import Visit
from vending.config import Utility
from vending.vendors.register import Caller
from vending.xmlvend import read_request, write_answer
from vending.xmlvend.amounts import Currency
from vending.xmlvend.document import Spelling
from vending.xmlvend.errors import UseCaseUnsupported
from vending.xmlvend.requests import Incoming

OPERATION: Final = "xmlvend"
_SPELLING: Final = "spelling"


def errand(offer: Offer, caller: Caller, body: bytes, spelling: Spelling) -> Errand:
    """Return a message as it travels to the core."""
    return Errand(
        operation=OPERATION,
        caller=caller,
        path={},
        headers={_SPELLING: spelling.value},
        query=b"",
        body=body,
        waits=offer.waits,
    )


async def carry(teller: Teller, told: Errand) -> Carried:
    """Answer, in the core, what a front has read. Raises what the handler raises."""
    incoming = read_request(told.body, currency=currency(teller.config.utility))
    offer = offer_of(incoming.request)
    if offer is None:
        raise UseCaseUnsupported(use_case=OPERATION, caller=incoming.caller)
    return await answered(
        teller, offer, told.caller, incoming, spelling=Spelling(told.headers[_SPELLING])
    )


async def answered(
    teller: Teller, offer: Offer, caller: Caller, incoming: Incoming, *, spelling: Spelling
) -> Carried:
    """Return the answer to a message, written. Raises what the handler raises."""
    asked = Visit(caller=caller, sender=incoming.caller, now=teller.clock())
    answer = await offer.handle(teller, asked, incoming.request)
    written = write_answer(
        answer,
        currency=currency(teller.config.utility),
        soap=incoming.caller.soap,
        spelling=spelling,
    )
    return Carried(status=int(HTTPStatus.OK), body=written.body)


def currency(utility: Utility) -> Currency:
    """Return the utility's money, as tills write it."""
    return Currency(symbol=utility.currency, aliases=frozenset({utility.currency_symbol}))
