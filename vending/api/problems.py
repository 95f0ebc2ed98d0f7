"""Every error's one way onto the wire: problem+json (RFC 9457), a status and one log line.

Beside the standard members a problem says three things. `code` is stable and listed in
docs/reference/errors.md. `retry` says whether the same request may succeed later. `money_state`
says what became of money this request was about; see `MoneyState`. `trace_id` is in our log line
too. Nothing of a request's body or of a traceback is ever in the answer or in the line.
"""

import functools
import secrets
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Final

import asyncpg
import msgspec
from aiohttp import ClientPayloadError, web
from aiohttp.typedefs import Handler, Middleware
from aiohttp.web_protocol import RequestPayloadError

from vending import log, metrics
from vending.api import admission
from vending.api.calls import Reply, response_of
from vending.api.lines import LineLimit
from vending.api.sources import PathUnknown, SourceForbidden
from vending.api.v1 import shapes
from vending.errors import Inconsistent, Refused, Rejected, Unavailable, VendingError
from vending.payments.inbox import InboxUnavailable, NoticeUnstorable
from vending.payments.payment import NoticeConflicts, NoticeMalformed
from vending.postgres.pool import CommitUnknown, DatabaseUnavailable
from vending.sequencer import SaleUnavailable
from vending.tallies import Count

CONTENT_TYPE: Final = "application/problem+json"

RETRY_AFTER_SECONDS: Final = 5
"""What Retry-After asks for: the database comes back in seconds or needs a person."""


class MoneyState(StrEnum):
    """What became of the money a refused request was about."""

    NONE = "none"
    """No money has moved because of this request."""

    HELD = "held"
    """The message is kept, for a person; it is not booked. Do not send it again."""

    UNKNOWN = "unknown"
    """It may or may not be stored. Sending the same message again is safe and settles it."""


class RequestMalformed(Rejected):
    """The request cannot be read.

    `fault` names the rule it breaks.
    """

    code = "request_malformed"


class MethodUnknown(Rejected):
    """This path is not asked with this method.

    The Allow header names the ones that are.
    """

    code = "method_unknown"


class InternalFault(VendingError):
    """The server failed in a way nobody foresaw.

    The log line with the same trace_id holds the details; report it.
    """

    code = "internal"


@dataclass(frozen=True, slots=True)
class Shape:
    """How an error family looks on the wire."""

    status: HTTPStatus
    retry: bool = False
    money_state: MoneyState = MoneyState.NONE


SHAPES: Final[dict[type[VendingError], Shape]] = {
    VendingError: Shape(HTTPStatus.INTERNAL_SERVER_ERROR),
    Refused: Shape(HTTPStatus.UNPROCESSABLE_ENTITY),
    Unavailable: Shape(HTTPStatus.SERVICE_UNAVAILABLE, retry=True),
    Rejected: Shape(HTTPStatus.BAD_REQUEST),
    Inconsistent: Shape(HTTPStatus.INTERNAL_SERVER_ERROR),
    PathUnknown: Shape(HTTPStatus.NOT_FOUND),
    SourceForbidden: Shape(HTTPStatus.FORBIDDEN),
    MethodUnknown: Shape(HTTPStatus.METHOD_NOT_ALLOWED),
    admission.BodyTooLarge: Shape(HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    admission.BodyEncoded: Shape(HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    admission.ShareExceeded: Shape(HTTPStatus.TOO_MANY_REQUESTS, retry=True),
    NoticeMalformed: Shape(HTTPStatus.BAD_REQUEST),
    NoticeConflicts: Shape(HTTPStatus.CONFLICT, money_state=MoneyState.HELD),
    InboxUnavailable: Shape(
        HTTPStatus.SERVICE_UNAVAILABLE, retry=True, money_state=MoneyState.UNKNOWN
    ),
    NoticeUnstorable: Shape(HTTPStatus.BAD_REQUEST, money_state=MoneyState.HELD),
    SaleUnavailable: Shape(
        HTTPStatus.SERVICE_UNAVAILABLE, retry=True, money_state=MoneyState.UNKNOWN
    ),
    CommitUnknown: Shape(
        HTTPStatus.SERVICE_UNAVAILABLE, retry=True, money_state=MoneyState.UNKNOWN
    ),
    **{
        kind: Shape(shape.status, retry=shape.retry is not shapes.Retry.NEVER)
        for kind, shape in shapes.SHAPES.items()
    },
}
"""The whole map; an error that is not in it is shaped like its nearest parent."""

DATABASE_AWAY: Final = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)
"""What the driver raises when the database is not there, or does not answer in time."""

_log = log.get("api")
_lines = LineLimit()


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a refusal."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retry: bool
    money_state: MoneyState
    trace_id: str


def shape_of(kind: type[VendingError]) -> Shape:
    """Return how a kind of error looks on the wire."""
    return next(SHAPES[parent] for parent in kind.__mro__ if parent in SHAPES)


def answer(
    error: VendingError, *, route: str, money_state: MoneyState | None = None
) -> web.Response:
    """Return the response to an error, and write its one log line; see `reply`."""
    return response_of(reply(error, route=route, money_state=money_state))


def reply(error: VendingError, *, route: str, money_state: MoneyState | None = None) -> Reply:
    """Return the reply to an error, and write its one log line.

    `route` is the path's pattern, never the path: that holds a secret. `money_state` replaces what
    the map says, where the caller knows better.
    """
    shape = shape_of(type(error))
    trace_id, told = noted(error, status=shape.status, route=route)
    body = Problem(
        type=f"urn:stima:error:{error.code}",
        title=error.sentence(),
        status=shape.status,
        detail=told,
        code=error.code,
        retry=shape.retry,
        money_state=shape.money_state if money_state is None else money_state,
        trace_id=trace_id,
    )
    after = error.facts.get("retry_after_seconds", RETRY_AFTER_SECONDS)
    return Reply(
        status=shape.status,
        body=msgspec.json.encode(body),
        content_type=CONTENT_TYPE,
        headers=(("Retry-After", str(after)),) if shape.retry else (),
    )


def noted(error: VendingError, *, status: HTTPStatus, route: str) -> tuple[str, str]:
    """Count a refusal and write its one log line; return its trace id, and its facts as text."""
    trace_id = secrets.token_hex(8)
    told = ", ".join([f"{name}={value}" for name, value in error.facts.items()])
    _counter(error.code).inc()
    write = _log.error if status >= HTTPStatus.INTERNAL_SERVER_ERROR else _log.warning
    _lines.write(
        write, "a request was refused",
        code=error.code, status=int(status), route=route, trace_id=trace_id, detail=told,
        exc_info=isinstance(error, InternalFault),
    )  # fmt: skip
    return trace_id, told


def told(fault: Exception, route: str) -> Reply:
    """Return the reply to whatever a handler raised."""
    if isinstance(fault, admission.Overloaded):
        return _told_to_many(fault, route)
    return reply(error_of(fault), route=route)


def error_of(fault: Exception) -> VendingError:
    """Return what is said of whatever a handler raised."""
    match fault:
        case VendingError():
            return fault
        case RequestPayloadError() | ClientPayloadError():
            return RequestMalformed(fault=type(fault).__name__)
        case _ if isinstance(fault, DATABASE_AWAY):
            return DatabaseUnavailable(reason=type(fault).__name__)
        case _:
            # The log line's traceback is that of the fault that is being handled.
            return InternalFault()


def nobody_waits(request: web.Request, fault: Exception) -> bool:
    """Whether a handler failed because its caller has hung up: there is nobody to answer."""
    gone = request.transport is None or request.transport.is_closing()
    return gone and isinstance(fault, DATABASE_AWAY)


def _told_to_many(refusal: admission.Overloaded, route: str) -> Reply:
    """Return the reply to a refusal, the same again for the same one: it is told in a flood."""
    if refusal.reply is None or refusal.reply[0] != route:
        refusal.reply = route, reply(refusal, route=route)
    else:
        _counter(refusal.code).inc()
    return refusal.reply[1]


def route_of(request: web.Request) -> str:
    """Return the pattern of the path that was asked for; "" when nothing is served there."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


def middleware() -> Middleware:
    """Return the middleware that turns whatever a handler raises into a problem."""

    @web.middleware
    async def with_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as raised:
            return _of_http(raised, request)
        except Exception as fault:
            if nobody_waits(request, fault):
                raise
            return response_of(told(fault, route_of(request)))

    return with_problems


@functools.cache
def _counter(code: str) -> Count:
    """Return the counter of one code: finding it anew is a part of what a refusal costs."""
    return metrics.requests_refused.labels(code=code)


def _of_http(raised: web.HTTPException, request: web.Request) -> web.StreamResponse:
    """Turn what aiohttp itself raises into ours."""
    route = route_of(request)
    match raised:
        case web.HTTPNotFound():
            return answer(PathUnknown(), route=route)
        case web.HTTPMethodNotAllowed():
            response = answer(MethodUnknown(method=raised.method[:16]), route=route)
            response.headers["Allow"] = raised.headers.get("Allow", "")
            return response
        case web.HTTPRequestEntityTooLarge():
            return answer(admission.BodyTooLarge(), route=route)
        case web.HTTPClientError():
            return answer(RequestMalformed(fault=raised.reason), route=route)
        case _:
            raise raised
