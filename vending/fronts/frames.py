"""What a front and its core say to each other: frames of msgpack on a pair of sockets.

A frame is four bytes of length, most significant first, and one of the structs below. Calls carry
a number of the front's choice; the answer carries it back, in whatever order answers come.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar, cast

import msgspec

from vending import log
from vending.api.v1.errand import Carried, Errand
from vending.config import Config
from vending.payments.outcomes import Outcome
from vending.payments.payment import Payment, PaymentNotice

LENGTH_BYTES = 4

ROOM_BYTES = 1 << 20
"""Room in a frame besides a request's body: the whole page of metrics is a fifth of it."""

WAITING_BYTES = 8 << 20
"""What may wait for a peer that does not read: seconds of work. Beyond it nothing is taken on."""


class _Frame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    pass


class Store(_Frame, frozen=True, tag=1):
    """Keep a notice; answered with Found or Failed."""

    call: int
    notice: PaymentNotice
    product: str
    received_at: datetime


class Quarantine(_Frame, frozen=True, tag=2):
    """Keep bytes for a person; answered with Kept or Failed."""

    call: int
    operator: str
    reason: str
    payload: bytes
    detail: str
    transaction_id: str | None
    received_at: datetime


class Sell(_Frame, frozen=True, tag=3):
    """Vend a payment, which the core numbers; answered with Sold or Failed."""

    call: int
    payment: Payment


class Carry(_Frame, frozen=True, tag=8):
    """Carry out what a vendor asks to be written; answered with Brought or Failed."""

    call: int
    errand: Errand


class Bump(_Frame, frozen=True, tag=4):
    """Put a waiting payment first; not answered."""

    payment_id: int


class AskPage(_Frame, frozen=True, tag=5):
    """Give the whole server's metrics; answered with Page."""

    call: int


class Sample(_Frame, frozen=True):
    """One number of a metric, under its full name and its labels."""

    name: str
    labels: dict[str, str]
    value: float


class Tally(_Frame, frozen=True, tag=6):
    """What this front has counted since it started, by the metric's name; not answered."""

    families: dict[str, list[Sample]]


class Serving(_Frame, frozen=True, tag=7):
    """This front listens; not answered."""


class LetIn(_Frame, frozen=True, tag=9):
    """Vendors' requests this front let in since it last told, by whose quota; not answered."""

    counts: dict[str, int]


Call = Store | Quarantine | Sell | Carry | AskPage
FromFront = Call | Bump | Tally | Serving | LetIn


class Welcome(_Frame, frozen=True, tag=1):
    """The first frame: the settings, without what a front need not know, and the port."""

    front: int
    config: Config
    port: int


class State(_Frame, frozen=True, tag=2):
    """What handlers may know of the core, told several times a second."""

    running: bool
    waiting: int
    estimated_wait: float
    per_second: float
    keys_loaded: bool
    tariffs_loaded: bool
    started: bool
    waits_because: str | None


class LetInElsewhere(_Frame, frozen=True, tag=9):
    """Vendors' requests that another front let in, by whose quota."""

    counts: dict[str, int]


class Found(_Frame, frozen=True, tag=3):
    """A notice is on disk; `how` is what the intake found, `payment_id` 0 in the spool."""

    call: int
    how: str
    payment_id: int


class Kept(_Frame, frozen=True, tag=4):
    """Bytes are on disk."""

    call: int


class Sold(_Frame, frozen=True, tag=5):
    """A sale is committed."""

    call: int
    outcome: Outcome


class Brought(_Frame, frozen=True, tag=8):
    """An errand is done."""

    call: int
    carried: Carried


class Page(_Frame, frozen=True, tag=6):
    """All metrics, in Prometheus' text format."""

    call: int
    text: bytes


class Failed(_Frame, frozen=True, tag=7):
    """The call's error, by its code."""

    call: int
    code: str
    facts: dict[str, str]


Answer = Found | Kept | Sold | Brought | Page | Failed
FromCore = Welcome | State | LetInElsewhere | Answer

T = TypeVar("T")

_encode = msgspec.msgpack.Encoder().encode


class Wire(asyncio.Protocol):
    """One end of the pair: sends frames, and hands over each that arrives.

    A peer that breaks the rules of frames is hung up on, as if it had gone. `on_lost` hears once
    that the other side has gone, or was hung up on.
    """

    def __init__(
        self,
        decode: Callable[[bytes], T],
        *,
        body_bytes_max: int,
        on_frame: Callable[[T], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._decode = decode
        self._bytes_max = ROOM_BYTES + body_bytes_max
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._buffer = bytearray()
        self._transport: asyncio.WriteTransport | None = None
        self._log = log.get("fronts")
        self.full = False
        """Whether more waits for the peer than it should."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.WriteTransport, transport)
        self._transport.set_write_buffer_limits(high=WAITING_BYTES)

    def data_received(self, data: bytes) -> None:
        """Hand over every frame that is complete."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= LENGTH_BYTES:
            length = int.from_bytes(buffer[start : start + LENGTH_BYTES], "big")
            if length > self._bytes_max:
                self._refuse("too long")
                return
            end = start + LENGTH_BYTES + length
            if len(buffer) < end:
                break
            try:
                frame = self._decode(bytes(buffer[start + LENGTH_BYTES : end]))
            except (msgspec.DecodeError, ValueError):
                self._refuse("unreadable")
                return
            start = end
            self._on_frame(frame)
        del buffer[:start]

    def pause_writing(self) -> None:
        """Note that the peer does not keep up."""
        self.full = True

    def resume_writing(self) -> None:
        """Note that the peer has caught up."""
        self.full = False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- gone is gone
        """Tell the owner."""
        self._transport = None
        self._on_lost()

    @property
    def up(self) -> bool:
        """Whether the other side is there."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, frame: FromFront | FromCore) -> None:
        """Send a frame; nothing happens when the other side has gone."""
        if self._transport is not None and self.up:
            body = _encode(frame)
            self._transport.write(len(body).to_bytes(LENGTH_BYTES, "big") + body)

    def close(self) -> None:
        """Hang up, after what waits to be sent."""
        if self._transport is not None:
            self._transport.close()

    def _refuse(self, fault: str) -> None:
        self._buffer.clear()
        self._log.error("a frame between front and core cannot be read", fault=fault)
        if self._transport is not None:
            self._transport.abort()
