"""A server that stands in for ours when the operator is what is tested: answers as it is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

ACCEPTED = '{"ResultCode":"0","ResultDesc":"Accepted","ThirdPartyTransID":"01K04Q9T6X5M8N2R"}'
REFUSED = '{"ResultCode":"C2B00012","ResultDesc":"Rejected"}'
SUCCESS = '{"ResultCode":0,"ResultDesc":"Success"}'


@dataclass(slots=True)
class Heard:
    """One request as it arrived."""

    path: str
    remote: str
    body: bytes


@dataclass(slots=True)
class Listener:
    """What was heard, and what to answer: the first of `plan`, or else the friendly answer.

    A plan's entry is a status with a body, "cut" to drop the connection, or "hang".
    """

    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    plan: list[tuple[int, str] | str] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.heard.append(
            Heard(path=request.path, remote=request.remote or "", body=await request.read())
        )
        self.arrived.set()
        step = self.plan.pop(0) if self.plan else None
        if step == "cut":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if step == "hang":
            await self.released.wait()
        if isinstance(step, tuple):
            return web.Response(status=step[0], text=step[1])
        friendly = ACCEPTED if request.path.endswith("/check") else SUCCESS
        return web.Response(text=friendly, content_type="application/json")


@asynccontextmanager
async def listening() -> AsyncIterator[Listener]:
    """Serve on a free port of this machine until the block ends."""
    listener = Listener()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", listener.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    listener.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield listener
    finally:
        listener.released.set()
        await runner.cleanup()
