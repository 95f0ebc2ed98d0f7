"""How a vendor shows who it is: an API key, or tokens fetched with a secret or a signing key."""

import base64
import secrets
from urllib.parse import quote, urlencode

import msgspec
from joserfc import jwt

from vending.client import signing
from vending.client.signing import PrivateKey

RENEW_BEFORE = 0.2
"""Tokens are replaced when so much of their life is left: clocks and queues take time too."""


ASSERTION_SECONDS = 120
"""How long an assertion is good for: it is made for one request."""

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent for a token: a header, unless the form itself proves who asks."""

    authorization: str
    form: bytes

    def __repr__(self) -> str:
        return "Proof(...)"


class ApiKey:
    """A key that is sent with every request: `stima_live_...` or `stima_test_...`."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "ApiKey(...)"

    @property
    def bearer(self) -> str:
        """The key itself."""
        return self._key


class ClientSecret:
    """An OAuth client with a secret; tokens are fetched at `/oauth/token` and replaced in time."""

    def __init__(self, client_id: str, secret: str, *, scopes: tuple[str, ...] = ()) -> None:
        self.client_id = client_id
        self._secret = secret
        self._scopes = scopes

    def __repr__(self) -> str:
        return f"ClientSecret({self.client_id!r}, ...)"

    def proof(self, audience: str, *, at: float) -> Proof:  # noqa: ARG002 -- a secret is ageless
        """Return what asks for a token, this client proved by HTTP Basic (RFC 6749, 2.3.1)."""
        pair = f"{quote(self.client_id, safe='')}:{quote(self._secret, safe='')}"
        basic = "Basic " + base64.b64encode(pair.encode()).decode()
        return Proof(authorization=basic, form=_form(self._scopes))


class ClientKey:
    """An OAuth client that proves itself by a key which never leaves it (private_key_jwt).

    `key` is a private key, in PEM or as a JSON Web Key: EC on P-256 or P-384, Ed25519, or RSA. The
    utility has the public half; `kid` is what it calls it, by itself the key's own name or
    thumbprint. `signs` has every request signed too (RFC 9421), where the utility asks for it.
    `public_url` is where the utility says it is, if calls go to another address. Raises ValueError
    for what is no such key.
    """

    def __init__(
        self,
        client_id: str,
        key: str,
        *,
        kid: str = "",
        scopes: tuple[str, ...] = (),
        signs: bool = False,
        public_url: str = "",
    ) -> None:
        self.client_id = client_id
        self.signs = signs
        self.public_url = public_url.rstrip("/")
        self._key = PrivateKey.read(key, kid=kid)
        self._scopes = scopes

    def __repr__(self) -> str:
        return f"ClientKey({self.client_id!r}, ...)"

    def proof(self, audience: str, *, at: float) -> Proof:
        """Return what asks for a token, this client proved by an assertion (RFC 7523, 2.2)."""
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": audience,
            "iat": int(at),
            "exp": int(at) + ASSERTION_SECONDS,
            "jti": secrets.token_urlsafe(16),
        }
        alg, key = self._key.jose, self._key.jwk
        told = jwt.encode({"alg": alg, "kid": self._key.kid}, claims, key, algorithms=[alg])
        shown = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": told}
        return Proof(authorization="", form=_form(self._scopes, **shown))

    def signature(
        self, method: str, url: str, *, headers: dict[str, str], body: bytes, at: float
    ) -> dict[str, str]:
        """Return the headers that sign a request; each is signed anew, with its own nonce."""
        return signing.signature(
            self._key, method, url, headers=headers, body=body, created=int(at),
            nonce=secrets.token_urlsafe(16),
        )  # fmt: skip


Access = ApiKey | ClientSecret | ClientKey
"""Any of the ways to show who one is."""


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """What `/oauth/token` answers (Token)."""

    access_token: str
    expires_in: int

    def __repr__(self) -> str:
        return "Granted(...)"


class Purse:
    """The token in hand. Times are seconds of a steady clock."""

    def __init__(self) -> None:
        self._text: str | None = None
        self._until = 0.0

    def __repr__(self) -> str:
        return "Purse(...)"

    def good(self, *, at: float, stale: str | None) -> str | None:
        """Return the token unless it is none, too old, or the one that was just refused."""
        fit = self._text is not None and self._text != stale and at < self._until
        return self._text if fit else None

    def put(self, granted: Granted, *, at: float) -> str:
        """Keep a new token, and return it."""
        self._text = granted.access_token
        self._until = at + granted.expires_in * (1.0 - RENEW_BEFORE)
        return self._text


def _form(scopes: tuple[str, ...], **shown: str) -> bytes:
    members = {"grant_type": "client_credentials", **shown}
    return urlencode(members | ({"scope": " ".join(scopes)} if scopes else {})).encode()
