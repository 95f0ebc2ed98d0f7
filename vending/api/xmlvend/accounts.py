"""Money for a meter's debts: taken once for each message, and no token."""

from typing import Final

from vending.api.v1.teller import Teller
from vending.api.xmlvend import receipts, visit
from vending.api.xmlvend.places import place
from vending.api.xmlvend.receipts import Sold
from vending.api.xmlvend.refusals import CustomerUnknown
from vending.api.xmlvend.vends import WAIT_SECONDS, made
from vending.api.xmlvend.visit import Visit
from vending.claims import Account
from vending.selling.sale import SaleAsked
from vending.xmlvend.requests import AccountKind, CustomerIdentity, PayAccount

_ACCOUNTS: Final = {
    AccountKind.DEBT: Account.DEBT,
    AccountKind.SERVICE_CHARGE: Account.SERVICE_CHARGE,
    AccountKind.PLAIN: Account.ANY,
}


async def pay(teller: Teller, asked: Visit, request: PayAccount) -> Sold:
    """Take money for a meter's debts, or answer what was taken for this message.

    Raises CustomerUnknown, what the counter raises, and SalePending when it is not done in time.
    """
    if isinstance(request.identity, CustomerIdentity):
        raise CustomerUnknown(by=request.identity.by.value)
    message = asked.sender.message_id
    wanted = SaleAsked(
        vendor_id=asked.vendor_id,
        reference=message.reference,
        point_of_sale=place(message),
        meter=visit.number_of(request.identity),
        amount_minor=request.amount_minor,
        pays=_ACCOUNTS[request.kind],
    )
    sale = made(await teller.counter.sell(wanted, wait_seconds=WAIT_SECONDS))
    return await receipts.of_sale(teller, asked, sale, message=message)
