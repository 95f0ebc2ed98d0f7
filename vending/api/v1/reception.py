"""The order of a request: who asks, how often, for what; then its body, and the operation.

Whoever is not let in costs no read of the database and no byte of a body. All that is refused on
the way, whatever refuses it, leaves as one of the documented problems.
"""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime
from typing import Any, Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from vending import metrics
from vending.api import admission, problems
from vending.api.admission import Admission
from vending.api.calls import JSON, response_of
from vending.api.doors import Doors
from vending.api.problems import MethodUnknown
from vending.api.sources import PathUnknown
from vending.api.v1 import asked as reading
from vending.api.v1 import errands, signatures
from vending.api.v1 import problems as refusals
from vending.api.v1.asked import Asked, ContentTypeWrong, RequestInvalid
from vending.api.v1.callers import Callers, SandboxOnly, SandboxServer
from vending.api.v1.errand import Carried
from vending.api.v1.operation import Operation
from vending.api.v1.quotas import Headers, Quotas
from vending.api.v1.signatures import SignatureRefused
from vending.api.v1.table import OPERATIONS
from vending.api.v1.teller import Teller
from vending.errors import VendingError
from vending.sandbox.sandbox import AnswerLost
from vending.vendors.register import Caller, Register

PREFIX: Final = "/v1"

SANDBOX: Final = "sandbox"
"""By which name its requests are measured, whatever they ask."""

_PLAYED: Final = web.RequestKey("played", bool)


class Reception:
    """Receives vendors' requests; one for the whole application."""

    def __init__(
        self, doors: Doors, gate: Admission, register: Register, *, chance: random.Random
    ) -> None:
        """Read the settings. Raises ConfigInvalid for one that cannot be."""
        self._doors = doors
        self._gate = gate
        self._register = register
        self.callers = Callers(doors, register)
        self.quotas = Quotas(
            doors.config.vendors, chance=chance, clock=doors.clock, shared=doors.requests
        )
        self.teller = Teller(doors)

    def application(self) -> web.Application:
        """Return the routes of the table, to be mounted under /v1."""
        app = web.Application(
            client_max_size=self._doors.config.server.body_bytes_max, middlewares=[_told()]
        )
        app.add_routes(
            [
                web.route(
                    one.method,
                    one.path.removeprefix(PREFIX),
                    self._handler(one),
                    **({"allow_head": False} if one.method == "GET" else {}),
                )
                for one in OPERATIONS
            ]
        )
        return app

    async def watch(self, _app: web.Application) -> AsyncIterator[None]:
        """Keep the register fresh for as long as the application runs."""
        with suppress(*problems.DATABASE_AWAY):
            await self._register.refresh()
        running = asyncio.create_task(self._register.run(), name="register")
        yield
        self._register.stop()
        await asyncio.gather(running, return_exceptions=True)
        self.teller.close()

    def _handler(self, operation: Operation) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            with metrics.vendor_seconds.time() as timer:
                try:
                    return await answered(request)
                finally:
                    # Slow meters of the sandbox are no news of how slow we are.
                    timer.labels(SANDBOX if request.get(_PLAYED) else operation.name)

        async def answered(request: web.Request) -> web.Response:
            limits: Headers = ()
            try:
                caller = self.callers.known(request)
                request[_PLAYED] = caller.sandbox
                now = self._doors.clock()
                try:
                    self.quotas.take(caller.quota, now=now)
                finally:
                    limits = self.quotas.headers(caller.quota, now=now)
                self._require(caller, operation)
                with self._admitted(operation, caller):
                    done = await self._carried(operation, caller, request)
            except web.HTTPException:
                raise
            except AnswerLost:
                return _hung_up(request)
            except Exception as fault:
                if problems.nobody_waits(request, fault):
                    raise
                return _refused(problems.error_of(fault), request, limits)
            headers = [*done.headers, *limits, (hdrs.CACHE_CONTROL, "no-store")]
            if not done.body:
                return web.Response(status=done.status, headers=headers)
            return web.Response(
                status=done.status, body=done.body, content_type=JSON, headers=headers
            )

        return handle

    def _require(self, caller: Caller, operation: Operation) -> None:
        """Raise ScopeMissing, or what keeps the live world and the sandbox apart."""
        caller.require(operation.scope)
        if caller.sandbox and not operation.sandbox:
            raise SandboxOnly
        if self._doors.sandbox and not caller.sandbox:
            raise SandboxServer

    def _admitted(self, operation: Operation, caller: Caller) -> AbstractContextManager[None]:
        """Let a request in, or raise Overloaded or ShareExceeded."""
        if caller.sandbox:
            self._gate.unread()
            return nullcontext()
        if not operation.sells:
            return self._gate.look_up(operation.shed)
        self._gate.sale(caller.vendor_id)
        return nullcontext()

    async def _carried(self, operation: Operation, caller: Caller, request: web.Request) -> Carried:
        now = self._doors.clock()
        asked = await self._read(operation, caller, request, now=now)
        # What the sandbox remembers is in the core's memory, so it is asked there even to read.
        if (operation.writes or caller.sandbox) and self._doors.errands is not None:
            return await self._doors.errands(errands.errand(operation, asked))
        return errands.written(await operation.handle(self.teller, asked))

    async def _read(
        self, operation: Operation, caller: Caller, request: web.Request, *, now: datetime
    ) -> Asked[Any, Any]:
        """Return what is asked. Raises RequestInvalid, and what a body or a signature raises."""
        query = reading.read_query([*request.query.items()], operation.query)
        headers = _headers(operation, request)
        raw = b""
        if operation.body is not None:
            if request.content_type != JSON:
                raise ContentTypeWrong(given=request.content_type[:60])
            raw = await admission.read_body(request)
        await self.believe(caller, request, raw, now=now)
        return Asked(
            caller=caller,
            path=dict(request.match_info),
            headers=headers,
            query=query,
            body=reading.read_body(raw, operation.body) if operation.body is not None else None,
            now=now,
        )

    async def believe(
        self, caller: Caller, request: web.Request, raw: bytes, *, now: datetime
    ) -> None:
        """Verify a request's signature, where there is one or must be.

        Raises what `signatures.believe` raises.
        """
        settings = self._doors.config.vendors
        if settings.signatures == "off":
            return
        if settings.signatures == "offered" and signatures.INPUT not in request.headers:
            return
        client = self._register.named(caller.credential)
        if client is None:
            raise SignatureRefused(reason="key: an API key signs nothing, an OAuth client does")
        await signatures.believe(
            self._doors.readers, request, raw, client=client, public_url=settings.public_url,
            now=now,
        )  # fmt: skip


def _hung_up(request: web.Request) -> web.Response:
    """Close a connection; the answer that is returned finds nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _headers(operation: Operation, request: web.Request) -> dict[str, str]:
    found = {}
    for header in operation.headers:
        values = request.headers.getall(header.name, [])
        if len(values) > 1 or (header.required and not values):
            raise RequestInvalid(member=header.name, fault="once" if values else "missing")
        if values and not re.fullmatch(header.pattern, values[0]):
            raise RequestInvalid(member=header.name, fault=f"matching {header.pattern}")
        if values:
            found[header.name.lower()] = values[0]
    return found


def _refused(error: VendingError, request: web.Request, limits: Headers) -> web.Response:
    told = refusals.reply(
        error, route=problems.route_of(request), path=request.rel_url.raw_path, headers=limits
    )
    response = response_of(told)
    if isinstance(error, MethodUnknown):
        response.headers["Allow"] = str(error.facts.get("allowed", ""))
    return response


def _told() -> Any:
    """Return the middleware that answers for what is nowhere served under /v1."""

    @web.middleware
    async def with_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPMethodNotAllowed as raised:
            allowed = raised.headers.get(hdrs.ALLOW, "")
            return _refused(MethodUnknown(allowed=allowed), request, ())
        except web.HTTPNotFound:
            return _refused(PathUnknown(), request, ())

    return with_problems
