"""The short way: plain requests to the busiest addresses, read without the framework.

A request takes it when it arrives whole in one piece and is as plain as those that operators and
tills send: then llhttp reads it, and the same `Express` answers it that aiohttp's handler would
ask. Whatever is unusual in any way (a body in pieces, chunks, an odd header, an odd character) is
not judged here: it goes to aiohttp untouched, and is accepted or refused there. So this module
only has to be right about requests that leave no doubt. `server.express` turns it off.
"""

import re
from collections.abc import Callable, Sequence
from enum import Enum, auto
from http import HTTPStatus
from typing import Final, NamedTuple

import httptools
from aiohttp import web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE

from vending.api.calls import Call, Express, Reply
from vending.values import replace

HEAD_BYTES_MAX: Final = 4_096
"""Half of what aiohttp takes; requests to these addresses have heads of 200 to 600 bytes."""

HEADERS_MAX: Final = 32
"""Half of what aiohttp takes."""

_HEAD: Final = re.compile(
    rb"(?:POST|GET) /[A-Za-z0-9._~/-]*(?:\?[A-Za-z0-9._~&=-]*)? HTTP/1\.1\r\n"
    rb"(?:[A-Za-z0-9-]+:[ ]?(?:[!-~](?:[ -~]*[!-~])?)?\r\n)+\r\n"
)
"""A head without anything that two readers could read in two ways."""

_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"0|[1-9][0-9]{0,6}")

_UNUSUAL: Final = frozenset({
    b"content-encoding", b"expect", b"http2-settings", b"keep-alive", b"proxy-connection",
    b"sec-websocket-key", b"te", b"trailer", b"transfer-encoding", b"upgrade",
})  # fmt: skip
"""Headers that ask something of whoever reads the request."""

HEADS_MAX: Final = 1_024
"""Heads remembered at once, 4 MB at most; a till's requests differ in their bodies only."""

_FIXED: Final = {
    status: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


class Asked(NamedTuple):
    """A plain request to a busy address."""

    express: Express
    call: Call
    body: bytes

    def __repr__(self) -> str:
        return f"Asked({self.express.shown}, {self.call!r}, {len(self.body)} bytes)"


class _Head(NamedTuple):
    """What a plain head to a busy address says: the same bytes always say the same."""

    express: Express
    call: Call
    body_bytes: int

    def __repr__(self) -> str:
        return f"_Head({self.express.shown}, {self.call!r}, {self.body_bytes} bytes)"


class Reading(Enum):
    """What a piece of data is, when it is not for an express."""

    WHOLE = auto()
    """One plain request to another address; what follows it is a new one."""

    DOUBT = auto()
    """Anything else. Only a reader that keeps all of it can say where the next request begins."""


_NOTHING_TOLD: Final = (Reply(status=0, body=b""), "", b"")


class Way:
    """The expresses of an application, and what they say to a request.

    `told` turns what an express raises into the reply to it.
    """

    def __init__(
        self,
        expresses: Sequence[Express],
        *,
        body_bytes_max: int,
        told: Callable[[Exception, str], Reply],
    ) -> None:
        self._expresses = tuple(expresses)
        self._body_bytes_max = body_bytes_max
        self._told = told
        self._reader = _Reader()
        self._heads: dict[bytes, _Head] = {}
        self._told_last = _NOTHING_TOLD

    def read(self, data: bytes, peer: str | None) -> Asked | Reading | bytes:
        """Say what the data is that a connection has brought after its last request.

        For a request that nobody is let in with now that is the answer, as bytes.
        """
        end = data.find(_END, 0, HEAD_BYTES_MAX) + len(_END)
        if end < len(_END):
            return Reading.DOUBT
        head = data[:end]
        known = self._heads.get(head)
        if known is None:
            return self._read_anew(data, head, peer)
        express, call, body_bytes = known
        if len(data) != end + body_bytes:
            return Reading.DOUBT
        if call.peer != peer:
            call = replace(call, peer=peer)
        closed = express.closed(call)
        if closed is not None:
            return self._written_again(self._told(closed, express.shown))
        return Asked(express, call, data[end:])

    def _read_anew(self, data: bytes, head: bytes, peer: str | None) -> Asked | Reading | bytes:
        """Read a request whose head was not seen before, and remember what it says."""
        if _HEAD.fullmatch(head) is None:
            return Reading.DOUBT
        reader = self._reader
        if not reader.read(data, body_bytes=len(data) - len(head)):
            return Reading.DOUBT
        if reader.posted and len(reader.body) <= self._body_bytes_max:
            for express in self._expresses:
                if found := express.path.fullmatch(reader.url):
                    call = reader.call(peer, found)
                    if len(self._heads) >= HEADS_MAX:
                        self._heads.clear()
                    self._heads[head] = _Head(express, call, len(reader.body))
                    return self.read(data, peer)
        return Reading.WHOLE

    def refusal(self, asked: Asked) -> bytes | None:
        """Return what a caller hears who is not let in now; None for one who is."""
        try:
            asked.express.admit(asked.call)
        except Exception as refused:  # noqa: BLE001 -- `told` has a reply to everything
            return written(self._told(refused, asked.express.shown))
        return None

    def _written_again(self, reply: Reply) -> bytes:
        """Return a reply as bytes, the same ones while it is the same reply in the same second."""
        date = rfc822_formatted_time()
        if self._told_last[:2] != (reply, date):
            self._told_last = reply, date, written(reply)
        return self._told_last[2]

    async def answer(self, asked: Asked) -> Reply:
        """Return the reply to an admitted request, whatever becomes of it."""
        try:
            return await asked.express.answer(asked.call, asked.body)
        except Exception as fault:  # noqa: BLE001 -- `told` has a reply to everything
            return self._told(fault, asked.express.shown)


WAY: Final = web.AppKey("way", Way)
"""Where an application keeps its way; it has none when the setting turns it off."""


class _Reader:
    """What llhttp finds in one request; used again for the next."""

    __slots__ = ("_headers", "_number", "_whole", "body", "posted", "url")

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self.url = b""
        self.body = b""
        self.posted = False
        self._headers: dict[bytes, bytes] = {}
        self._number = 0
        self._whole = 0

    def read(self, data: bytes, *, body_bytes: int) -> bool:
        """Read a request, and say whether it is one whole plain one."""
        self._clear()
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        self.posted = parser.get_method() == b"POST"
        headers = self._headers
        length = headers.get(b"content-length", b"0")
        return (
            self._whole == 1
            and self._number == len(headers) <= HEADERS_MAX
            and b"host" in headers
            and _LENGTH.fullmatch(length) is not None
            and int(length) == body_bytes == len(self.body)
            and headers.get(b"connection", b"keep-alive").lower() == b"keep-alive"
            and _UNUSUAL.isdisjoint(headers)
        )

    def call(self, peer: str | None, found: "re.Match[bytes]") -> Call:
        """Return what the head says of its caller."""
        headers = self._headers
        return Call(
            peer=peer,
            forwarded_for=headers.get(b"x-forwarded-for", b"").decode("ascii"),
            authorization=headers.get(b"authorization", b"").decode("ascii"),
            secret=found[1].decode("ascii") if found.re.groups else "",
        )

    def on_url(self, url: bytes) -> None:
        """Take the path."""
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._headers[name.lower()] = value
        self._number += 1

    def on_body(self, body: bytes) -> None:
        """Take the body; it comes in one piece, because the request did."""
        self.body += body

    def on_message_complete(self) -> None:
        """Note that a request is whole."""
        self._whole += 1


def written(reply: Reply) -> bytes:
    """Return a reply as bytes, with the headers that aiohttp would send."""
    more = "".join([f"{name}: {value}\r\n" for name, value in reply.headers])
    head = (
        f"Content-Type: {reply.content_type}\r\n{more}Content-Length: {len(reply.body)}\r\n"
        f"Date: {rfc822_formatted_time()}\r\nServer: {SERVER_SOFTWARE}\r\n\r\n"
    )
    return _FIXED[HTTPStatus(reply.status)] + head.encode() + reply.body
