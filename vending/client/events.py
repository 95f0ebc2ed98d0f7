"""Webhooks: tell an event that the utility sent from one that somebody else did.

What is signed is `webhook-id`, `webhook-timestamp` and the body as it came, joined by full stops
(Standard Webhooks). See docs/reference/webhooks.md.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TOLERANCE_SECONDS = 300


class EventRefused(Exception):
    """A request is no event of the utility's, or an old one; `fault` says why. Answer 400."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        super().__init__(fault)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What happened: the same `id` and contents in every try, so keep the ids you have done."""

    id: str
    type: str
    timestamp: datetime
    data: dict[str, Any]


class _Body(msgspec.Struct, frozen=True, kw_only=True):
    type: str
    timestamp: datetime
    data: dict[str, Any]


def verify(key: str, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Event:
    """Return a delivery's event. Raises EventRefused.

    `key` is the endpoint's `whsec_...`, or its public `whpk_...`. `body` is the bytes as they came,
    `now` an aware instant; deliveries more than five minutes away from it are refused.
    """
    found = {name.lower(): value for name, value in headers.items()}
    try:
        name, sent, signatures = (
            found[f"webhook-{part}"] for part in ("id", "timestamp", "signature")
        )
    except KeyError:
        raise EventRefused("a webhook header is missing") from None
    if not (sent.isascii() and sent.isdigit() and len(sent) <= len("1795334400") + 2):
        raise EventRefused("webhook-timestamp is no number of seconds")
    if abs(now.astimezone(UTC).timestamp() - int(sent)) > TOLERANCE_SECONDS:
        raise EventRefused("webhook-timestamp is more than five minutes away")
    signed = f"{name}.{sent}.".encode() + body
    if not any(_genuine(key, one, signed) for one in signatures.split(" ")):
        raise EventRefused("no signature is right")
    try:
        told = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeError):
        raise EventRefused("the body is no event") from None
    return Event(id=name, type=told.type, timestamp=told.timestamp, data=told.data)


def _genuine(key: str, signature: str, signed: bytes) -> bool:
    version, _, text = signature.partition(",")
    kind, _, secret = key.partition("_")
    if (kind, version) not in {("whsec", "v1"), ("whpk", "v1a")}:
        return False
    try:
        given = base64.b64decode(text, validate=True)
        if kind == "whsec":
            expected = hmac.digest(base64.b64decode(secret), signed, hashlib.sha256)
            return hmac.compare_digest(expected, given)
        Ed25519PublicKey.from_public_bytes(base64.b64decode(secret)).verify(given, signed)
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return True
