"""How each error looks to a vendor: its status, whether to ask again, what became of the money."""

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus as H
from typing import Final

from vending.api.v1.asked import ContentTypeWrong
from vending.api.v1.callers import CredentialMissing, SandboxOnly, SandboxServer
from vending.api.v1.quotas import QuotaExceeded
from vending.api.v1.signatures import SignatureMissing, SignatureRefused, SignatureRepeated
from vending.claims import PriceChanged
from vending.earlier import DuplicateSuspected
from vending.errors import VendingError
from vending.selling.sale import (
    QuoteExpired,
    QuoteUnknown,
    ReferenceReused,
    ReprintsExhausted,
    SalePending,
    SaleUnknown,
)
from vending.vendors.access_tokens import AccessTokenExpired, AccessTokenInvalid, ScopeMissing
from vending.vendors.assertions import AssertionRefused, AssertionRepeated
from vending.vendors.barred import ReferenceBarred
from vending.vendors.deposits import DepositRepeated, DepositUnknown
from vending.vendors.register import (
    CertificateMissing,
    CredentialExpired,
    CredentialRefused,
    CredentialRevoked,
)
from vending.vendors.shifts import ShiftOpen, ShiftUnknown
from vending.vendors.vendor import AddressForbidden, VendorSuspended
from vending.webhooks.deliveries import WebhookEventUnknown
from vending.webhooks.endpoint import (
    WebhookEndpointDisabled,
    WebhookEndpointsTooMany,
    WebhookEndpointUnknown,
    WebhookRotationUnderWay,
)


class Retry(StrEnum):
    """Whether the same request may have another answer later."""

    NEVER = "never"
    """Not without a change: of the request, of the account, of the meter."""

    SAME_REFERENCE = "same-reference"
    """Ask again by the same reference: it settles what became of the request."""

    AFTER = "after"
    """Nothing has happened; send the same again after `retry_after_seconds`."""


class Money(StrEnum):
    """What became of the vendor's money because of a request."""

    NOT_TAKEN = "not_taken"
    """Nothing has left the float."""

    HELD = "held"
    """It may have left the float for this reference; asking by the reference tells."""

    TAKEN = "taken"
    """It has left the float."""

    RETURNED = "returned"
    """It had left the float, and is there again."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How an error looks on the wire of the vendors' API."""

    status: H
    retry: Retry = Retry.NEVER
    money: Money = Money.NOT_TAKEN


SHAPES: Final[dict[type[VendingError], Shape]] = {
    CredentialMissing: Shape(H.UNAUTHORIZED),
    CredentialRefused: Shape(H.UNAUTHORIZED),
    CredentialRevoked: Shape(H.UNAUTHORIZED),
    CredentialExpired: Shape(H.UNAUTHORIZED),
    AccessTokenInvalid: Shape(H.UNAUTHORIZED),
    AccessTokenExpired: Shape(H.UNAUTHORIZED),
    AssertionRefused: Shape(H.UNAUTHORIZED),
    AssertionRepeated: Shape(H.UNAUTHORIZED),
    CertificateMissing: Shape(H.UNAUTHORIZED),
    ScopeMissing: Shape(H.FORBIDDEN),
    SandboxOnly: Shape(H.FORBIDDEN),
    SandboxServer: Shape(H.FORBIDDEN),
    AddressForbidden: Shape(H.FORBIDDEN),
    VendorSuspended: Shape(H.FORBIDDEN),
    SignatureMissing: Shape(H.UNAUTHORIZED),
    SignatureRefused: Shape(H.UNAUTHORIZED),
    SignatureRepeated: Shape(H.UNAUTHORIZED),
    QuotaExceeded: Shape(H.TOO_MANY_REQUESTS, Retry.AFTER),
    ContentTypeWrong: Shape(H.UNSUPPORTED_MEDIA_TYPE),
    SaleUnknown: Shape(H.NOT_FOUND),
    SalePending: Shape(H.CONFLICT, Retry.SAME_REFERENCE, Money.HELD),
    ReferenceBarred: Shape(H.GONE),
    ReferenceReused: Shape(H.UNPROCESSABLE_ENTITY),
    ReprintsExhausted: Shape(H.CONFLICT, money=Money.TAKEN),
    DuplicateSuspected: Shape(H.CONFLICT),
    PriceChanged: Shape(H.CONFLICT),
    QuoteExpired: Shape(H.CONFLICT),
    QuoteUnknown: Shape(H.NOT_FOUND),
    DepositUnknown: Shape(H.NOT_FOUND),
    DepositRepeated: Shape(H.CONFLICT),
    ShiftUnknown: Shape(H.NOT_FOUND),
    ShiftOpen: Shape(H.CONFLICT),
    WebhookEndpointUnknown: Shape(H.NOT_FOUND),
    WebhookEventUnknown: Shape(H.NOT_FOUND),
    WebhookEndpointsTooMany: Shape(H.CONFLICT),
    WebhookEndpointDisabled: Shape(H.CONFLICT),
    WebhookRotationUnderWay: Shape(H.CONFLICT),
}
"""What is said of errors to vendors alone; of every other one `vending.api.problems` says it."""
