"""Frames arrive whole however the bytes are cut, and a peer that breaks the rules is hung up on."""

import asyncio
import socket

import msgspec
import pytest

from tests.fronts.desks import NOTICE, NOW
from vending.fronts.frames import LENGTH_BYTES, Bump, FromFront, Store, Wire

DECODE = msgspec.msgpack.Decoder(FromFront).decode


class End:
    """A wire, what it has heard, and the raw socket at its other end."""

    def __init__(self) -> None:
        self.heard: list[FromFront] = []
        self.lost = asyncio.Event()
        self.wire = Wire(
            DECODE, body_bytes_max=1_024, on_frame=self.heard.append, on_lost=self.lost.set
        )

    async def open(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        await asyncio.get_running_loop().create_unix_connection(lambda: self.wire, sock=ours)
        return theirs


def framed(frame: object) -> bytes:
    body = msgspec.msgpack.encode(frame)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


async def test_frames_arrive_whole_however_they_are_cut() -> None:
    frames = [Store(1, NOTICE, "prepaid", NOW), Bump(2), Bump(3)]
    told = b"".join(map(framed, frames))
    for size in (1, 3, 7, len(told)):
        end = End()
        for start in range(0, len(told), size):
            end.wire.data_received(told[start : start + size])
        assert end.heard == frames


@pytest.mark.parametrize(
    "told",
    [
        (1 << 31).to_bytes(LENGTH_BYTES, "big"),
        framed("no frame"),
        framed([99]),
        (3).to_bytes(LENGTH_BYTES, "big") + b"\xc1\xc1\xc1",
    ],
)
async def test_a_peer_that_breaks_the_rules_is_hung_up_on(told: bytes) -> None:
    end = End()
    with await end.open() as peer:
        await asyncio.get_running_loop().sock_sendall(peer, framed(Bump(1)) + told)
        async with asyncio.timeout(20):
            await end.lost.wait()
    assert end.heard == [Bump(1)]
    assert not end.wire.up
    end.wire.send(Bump(4))


async def test_a_peer_that_does_not_read_is_noticed() -> None:
    end = End()
    with await end.open() as peer:
        large = Store(1, msgspec.structs.replace(NOTICE, raw=b"x" * 1_000_000), "", NOW)
        for _ in range(16):
            end.wire.send(large)
        fullness = [end.wire.full]
        async with asyncio.timeout(20):
            while end.wire.full:
                await asyncio.get_running_loop().sock_recv(peer, 1 << 20)
        assert fullness == [True]
    async with asyncio.timeout(20):
        await end.lost.wait()
