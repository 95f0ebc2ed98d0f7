"""The guard between a socket and aiohttp, with a transport that a test holds in its hand."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest
from structlog.typing import EventDict

from tests.api.conftest import SECRET, paid
from tests.api.express_fuzz import Wire
from vending.api import problems
from vending.api.calls import Call, Reply
from vending.api.express import HEADS_MAX, Asked, Reading, Way, written
from vending.api.guard import Guard, State
from vending.api.sources import PathUnknown
from vending.errors import VendingError

SAID = b"POST /ask HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
PEER = ("127.0.0.1", 40_000)


class Clerk:
    """An address that answers with the body it was sent, when a test lets it."""

    route = shown = "/ask"
    path = re.compile(rb"/ask")

    def __init__(self) -> None:
        self.fault: BaseException | None = None
        self.refuses: Exception | None = None
        self.shut: VendingError | None = None
        self.may_answer = asyncio.Event()
        self.asked: list[bytes] = []

    def closed(self, _call: Call) -> VendingError | None:
        """Tell everybody the same, or not."""
        return self.shut

    def admit(self, _call: Call) -> None:
        """Let in, or not."""
        if self.refuses is not None:
            raise self.refuses

    async def answer(self, _call: Call, body: bytes) -> Reply:
        """Answer, or not."""
        self.asked.append(body)
        await self.may_answer.wait()
        if self.fault is not None:
            raise self.fault
        return Reply(status=200, body=body)


class Framework(asyncio.Protocol):
    """Stands where aiohttp's protocol does, and keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note it."""
        self.heard.append(transport)

    def data_received(self, data: bytes) -> None:
        """Note it."""
        self.heard.append(data)

    def eof_received(self) -> bool | None:
        """Note it, and keep the other half open."""
        self.heard.append("eof")
        return True

    def pause_writing(self) -> None:
        """Note it."""
        self.heard.append("pause")

    def resume_writing(self) -> None:
        """Note it."""
        self.heard.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        """Note it."""
        self.heard.append(("lost", exc))


class Connection:
    """A guard, the wire it is on, and both who may answer."""

    def __init__(self, *, way: Callable[[Clerk], Way | None]) -> None:
        self.clerk = Clerk()
        self.framework = Framework()
        self.left: list[Guard] = []
        self.wire = Wire(PEER)
        self.guard = Guard(lambda: self.framework, way=way(self.clerk), left=self.left.append)
        self.wire.joined(self.guard)

    def answers(self) -> list[bytes]:
        """Return the bodies of what was answered."""
        return re.findall(rb"\r\n\r\n([a-z]+)(?=HTTP|$)", bytes(self.wire.written))

    async def answered(self, number: int) -> None:
        """Wait for so many answers."""
        async with asyncio.timeout(10):
            while len(self.answers()) < number:
                await asyncio.sleep(0)


def _way(clerk: Clerk) -> Way:
    return Way([clerk], body_bytes_max=100, told=problems.told)


def said(body: bytes) -> bytes:
    return SAID % (len(body), body)


@pytest.fixture
async def connection() -> AsyncIterator[Connection]:
    made = Connection(way=_way)
    yield made
    made.clerk.may_answer.set()
    if made.guard.answering is not None:
        await asyncio.wait([made.guard.answering])


# Early and late


async def test_who_sends_early_is_not_read_until_the_answer(connection: Connection) -> None:
    connection.wire.deliver(said(b"one"))
    connection.wire.deliver(said(b"two") + said(b"three"))
    assert not connection.wire.is_reading()
    await asyncio.sleep(0)
    assert connection.clerk.asked == [b"one"]
    connection.clerk.may_answer.set()
    await connection.answered(1)
    assert connection.wire.is_reading()
    # Two in one piece are more than the short way reads: they are the framework's, in order.
    assert connection.framework.heard == [connection.wire, said(b"two") + said(b"three")]


async def test_one_early_request_takes_the_short_way_as_well(connection: Connection) -> None:
    connection.clerk.may_answer.set()
    for body in (b"one", b"two"):
        connection.wire.deliver(said(body))
    await connection.answered(2)
    assert connection.answers() == [b"one", b"two"]
    assert connection.framework.heard == []


async def test_who_does_not_take_answers_is_not_read_either(connection: Connection) -> None:
    connection.clerk.may_answer.set()
    connection.guard.pause_writing()
    connection.wire.deliver(said(b"one"))
    assert not connection.wire.is_reading()
    await asyncio.sleep(0)
    assert connection.clerk.asked == []
    connection.guard.resume_writing()
    assert connection.wire.is_reading()
    await connection.answered(1)


async def test_refused_callers_who_read_nothing_are_not_read_for_ever(
    connection: Connection, lines: list[EventDict]
) -> None:
    connection.clerk.refuses = PathUnknown()
    connection.wire.deliver(said(b"one"))
    before = len(connection.wire.written)
    connection.guard.pause_writing()
    for _ in range(1_000):
        connection.wire.deliver(said(b"one"))
    assert len(connection.wire.written) == before
    assert len(lines) == 1


async def test_reading_goes_on_only_when_both_answer_and_room_are_there(
    connection: Connection,
) -> None:
    connection.wire.deliver(said(b"one"))
    connection.wire.deliver(said(b"two"))
    connection.guard.pause_writing()
    connection.guard.resume_writing()
    assert not connection.wire.is_reading()
    connection.guard.pause_writing()
    connection.clerk.may_answer.set()
    await connection.answered(1)
    assert connection.clerk.asked == [b"one"]
    connection.guard.resume_writing()
    await connection.answered(2)


# What is the framework's


async def test_the_framework_hears_everything_once_a_connection_is_its(
    connection: Connection,
) -> None:
    connection.wire.deliver(said(b"one")[:10])
    connection.wire.deliver(said(b"one")[10:])
    connection.wire.deliver(said(b"two"))
    connection.guard.pause_writing()
    connection.wire.deliver(said(b"three"))
    connection.guard.resume_writing()
    assert connection.guard.eof_received() is True
    fault = ConnectionResetError()
    connection.guard.connection_lost(fault)
    assert connection.framework.heard == [
        connection.wire, said(b"one")[:10], said(b"one")[10:], said(b"two"), "pause",
        said(b"three"), "resume", "eof", ("lost", fault),
    ]  # fmt: skip
    assert connection.clerk.asked == []
    assert connection.left == [connection.guard]


async def test_after_a_plain_request_to_elsewhere_the_short_way_is_open_again(
    connection: Connection,
) -> None:
    connection.clerk.may_answer.set()
    connection.wire.deliver(b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n")
    connection.guard.request_received()
    connection.guard.answered(body_pending=False)
    connection.wire.deliver(said(b"one"))
    await connection.answered(1)
    assert len(connection.framework.heard) == 2


async def test_before_the_framework_has_answered_it_is_not(connection: Connection) -> None:
    connection.wire.deliver(b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n")
    connection.guard.request_received()
    connection.wire.deliver(said(b"one"))
    connection.guard.answered(body_pending=False)
    connection.wire.deliver(said(b"two"))
    assert connection.framework.heard[2:] == [said(b"one"), said(b"two")]
    assert connection.clerk.asked == []


async def test_a_body_that_is_not_here_counts_as_being_sent_also_behind_another_request(
    connection: Connection,
) -> None:
    connection.wire.deliver(said(b"one") + said(b"two")[:-1])
    for pending in (False, True):
        connection.guard.answered(body_pending=pending)
    assert connection.guard.state is State.SENDING


async def test_a_server_without_a_short_way_passes_everything_on() -> None:
    connection = Connection(way=lambda _clerk: None)
    connection.wire.deliver(said(b"one"))
    assert connection.framework.heard == [connection.wire, said(b"one")]
    assert connection.guard.state is State.SENDING


async def test_a_client_that_only_came_and_went_never_reached_the_framework(
    connection: Connection,
) -> None:
    assert connection.guard.eof_received() is None
    connection.guard.connection_lost(None)
    assert connection.framework.heard == []
    assert connection.left == [connection.guard]


# Faults


async def test_an_unforeseen_fault_is_a_problem_like_any_other(
    connection: Connection, lines: list[EventDict]
) -> None:
    connection.clerk.may_answer.set()
    connection.clerk.fault = ZeroDivisionError()
    connection.wire.deliver(said(b"one"))
    while not connection.wire.written:
        await asyncio.sleep(0)
    connection.clerk.refuses = ZeroDivisionError()
    connection.wire.deliver(said(b"two"))
    assert connection.wire.written.count(b"HTTP/1.1 500 Internal Server Error") == 2
    assert [(line["code"], line["route"]) for line in lines] == [("internal", "/ask")] * 2
    assert not connection.wire.is_closing()


async def test_an_answer_that_is_given_up_ends_the_connection(connection: Connection) -> None:
    connection.wire.deliver(said(b"one"))
    connection.wire.deliver(said(b"two"))
    await asyncio.sleep(0)
    answering = connection.guard.answering
    assert answering is not None
    answering.cancel()
    while not connection.wire.is_closing():
        await asyncio.sleep(0)
    assert connection.wire.written == b""
    assert connection.clerk.asked == [b"one"]


# Stopping


async def test_a_retired_guard_answers_what_it_has_begun_and_no_more(
    connection: Connection,
) -> None:
    connection.wire.deliver(said(b"one"))
    connection.wire.deliver(said(b"two"))
    await asyncio.sleep(0)
    connection.guard.retire()
    assert not connection.wire.is_closing()
    connection.clerk.may_answer.set()
    while not connection.wire.is_closing():
        await asyncio.sleep(0)
    assert connection.answers() == [b"one"]
    assert connection.clerk.asked == [b"one"]


async def test_an_idle_one_retires_at_once(connection: Connection) -> None:
    connection.guard.retire()
    assert connection.wire.is_closing()


async def test_what_the_framework_has_is_its_own_to_close(connection: Connection) -> None:
    connection.wire.deliver(b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n")
    connection.guard.retire()
    assert not connection.wire.is_closing()
    connection.guard.request_received()
    connection.guard.answered(body_pending=False)
    connection.wire.deliver(said(b"one"))
    assert connection.framework.heard[-1] == said(b"one")


async def test_a_guard_that_is_ended_before_it_has_a_socket_does_nothing() -> None:
    guard = Guard(Framework, way=None, left=lambda _guard: None)
    guard.end(farewell=b"bye")
    assert guard.transport is None


# A head that was read before


def asked_of(read: Asked | Reading | bytes) -> Asked:
    assert isinstance(read, Asked)
    return read


def test_a_known_head_is_the_callers_who_sends_it_now() -> None:
    way = _way(Clerk())
    calls = [asked_of(way.read(said(b"first"), peer)).call for peer in ("10.0.0.1", "10.0.0.2")]
    assert [call.peer for call in calls] == ["10.0.0.1", "10.0.0.2"]
    assert asked_of(way.read(said(b"other"), "10.0.0.1")).body == b"other"
    assert way.read(said(b"other") + b"!", "10.0.0.1") is Reading.DOUBT
    assert way.read(said(b"other")[:-1], "10.0.0.1") is Reading.DOUBT


def test_no_more_heads_are_remembered_than_there_is_room_for() -> None:
    way = _way(Clerk())
    for number in range(HEADS_MAX + 10):
        asked_of(way.read(said(b"a").replace(b"Host: x", b"Host: %d" % number), "10.0.0.1"))
    assert len(way._heads) == 10


# Secrets


def test_nothing_that_a_request_holds_shows_in_what_is_made_of_it() -> None:
    call = Call(peer="127.0.0.1", authorization="Bearer hush", secret=SECRET)
    body = json.dumps(paid(FirstName="ACHIENG", MSISDN="254708374149")).encode()
    reply = Reply(status=201, body=b'{"token":"12345678901234567890"}')
    shown = repr((call, Asked(cast("Clerk", _Nowhere()), call, body), reply))
    for secret in ("hush", SECRET, "ACHIENG", "254708374149", "12345678901234567890"):
        assert secret not in shown
    assert "127.0.0.1" in shown
    assert b"12345678901234567890" in written(reply)


class _Nowhere:
    shown = "/nowhere"
