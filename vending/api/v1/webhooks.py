"""Webhook endpoints: where a vendor wants to be told of what, by the Standard Webhooks rules."""

from datetime import timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from vending.api.v1 import names
from vending.api.v1.asked import Answer, Asked, Instant
from vending.api.v1.teller import Teller
from vending.webhooks import endpoint, endpoints
from vending.webhooks.addresses import URL_LETTERS_MAX
from vending.webhooks.endpoint import (
    Change,
    DisabledReason,
    Draft,
    EndpointState,
    NewKey,
    WebhookEndpointUnknown,
)
from vending.webhooks.event import EventType
from vending.webhooks.signing import Scheme

OVERLAP_SECONDS = 86_400
OVERLAP_SECONDS_MAX = 7 * 86_400

Url = Annotated[
    str,
    Meta(
        pattern=r"^https?://[!-~]+$",
        max_length=URL_LETTERS_MAX,
        description="https, on a public address; never shown to anybody else.",
        examples=["https://till.example.com/stima/events"],
    ),
]
Description = Annotated[
    str, Meta(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=endpoint.DESCRIPTION_LETTERS_MAX)
]
EventTypes = Annotated[
    tuple[EventType, ...],
    Meta(max_length=16, description="Which events; none named means every one."),
]
Schemes = Annotated[
    tuple[Scheme, ...],
    Meta(
        min_length=1,
        max_length=2,
        description="How deliveries are signed: v1 by a shared secret, v1a by our ed25519 key.",
    ),
]


class NewEndpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to be told, and of what."""

    url: Url
    description: Description = ""
    event_types: EventTypes = ()
    schemes: Schemes = (Scheme.V1,)


class EndpointChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different; what is left out stays as it is."""

    url: Url | None = None
    description: Description | None = None
    event_types: EventTypes | None = None
    enabled: Annotated[bool | None, Meta(description="false keeps events waiting.")] = None


class Rotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How secrets are replaced."""

    schemes: Schemes | None = None
    overlap_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=OVERLAP_SECONDS_MAX,
            description="How long the old secrets sign as well; 0 ends them at once.",
        ),
    ] = OVERLAP_SECONDS


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as it stands."""

    endpoint: Annotated[str, Meta(description="Its name here.")]
    url: str
    description: str
    event_types: Annotated[list[str], Meta(description="Empty: every type.")]
    schemes: list[str]
    state: EndpointState
    disabled_reason: DisabledReason | None
    disabled_at: Instant | None
    failures: Annotated[int, Meta(ge=0, description="In a row, since the last delivery.")]
    failing_since: Instant | None
    delivered_at: Instant | None
    created_at: Instant
    public_keys: Annotated[list[str], Meta(description="What v1a is verified with now: whpk_...")]


class EndpointList(msgspec.Struct, frozen=True, kw_only=True):
    """All endpoints of a vendor, oldest first."""

    endpoints: list[Endpoint]


class VerifyingKey(msgspec.Struct, frozen=True, kw_only=True):
    """What a receiver verifies with; shown this once."""

    scheme: Scheme
    key: Annotated[str, Meta(description="whsec_... for v1, whpk_... for v1a.")]


class KeyedEndpoint(Endpoint, frozen=True, kw_only=True):
    """An endpoint and the keys it has just been given."""

    keys: list[VerifyingKey]


async def create(teller: Teller, asked: Asked[NewEndpoint, None]) -> Answer:
    """Make an endpoint; its keys are in this answer and never again."""
    given = asked.body
    draft = Draft(
        url=given.url,
        description=given.description,
        event_types=given.event_types,
        schemes=given.schemes,
    )
    endpoint.check_draft(draft, teller.reach)
    seal = await teller.unsealed()
    made, keys = await teller.write(
        lambda db: endpoints.create(
            db, seal, draft, vendor_id=asked.caller.vendor_id, numbers=teller.numbers,
            now=asked.now, reach=teller.reach,
            endpoints_max=teller.config.webhooks.endpoints_max,
        )
    )  # fmt: skip
    place = f"/v1/webhooks/{endpoint.endpoint_name(made.endpoint_id)}"
    return Answer(status=201, body=_keyed(made, keys), headers=(("Location", place),))


async def listing(teller: Teller, asked: Asked[None, None]) -> Answer:
    """Answer the caller's endpoints; there are a few at the most."""
    found = await endpoints.listing(teller.reads, vendor_id=asked.caller.vendor_id, now=asked.now)
    return Answer(status=200, body=EndpointList(endpoints=[_shown(one) for one in found]))


async def find(teller: Teller, asked: Asked[None, None]) -> Answer:
    """Answer one of the caller's endpoints."""
    found = await endpoints.find(
        teller.reads, vendor_id=asked.caller.vendor_id, endpoint_id=number(asked.path),
        now=asked.now,
    )  # fmt: skip
    return Answer(status=200, body=_shown(found))


async def change(teller: Teller, asked: Asked[EndpointChange, None]) -> Answer:
    """Change an endpoint."""
    given = asked.body
    wanted = Change(
        url=given.url,
        description=given.description,
        event_types=given.event_types,
        enabled=given.enabled,
    )
    changed = await teller.write(
        lambda db: endpoints.update(
            db, wanted, vendor_id=asked.caller.vendor_id, endpoint_id=number(asked.path),
            now=asked.now, reach=teller.reach,
        )
    )  # fmt: skip
    return Answer(status=200, body=_shown(changed))


async def rotate(teller: Teller, asked: Asked[Rotation, None]) -> Answer:
    """Give an endpoint new secrets; they are in this answer and never again."""
    given = asked.body
    endpoint_id = number(asked.path)
    seal = await teller.unsealed()
    changed, keys = await teller.write(
        lambda db: endpoints.rotate(
            db, seal, vendor_id=asked.caller.vendor_id, endpoint_id=endpoint_id,
            schemes=given.schemes, overlap=timedelta(seconds=given.overlap_seconds),
            numbers=teller.numbers, now=asked.now,
        )
    )  # fmt: skip
    return Answer(status=200, body=_keyed(changed, keys))


async def delete(teller: Teller, asked: Asked[None, None]) -> Answer:
    """Delete an endpoint; what waits for it is never sent."""
    await teller.write(
        lambda db: endpoints.delete(
            db, vendor_id=asked.caller.vendor_id, endpoint_id=number(asked.path), now=asked.now
        )
    )
    return Answer(status=204)


def number(path: dict[str, str]) -> int:
    """Return the endpoint a path names. Raises WebhookEndpointUnknown."""
    return names.number(names.ENDPOINT, path["endpoint"], unknown=WebhookEndpointUnknown)


def _shown(one: endpoint.Endpoint) -> Endpoint:
    return Endpoint(
        endpoint=endpoint.endpoint_name(one.endpoint_id),
        url=one.url,
        description=one.description,
        event_types=list(one.event_types),
        schemes=list(one.schemes),
        state=one.state,
        disabled_reason=one.disabled_reason,
        disabled_at=one.disabled_at,
        failures=one.failures,
        failing_since=one.failing_since,
        delivered_at=one.delivered_at,
        created_at=one.created_at,
        public_keys=list(one.public_keys),
    )


def _keyed(one: endpoint.Endpoint, keys: list[NewKey]) -> KeyedEndpoint:
    told = msgspec.structs.asdict(_shown(one))
    return KeyedEndpoint(
        **told, keys=[VerifyingKey(scheme=key.scheme, key=key.value) for key in keys]
    )
