"""What stands between a socket and aiohttp: it notes times, and answers expresses by itself.

A connection's data is looked at where a request must begin. A plain request to a busy address is
answered here (`vending.api.express`); another plain one is passed on, and its answer awaited; with
anything else the connection belongs to aiohttp for good, because only a reader that has seen all
of it can say where the next request begins.
"""

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import cast

from vending.api.calls import Reply, peer_of
from vending.api.express import Asked, Reading, Way, written

TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
"""What a client hears whose request did not arrive in time."""


class State(Enum):
    """What a connection's client does: sends a request, waits for us, or nothing."""

    SENDING = auto()
    ANSWERING = auto()
    IDLE = auto()


class Guard(asyncio.Protocol):
    """Stands between a socket and aiohttp's protocol and notes what the client is doing since when.

    A fresh connection counts as sending: it opened to ask something. `framework` makes aiohttp's
    protocol once it is needed. `left` hears that the connection has ended.
    """

    __slots__ = (
        "_ahead", "_early", "_framework", "_inner", "_left", "_loop", "_peer", "_retired",
        "_stuffed", "_way", "answering", "since", "state", "transport",
    )  # fmt: skip

    def __init__(
        self,
        framework: Callable[[], asyncio.Protocol],
        *,
        way: Way | None,
        left: Callable[["Guard"], None],
    ) -> None:
        self._framework = framework
        self._inner: asyncio.Protocol | None = None
        self._way = way
        self._left = left
        self._loop = asyncio.get_running_loop()
        self._ahead = False
        self._early = b""
        self._peer: str | None = None
        self._retired = False
        self._stuffed = False
        self.transport: asyncio.Transport | None = None
        self.answering: asyncio.Task[Reply] | None = None
        """The reply that is being made here, not by aiohttp."""
        self.state = State.SENDING
        self.since = self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note who is there."""
        self.transport = cast(asyncio.Transport, transport)
        self._peer = peer_of(transport.get_extra_info("peername"))

    def data_received(self, data: bytes) -> None:
        """Answer a plain request to a busy address; pass everything else on."""
        if self.answering is not None or (self._stuffed and self._way is not None):
            # The client does not wait for answers, or does not take them; it is read again when it
            # has this one.
            self._early += data
            cast(asyncio.Transport, self.transport).pause_reading()
            return
        if self._way is not None:
            begins = self._inner is None or self.state is State.IDLE
            read = self._way.read(data, self._peer) if begins else Reading.DOUBT
            if isinstance(read, bytes):
                self._reply(read)
                return
            if isinstance(read, Asked):
                self._serve(read, self._way)
                return
            if read is Reading.DOUBT:
                self._way = None
        self._pass_on(data)

    def _serve(self, asked: Asked, way: Way) -> None:
        self.state = State.ANSWERING
        refusal = way.refusal(asked)
        if refusal is not None:
            self._reply(refusal)
            return
        self.answering = self._loop.create_task(way.answer(asked))
        self.answering.add_done_callback(self._made)

    def _made(self, task: "asyncio.Task[Reply]") -> None:
        self.answering = None
        if not task.cancelled():
            self._reply(written(task.result()))
        if (task.cancelled() or self._retired) and self.transport is not None:
            self.transport.close()
        self._go_on()

    def _go_on(self) -> None:
        """Read what the client has sent too early."""
        if self._early and self.transport is not None and not self.transport.is_closing():
            early, self._early = self._early, b""
            self.transport.resume_reading()
            self.data_received(early)

    def _reply(self, reply: bytes) -> None:
        self.state, self.since = State.IDLE, self._loop.time()
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(reply)

    def _pass_on(self, data: bytes) -> None:
        """Note a request's first bytes, and give them to aiohttp."""
        if self.state is State.IDLE:
            self.state, self.since = State.SENDING, self._loop.time()
        elif self.state is State.ANSWERING:
            self._ahead = True
        if self._inner is None:
            self._inner = self._framework()
            self._inner.connection_made(cast(asyncio.Transport, self.transport))
        self._inner.data_received(data)

    def request_received(self) -> None:
        """Note that a request is here whole: from now on it is we who are slow."""
        self.state, self._ahead = State.ANSWERING, False

    def answered(self, *, body_pending: bool) -> None:
        """Note that a request has its answer; with its body pending it still counts as sending."""
        if body_pending:
            # Behind another request it was not noted as being sent; its time runs from that answer.
            self.state = State.SENDING
            return
        self.state = State.SENDING if self._ahead else State.IDLE
        self.since = self._loop.time()

    def eof_received(self) -> bool | None:
        """Pass on that the client sends no more."""
        return self._inner.eof_received() if self._inner is not None else None

    def pause_writing(self) -> None:
        """Note that the client does not take its answers: it gets no more until it does."""
        self._stuffed = True
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Note that the client reads again."""
        self._stuffed = False
        if self._inner is not None:
            self._inner.resume_writing()
        if self.answering is None:
            self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell aiohttp, and make room."""
        if self._inner is not None:
            self._inner.connection_lost(exc)
        self._left(self)

    def retire(self) -> None:
        """Answer what is being answered here, then close; aiohttp closes what it has itself."""
        self._way = None
        self._retired = True
        if self.answering is None and self._inner is None:
            self.end(farewell=b"")

    def end(self, *, farewell: bytes) -> None:
        """Close the connection; one whose client does not even read is dropped."""
        transport = self.transport
        if transport is None:
            return
        if transport.get_write_buffer_size() or transport.is_closing():
            transport.abort()
            return
        if farewell:
            transport.write(farewell)
        transport.close()
