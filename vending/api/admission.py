"""Who is let in when there is too much to do, and what a request may cost before that is known.

Requests have classes. P0, the operator's calls and health, and P1, money that is held, are never
shed. P2 waits for a person: a direct sale, which is refused when it would wait too long, and an
enquiry, which is answered with a busy screen. P3 is refused first. P4 asks nothing over HTTP. The
decision is made from numbers at hand, before the body is read or the database asked.

Bodies are read by `read_body` after the caller is known, never before. The middleware keeps the
connection's guard (see `vending.api.listener`) informed, so that a request which is not fully
sent in time is cut off, and one that is being answered never is.
"""

import asyncio
import functools
import math
import random
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from vending import metrics
from vending.api.calls import Reply
from vending.api.doors import SequencerView
from vending.api.guard import Guard
from vending.api.shares import Shares
from vending.errors import Rejected, Unavailable
from vending.tallies import Count

SALE_WAIT_SECONDS: Final = 0.25
"""A sale that would wait longer is refused: it would be late, and make all behind it late."""

TOLD_SECONDS: Final = 25e-6
"""What each sale ahead takes besides, on the event loop: to be read, and to be told its answer."""

LENT_BELOW_SECONDS: Final = 0.05
"""While sales wait less than this there is enough for all, and nobody's share is counted."""

LOOK_UP_WAIT_SECONDS: Final = {"p2": 1.0, "p3": 0.25}
"""Estimated wait for a reading connection: a person dialling waits a second, a report need not."""

LOOP_LAG_SECONDS: Final = {"p2": 0.5, "p3": 0.1}
"""A loop that runs so late has no time for these classes."""

LAG_EVERY_SECONDS: Final = 0.1
RETRY_AFTER_SECONDS_MAX: Final = 60
TOLD_ALIKE_SECONDS: Final = 0.05
"""Callers refused within this time hear the same, Retry-After and trace_id among it."""

SHUT_SECONDS: Final = 0.002
"""So long the door stays shut unseen: in a flood, looking costs more than a late opening."""

RETRY_AFTER_SPREAD: Final = 3
"""Refused callers are asked back over so many different seconds, not all in the same one."""

_ENCODING: Final = "Content-Encoding"


class RequestClass(StrEnum):
    """What kinds of work are shed, the first last; P0 and P1 never are."""

    INTERACTIVE = "p2"
    LOOK_UP = "p3"


class Overloaded(Unavailable):
    """The server has too much to do for this request now.

    Nothing has happened. Try again after the seconds in Retry-After; a direct sale by the same
    reference, which is never made twice.
    """

    code = "overloaded"

    reply: tuple[str, Reply] | None = None
    """The route and the reply it was told with last: many hear the same one."""

    shed: Count
    """What counts everybody who hears it, where many do."""


class ShareExceeded(Unavailable):
    """This caller asks for more than its share while others wait.

    Nothing has happened. Slow down to the rate that was agreed, and try again after the seconds in
    Retry-After.
    """

    code = "share_exceeded"


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


class Admission:
    """Decides who is let in; one for the whole application."""

    def __init__(
        self,
        sequencer: SequencerView,
        *,
        readers: int,
        chance: random.Random,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sequencer = sequencer
        self._readers = readers
        self._chance = chance
        self._seconds = seconds
        self._shares = Shares()
        self._looking = 0
        self._look_up_seconds = 0.0
        self._told: Overloaded | None = None
        self._told_until = -math.inf
        self._shut_until = -math.inf
        self._entering = 0
        self.lag = 0.0
        """How late the event loop last was, in seconds."""

    def overload(self) -> "Overloaded | None":
        """Return what every sale is told now, whoever asks; None while they are let in one by one.

        Looks at nothing of the request, and says the same for a while: a refusal must cost next to
        nothing, because there is most of them when there is least time.
        """
        if self._told is not None and self._seconds() < self._shut_until:
            self._told.shed.inc()
            return self._told
        return self._overload(self._sequencer.estimated_wait)

    def note(self, caller: str) -> None:
        """Note that a caller hears of an overload: it has its share of what can be sold."""
        self._shares.note(caller, now=self._seconds())

    def _lends(self, wait: float) -> bool:
        """Say whether there is enough for all, where a sale waits so many seconds.

        Those let in since the loop last turned are not in the queue yet: what has come in together
        would find it as empty as the first of them did.
        """
        if wait >= LENT_BELOW_SECONDS:
            return False
        return wait + self._entering / self._sequencer.per_second < LENT_BELOW_SECONDS

    def _overload(self, wait: float) -> "Overloaded | None":
        telling = wait * self._sequencer.per_second * TOLD_SECONDS
        wait += self.lag  # it has waited unread as well
        if wait + telling <= SALE_WAIT_SECONDS:
            return None
        reason = "not_vending" if math.isinf(wait) else "queue"
        told, now = self._told, self._seconds()
        if told is None or told.facts["why"] != reason or now >= self._told_until:
            self._told = told = Overloaded(why=reason, retry_after_seconds=self._after(wait))
            told.shed = _shed(RequestClass.INTERACTIVE, reason)
            self._told_until = now + TOLD_ALIKE_SECONDS
        told.shed.inc()
        self._shut_until = now + SHUT_SECONDS
        return told

    def sale(self, caller: str) -> None:
        """Let a sale in, or raise Overloaded or ShareExceeded. Reads nothing of the request.

        To be called on a running event loop.
        """
        wait = self._sequencer.estimated_wait
        refusal = self._overload(wait)
        if refusal is not None:
            self.note(caller)
            raise refusal.with_traceback(None)
        lent = self._lends(wait)
        per_second = self._sequencer.per_second
        if not self._shares.take(caller, per_second=per_second, now=self._seconds(), lent=lent):
            raise self._refusal(ShareExceeded, RequestClass.INTERACTIVE, "share", wait)
        if not self._entering:
            asyncio.get_running_loop().call_soon(self._entered)
        self._entering += 1

    def _entered(self) -> None:
        self._entering = 0

    def unread(self) -> None:
        """Let in what reads no database, or raise Overloaded when the loop has no time."""
        if self.lag > LOOP_LAG_SECONDS[RequestClass.LOOK_UP]:
            raise self._refusal(Overloaded, RequestClass.LOOK_UP, "loop_lag", self.lag)

    @contextmanager
    def look_up(self, kind: RequestClass) -> Iterator[None]:
        """Let a reading request in for the length of the block, or raise Overloaded."""
        if self.lag > LOOP_LAG_SECONDS[kind]:
            raise self._refusal(Overloaded, kind, "loop_lag", self.lag)
        ahead = self._looking // self._readers
        # While a connection is free nobody waits, whatever was measured: that is also the probe.
        if ahead and (wait := ahead * self._look_up_seconds) > LOOK_UP_WAIT_SECONDS[kind]:
            raise self._refusal(Overloaded, kind, "readers", wait)
        began = self._seconds()
        self._looking += 1
        try:
            yield
        finally:
            self._looking -= 1
            self._look_up_seconds += (self._seconds() - began - self._look_up_seconds) / 8

    async def watch(self, _app: web.Application) -> AsyncIterator[None]:
        """Measure how late the loop is for as long as the application runs."""
        watching = asyncio.create_task(self._watch())
        yield
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching

    async def _watch(self) -> None:
        while True:
            began = self._seconds()
            await asyncio.sleep(LAG_EVERY_SECONDS)
            self.lag = max(0.0, self._seconds() - began - LAG_EVERY_SECONDS)
            metrics.loop_lag_seconds.set(self.lag)

    def _refusal(
        self, kind: type[Unavailable], shed: RequestClass, reason: str, wait: float
    ) -> Unavailable:
        _shed(shed, reason).inc()
        return kind(why=reason, retry_after_seconds=self._after(wait))

    def _after(self, wait: float) -> int:
        """Return in how many seconds a refused caller shall ask again."""
        soonest = 1 + math.ceil(wait) if math.isfinite(wait) else RETRY_AFTER_SPREAD
        after = soonest + self._chance.randrange(RETRY_AFTER_SPREAD)
        return min(after, RETRY_AFTER_SECONDS_MAX)


@functools.cache
def _shed(shed: RequestClass, reason: str) -> Count:
    return metrics.shed.labels(shed.value, reason)


async def read_body(
    request: web.Request, *, encodings: Collection[str] = frozenset({"identity"})
) -> bytes:
    """Return a request's body as it was sent, at most server.body_bytes_max bytes long.

    Raises BodyTooLarge (by Content-Length, before a byte is read, where it is given), and
    BodyEncoded where it is said to be in an encoding that the caller does not unpack itself.
    """
    if request.headers.get(_ENCODING, "identity").lower() not in encodings:
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
            # What is here whole need not have been read: the next request begins behind it.
            guard.answered(body_pending=not request.content.is_eof())

    return with_guard


def _guard(request: web.Request) -> Guard | None:
    """Return the guard of a request's connection; none behind a listener that is not ours."""
    protocol = request.transport.get_protocol() if request.transport is not None else None
    return protocol if isinstance(protocol, Guard) else None
