"""Who a till is: by HTTP Basic, by a bearer, or by the operator and password in the message."""

import base64
import binascii
from typing import Final

from aiohttp import hdrs, web

from vending.api.v1.callers import Callers, CredentialMissing
from vending.clock import Clock
from vending.vendors.register import Caller, CredentialRefused, Register
from vending.xmlvend.identity import Credential

_KEY: Final = "stima_"
"""What an API key begins with; the secret of a client never does."""

_HEADER_LETTERS_MAX: Final = 4_096


class TillCallers:
    """Tells who sent a message.

    The header counts where there is one: then the operator and password in the message are the
    till's own business. Without one they are an OAuth client's id and secret, or the password is
    an API key, whatever the operator is called.
    """

    def __init__(self, callers: Callers, register: Register, clock: Clock) -> None:
        self._callers = callers
        self._register = register
        self._clock = clock

    def known(self, request: web.Request, credential: Credential | None) -> Caller:
        """Return who asks. Raises CredentialMissing and what `Register.bearer` raises."""
        header = request.headers.get(hdrs.AUTHORIZATION, "")
        if header:
            scheme, _, shown = header.partition(" ")
            if scheme.lower() == "basic":
                return self._named(request, *_basic(shown))
            return self._callers.known(request)
        if credential is None or not credential.password:
            raise CredentialMissing
        return self._named(request, credential.operator, credential.password)

    def _named(self, request: web.Request, name: str, secret: str) -> Caller:
        address, now = self._callers.address(request), self._clock()
        key = secret if secret.startswith(_KEY) else ""
        if name.startswith(_KEY) and not secret:
            key = name
        if key:
            return self._register.bearer(key, address=address, now=now)
        client = self._register.client(name, secret, address=address, now=now)
        return Caller(
            vendor=self._register.vendor(client.vendor_id),
            credential=client.name,
            scopes=client.scopes,
            sandbox=client.sandbox,
        )


def _basic(shown: str) -> tuple[str, str]:
    """Return the name and the password of HTTP Basic (RFC 7617). Raises CredentialRefused."""
    if len(shown) > _HEADER_LETTERS_MAX:
        raise CredentialRefused
    try:
        plain = base64.b64decode(shown.strip(), validate=True).decode()
    except (ValueError, binascii.Error):
        raise CredentialRefused from None
    name, colon, secret = plain.partition(":")
    if not colon:
        raise CredentialRefused
    return name, secret
