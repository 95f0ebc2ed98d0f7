"""Clients that sign: what a vendor's own machine does with its private key."""

import json
from datetime import datetime, timedelta
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

AUDIENCE = "https://vend.example/oauth/token"

Key = ECKey | OKPKey | RSAKey


def a_key(kid: str = "k1") -> ECKey:
    """Return a new private key on P-256."""
    return ECKey.generate_key("P-256", {"kid": kid})


def public(*keys: Key) -> str:
    """Return keys as the key set a vendor gives us."""
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]})


def signed(key: Key, client_id: str, *, now: datetime, alg: str = "ES256", **claims: Any) -> str:
    """Return an assertion good for a minute; a claim that is given as None is left out."""
    given = {
        "iss": client_id,
        "sub": client_id,
        "aud": AUDIENCE,
        "exp": int((now + timedelta(minutes=1)).timestamp()),
        "iat": int(now.timestamp()),
        "jti": "one",
    } | claims
    told = {name: value for name, value in given.items() if value is not None}
    return jwt.encode({"alg": alg, "kid": key.kid}, told, key, algorithms=[alg])
