"""A carrier of short messages on a real socket, which can be told to misbehave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

ACCEPTED = 101


@dataclass
class Carrier:
    """Behaves as `script` says for the next requests, then accepts.

    A step is a recipient status code (under a 201), ("http", status), ("body", text), "hang" or
    "drop". Everything asked of it is in `requests`, everything it took in `taken`.
    """

    url: str = ""
    script: list[object] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    taken: list[tuple[str, str]] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    always: object = ACCEPTED

    async def handle(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.requests.append(form)
        self.keys.append(request.headers.get("apiKey"))
        self.asked.set()
        step = self.script.pop(0) if self.script else self.always
        if step == "hang":
            await self.release.wait()
            step = ACCEPTED
        if step == "drop":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if isinstance(step, tuple):
            kind, value = step
            if kind == "http":
                return web.Response(status=value, text="no")
            return web.Response(status=201, text=value, content_type="application/json")
        assert isinstance(step, int)
        gateway_id = f"ATXid_{len(self.requests)}"
        if step in {100, 101, 102}:
            self.taken.append((form["to"], form["message"]))
        recipient = {
            "statusCode": step,
            "number": form["to"],
            "status": "Success" if step < 400 else "Failed",
            "cost": "KES 0.8000",
            "messageId": gateway_id,
        }
        return web.json_response(
            {"SMSMessageData": {"Message": "Sent to 1/1", "Recipients": [recipient]}}, status=201
        )


@asynccontextmanager
async def carrier() -> AsyncIterator[Carrier]:
    """Run a carrier on a free port of the loopback."""
    fake = Carrier()
    app = web.Application()
    app.router.add_post("/version1/messaging", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}/version1/messaging"
    try:
        yield fake
    finally:
        fake.release.set()
        await runner.cleanup()
