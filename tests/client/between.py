"""What lies between a vendor and the server: loses requests, loses answers, answers by itself."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import repeat

import aiohttp
from aiohttp import web
from yarl import URL

PASSED = {
    "Authorization", "Content-Digest", "Content-Type", "Prefer", "Signature", "Signature-Input",
}  # fmt: skip


class Loss(Enum):
    """What is lost on the way."""

    REQUEST = auto()
    """The connection ends, and the server never hears of it."""
    ANSWER = auto()
    """The server does what it is asked, and the connection ends before anybody is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canned:
    """An answer that the server knows nothing of."""

    status: int
    body: str
    retry_after: str | None = None


@dataclass(slots=True)
class Between:
    """Passes requests on, except for those at the head of `trouble`, one for each request."""

    server: str
    url: str = ""
    trouble: deque[Loss | Canned | None] = field(default_factory=deque)
    weather: Iterator[Loss | None] = field(default_factory=lambda: repeat(None))
    """What becomes of the requests after those."""
    seen: list[tuple[str, str]] = field(default_factory=list)

    async def passes(self, request: web.Request, session: aiohttp.ClientSession) -> web.Response:
        """Pass a request on, or be the trouble."""
        self.seen.append((request.method, request.path))
        body = await request.read()
        trouble = self.trouble.popleft() if self.trouble else next(self.weather)
        if isinstance(trouble, Canned):
            after = {"Retry-After": trouble.retry_after} if trouble.retry_after else {}
            return web.Response(status=trouble.status, text=trouble.body, headers=after)
        if trouble is not Loss.REQUEST:
            url = URL(self.server + request.raw_path, encoded=True)
            kept = {name: value for name, value in request.headers.items() if name in PASSED}
            with suppress(aiohttp.ClientError):
                async with session.request(
                    request.method, url, data=body, headers=kept,
                    skip_auto_headers=["Content-Type"],
                ) as answer:  # fmt: skip
                    told = await answer.read()
                if trouble is None:
                    return web.Response(
                        status=answer.status,
                        body=told,
                        headers={
                            name: answer.headers[name]
                            for name in ("Content-Type", "Retry-After", "Trace-Id")
                            if name in answer.headers
                        },
                    )
        if request.transport is not None:
            request.transport.abort()
        await asyncio.sleep(0)
        return web.Response(status=500)


@asynccontextmanager
async def between(server: str) -> AsyncIterator[Between]:
    """Stand in between for the length of a block."""
    one = Between(server)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True), auto_decompress=False
    ) as session:

        async def passing(request: web.Request) -> web.Response:
            return await one.passes(request, session)

        app = web.Application()
        app.router.add_route("*", "/{any:.*}", passing)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        one.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield one
        finally:
            await runner.cleanup()
