"""The table of operations: all that vendors can ask. Whatever is served, read or described is here.

To add one: write its module (types of what it is asked and answers, a verb that answers), and list
it below; its errors' looks go into `vending.api.v1.shapes` where they are not like their family's.
"""

from typing import Final

from vending.answers import SaleUnavailable
from vending.api.admission import RequestClass, ShareExceeded
from vending.api.v1 import (
    account,
    batches,
    commission,
    deliveries,
    deposits,
    meters,
    quotes,
    sales,
    webhooks,
)
from vending.api.v1.account import Float, Statement, StatementPage
from vending.api.v1.batches import BatchList, BatchTotals, NewBatch
from vending.api.v1.commission import Commission, CommissionTime
from vending.api.v1.deliveries import (
    AttemptList,
    DeliveryList,
    DeliveryPage,
    Replayed,
    ReplayTime,
    SentTest,
)
from vending.api.v1.deposits import Deposit, DepositList, DepositSlip
from vending.api.v1.meters import MeterSeen
from vending.api.v1.operation import Operation
from vending.api.v1.pages import CursorMalformed, Page
from vending.api.v1.quotes import NewQuote, Quote
from vending.api.v1.sales import (
    DisputedSale,
    MadeSale,
    NewSale,
    PendingSale,
    ReversalReason,
    Truth,
    WithdrawnSale,
)
from vending.api.v1.webhooks import (
    Endpoint,
    EndpointChange,
    EndpointList,
    KeyedEndpoint,
    NewEndpoint,
    Rotation,
)
from vending.claims import PriceChanged
from vending.earlier import DuplicateSuspected
from vending.meters.meter import MeterBlocked, MeterNumberMalformed, MeterRemoved, MeterUnknown
from vending.selling.sale import (
    MeterMissing,
    QuoteExpired,
    QuoteUnknown,
    ReferenceReused,
    ReprintsExhausted,
    SaleAmountMissing,
    SalePending,
    SaleUnknown,
)
from vending.tariffs.quote import AmountTooLarge, AmountTooSmall
from vending.tariffs.tariff import CategoryUnknown, TariffUnknown
from vending.tokens.identifiers import IdentifiersExhausted
from vending.tokens.issuer import KeyExpired, KeyMissing, KeyUnfit, TokenRefused
from vending.vendors.barred import ReferenceBarred
from vending.vendors.deposits import DepositRepeated, DepositUnknown
from vending.vendors.floats import FloatInsufficient
from vending.vendors.shifts import ClerkMalformed, ShiftOpen, ShiftUnknown
from vending.vendors.vendor import Scope
from vending.webhooks.addresses import WebhookUrlRefused
from vending.webhooks.deliveries import WebhookEventUnknown
from vending.webhooks.endpoint import (
    WebhookEndpointDisabled,
    WebhookEndpointMalformed,
    WebhookEndpointsTooMany,
    WebhookEndpointUnknown,
    WebhookRotationUnderWay,
)
from vending.webhooks.sealing import WebhookSecretsSealed

_METER: Final = (MeterNumberMalformed, MeterUnknown)
_NOT_SOLD: Final = (
    *_METER, MeterBlocked, MeterRemoved, TariffUnknown, CategoryUnknown, AmountTooSmall,
    AmountTooLarge, SaleAmountMissing,
)  # fmt: skip
"""Why nothing can be sold to a meter, whoever asks."""

_REFUSED: Final = (
    *_NOT_SOLD, MeterMissing, QuoteUnknown, QuoteExpired, PriceChanged, DuplicateSuspected,
    FloatInsufficient, IdentifiersExhausted, KeyMissing, KeyUnfit, KeyExpired, TokenRefused,
)  # fmt: skip
"""Why a sale was not made: what it was refused with is told again for a while."""

SALES: Final = (
    Operation(
        name="lookUpMeter", method="GET", path="/v1/meters/{meter}", tag="sales",
        scope=Scope.METERS, summary="Whether a meter can be sold to, and at what price.",
        handle=meters.look_up, answers={200: MeterSeen}, problems=_METER, sandbox=True,
    ),
    Operation(
        name="makeQuote", method="POST", path="/v1/quotes", tag="sales", scope=Scope.METERS,
        summary="The exact lines of a receipt, promised for five minutes.",
        handle=quotes.make, body=NewQuote, answers={201: Quote}, problems=_NOT_SOLD,
        writes=True, shed=RequestClass.INTERACTIVE, sandbox=True,
    ),
    Operation(
        name="findQuote", method="GET", path="/v1/quotes/{quote}", tag="sales",
        scope=Scope.METERS, summary="One quote, expired or not.",
        handle=quotes.find, answers={200: Quote}, problems=(QuoteUnknown,), sandbox=True,
    ),
    Operation(
        name="sell", method="POST", path="/v1/sales", tag="sales", scope=Scope.SALES,
        summary="Sell. The same reference gets the same answer for ever.",
        handle=sales.sell, body=NewSale, headers=(sales.PREFER, sales.IDEMPOTENCY_KEY),
        answers={201: MadeSale, 200: MadeSale, 202: PendingSale},
        problems=(*_REFUSED, ReferenceReused, ReferenceBarred, SaleUnavailable, ShareExceeded),
        writes=True, waits=True, sells=True, sandbox=True,
    ),
    Operation(
        name="findSale", method="GET", path="/v1/sales/{reference}", tag="sales",
        scope=Scope.SALES, summary="What became of a sale, at any time.",
        handle=sales.find, query=Truth, answers={200: MadeSale, 202: PendingSale},
        problems=(*_REFUSED, SaleUnknown, ReferenceReused, ReferenceBarred, SaleUnavailable),
        writes=True, waits=True, shed=RequestClass.INTERACTIVE, sandbox=True,
    ),
    Operation(
        name="reverseSale", method="POST", path="/v1/sales/{reference}/reversal", tag="sales",
        scope=Scope.REVERSALS,
        summary="Withdraw a sale that is not made yet; about one that is, open a dispute.",
        handle=sales.reverse, body=ReversalReason,
        answers={200: WithdrawnSale, 202: DisputedSale},
        problems=(SaleUnknown, SaleUnavailable), writes=True, waits=True,
        shed=RequestClass.INTERACTIVE, sandbox=True,
    ),
    Operation(
        name="reprintSale", method="POST", path="/v1/sales/{reference}/reprint", tag="sales",
        scope=Scope.SALES, summary="The same digits again, as a copy that is counted.",
        handle=sales.reprint, answers={200: MadeSale},
        problems=(
            *_REFUSED, SaleUnknown, SalePending, ReferenceReused, ReferenceBarred,
            ReprintsExhausted,
        ),
        writes=True,
        shed=RequestClass.INTERACTIVE, sandbox=True,
    ),
)  # fmt: skip

ACCOUNT: Final = (
    Operation(
        name="readFloat", method="GET", path="/v1/float", tag="account", scope=Scope.ACCOUNT,
        summary="The float: what can still be sold for.",
        handle=account.read_float, answers={200: Float},
    ),
    Operation(
        name="readStatement", method="GET", path="/v1/statement", tag="account",
        scope=Scope.ACCOUNT, summary="Every movement of the float, as the ledger has it.",
        handle=account.read_statement, query=StatementPage, answers={200: Statement},
    ),
    Operation(
        name="listDeposits", method="GET", path="/v1/deposits", tag="account",
        scope=Scope.ACCOUNT, summary="Deposits, newest first.",
        handle=deposits.listing, query=Page, answers={200: DepositList},
    ),
    Operation(
        name="proposeDeposit", method="POST", path="/v1/deposits", tag="account",
        scope=Scope.ACCOUNT,
        summary="Say what was paid into the bank. It counts once the utility has confirmed it.",
        handle=deposits.propose, body=DepositSlip, answers={201: Deposit, 200: Deposit},
        problems=(DepositRepeated,), writes=True,
    ),
    Operation(
        name="findDeposit", method="GET", path="/v1/deposits/{deposit}", tag="account",
        scope=Scope.ACCOUNT, summary="One deposit.",
        handle=deposits.find, answers={200: Deposit}, problems=(DepositUnknown,),
    ),
    Operation(
        name="readCommission", method="GET", path="/v1/commission", tag="account",
        scope=Scope.ACCOUNT, summary="The rates, and what was earned in a time.",
        handle=commission.read, query=CommissionTime, answers={200: Commission},
    ),
)  # fmt: skip

BATCHES: Final = (
    Operation(
        name="listBatches", method="GET", path="/v1/batches", tag="batches", scope=Scope.SHIFTS,
        summary="Shifts, newest first.",
        handle=batches.listing, query=Page, answers={200: BatchList},
    ),
    Operation(
        name="openBatch", method="POST", path="/v1/batches", tag="batches", scope=Scope.SHIFTS,
        summary="Open a shift at an outlet or at one of its tills.",
        handle=batches.open_, body=NewBatch, answers={201: BatchTotals},
        problems=(ShiftOpen, ClerkMalformed), writes=True,
    ),
    Operation(
        name="findBatch", method="GET", path="/v1/batches/{batch}", tag="batches",
        scope=Scope.SHIFTS, summary="One shift with its totals, so far if it is open.",
        handle=batches.find, answers={200: BatchTotals}, problems=(ShiftUnknown,),
    ),
    Operation(
        name="closeBatch", method="POST", path="/v1/batches/{batch}/close", tag="batches",
        scope=Scope.SHIFTS, summary="Close a shift, and get its totals; again, if need be.",
        handle=batches.close, answers={200: BatchTotals}, problems=(ShiftUnknown,), writes=True,
    ),
)  # fmt: skip

_ONE: Final = (WebhookEndpointUnknown,)
_TOLD: Final = (WebhookEndpointUnknown, WebhookEndpointDisabled)

WEBHOOKS: Final = (
    Operation(
        name="listEndpoints", method="GET", path="/v1/webhooks", tag="webhooks",
        scope=Scope.WEBHOOKS, summary="All endpoints.",
        handle=webhooks.listing, answers={200: EndpointList},
    ),
    Operation(
        name="createEndpoint", method="POST", path="/v1/webhooks", tag="webhooks",
        scope=Scope.WEBHOOKS,
        summary="Add an endpoint. What deliveries are verified with is in this answer alone.",
        handle=webhooks.create, body=NewEndpoint, answers={201: KeyedEndpoint},
        problems=(WebhookUrlRefused, WebhookEndpointMalformed, WebhookEndpointsTooMany,
                  WebhookSecretsSealed),
        writes=True,
    ),
    Operation(
        name="findEndpoint", method="GET", path="/v1/webhooks/{endpoint}", tag="webhooks",
        scope=Scope.WEBHOOKS, summary="One endpoint, and how it does.",
        handle=webhooks.find, answers={200: Endpoint}, problems=_ONE,
    ),
    Operation(
        name="changeEndpoint", method="PATCH", path="/v1/webhooks/{endpoint}", tag="webhooks",
        scope=Scope.WEBHOOKS, summary="Change an endpoint, disable it or enable it again.",
        handle=webhooks.change, body=EndpointChange, answers={200: Endpoint},
        problems=(*_ONE, WebhookUrlRefused, WebhookEndpointMalformed), writes=True,
    ),
    Operation(
        name="deleteEndpoint", method="DELETE", path="/v1/webhooks/{endpoint}", tag="webhooks",
        scope=Scope.WEBHOOKS, summary="Delete an endpoint and what waits for it.",
        handle=webhooks.delete, answers={204: None}, problems=_ONE, writes=True,
    ),
    Operation(
        name="rotateSecret", method="POST", path="/v1/webhooks/{endpoint}/rotation",
        tag="webhooks", scope=Scope.WEBHOOKS,
        summary="Replace the secrets of an endpoint; the old ones sign as well for a while.",
        handle=webhooks.rotate, body=Rotation, answers={200: KeyedEndpoint},
        problems=(*_ONE, WebhookEndpointMalformed, WebhookRotationUnderWay, WebhookSecretsSealed),
        writes=True,
    ),
    Operation(
        name="listDeliveries", method="GET", path="/v1/webhooks/{endpoint}/deliveries",
        tag="webhooks", scope=Scope.WEBHOOKS, summary="How each event's telling stands.",
        handle=deliveries.listing, query=DeliveryPage, answers={200: DeliveryList}, problems=_ONE,
    ),
    Operation(
        name="listAttempts", method="GET", path="/v1/webhooks/{endpoint}/deliveries/{event}",
        tag="webhooks", scope=Scope.WEBHOOKS, summary="Every try of one event.",
        handle=deliveries.attempts, answers={200: AttemptList},
        problems=(*_ONE, WebhookEventUnknown),
    ),
    Operation(
        name="replayEvent", method="POST",
        path="/v1/webhooks/{endpoint}/deliveries/{event}/replay", tag="webhooks",
        scope=Scope.WEBHOOKS, summary="Send one event again, with the same id.",
        handle=deliveries.replay_one, answers={202: Replayed},
        problems=(*_TOLD, WebhookEventUnknown), writes=True,
    ),
    Operation(
        name="replayEvents", method="POST", path="/v1/webhooks/{endpoint}/replay",
        tag="webhooks", scope=Scope.WEBHOOKS,
        summary="Send what happened in a time again, a thousand events at most.",
        handle=deliveries.replay, body=ReplayTime, answers={202: Replayed},
        problems=(*_TOLD, CursorMalformed), writes=True,
    ),
    Operation(
        name="sendTest", method="POST", path="/v1/webhooks/{endpoint}/test", tag="webhooks",
        scope=Scope.WEBHOOKS, summary="Send a test event.",
        handle=deliveries.send_test, answers={202: SentTest}, problems=_TOLD, writes=True,
    ),
)  # fmt: skip

OPERATIONS: Final[tuple[Operation, ...]] = (*SALES, *ACCOUNT, *BATCHES, *WEBHOOKS)
"""All of them, in the order of the description."""

BY_NAME: Final = {operation.name: operation for operation in OPERATIONS}
