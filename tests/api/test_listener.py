"""The socket itself: half requests, floods, garbage and too many callers, sent byte by byte."""

import asyncio
import contextlib
import gzip
import json
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from structlog.typing import EventDict

from tests.api.conftest import SECRET, NoticingClock, Serve, Served, paid
from tests.conftest import SettableClock
from vending.api import app, listener
from vending.api.listener import AddressUnusable
from vending.postgres.pool import Connection

CONFIRM = f"POST /op/saf/{SECRET}/v2/confirm HTTP/1.1\r\nHost: x\r\n"
LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
SOON = {"request_seconds": 1}


class Raw:
    """A client that sends exactly the bytes it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, sent: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            self._writer.write(sent)
            await self._writer.drain()

    async def until_closed(self) -> bytes:
        """Return everything the server says until it hangs up."""
        with contextlib.suppress(ConnectionError):
            return await self._reader.read()
        return b""

    async def response(self) -> bytes:
        """Return the next response, which has a Content-Length."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        return head + await self._reader.readexactly(length)

    def abort(self) -> None:
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def calling(api: Served) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.listener.port)
    raw = Raw(reader, writer)
    try:
        yield raw
    finally:
        raw.abort()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


# Slow callers


@pytest.mark.parametrize(
    "sent",
    [
        b"P",
        b"POST /op/saf/x HTTP/1.1\r\nHost: x\r\nX-Slow",
        (CONFIRM + "Content-Length: 100\r\n\r\n").encode(),
        (CONFIRM + 'Content-Length: 100\r\n\r\n{"TransID"').encode(),
        (CONFIRM + "Transfer-Encoding: chunked\r\n\r\n5\r\n{").encode(),
    ],
    ids=["one byte", "half a head", "no body", "half a body", "half a chunk"],
)
async def test_a_request_that_is_not_finished_in_time_is_cut_off(
    serve: Serve, db: Connection, lines: list[EventDict], sent: bytes
) -> None:
    async with serve(server=SOON) as api, calling(api) as raw:
        await raw.send(sent)
        assert status(await raw.until_closed()) == 408
    assert await db.fetchval("select count(*) from quarantine") == 0
    assert [line["event"] for line in lines] == ["unfinished requests were cut off"]


async def test_a_connection_that_says_nothing_is_closed(serve: Serve) -> None:
    async with serve(server=SOON) as api, calling(api) as raw:
        assert status(await raw.until_closed()) == 408


async def test_a_request_sent_a_byte_at_a_time_is_cut_off_all_the_same(serve: Serve) -> None:
    async with serve(server=SOON) as api, calling(api) as raw:

        async def dribble() -> None:
            await raw.send(b"GET /health/live HTTP/1.1\r\nX-Slow: ")
            while True:
                await raw.send(b"x")
                await asyncio.sleep(0.01)

        dribbling = asyncio.create_task(dribble())
        # Bytes that cross our farewell on the way make the client's kernel throw it away.
        assert (await raw.until_closed())[:12] in {b"", b"HTTP/1.1 408"}
        dribbling.cancel()


async def test_the_second_request_of_a_connection_has_the_same_time(serve: Serve) -> None:
    async with serve(server=SOON) as api, calling(api) as raw:
        await raw.send(LIVE)
        assert status(await raw.response()) == 200
        await raw.send(LIVE[:20])
        assert status(await raw.until_closed()) == 408


async def test_half_a_request_behind_a_whole_one_is_cut_off_too(
    serve: Serve, clock: SettableClock
) -> None:
    noticing = NoticingClock(clock)
    body = _encoded(paid())
    whole = CONFIRM.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
    stuck = serve(server=SOON, inbox_runs=False, now=noticing)
    async with stuck as api, calling(api) as raw:
        await raw.send(whole)
        await noticing.asked.wait()
        await raw.send(LIVE[:20])
        assert status(await raw.response()) == 200  # from the spool, the inbox being asleep
        assert status(await raw.until_closed()) == 408


async def test_an_answer_that_takes_long_is_not_cut_off(serve: Serve, db: Connection) -> None:
    """The inbox is given three seconds; the caller's own second is long over by then."""
    async with serve(server=SOON, inbox_runs=False) as api:
        reply = await api.post("confirm", paid())
    assert reply.status == 200


# Too many callers


async def test_a_full_house_lets_the_next_one_wait_until_somebody_leaves(serve: Serve) -> None:
    full = {"connections_max": 8, "request_seconds": 60}
    async with serve(server=full) as api, contextlib.AsyncExitStack() as stack:
        inside = [await stack.enter_async_context(calling(api)) for _ in range(8)]
        for raw in inside:
            await raw.send(LIVE[:10])
        while api.listener.connections < 8:
            await asyncio.sleep(0)
        late = await stack.enter_async_context(calling(api))
        await late.send(LIVE)
        waiting = asyncio.create_task(late.response())
        for raw in inside[1:]:
            await raw.send(LIVE[10:])
            assert status(await raw.response()) == 200
        assert not waiting.done()
        assert api.listener.connections == 8
        inside[0].abort()
        assert status(await waiting) == 200


async def test_a_full_house_makes_those_leave_who_ask_nothing(serve: Serve) -> None:
    full = {"connections_max": 8, "request_seconds": 60}
    async with serve(server=full) as api, contextlib.AsyncExitStack() as stack:
        for _ in range(8):
            idle = await stack.enter_async_context(calling(api))
            await idle.send(LIVE)
            assert status(await idle.response()) == 200
        late = await stack.enter_async_context(calling(api))
        await late.send(LIVE)
        assert status(await late.response()) == 200


async def test_running_out_of_descriptors_pauses_accepting_and_loses_nobody(
    serve: Serve, lines: list[EventDict]
) -> None:
    async with serve() as api:
        client = socket.socket()
        client.setblocking(False)
        with no_descriptor_left():
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", api.listener.port))
            while not lines:
                await asyncio.sleep(0.01)
        assert lines[0]["event"] == "no room for a connection"
        reader, writer = await asyncio.open_connection(sock=client)
        raw = Raw(reader, writer)
        await raw.send(LIVE)
        assert status(await raw.response()) == 200
        raw.abort()


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Use up this process's file descriptors for the length of a block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(opened) + 1, hard))
    spare = []
    try:
        with contextlib.suppress(OSError):
            while True:
                spare.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for descriptor in spare:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# Garbage


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
        b"hello there\r\n\r\n",
        b"\0" * 100 + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon here\r\n\r\n",
        b"GET / HTTP/1.1\r\nX-Big: " + b"x" * 16_384 + b"\r\n\r\n",
        b"GET /" + b"x" * 16_384 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: x\r\n" % n for n in range(500)) + b"\r\n",
        (CONFIRM + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").encode(),
        (CONFIRM + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello").encode(),
        (CONFIRM + "Content-Length: -5\r\n\r\n").encode(),
        (CONFIRM + "Content-Length: 5e1\r\n\r\n").encode(),
        (CONFIRM + "Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n").encode(),
    ],
    ids=[
        "TLS", "text", "NULs", "version", "header without colon", "16 KB header", "16 KB path",
        "500 headers", "length and chunks", "two lengths", "negative length", "odd length",
        "bad chunk",
    ],
)  # fmt: skip
async def test_bytes_that_are_not_a_request_get_a_400_and_one_line_without_them(
    api: Served, db: Connection, lines: list[EventDict], sent: bytes
) -> None:
    async with calling(api) as raw:
        await raw.send(sent)
        answer = await raw.until_closed()
    assert status(answer) == 400
    assert b"Traceback" not in answer
    assert len(lines) == 1
    assert SECRET not in str(lines)
    assert await db.fetchval("select count(*) from payment") == 0
    assert (await api.post("confirm", paid())).status == 200


async def test_a_compressed_body_is_refused_unread(api: Served) -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    reply = await api.post("confirm", bomb[:60_000], headers={"Content-Encoding": "gzip"})
    assert (reply.status, reply.json["code"]) == (415, "body_encoded")


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
async def test_fifty_megabytes_are_refused_in_flat_memory(api: Served, *, chunked: bool) -> None:
    def peak_kilobytes() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    piece = b"x" * 65_536
    head = CONFIRM + (
        "Transfer-Encoding: chunked\r\n\r\n" if chunked else "Content-Length: 52428800\r\n\r\n"
    )
    before = peak_kilobytes()
    async with calling(api) as raw:
        await raw.send(head.encode())
        for _ in range(800):
            await raw.send(b"10000\r\n" + piece + b"\r\n" if chunked else piece)
        answer = await raw.response()
    assert status(answer) == 413
    assert b'"body_too_large"' in answer
    assert peak_kilobytes() - before < 24_000
    assert (await api.post("confirm", paid())).status == 200


async def test_a_body_of_just_the_allowed_size_is_read(api: Served) -> None:
    limit = api.doors.config.server.body_bytes_max
    body = paid(FirstName="")
    body["FirstName"] = "x" * (limit - len(_encoded(body)))
    assert len(_encoded(body)) == limit
    assert (await api.post("confirm", _encoded(body))).status == 200
    assert (await api.post("confirm", _encoded(body) + b" ")).status == 413


def _encoded(body: dict[str, object]) -> bytes:
    return json.dumps(body).encode()


# Starting and stopping


async def test_a_busy_port_is_said_so(api: Served) -> None:
    settings = api.doors.config.server
    taken = type(settings)(host=settings.host, port=api.listener.port)
    with pytest.raises(AddressUnusable) as caught:
        await listener.listen(app.build(api.doors), taken)
    assert caught.value.facts["port"] == api.listener.port


async def test_an_address_of_another_machine_is_said_so(api: Served) -> None:
    elsewhere = type(api.doors.config.server)(host="203.0.113.1", port=0)
    with pytest.raises(AddressUnusable):
        await listener.listen(app.build(api.doors), elsewhere)


async def test_closing_finishes_what_is_being_answered(serve: Serve, clock: SettableClock) -> None:
    noticing = NoticingClock(clock)
    async with serve(inbox_runs=False, now=noticing) as api:
        paying = asyncio.create_task(api.post("confirm", paid()))
        await noticing.asked.wait()
        async with calling(api) as idle:
            await idle.send(LIVE)
            assert status(await idle.response()) == 200
            closing = asyncio.create_task(api.listener.close())
            assert await idle.until_closed() == b""
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", api.listener.port)
            api.start_inbox()
            assert (await paying).status == 200
            await closing


async def test_ipv6_callers_are_known_by_their_address(serve: Serve) -> None:
    async with serve(
        server={"host": "::1"}, mpesa={"allowed_addresses": ["::1"]}, source="::1"
    ) as api:
        url = f"http://[::1]:{api.listener.port}/op/saf/{SECRET}/v1/confirm"
        async with api.session.post(url, json=paid()) as response:
            assert response.status == 200
