"""A call to one of the busiest addresses, apart from how it was read, and the reply to it.

The operator's confirmations and direct sales are nearly all of the traffic. Each is answered by an
`Express`, which knows nothing of the framework: requests reach it through aiohttp, or by the short
way of `vending.api.express`, and get the same answer either way.
"""

import re
from typing import Final, Protocol

from aiohttp import hdrs, web

from vending.errors import VendingError
from vending.values import Value

JSON: Final = "application/json"


class Call(Value, frozen=True, kw_only=True):
    """What a request's head says of its caller.

    `peer` is the socket's other end, None when that cannot be told; `secret` is the part of the
    path that only the caller was given.
    """

    hidden = frozenset({"secret", "authorization"})

    peer: str | None
    forwarded_for: str = ""
    authorization: str = ""
    secret: str = ""


class Reply(Value, frozen=True, kw_only=True):
    """An answer: status, body, and the headers that not every answer has."""

    hidden = frozenset({"body"})

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


class Express(Protocol):
    """An address that can be answered without the framework."""

    route: str
    """The path's pattern for aiohttp's router."""

    shown: str
    """The same for people, with no secret in it; what aiohttp calls its canonical path."""

    path: re.Pattern[bytes]
    """What the whole path looks like; group 1, where there is one, is the secret."""

    def closed(self, call: Call) -> VendingError | None:
        """Return what every caller is told now, whoever it is; None when each is looked at.

        Asked before anything else; that somebody calls may be noted. The same error again means
        the same reply again.
        """
        ...

    def admit(self, call: Call) -> None:
        """Raise a VendingError unless this caller is let in now. Nothing of the body is read."""
        ...

    async def answer(self, call: Call, body: bytes) -> Reply:
        """Return the reply to an admitted call, or raise."""
        ...


def call_of(request: web.Request) -> Call:
    """Return what aiohttp has read of a request's head."""
    peername = request.transport.get_extra_info("peername") if request.transport else None
    headers = request.headers
    return Call(
        peer=peer_of(peername),
        forwarded_for=",".join(headers.getall(hdrs.X_FORWARDED_FOR, ())),
        authorization=headers.get(hdrs.AUTHORIZATION, ""),
        secret=request.match_info.get("secret", ""),
    )


def peer_of(peername: object) -> str | None:
    """Return the address in what a socket calls its other end; a Unix socket's has none."""
    return str(peername[0]) if isinstance(peername, tuple) else None


def response_of(reply: Reply) -> web.Response:
    """Return a reply as aiohttp sends it."""
    response = web.Response(status=reply.status, body=reply.body, content_type=reply.content_type)
    for name, value in reply.headers:
        response.headers[name] = value
    return response
