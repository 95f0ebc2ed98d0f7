"""What a request may cost us before we know it is worth anything: size, encoding, time.

Bodies are read by `read_body` after the caller is known, never before. The middleware keeps the
connection's guard (see `vending.api.listener`) informed, so that a request which is not fully
sent in time is cut off, and one that is being answered never is.
"""

from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from vending.api.listener import Guard
from vending.errors import Rejected

_ENCODING: Final = "Content-Encoding"


class BodyTooLarge(Rejected):
    """The body is larger than this server reads.

    Send less, or raise server.body_bytes_max.
    """

    code = "body_too_large"


class BodyEncoded(Rejected):
    """The body is compressed.

    Send it as it is: a few hundred bytes are not worth a decompression bomb.
    """

    code = "body_encoded"


async def read_body(request: web.Request) -> bytes:
    """Return a request's body, at most server.body_bytes_max bytes long.

    Raises BodyTooLarge (by Content-Length, before a byte is read, where it is given) and
    BodyEncoded.
    """
    if request.headers.get(_ENCODING, "identity").lower() != "identity":
        raise BodyEncoded(encoding=request.headers[_ENCODING][:16])
    if (request.content_length or 0) > request.client_max_size:
        raise BodyTooLarge(bytes_max=request.client_max_size)
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise BodyTooLarge(bytes_max=request.client_max_size) from None
    guard = _guard(request)
    if guard is not None:
        guard.request_received()
    return body


def middleware() -> Middleware:
    """Return the middleware that tells the connection's guard when a request begins and ends."""

    @web.middleware
    async def with_guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        guard = _guard(request)
        if guard is None:
            return await handler(request)
        if not request.can_read_body:
            guard.request_received()
        try:
            return await handler(request)
        finally:
            guard.answered(body_pending=not request.content.at_eof())

    return with_guard


def _guard(request: web.Request) -> Guard | None:
    """Return the guard of a request's connection; none behind a listener that is not ours."""
    protocol = request.transport.get_protocol() if request.transport is not None else None
    return protocol if isinstance(protocol, Guard) else None
