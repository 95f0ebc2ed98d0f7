"""A client of the vendors' API: look up, quote, sell, and know the truth after every time-out.

`Client` blocks, `AsyncClient` awaits; both have the same methods, values and problems. It knows the
server by docs/reference/openapi.json alone and shares no code with it. The same package is offered
under the name `vending_client`.
"""

from vending.client.access import ApiKey, ClientKey, ClientSecret
from vending.client.awaiting import AsyncClient
from vending.client.blocking import Client
from vending.client.events import Event, EventRefused, verify
from vending.client.patience import Patience
from vending.client.problems import (
    AnswerMalformed,
    Busy,
    MoneyState,
    NotDone,
    OutcomeUnknown,
    Refused,
    Retry,
    Unreachable,
)
from vending.client.values import (
    Arrears,
    Attempt,
    Batch,
    BatchTotals,
    Commission,
    CommissionBand,
    CommissionRates,
    Delivery,
    Deposit,
    DisputedSale,
    Endpoint,
    Float,
    KeyedEndpoint,
    Meter,
    PendingSale,
    Quote,
    ReceiptLine,
    Sale,
    Statement,
    StatementLine,
    VerifyingKey,
    WithdrawnSale,
)

__all__ = [
    "AnswerMalformed",
    "ApiKey",
    "Arrears",
    "AsyncClient",
    "Attempt",
    "Batch",
    "BatchTotals",
    "Busy",
    "Client",
    "ClientKey",
    "ClientSecret",
    "Commission",
    "CommissionBand",
    "CommissionRates",
    "Delivery",
    "Deposit",
    "DisputedSale",
    "Endpoint",
    "Event",
    "EventRefused",
    "Float",
    "KeyedEndpoint",
    "Meter",
    "MoneyState",
    "NotDone",
    "OutcomeUnknown",
    "Patience",
    "PendingSale",
    "Quote",
    "ReceiptLine",
    "Refused",
    "Retry",
    "Sale",
    "Statement",
    "StatementLine",
    "Unreachable",
    "VerifyingKey",
    "WithdrawnSale",
    "verify",
]
