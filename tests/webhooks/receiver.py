"""A vendor's receiver of webhooks on a real socket, which can be told to misbehave.

It is written from the Standard Webhooks specification alone: it verifies with the stock library
where there is one (v1), and with a public key otherwise (v1a). HTTP is read by hand, so that it can
also answer what is no HTTP.
"""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

HUGE_BYTES = 50_000_000


@dataclass(frozen=True)
class Taken:
    """One request, as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def payload(self) -> Any:
        return json.loads(self.body)

    @property
    def signatures(self) -> list[str]:
        return self.headers["webhook-signature"].split(" ")


@dataclass
class Receiver:
    """Answers as `script` says, step by step, then as `always` says.

    A step is a status, (status, headers), raw bytes to answer with, "hang" (no answer until
    `release`), "drop" (the connection ends), "huge" (a 200 whose body does not end) or "silent"
    (a 200 whose body never comes). `greeting` is what it says before it is asked anything.
    """

    port: int = 0
    host: str = "127.0.0.1"
    scheme: str = "http"
    script: list[object] = field(default_factory=list)
    always: object = 204
    greeting: bytes = b""
    taken: list[Taken] = field(default_factory=list)
    connections: int = 0
    flying: int = 0
    flying_most: int = 0
    sent_bytes: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}/hooks?of=vendor"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                writer.write(self.greeting)
                while await self._exchange(reader, writer):
                    pass
        finally:
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {
            name.strip().lower(): value.strip()
            for name, _colon, value in (line.partition(":") for line in lines)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        method, path, _version = first.split(" ")
        self.taken.append(Taken(method, path, headers, body))
        self.flying += 1
        self.flying_most = max(self.flying_most, self.flying)
        self.asked.set()
        try:
            return await self._answer(writer)
        finally:
            self.flying -= 1

    async def _answer(self, writer: asyncio.StreamWriter) -> bool:
        step = self.script.pop(0) if self.script else self.always
        if step == "hang":
            await self.release.wait()
            step = self.always if self.always != "hang" else 204
        if step == "drop":
            return False
        if step == "silent":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
            await self.release.wait()
            return False
        if step == "huge":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % HUGE_BYTES)
            while self.sent_bytes < HUGE_BYTES:
                writer.write(b"x" * 65_536)
                self.sent_bytes += 65_536
                await writer.drain()
            return False
        if isinstance(step, bytes):
            writer.write(step)
            await writer.drain()
            return False
        status, headers = step if isinstance(step, tuple) else (step, {})
        answer = "".join(
            f"{name}: {value}\r\n" for name, value in ({"Content-Length": 4} | headers).items()
        )
        text = "" if status == 204 else "well"
        if status == 204:
            answer = ""
        writer.write(f"HTTP/1.1 {status} Word\r\n{answer}\r\n{text}".encode())
        await writer.drain()
        return True


@asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Run a receiver on a free port of the loopback."""
    receiver = Receiver(scheme="https" if tls else "http")
    if tls:
        receiver.host = "localhost"
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await receiver.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        receiver.release.set()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def verify(taken: Taken, secret: str) -> Any:
    """Return the payload of a request that the stock library believes."""
    return Webhook(secret).verify(taken.body, taken.headers)


def verifies(taken: Taken, key: str) -> bool:
    """Return whether a request is signed with a `whsec_` secret or for a `whpk_` key."""
    if key.startswith("whsec_"):
        try:
            verify(taken, key)
        except WebhookVerificationError:
            return False
        return True
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.removeprefix("whpk_")))
    signed = f"{taken.webhook_id}.{taken.headers['webhook-timestamp']}.".encode() + taken.body
    return any(
        _believes(public, base64.b64decode(signature), signed)
        for version, _comma, signature in (one.partition(",") for one in taken.signatures)
        if version == "v1a"
    )


def _believes(key: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True
