"""What vendors hear of their sales over webhooks, written with the sale itself.

The token is not in it: an event lies about for days, here and at its receiver, and whoever may
have the token asks for the sale by its reference. The codes of a key change are: they bring no
energy, and no other meter takes them.
"""

from collections.abc import Collection, Iterable
from datetime import datetime

import msgspec

from vending.key_data import codes_of
from vending.numbering import Numbers
from vending.payments.outcomes import Outcome
from vending.payments.payment import Payment
from vending.vendors.vendor import NO_TILL, outlet_of, vendor_of
from vending.webhooks import event
from vending.webhooks.event import Event, EventType


class SaleCompleted(msgspec.Struct, frozen=True, kw_only=True):
    """The data of `sale.completed`."""

    reference: str
    meter: str
    outlet: str
    till: str
    amount_minor: int
    energy_wh: int
    key_change_codes: tuple[str, ...]
    sold_at: datetime


def of_sales(
    sales: Iterable[tuple[Payment, Outcome]], *, told: Collection[str], numbers: Numbers
) -> list[Event]:
    """Return the events of sales to meters, for those vendors that want to be told."""
    events = []
    for payment, outcome in sales:
        vendor_id = vendor_of(payment.notice.operator)
        if vendor_id is not None and vendor_id in told:
            body = event.body_of(
                EventType.SALE_COMPLETED, at=outcome.decided_at, data=_data(payment, outcome)
            )
            events.append(
                Event(
                    event_id=numbers.next(),
                    vendor_id=vendor_id,
                    type=EventType.SALE_COMPLETED,
                    body=body,
                )
            )
    return events


def _data(payment: Payment, outcome: Outcome) -> SaleCompleted:
    notice = payment.notice
    outlet = outlet_of(notice.short_code)
    return SaleCompleted(
        reference=notice.transaction_id,
        meter=outcome.meter_number or "",
        outlet=outlet,
        till=notice.short_code[len(outlet) + 1 :] or NO_TILL,
        amount_minor=notice.amount_minor,
        energy_wh=outcome.energy_wh or 0,
        key_change_codes=codes_of(outcome.key_change),
        sold_at=outcome.decided_at,
    )
