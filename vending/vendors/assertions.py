"""A client proves itself by signing: private_key_jwt (RFC 7523, OpenID Connect Core 9).

The assertion is a short-lived JWS that names the client as issuer and subject and our token
endpoint as audience. Each counts once: its `jti` is kept until it would have expired by itself.
"""

import base64
import warnings
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning

from vending.errors import Rejected
from vending.postgres.pool import Session
from vending.vendors import key_sets
from vending.vendors.credentials import Credential

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

LIFETIME_MAX = timedelta(minutes=10)
"""How far ahead an assertion may expire: it is made for one request, by a clock near ours."""

SKEW = timedelta(seconds=60)
"""How far a client's clock may be from ours."""

LENGTH_MAX = 8_192
JTI_LENGTH_MAX = 128

ALGORITHMS = ("ES256", "ES384", "PS256", "RS256", "Ed25519", "EdDSA")

# Expired ones go as new ones come; a token is fetched a few times an hour.
USE = """
with gone as (
    delete from assertion_used where expires_at < $4
)
insert into assertion_used (client_id, jti, expires_at)
values ($1, $2, $3)
on conflict (client_id, jti) do nothing
returning jti
"""


class AssertionRefused(Rejected):
    """The client's signed assertion cannot be believed.

    `reason` names what is wrong: signature, expired, audience, ... Sign a new one for each request,
    with a key that the utility has, our token address as `aud` and a `jti` of its own.
    """

    code = "assertion_refused"


class AssertionRepeated(Rejected):
    """The client's signed assertion was used before.

    Sign a new one, with another `jti`, for each request.
    """

    code = "assertion_repeated"


def claimed_client(assertion: str) -> str:
    """Return the client an assertion says it is of, unverified. Raises AssertionRefused."""
    try:
        payload = assertion.split(".")[1]
        decoded = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        claims: dict[str, Any] = msgspec.json.decode(decoded, type=dict[str, Any])
        return str(claims["sub"])[:64]
    except (ValueError, KeyError, IndexError, msgspec.MsgspecError):
        raise AssertionRefused(reason="unreadable") from None


async def prove(
    db: Session, client: Credential, assertion: str, *, audience: Collection[str], now: datetime
) -> None:
    """Believe that whoever sent an assertion is a client, once.

    `audience` are the addresses we are known by. Raises AssertionRefused, AssertionRepeated.
    """
    jti, expires_at = verified(client, assertion, audience=audience, now=now)
    if not await db.fetch(USE, client.name, jti, expires_at, now):
        raise AssertionRepeated(client_id=client.name)


def verified(
    client: Credential, assertion: str, *, audience: Collection[str], now: datetime
) -> tuple[str, datetime]:
    """Return an assertion's `jti` and when it may be forgotten. Raises AssertionRefused."""
    if client.key_set is None:
        raise AssertionRefused(reason="this client has a secret and no keys")
    if len(assertion) > LENGTH_MAX:
        raise AssertionRefused(reason="too long")
    rules = jwt.JWTClaimsRegistry(
        now=int(now.timestamp()),
        leeway=int(SKEW.total_seconds()),
        iss={"essential": True, "value": client.name},
        sub={"essential": True, "value": client.name},
        aud={"essential": True, "values": list(audience)},
        exp={"essential": True},
        jti={"essential": True},
    )
    try:
        with warnings.catch_warnings():
            # RFC 9864 names the algorithm Ed25519; most libraries still write EdDSA.
            warnings.simplefilter("ignore", SecurityWarning)
            token = jwt.decode(assertion, key_sets.read(client.key_set), algorithms=ALGORITHMS)
        rules.validate(token.claims)
    except JoseError as fault:
        raise AssertionRefused(reason=_reason(fault)) from None
    except (ValueError, TypeError, KeyError) as fault:
        raise AssertionRefused(reason=type(fault).__name__) from None
    expires_at = datetime.fromtimestamp(int(token.claims["exp"]), UTC)
    if expires_at > now + LIFETIME_MAX + SKEW:
        raise AssertionRefused(reason="expires too late")
    if not 1 <= len(token.claims["jti"]) <= JTI_LENGTH_MAX:
        raise AssertionRefused(reason="jti")
    return token.claims["jti"], expires_at + SKEW


def _reason(fault: JoseError) -> str:
    claim = getattr(fault, "claim", None)
    return f"{fault.error}: {claim}" if claim else str(fault.error)
