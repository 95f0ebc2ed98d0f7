"""How a vendor shows who it is: an API key, or tokens fetched with a client's secret."""

import base64
from urllib.parse import quote, urlencode

import msgspec

RENEW_BEFORE = 0.2
"""Tokens are replaced when so much of their life is left: clocks and queues take time too."""


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

    def basic(self) -> str:
        """Return the Authorization header that proves this client (RFC 6749, 2.3.1)."""
        pair = f"{quote(self.client_id, safe='')}:{quote(self._secret, safe='')}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    def form(self) -> bytes:
        """Return the body that asks for a token."""
        members = {"grant_type": "client_credentials"}
        if self._scopes:
            members["scope"] = " ".join(self._scopes)
        return urlencode(members).encode()


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
