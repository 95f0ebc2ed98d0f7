"""The table of what is offered: each request, who may ask it, and who answers it."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from vending.api.v1.teller import Teller
from vending.api.xmlvend import accounts, keys, look_ups, specials, tills, vends
from vending.api.xmlvend.visit import Visit
from vending.values import Value
from vending.vendors.vendor import Scope
from vending.xmlvend import requests as ask
from vending.xmlvend.answers import Answer

Handle = Callable[[Teller, Visit, Any], Awaitable[Answer]]


class Offer(Value, frozen=True, kw_only=True):
    """One request that is answered.

    One that `writes` is carried out by the core, never by a front; one that `waits` may take it as
    long as a sale may; one that `sells` is let in as a sale is.
    """

    scope: Scope
    handle: Handle
    writes: bool = False
    waits: bool = False
    sells: bool = False


TRIAL: Final = Offer(scope=Scope.METERS, handle=look_ups.trial)

OFFERS: Final[dict[type[ask.Request], Offer]] = {
    ask.Login: Offer(scope=Scope.ACCOUNT, handle=look_ups.login),
    ask.ConfirmCustomer: Offer(scope=Scope.METERS, handle=look_ups.confirm_customer),
    ask.ConfirmMeter: Offer(scope=Scope.METERS, handle=look_ups.confirm_meter),
    ask.CreditVend: Offer(
        scope=Scope.SALES, handle=vends.sell, writes=True, waits=True, sells=True
    ),
    ask.PayAccount: Offer(
        scope=Scope.SALES, handle=accounts.pay, writes=True, waits=True, sells=True
    ),
    ask.FreeVend: Offer(
        scope=Scope.FREE_ISSUE, handle=specials.free, writes=True, waits=True, sells=True
    ),
    ask.MeterTest: Offer(
        scope=Scope.ENGINEERING, handle=specials.test, writes=True, waits=True, sells=True
    ),
    ask.UpdateMeterKey: Offer(
        scope=Scope.ENGINEERING, handle=keys.update, writes=True, waits=True, sells=True
    ),
    ask.LastResponse: Offer(scope=Scope.SALES, handle=vends.last_response, writes=True, waits=True),
    ask.Confirmation: Offer(scope=Scope.SALES, handle=vends.confirm, writes=True, waits=True),
    ask.Reversal: Offer(scope=Scope.REVERSALS, handle=vends.reverse, writes=True, waits=True),
    ask.Reprint: Offer(scope=Scope.SALES, handle=vends.reprint, writes=True),
    ask.StartBatch: Offer(scope=Scope.SHIFTS, handle=tills.start, writes=True),
    ask.TotalBatch: Offer(scope=Scope.SHIFTS, handle=tills.total),
    ask.EndBatch: Offer(scope=Scope.SHIFTS, handle=tills.end, writes=True),
    ask.ReprintBatch: Offer(scope=Scope.SHIFTS, handle=tills.reprint),
    ask.VendorStatement: Offer(scope=Scope.ACCOUNT, handle=look_ups.statement),
}
"""What is not in here is read, and answered with UseCaseSupportEx."""

ENGINEERED: Final = Offer(
    scope=Scope.ENGINEERING, handle=specials.engineer, writes=True, waits=True, sells=True
)

REKEYED: Final = Offer(
    scope=Scope.ENGINEERING, handle=keys.change, writes=True, waits=True, sells=True
)

OF_ONE_LEVEL: Final = (ask.StartBatch, ask.TotalBatch, ask.EndBatch, ask.ReprintBatch)


def offer_of(request: ask.Request) -> Offer | None:
    """Return how a request is answered; None where it is not offered."""
    if isinstance(request, ask.CreditVend) and request.trial:
        return TRIAL
    if isinstance(request, ask.Engineering) and request.kind in specials.ENGINEERING:
        return ENGINEERED
    if isinstance(request, ask.Engineering) and request.kind is ask.EngineeringKind.KEY_CHANGE:
        return REKEYED
    # Of batches within batches there are shifts alone.
    if isinstance(request, OF_ONE_LEVEL) and request.kind is not ask.BatchKind.SHIFT:
        return None
    return OFFERS.get(type(request))


def name_of(request: ask.Request) -> str:
    """Return what a request is called in faults and metrics."""
    if isinstance(request, ask.CreditVend) and request.trial:
        return "TrialCreditVend"
    return type(request).__name__
