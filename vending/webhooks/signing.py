"""Signatures by the Standard Webhooks specification 1.0.0; no input, no output, no clock.

What is signed is `id.timestamp.body`. Symmetric secrets (v1, HMAC-SHA256) are shown as `whsec_`
and base64; asymmetric ones (v1a, Ed25519) never leave, and their public half is `whpk_` and base64.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vending.values import Value

_SECRET_BYTES = 32
"""The specification asks for 24 to 64; 32 is the whole strength of SHA-256 and of Ed25519."""


class Scheme(StrEnum):
    """How a delivery is signed, by the specification's own identifier."""

    V1 = "v1"
    """HMAC-SHA256 with a secret that both sides hold."""
    V1A = "v1a"
    """Ed25519: the receiver holds a public key and can sign nothing."""


class Secret(Value, frozen=True, kw_only=True):
    """What signs: 32 bytes, the HMAC secret or the seed of the Ed25519 key."""

    hidden = frozenset({"material"})

    scheme: Scheme
    material: bytes


def new_secret(scheme: Scheme) -> Secret:
    """Return a secret nobody has seen."""
    return Secret(scheme=scheme, material=secrets.token_bytes(_SECRET_BYTES))


def shown(secret: Secret) -> str:
    """Return what the receiver needs to verify: `whsec_...` to be kept secret, or `whpk_...`."""
    if secret.scheme is Scheme.V1A:
        return public_key(secret)
    return f"whsec_{_base64(secret.material)}"


def public_key(secret: Secret) -> str:
    """Return the public half of an Ed25519 secret as `whpk_` and base64."""
    key = Ed25519PrivateKey.from_private_bytes(secret.material).public_key()
    return f"whpk_{_base64(key.public_bytes_raw())}"


def headers(
    signers: Iterable[Secret], *, webhook_id: str, at: datetime, body: bytes
) -> dict[str, str]:
    """Return the three headers of a delivery made at an instant, signed with each secret."""
    timestamp = str(int(at.timestamp()))
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(_signature(secret, signed) for secret in signers),
    }


def _signature(secret: Secret, signed: bytes) -> str:
    if secret.scheme is Scheme.V1A:
        made = Ed25519PrivateKey.from_private_bytes(secret.material).sign(signed)
    else:
        made = hmac.digest(secret.material, signed, hashlib.sha256)
    return f"{secret.scheme},{_base64(made)}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
