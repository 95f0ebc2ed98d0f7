"""The public keys a client signs with: a JSON Web Key Set (RFC 7517), or one key in PEM."""

import warnings
from typing import Any

import msgspec
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from vending.errors import Rejected

KEYS_MAX = 4
"""Two for a rotation, and two more for whoever signs with two kinds of key."""

RSA_BITS_MIN = 2048
TEXT_LENGTH_MAX = 16_384

_CURVES = frozenset({"P-256", "P-384", "Ed25519"})
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""The members of a key that nobody but its owner may have (RFC 7518, 6.2 to 6.4)."""


class KeySetMalformed(Rejected):
    """These are no public keys that a client can sign in with.

    Give a JSON Web Key Set of one to four public keys, or one public key in PEM: EC on P-256 or
    P-384, Ed25519, or RSA of 2048 bits or more. Never send a private key to anyone.
    """

    code = "key_set_malformed"


def parse(text: str) -> str:
    """Return public keys as a JSON Web Key Set that names each key. Raises KeySetMalformed."""
    if len(text) > TEXT_LENGTH_MAX:
        raise KeySetMalformed(reason="too long")
    keys = [_pem(text)] if text.lstrip().startswith("-----") else _members(text)
    if not 1 <= len(keys) <= KEYS_MAX:
        raise KeySetMalformed(reason="number of keys", given=len(keys))
    written = [_public(key) for key in keys]
    return msgspec.json.encode({"keys": written}, order="deterministic").decode()


def read(text: str) -> KeySet:
    """Return the keys of a set that `parse` has written."""
    return KeySet.import_key_set(msgspec.json.decode(text))


def _members(text: str) -> list[dict[str, Any]]:
    try:
        given = msgspec.json.decode(text, type=dict[str, Any])
        return msgspec.convert(given.get("keys", [given]), list[dict[str, Any]])
    except msgspec.MsgspecError as fault:
        raise KeySetMalformed(reason="not JSON", fault=str(fault)) from None


def _pem(text: str) -> dict[str, Any]:
    if "PRIVATE KEY" in text:
        raise KeySetMalformed(reason="private")
    for kind in (ECKey, OKPKey, RSAKey):
        try:
            return dict(kind.import_key(text).as_dict(private=False))
        except (JoseError, ValueError, TypeError, AttributeError, AssertionError):
            continue
    raise KeySetMalformed(reason="not a public key in PEM")


def _public(given: dict[str, Any]) -> dict[str, Any]:
    """Return a key with its name and nothing but what is public."""
    if _PRIVATE & given.keys():
        raise KeySetMalformed(reason="private")
    try:
        with warnings.catch_warnings():  # what it warns of is refused below
            warnings.simplefilter("ignore", SecurityWarning)
            (key,) = KeySet.import_key_set({"keys": [given]}).keys
        if isinstance(key, RSAKey):
            strong = key.public_key.key_size >= RSA_BITS_MIN
        else:
            strong = isinstance(key, ECKey | OKPKey) and given.get("crv") in _CURVES
        if not strong:
            raise KeySetMalformed(reason="kind of key", kty=str(given.get("kty"))[:8])
        named = {"kid": str(given.get("kid") or key.thumbprint())[:128]}
        return dict(key.as_dict(private=False)) | named
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, AssertionError) as fault:
        raise KeySetMalformed(reason=type(fault).__name__) from None
