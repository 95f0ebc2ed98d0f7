"""Access tokens: what an OAuth client shows instead of its credential, for a few minutes.

A token is a compact JWS (RFC 9068, HS256) that any of our servers verifies by itself. Issuer and
verifier are the same party, so a shared key is all that is needed and costs a sixth of a signature.
It says who fetched it and for what; whether that client still works is asked of the register, so a
revoked client's tokens end with it. One may be bound to a client's certificate (RFC 8705).
"""

import secrets
from datetime import UTC, datetime, timedelta

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError

from vending.errors import Rejected
from vending.values import Value
from vending.vendors.credentials import Credential
from vending.vendors.seals import Seals
from vending.vendors.vendor import Scope

ISSUER = "stima"
TYPE = "at+jwt"
LENGTH_MAX = 2_048
_ALGORITHMS = ["HS256"]


class AccessTokenInvalid(Rejected):
    """The access token is not one of ours.

    Fetch one at /oauth/token and send it unchanged.
    """

    code = "access_token_invalid"


class AccessTokenExpired(Rejected):
    """The access token has expired.

    Fetch a new one at /oauth/token; a token lasts as long as its `expires_in` says.
    """

    code = "access_token_expired"


class ScopeMissing(Rejected):
    """The credential is not for this.

    Ask the utility for one with the scope that is named.
    """

    code = "scope_missing"


class AccessToken(Value, frozen=True, kw_only=True):
    """A token just made, how many seconds it lasts, and what it is for."""

    hidden = frozenset({"text"})

    text: str
    expires_in: int
    scopes: frozenset[Scope]


class Claims(Value, frozen=True, kw_only=True):
    """What a verified token says; `certificate` is the SHA-256 thumbprint it is bound to."""

    client_id: str
    scopes: frozenset[Scope]
    expires_at: datetime
    certificate: str | None


def issue(
    client: Credential,
    *,
    scopes: frozenset[Scope] = frozenset(),
    certificate: str | None = None,
    lifetime: timedelta,
    seals: Seals,
    now: datetime,
) -> AccessToken:
    """Make a token for a client, for the scopes asked for or else all it has.

    Raises ScopeMissing when it asks for one it does not have.
    """
    if not scopes <= client.scopes:
        raise ScopeMissing(scope=min(scopes - client.scopes).value)
    granted = scopes or client.scopes
    issued = int(now.timestamp())
    seconds = int(lifetime.total_seconds())
    claims = {
        "iss": ISSUER,
        "sub": client.vendor_id,
        "client_id": client.name,
        "scope": " ".join(sorted(scope.value for scope in granted)),
        "iat": issued,
        "exp": issued + seconds,
        "jti": secrets.token_hex(8),
    }
    if certificate is not None:
        claims["cnf"] = {"x5t#S256": certificate}
    header = {"alg": "HS256", "typ": TYPE, "kid": seals.signer.kid}
    text = jwt.encode(header, claims, seals.signer, algorithms=_ALGORITHMS)
    return AccessToken(text=text, expires_in=seconds, scopes=granted)


def verify(text: str, *, seals: Seals, now: datetime) -> Claims:
    """Return what a token says. Raises AccessTokenInvalid, AccessTokenExpired."""
    if len(text) > LENGTH_MAX:
        raise AccessTokenInvalid
    try:
        token = jwt.decode(text, seals.verifiers, algorithms=_ALGORITHMS)
        if token.header.get("typ") != TYPE:
            raise AccessTokenInvalid
        rules = jwt.JWTClaimsRegistry(
            now=int(now.timestamp()),
            iss={"essential": True, "value": ISSUER},
            exp={"essential": True},
        )
        rules.validate(token.claims)
    except ExpiredTokenError:
        raise AccessTokenExpired from None
    except (JoseError, ValueError, TypeError, KeyError):
        raise AccessTokenInvalid from None
    claims = token.claims
    return Claims(
        client_id=claims["client_id"],
        scopes=frozenset(map(Scope, claims["scope"].split())),
        expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        certificate=claims.get("cnf", {}).get("x5t#S256"),
    )
