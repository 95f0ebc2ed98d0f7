"""What an endpoint is: where one vendor wants to be told, of what, and signed how."""

import re
from collections.abc import Collection
from datetime import datetime
from enum import StrEnum

from vending.errors import Rejected
from vending.values import Value
from vending.webhooks.addresses import Reach, check_url
from vending.webhooks.event import EventType
from vending.webhooks.signing import Scheme

DESCRIPTION_LETTERS_MAX = 200

_CONTROL = re.compile("[\x00-\x1f\x7f]")


class EndpointState(StrEnum):
    """Whether an endpoint is told of anything."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    DELETED = "deleted"


class DisabledReason(StrEnum):
    """Who or what disabled an endpoint; a closed list, so that it may label a metric."""

    BY_VENDOR = "by_vendor"
    GONE = "gone"
    """It answered 410."""
    FAILING = "failing"
    """Nothing but failures for days."""


class WebhookEndpointMalformed(Rejected):
    """The description of a webhook endpoint cannot be accepted.

    `fault` names the rule it breaks.
    """

    code = "webhook_endpoint_malformed"


class WebhookEndpointUnknown(Rejected):
    """There is no such webhook endpoint.

    Look at the list of your endpoints; a deleted one does not come back.
    """

    code = "webhook_endpoint_unknown"


class WebhookEndpointsTooMany(Rejected):
    """There are as many webhook endpoints as there may be.

    Delete one that is no longer needed, or ask the utility to raise [webhooks] endpoints_max.
    """

    code = "webhook_endpoints_too_many"


class WebhookEndpointDisabled(Rejected):
    """The webhook endpoint is disabled and is told of nothing.

    Enable it first.
    """

    code = "webhook_endpoint_disabled"


class WebhookRotationUnderWay(Rejected):
    """A secret of the webhook endpoint was replaced a short while ago, and the old one still signs.

    Wait until the overlap is over, or rotate without an overlap, which ends every older secret now.
    """

    code = "webhook_rotation_under_way"


class Draft(Value, frozen=True, kw_only=True):
    """An endpoint as a vendor describes it; no event types at all stands for every type."""

    url: str
    description: str = ""
    event_types: tuple[str, ...] = ()
    schemes: tuple[str, ...] = (Scheme.V1,)


class Change(Value, frozen=True, kw_only=True):
    """What to change of an endpoint; None leaves a thing as it is."""

    url: str | None = None
    description: str | None = None
    event_types: tuple[str, ...] | None = None
    enabled: bool | None = None


class Endpoint(Value, frozen=True, kw_only=True):
    """An endpoint as it stands. A URL often holds a secret, so it is not shown by itself.

    `failing_since` is the first failure after the last delivery, `delivered_at` the last delivery.
    `public_keys` are the `whpk_` keys that sign now; secrets of v1 are told once and never again.
    """

    hidden = frozenset({"url"})

    endpoint_id: int
    vendor_id: str
    url: str
    description: str
    event_types: tuple[str, ...]
    schemes: tuple[str, ...]
    state: EndpointState
    disabled_reason: DisabledReason | None
    disabled_at: datetime | None
    failures: int
    failing_since: datetime | None
    delivered_at: datetime | None
    created_at: datetime
    updated_at: datetime
    public_keys: tuple[str, ...] = ()


class NewKey(Value, frozen=True, kw_only=True):
    """What a receiver verifies with, told this once: `whsec_...` for v1, `whpk_...` for v1a."""

    hidden = frozenset({"value"})

    scheme: Scheme
    value: str


def endpoint_name(endpoint_id: int) -> str:
    """Return what an endpoint is called outside: text, for such numbers are too long for many."""
    return f"ep_{endpoint_id}"


def check_draft(draft: Draft, reach: Reach) -> None:
    """Raise WebhookEndpointMalformed or WebhookUrlRefused for what no endpoint can be."""
    check_url(draft.url, reach)
    _check_description(draft.description)
    _check_event_types(draft.event_types)
    check_schemes(draft.schemes)


def check_change(change: Change, reach: Reach) -> None:
    """Raise WebhookEndpointMalformed or WebhookUrlRefused for what no endpoint can become."""
    if change.url is not None:
        check_url(change.url, reach)
    if change.description is not None:
        _check_description(change.description)
    if change.event_types is not None:
        _check_event_types(change.event_types)


def check_schemes(schemes: Collection[str]) -> None:
    """Raise WebhookEndpointMalformed unless these are one or both of v1 and v1a."""
    if not schemes or len(set(schemes)) != len(schemes) or not set(schemes) <= set(Scheme):
        raise WebhookEndpointMalformed(fault="schemes are v1, v1a or both")


def _check_description(text: str) -> None:
    if len(text) > DESCRIPTION_LETTERS_MAX or _CONTROL.search(text):
        fault = f"a description is at most {DESCRIPTION_LETTERS_MAX} letters on one line"
        raise WebhookEndpointMalformed(fault=fault)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: JSON may carry it, nothing stores it
        raise WebhookEndpointMalformed(fault="a description is proper text") from None


def _check_event_types(event_types: tuple[str, ...]) -> None:
    if len(set(event_types)) != len(event_types) or not set(event_types) <= set(EventType):
        known = ", ".join(EventType)
        raise WebhookEndpointMalformed(fault=f"event types are some of {known}, each once")
