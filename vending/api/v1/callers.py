"""Who calls: the bearer of an API key or of an access token, from an address, by a certificate.

Both are verified in this process, without the database: a key by its seal and a token by its
signature, then against the register, which is at most seconds old. A certificate is known by the
thumbprint that a trusted proxy of ours has put into a header (RFC 8705, 3).
"""

import base64
import binascii
import re
from typing import Final

from aiohttp import hdrs, web

from vending.api import sources
from vending.api.calls import call_of
from vending.api.doors import Doors
from vending.api.sources import Networks
from vending.errors import Rejected, VendingError
from vending.vendors.access_tokens import AccessTokenExpired, AccessTokenInvalid, ScopeMissing
from vending.vendors.register import (
    Caller,
    CertificateMissing,
    CredentialExpired,
    CredentialRefused,
    CredentialRevoked,
    Register,
)

REALM: Final = "stima"

_SCHEME: Final = "bearer"
_SHOWN = re.compile(r"[A-Za-z0-9._~+/=-]{1,2048}")
_HEX = re.compile(r"[0-9A-Fa-f]{64}")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]{43}=?")

_INVALID_TOKEN: Final = (
    CredentialRefused, CredentialRevoked, CredentialExpired, AccessTokenInvalid,
    AccessTokenExpired, CertificateMissing,
)  # fmt: skip


class CredentialMissing(Rejected):
    """Nobody is told anything without a key or an access token.

    Send `Authorization: Bearer` and your API key, or an access token from /oauth/token.
    """

    code = "credential_missing"


class SandboxOnly(Rejected):
    """This is not there for credentials of the sandbox.

    Use a live credential; the sandbox sells, and keeps no accounts.
    """

    code = "sandbox_only"


class SandboxServer(Rejected):
    """This server is a sandbox and knows no live credentials.

    Use a test key here, and the live one where the utility sells.
    """

    code = "sandbox_server"


class Callers:
    """Tells who makes a request."""

    def __init__(self, doors: Doors, register: Register) -> None:
        """Read the settings. Raises ConfigInvalid for proxies that are none."""
        self._register = register
        self._clock = doors.clock
        self._proxies = Networks(
            doors.config.server.trusted_proxies, setting="server.trusted_proxies"
        )
        self._certificate_header = doors.config.vendors.certificate_header

    def known(self, request: web.Request) -> Caller:
        """Return who makes a request. Raises CredentialMissing and what `Register.bearer` does."""
        scheme, _, shown = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() != _SCHEME or not shown:
            raise CredentialMissing
        if not _SHOWN.fullmatch(shown.strip()):
            raise CredentialRefused
        return self._register.bearer(
            shown.strip(),
            address=self.address(request),
            now=self._clock(),
            certificate=self.certificate(request),
        )

    def address(self, request: web.Request) -> str:
        """Return the address a request comes from; "" when that cannot be told."""
        return sources.caller(call_of(request), proxies=self._proxies) or ""

    def certificate(self, request: web.Request) -> str | None:
        """Return the thumbprint of the caller's certificate, as base64url of its SHA-256.

        Only a trusted proxy may say it, in base64url or in hexadecimal digits.
        """
        peer = call_of(request).peer
        if not self._certificate_header or peer is None or peer not in self._proxies:
            return None
        told = request.headers.getall(self._certificate_header, [])
        # More than one line: the proxy did not take away what the caller had written.
        return _thumbprint(told[0].strip()) if len(told) == 1 else None


def challenge(error: VendingError) -> str | None:
    """Return the WWW-Authenticate of a refusal (RFC 6750, 3); None where there is none."""
    match error:
        case CredentialMissing():
            return f'Bearer realm="{REALM}"'
        case ScopeMissing():
            scope = error.facts.get("scope", "")
            return f'Bearer realm="{REALM}", error="insufficient_scope", scope="{scope}"'
        case _ if isinstance(error, _INVALID_TOKEN):
            return (
                f'Bearer realm="{REALM}", error="invalid_token", '
                f'error_description="{error.sentence()}"'
            )
        case _:
            return None


def _thumbprint(text: str) -> str | None:
    if _HEX.fullmatch(text):
        return base64.urlsafe_b64encode(binascii.unhexlify(text)).decode().rstrip("=")
    return text.rstrip("=") if _BASE64URL.fullmatch(text) else None
